"""What the comparison of certificates with exact answers asks for."""

MEDIAN_RATIO = 100.0
"""The median bound of a quantity is at most this many times the true error: what the toolkit promises."""

ELIMINATION_STATES = 20
"""Up to here plain elimination in `Fraction`, which shares nothing with the solvers, takes well below a second."""
