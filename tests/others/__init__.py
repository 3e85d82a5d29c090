"""Holds other people's packages against the contract and publishes what the run shows, as a page.

    python -m others --to build/others            (tests/ on the path; `tox run -e others`)

`packages` says which packages and adapters there are; `survey` is the pytest plugin that runs the contract on one of
them to the end and writes every row as JSON; `verdicts` joins the runs and the known deviations; `page` and `markdown`
render them. Each package runs in a process of its own.
"""
