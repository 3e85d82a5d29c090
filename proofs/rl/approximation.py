"""Stochastic approximation (RL-12, RL-13)."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import sympy
from flint import fmpq, fmpz_poly

from proofs import balls
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.rl.chains import numbers
from proofs.symbolic import equal
from proofs.verdict import FALSE, THEOREM, TRUE

K = sympy.Symbol("k", positive=True, integer=True)


def closed_variance(k: Any) -> Any:
    """Var(w_{k+1}) for g(w) = w, a_k = 1/k and noise of variance k²."""
    return (k + 1) * (2 * k + 1) / (6 * k)


def robbins_monro_variance(noise: Any) -> Any:
    """Var(w_{k+1}) for g(w) = w, a_k = 1/k, independent noise of variance noise(j): the mean of it over j, over k.

    k w_{k+1} = (k−1) w_k − η_k telescopes to k w_{k+1} = −Σ_{j≤k} η_j.
    """
    j = sympy.Symbol("j", positive=True, integer=True)
    return sympy.factor(sympy.summation(noise(j), (j, 1, K)) / K**2)


@functools.cache
def near_root(k: int, sizes: tuple[int, ...]) -> fmpq:
    """P(|w_{k+1}| ≤ 1) where η_j = ±sizes[j] with probability 1/2 each: |Σ η_j| ≤ k, counted exactly.

    The generating function of the subset sums is Π (1 + x^size); Σ η_j is the total less twice a subset sum.
    """
    product = fmpz_poly([1])
    for size in sizes:
        product = product + fmpz_poly([0] * size + [1]) * product
    total = sum(sizes)
    count = sum(int(product[subset]) for subset in range(total + 1) if abs(total - 2 * subset) <= k)
    return fmpq(count, 2**k)


@claim(
    "RL-12",
    source="004 C6",
    statement="The Robbins–Monro iteration converges to the root if, besides the conditions on slope and steps, the "
    "noise has conditional mean 0 and a finite second moment.",
    formula="E[η_k|H_k] = 0, E[η_k²|H_k] < ∞  ⇒  w_k → w*",
    stated=FALSE,
    corrected=(
        "The second moments have to be bounded together: sup_k E[η_k²|H_k] ≤ C(1 + w_k²), or Σ a_k² E[η_k²] < ∞. Then "
        "convergence is almost sure; “in probability”, as the text says, is true and weaker."
    ),
    method="S+Q",
    derivation=(
        "g(w) = w, a_k = 1/k: slope 1, Σ1/k = ∞, Σ1/k² < ∞. Noise independent, mean 0, variance k²: each one finite.",
        "w_{k+1} = (1 − 1/k)w_k − η_k/k, so k w_{k+1} = (k−1)w_k − η_k = −(η_1 + … + η_k).",
        "Var(w_{k+1}) = Σ j²/k² = (k+1)(2k+1)/(6k) → ∞.",
        "With η_k = ±k the law of w_{k+1} spreads out: P(|w_{k+1} − 0| ≤ 1) → 0, so it does not converge in "
        "probability either. With variance 1 in place of k² the same sum gives 1/k → 0.",
    ),
    twins={
        "noise of bounded variance": {"size": lambda j: 1 + 0 * j},
        "closed form without the 6": {"closed": lambda k: (k + 1) * (2 * k + 1) / k},
        "closed form with a sign": {"closed": lambda k: (k - 1) * (2 * k + 1) / (6 * k)},
        "corrected noise grows linearly": {"tame": lambda k: k},
        "corrected noise of variance k squared": {"tame": lambda k: k**2},
    },
)
def rl_12(
    case: Case,
    *,
    size: Any = lambda j: j,
    closed: Any = closed_variance,
    tame: Any = lambda k: sympy.Integer(1),
) -> None:
    """The variance in closed form and step by step; the exact law of w for two-point noise; tame noise."""
    variance = robbins_monro_variance(lambda j: sympy.sympify(size(j)) ** 2)
    limit = sympy.limit(variance, K, sympy.oo)
    case.claimed(
        "S",
        "the variance of w_k tends to 0 for g(w) = w, a_k = 1/k, Var(η_k) = k²",
        limit == 0,
        f"Var(w_(k+1)) = {variance} → {limit}",
    )
    stated = robbins_monro_variance(lambda k: k**2)
    case.support("S", "Var(w_{k+1}) = Σj²/k² in closed form", equal(stated, closed_variance(K)))
    case.corrected("S", "it is (k+1)(2k+1)/(6k)", equal(stated, closed(K)))
    value, exactly = fmpq(0), True
    for k in range(1, 60):
        value = (1 - fmpq(1, k)) ** 2 * value + fmpq(k) ** 2 / k**2
        exactly = exactly and value == closed_variance(fmpq(k))
    case.support("Q", "the recursion (1−1/k)² Var + 1 has these values", exactly, f"k=59: {value}")
    chances = [near_root(k, tuple(size(j) for j in range(1, k + 1))) for k in (9, 36, 144)]
    case.claimed(
        "Q",
        "P(|w_{k+1}| ≤ 1) exceeds 9/10 in the end, with noise ±k",
        chances[-1] > fmpq(9, 10),
        "k=9, 36, 144: " + ", ".join(f"{float(int(c.p) / int(c.q)):.4f}" for c in chances),
    )
    steady = robbins_monro_variance(tame)
    case.corrected(
        "S",
        "with bounded second moments the variance tends to 0",
        sympy.limit(steady, K, sympy.oo) == 0,
        f"Var(w_(k+1)) = {steady}",
    )
    summable = all(sum((fmpq(1, j**2) for j in range(1, k + 1)), fmpq(0)) <= 2 - fmpq(1, k) for k in (1, 2, 5, 20, 80))
    case.corrected("Q", "there Σ a_k² E[η_k²] = Σ 1/k² ≤ 2 − 1/k stays bounded", summable)


def mean_square(k: Any, low: Any, high: Any, error: Any, noise: Any) -> Any:
    """E e_{k+1}² ≤ (1 − 2 a_k c₁ + a_k² c₂²) E e_k² + a_k² σ², with a_k = 1/k."""
    return (1 - 2 * low / k + high**2 / k**2) * error + noise / k**2


def bent(low: Any, high: Any) -> Any:
    """A nonlinear g with root 0 and slopes between `low` and `high`."""
    return lambda w: low * w if w < 1 else low + high * (w - 1)


@claim(
    "RL-13",
    source="004 C6",
    statement="A slope between two positive constants, Σa_k = ∞ and Σa_k² < ∞ are conditions of convergence.",
    formula="0 < c₁ ≤ ∇g(w) ≤ c₂,  Σ a_k = ∞,  Σ a_k² < ∞",
    stated={"sufficient": TRUE, "needed in general": THEOREM},
    corrected=(
        "They suffice for scalar w (with the noise condition of RL-12): E(w_k − w*)² = O(1/k) for a_k = 1/k. Neither "
        "the upper bound of the slope nor Σa_k = ∞ can be dropped. For a vector w positive slopes are not enough: g "
        "has to be a gradient field whose Hessian lies between c₁ and c₂."
    ),
    method="Q",
    derivation=(
        "e_{k+1} = e_k − a_k(g(w_k) + η_k), and c₁e² ≤ e·g ≤ c₂e²: so "
        "E e_{k+1}² ≤ (1 − 2a_k c₁ + a_k² c₂²)E e_k² + a_k²σ².",
        "With a_k = 1/k, c₁ = 1, c₂ = 2 and C = 2σ²: if E e_k² ≤ C/k, then E e_{k+1}² ≤ C/(k+1) for k ≥ 7.",
        "g = w³ has no upper slope. w₁ = 3: 3 − 27 = −24, then −24 + 24³/2 = 6888, and so on, without noise.",
        "g = w with a_k = 2^{−k−1}: Π(1 − 2^{−k−1}) ≥ 0.5776, so more than half of the error stays for ever.",
        "g(w) = (w₁ + 3w₂, 3w₁ + w₂) has four positive slopes and the eigenvalue −2 along (1, −1): it runs away.",
    ),
    twins={
        "sign of the drift in the bound": {
            "bound": lambda k, low, high, e, s: (1 + 2 * low / k + high**2 / k**2) * e + s / k**2
        },
        "second-order term dropped": {"bound": lambda k, low, high, e, s: (1 - 2 * low / k) * e + s / k**2},
        "noise halved": {"bound": lambda k, low, high, e, s: (1 - 2 * low / k + high**2 / k**2) * e + s / 2 / k**2},
        "linear in place of cubic": {"steep": lambda w: w},
        "steps 1/k in place of a geometric series": {"step": lambda k: fmpq(1, k + 1)},
    },
)
def rl_13(
    case: Case,
    *,
    bound: Any = mean_square,
    steep: Any = lambda w: w**3,
    step: Any = lambda k: fmpq(1, 2 ** (k + 1)),
) -> None:
    """All outcomes of two-point noise against the bound; the induction as a polynomial; the three failures."""
    low, high, noise = fmpq(1), fmpq(2), fmpq(9)

    def bounded(g: Any, start: Any, horizon: int) -> Answer:
        law = {fmpq(start): fmpq(1)}
        for k in range(1, horizon + 1):
            error = sum((mass * w**2 for w, mass in law.items()), fmpq(0))
            following: dict[fmpq, fmpq] = {}
            for w, mass in law.items():
                for eta in (fmpq(3), fmpq(-3)):
                    target = w - (g(w) + eta) / k
                    following[target] = following.get(target, fmpq(0)) + mass / 2
            law = following
            seen = sum((mass * w**2 for w, mass in law.items()), fmpq(0))
            if seen > bound(k, low, high, error, noise):
                return Answer(False, f"k={k}: E e²={seen}, bound {bound(k, low, high, error, noise)}")
        return Answer(True, f"{len(law)} outcomes after {horizon} steps")

    fields = [bent(low, high), bent(fmpq(3, 2), low), lambda w: low * w, lambda w: high * w]
    case.claimed(
        "Q",
        "the mean square obeys its recursion, slopes between 1 and 2, noise ±3",
        every(bounded(g, start, 7) for g in fields for start in (-2, 0, 5)),
        part="sufficient",
    )
    # C/(k+1) minus the bound at C/k with C = 2 sigma^2, times k^3 (k+1)/sigma^2, at k = 7 + m: a polynomial in m.
    k, m = sympy.symbols("k m")
    induction = sympy.Poly(
        sympy.expand(sympy.cancel((2 / (k + 1) - mean_polynomial(bound, k)) * k**3 * (k + 1)).subs(k, 7 + m)), m
    )
    case.claimed(
        "Q",
        "so E e_k² ≤ 2σ²/k carries over from k to k+1, for every k ≥ 7",
        all(c >= 0 for c in induction.all_coeffs()),
        f"the difference is ({induction.as_expr()})/(k³(k+1)) at k = 7 + m",
        part="sufficient",
    )

    path = [fmpq(3)]
    for index in range(1, 6):
        path.append(path[-1] - steep(path[-1]) / index)
    case.theorem(
        "Q",
        "slope unbounded above: g = w³, a_k = 1/k, w₁ = 3 runs away",
        all(abs(y) > abs(x) for x, y in itertools.pairwise(path)),
        ", ".join(map(str, path[:4])),
        part="needed in general",
    )
    left = fmpq(1)
    for index in range(1, 41):
        left *= 1 - step(index)
    rest = sum((step(index) for index in range(41, 200)), fmpq(0)) + fmpq(1, 2**199)
    case.theorem(
        "Q",
        "Σ a_k < ∞: with a_k = 2^{−k−1} and g = w the factor 0.5776 of the error stays",
        fmpq(57757, 10**5) < left * (1 - rest) and left < fmpq(57765, 10**5),
        f"the factor lies in [{balls.short(balls.ball(left * (1 - rest)), 14)}, {balls.short(balls.ball(left), 14)}]",
        part="needed in general",
    )
    w = numbers(1, -1)
    sizes = [abs(w[0])]
    for index in range(1, 6):
        g = (w[0] + 3 * w[1], 3 * w[0] + w[1])
        w = (w[0] - g[0] / index, w[1] - g[1] / index)
        sizes.append(abs(w[0]))
    case.theorem(
        "Q",
        "vectors: g = (w₁+3w₂, 3w₁+w₂) has positive slopes and runs away from (1, −1)",
        all(y > x for x, y in itertools.pairwise(sizes)),
        f"|w₁| = {', '.join(map(str, sizes))}",
        part="needed in general",
    )


def mean_polynomial(bound: Any, k: Any) -> Any:
    """The bound at c₁ = 1, c₂ = 2, σ² = 1 and E e_k² = 2/k."""
    return bound(k, 1, 2, 2 / k, sympy.Integer(1))
