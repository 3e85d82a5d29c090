"""Why it is true: an executed verdict on every formula that the sources state.

`python -m proofs` prints the ledger, `python -m proofs show JS-05` one claim as a page. From Python::

    >>> import proofs
    >>> result = proofs.run("JS-06")
    >>> print(result.verdict)
    order: TRUE; proportionality: FALSE
"""

from __future__ import annotations

from proofs.claim import Claim as Claim
from proofs.claim import Result as Result
from proofs.evidence import Case as Case
from proofs.evidence import Grade as Grade
from proofs.verdict import Verdict as Verdict

__all__ = ["Case", "Claim", "Grade", "Result", "Verdict", "claims", "run"]


def claims() -> tuple[Claim, ...]:
    """Every claim of the ledger; needs the `proofs` extra."""
    from proofs.ledger import claims as every_claim

    return every_claim()


def run(identifier: str) -> Result:
    """Execute one claim by its id; LookupError naming the nearest ids when there is none."""
    from proofs.ledger import find

    return find(identifier).run()
