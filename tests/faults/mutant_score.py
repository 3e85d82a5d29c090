"""The share of mutants that the tests notice, and how sure a sample makes one of it."""

from __future__ import annotations

from rich.table import Table
from scipy.stats import beta

SURENESS = 0.95
COLUMNS = ("survived", "no tests", "timeout", "equivalent")


def interval(hits: int, of: int, sureness: float = SURENESS) -> tuple[float, float]:
    """The shares p for which `hits` or fewer, and `hits` or more, out of `of` both have a chance of (1 - sureness)/2.

    Exact for independent draws (Clopper and Pearson 1934), and on the safe side without replacement.
    """
    outside = (1.0 - sureness) / 2.0
    low = float(beta.ppf(outside, hits, of - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1.0 - outside, hits + 1, of - hits)) if hits < of else 1.0
    return low, high


def summary(rows: dict[str, list[str]], total: dict[str, int], left_out: dict[str, int]) -> Table:
    """A line for every file and one for all: `rows` has the verdicts of each file's sampled mutants."""
    table = Table("file", "mutants", "left out", "sampled", "noticed", *COLUMNS, "score")
    everything = [verdict for verdicts in rows.values() for verdict in verdicts]
    for file, found in [*rows.items(), ("all", everything)]:
        hits, of = sum(map(noticed, found)), len(found) - found.count("equivalent")
        low, high = interval(hits, of) if of else (0.0, 1.0)
        counts = [sum(numbers.values()) if file == "all" else numbers[file] for numbers in (total, left_out)]
        counts += [len(found), hits, *(found.count(column) for column in COLUMNS)]
        table.add_row(file, *map(str, counts), f"{hits / of:.1%} ({low:.1%} .. {high:.1%})" if of else "")
    return table


def noticed(verdict: str) -> bool:
    """Whether a verdict counts for the tests."""
    return verdict in ("killed", "timeout")
