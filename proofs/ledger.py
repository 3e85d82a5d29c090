"""The ledger: every claim of every chapter, selected, executed and compared with what is stated."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Iterator

from proofs.claim import REGISTRY, SOURCES, Claim, Result

#: The modules or packages whose import enters claims, in the order in which the ledger lists them.
#: A package says in its docstring which of its modules has which claim.
CHAPTERS: dict[str, str] = {
    "KL": "proofs.kl",
    "ESS": "proofs.ess",
    "JS": "proofs.js",
    "FD": "proofs.fd",
    "OCC": "proofs.occ",
    "GUM": "proofs.gum",
    "PRI": "proofs.pri",
    "BET": "proofs.bet",
    "SAC": "proofs.sac",
    "RL": "proofs.rl",
}

TITLES: dict[str, str] = {
    "KL": "KL-regularised occupancy optimisation",
    "ESS": "Adaptive beta from the effective sample size",
    "JS": "JS-regularised occupancy optimisation",
    "FD": "f-divergences: conjugates, expansions, caps",
    "OCC": "The flow-constrained problem and its occupancy ratio",
    "GUM": "Gumbel (ExtremeQ) regression",
    "PRI": "The multiplicative priority",
    "BET": "Choosing beta",
    "SAC": "Soft actor-critic",
    "RL": "Course notes on reinforcement learning",
}


class UnknownClaim(LookupError):
    """No claim matches what was asked for; the message names what comes nearest."""


def claims() -> tuple[Claim, ...]:
    """Every claim, chapter by chapter, in the order of its id."""
    for module in CHAPTERS.values():
        importlib.import_module(module)
    order = list(CHAPTERS)
    return tuple(sorted(REGISTRY.values(), key=lambda claim: (order.index(claim.chapter), claim.id)))


def find(identifier: str) -> Claim:
    """The claim with this id, in any case; UnknownClaim names the nearest ids otherwise."""
    for claim in claims():
        if claim.id == identifier.strip().upper():
            return claim
    raise UnknownClaim(f"there is no claim {identifier!r}; {_nearest(identifier)}")


def select(only: Iterable[str] = (), source: str | None = None) -> tuple[Claim, ...]:
    """The claims whose id equals or begins with one of `only`, and that judge `source`; all of them by default.

    UnknownClaim when an entry of `only` matches nothing, the source does not exist, or both together leave nothing.
    """
    everything = claims()
    wanted = [prefix.strip().upper() for prefix in only]
    for prefix in wanted:
        if not prefix or not any(claim.id.startswith(prefix) for claim in everything):
            raise UnknownClaim(f"no claim's id is or begins with {prefix!r}; {_nearest(prefix)}")
    chosen = [claim for claim in everything if not wanted or claim.id.startswith(tuple(wanted))]
    if source is None:
        return tuple(chosen)
    known = {name.upper(): name for name in SOURCES}
    if source.upper() not in known:
        listing = "; ".join(f"{name}: {title}" for name, title in SOURCES.items())
        raise UnknownClaim(f"there is no source {source!r}; expected one of {listing}")
    matching = tuple(
        claim for claim in chosen if any(entry.split()[0].upper() == source.upper() for entry in claim.sources)
    )
    if not matching:
        among = f" among {', '.join(wanted)}" if wanted else ""
        present = sorted({entry.split()[0] for claim in chosen for entry in claim.sources})
        raise UnknownClaim(f"no claim{among} judges source {source}; the sources judged there: {', '.join(present)}")
    return matching


def execute(chosen: Iterable[Claim], report: Callable[[Result], None] | None = None) -> Iterator[Result]:
    """Run the claims one after another, handing each result to `report` as soon as it is there."""
    for claim in chosen:
        result = claim.run()
        if report is not None:
            report(result)
        yield result


def _nearest(identifier: str) -> str:
    identifiers = [claim.id for claim in claims()]
    close = difflib.get_close_matches(identifier.strip().upper(), identifiers, n=3, cutoff=0.5)
    if close:
        return f"the nearest ids are {', '.join(close)}"
    spans = []
    for chapter in CHAPTERS:
        members = [name for name in identifiers if name.split("-")[0] == chapter]
        spans.append(f"{members[0]} to {members[-1]}")
    return f"the ledger has {'; '.join(spans)}"
