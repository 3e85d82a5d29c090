"""The table of source 002 section 9, entry by entry, and what it concludes for negative TD errors (JS-15, JS-16)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from flint import arb, fmpq

from proofs import balls, instances
from proofs.arithmetic import exp, sigmoid
from proofs.claim import claim
from proofs.divergences import Law, kl_ratio, law
from proofs.evidence import Answer, Case, every
from proofs.js.weights import abridged, fermi_weights, kl_weights, show
from proofs.symbolic import equal, real, sign
from proofs.verdict import FALSE, TRUE, true_if

ROWS = (-5, -3, -1, 0, 1, 3, 5)

PRINTED = {
    "KL": ("0.0067", "0.0498", "0.3679", "1.0000", "2.7183", "20.086", "148.41"),
    "sigmoid": ("0.0067", "0.0474", "0.2689", "0.5000", "0.7311", "0.9526", "0.9933"),
    "ratio": ("1.00", "1.05", "1.37", "2.00", "3.72", "21.1", "149"),
}
"""The table as printed, at beta = 1; the source calls the sigmoid JS."""


def rounds_to(value: arb, printed: str) -> bool | None:
    """Whether a number rounds to what is printed: it lies within half a unit of the last digit."""
    number = Decimal(printed)
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    middle, half = fmpq(*number.as_integer_ratio()), fmpq(1, 2) / fmpq(10) ** -exponent
    above, below = balls.less(balls.ball(middle - half), value), balls.less(value, balls.ball(middle + half))
    return None if above is None or below is None else above and below


def column(formula: Any, entries: tuple[str, ...]) -> Answer:
    """Whether every entry of a column is its formula, correctly rounded."""
    for row, printed in zip(ROWS, entries, strict=True):
        with balls.precision(128):
            value = balls.ball(formula(balls.ball(row)))
        holds = balls.settle(lambda row=row, printed=printed: rounds_to(balls.ball(formula(balls.ball(row))), printed))
        if not holds:
            return Answer(holds, f"δ={row}: printed {printed}, exact {balls.short(value, 7)}")
    return Answer(True, f"{len(entries)} entries")


@claim(
    "JS-15",
    source="002 §9 (table)",
    statement="A table of e^δ, σ(δ) and their quotient for seven TD errors.",
    formula="e^δ, σ(δ) and e^δ/σ(δ) at δ = −5, −3, −1, 0, 1, 3, 5, as printed",
    stated={"KL": TRUE, "sigmoid": TRUE, "ratio": FALSE},
    corrected="20 of the 21 entries are right. KL/σ = 1 + e^δ exactly; at δ = −5 it is 1.0067, printed 1.00.",
    method="S+B",
    derivation=(
        "e^δ/σ(δ) = e^δ(1 + e^δ)/e^δ = 1 + e^δ.",
        "At δ = −5: 1 + 0.006738 = 1.006738, which rounds to 1.01.",
    ),
    twins={
        "the wrong entry mended": {"ratio": ("1.01", *PRINTED["ratio"][1:])},
        "an entry of KL off by one": {"kl": (*PRINTED["KL"][:5], "20.085", "148.41")},
        "an entry of the sigmoid off by one": {"sigma": ("0.0067", "0.0475", *PRINTED["sigmoid"][2:])},
        "the quotient without the one": {"quotient": exp},
    },
)
def js_15(
    case: Case,
    *,
    kl: Any = PRINTED["KL"],
    sigma: Any = PRINTED["sigmoid"],
    ratio: Any = PRINTED["ratio"],
    quotient: Any = lambda z: 1 + exp(z),
) -> None:
    """Each printed digit against balls around the number that it rounds."""
    case.claimed("B", "e^δ", column(exp, kl), part="KL")
    case.claimed("B", "σ(δ)", column(sigmoid, sigma), part="sigmoid")
    case.claimed("B", "e^δ/σ(δ)", column(lambda z: exp(z) / sigmoid(z), ratio), part="ratio")
    (z,) = real("z")
    case.corrected("S", "KL/σ = 1 + e^δ", equal(exp(z) / sigmoid(z), quotient(z)), part="ratio")
    mended = ("1.01", *PRINTED["ratio"][1:])
    case.corrected("B", "with 1.01 at δ = −5 the column is right", column(lambda z: 1 + exp(z), mended), part="ratio")


def crossing(data: Law) -> fmpq:
    """e^A below which the mean-one sigmoid weight exceeds the mean-one exponential: E e^z / E sigma - 1."""
    return data.expect(data.exponentials) / data.expect([sigmoid(z) for z in data.z]) - 1


NEGATIVE = law([1, 1], [fmpq(1, 4), fmpq(1, 2)])
"""Two negative TD errors, -log 4 and -log 2: the upper one lies above the crossing."""


@claim(
    "JS-16",
    source="002 §9",
    statement="For a negative TD error both weights are small, but the JS (sigmoid) weight is slightly larger.",
    formula="σ(δ) > e^δ for δ < 0",
    stated={"raw": FALSE, "normalised": true_if("A lies below the crossing point of the two curves")},
    corrected=(
        "Raw, σ(z) < e^z for every z: e^z − σ(z) = e^{2z}/(1 + e^z). With mean one, the curves cross once, and the "
        "sigmoid is larger exactly where e^z < E e^z/E σ(z) − 1."
    ),
    method="S+Q+P",
    derivation=(
        "e^z − e^z/(1 + e^z) = e^{2z}/(1 + e^z) > 0. The source's own table: 0.2689 < 0.3679 at δ = −1.",
        "Mean one: (σ/E σ)/(e^z/E e^z) = (E e^z/E σ)/(1 + e^z) > 1 iff e^z < E e^z/E σ − 1.",
        "δ = ±log 2, equally likely: (2/3, 4/3) against (2/5, 8/5): larger at −log 2.",
        "δ = −log 4, −log 2: (3/4, 5/4) against (2/3, 4/3): at −log 2 the TD error is negative and the weight smaller.",
    ),
    twins={
        "the exponential called sigmoid": {"shape": lambda z: 2 * exp(z)},
        "sign of the difference": {"difference": lambda z: -exp(2 * z) / (1 + exp(z))},
        "crossing without the -1": {"edge": lambda data: crossing(data) + 1},
        "crossing at A = 0": {"edge": lambda data: fmpq(1)},
    },
)
def js_16(
    case: Case,
    *,
    shape: Any = sigmoid,
    difference: Any = lambda z: exp(2 * z) / (1 + exp(z)),
    edge: Any = crossing,
) -> None:
    """Raw: exactly and in symbols. Mean one: two laws exactly, the single crossing on a family."""
    even = law([1, 1], [fmpq(1, 2), 2])
    raw = shape(even.z[0])
    case.claimed("Q", "σ(−log 2) > e^{−log 2}", raw > fmpq(1, 2), f"{raw} and 1/2", part="raw")
    (z,) = real("z")
    case.corrected("S", "e^z − σ(z) = e^{2z}/(1+e^z)", equal(exp(z) - sigmoid(z), difference(z)), part="raw")
    case.corrected("S", "which is positive", sign(difference(z), 1), part="raw")
    part = "normalised"
    for role, data, atom in (("within", even, 0), ("outside", NEGATIVE, 1)):
        ours, theirs = data.normalised(shape), kl_weights(data)
        shown = f"{show(ours)} against {show(theirs)} on {abridged(data)}"
        getattr(case, role)("Q", f"σ exceeds KL at δ={data.z[atom]}", bool(ours[atom] > theirs[atom]), shown, part=part)

    def crosses_once(data: Law) -> Answer:
        fermi, kl, level = fermi_weights(data), data.normalised(kl_ratio), edge(data)
        ordered = all((f > k) == (q < level) for f, k, q in zip(fermi, kl, data.exponentials, strict=True))
        inside = min(data.exponentials) < level < max(data.exponentials)
        return Answer(bool(ordered and inside), f"crossing at e^A={balls.short(level, 6)} on {abridged(data)}")

    family = list(instances.distinct(instances.laws(40, seed=16)))
    case.corrected("P", "larger exactly below the crossing", every(crosses_once(d) for d in family), part=part)
