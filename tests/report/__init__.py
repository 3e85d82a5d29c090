"""Joins what the cells of a tox run left behind into one matrix: every quantity, every cell, error beside bound.

`cells` reads one cell's files and says how it ended; `matrix` joins the cells; `markdown` and `page` render them.
Standard library only: the report must be able to say that everything else failed to install.
"""
