r"""Generators of f-divergences, with conjugates and ratios, normalised f(1) = f'(1) = 0 (FD-07).

A generator f is convex on its domain of ratios; it measures a law d against the data law D by
``D_f(d || D) = E_D[f(d/D)]``. What a regularised problem needs of it is four functions (FD-01):

    f(w)                                     the price of the ratio w = d/D
    f'(w)                                    its slope
    f*(y) = sup_w (w y - f(w))               the conjugate, finite for y < supremum
    (f*)'(y)                                 the ratio that attains it; (f')^{-1}(y), held at the ends of the domain

    name         f(w)                                  f'(w)              f*(y)                    (f*)'(y)
    kl           w log w - w + 1                       log w              e^y - 1                  e^y
    js           w log w - (w+1) log((w+1)/2)          log(2w/(w+1))      -log(2 - e^y)            e^y/(2 - e^y)
    fermi-dirac  w log w + (C-w) log((C-w)/(C-1))      log(w(C-1)/(C-w))  C log((C-1+e^y)/C)       C e^y/(C-1+e^y)
    chi2         (w-1)^2/2                             w - 1              y + y^2/2, y >= -1       (1+y)_+
    hellinger    (sqrt(w) - 1)^2                       1 - w^(-1/2)       y/(1-y)                  1/(1-y)^2
    reverse-kl   w - 1 - log w                         1 - 1/w            -log(1-y)                1/(1-y)
    power        (w^(1+1/a) - 1)/(1+1/a) - w + 1       w^(1/a) - 1        ((1+y)_+^(1+a)-1)/(1+a)  (1+y)_+^a

    two-sided-fermi-dirac, with o = (M-1)/(1-m):
                 (w-m) log((w-m)/(1-m))                log(o(w-m)/(M-w))  m y + (M-m) log(         m + (M-m) e^y/(o+e^y)
                   + (M-w) log((M-w)/(M-1))                                 (o+e^y)/(o+1))

    name                   ratios    arguments with these ratios           poles of f*
    kl                     [0, inf)  (-inf, inf)
    js                     [0, inf)  (-inf, log 2)                         log 2
    fermi-dirac            [0, C]    (-inf, inf)
    two-sided-fermi-dirac  [m, M]    (-inf, inf)
    chi2, power            [0, inf)  [-1, inf), the ratio is 0 below
    hellinger, reverse-kl  [0, inf)  (-inf, 1)                             1

`Capped(divergence, cap)` restricts any of them to ratios up to a cap (FD-05), `Mixture` adds any of them with
non-negative coefficients. `js` is *twice* the Jensen-Shannon divergence (JS-01), and its ratio is not a sigmoid
(JS-05); the sigmoid is Fermi-Dirac (JS-10), the affine sigmoid its two-sided version (JS-20).

Every function works on arrays of any shape and keeps its *relative* accuracy (`RELATIVE_ACCURACY`) at the ends of its
domain and at the zeros of f and f* at w = 1 and y = 0, where the printed formulas cancel. Arguments outside the domain
raise `DomainError`; the ends of the domain give the limits, infinite where the limit is.
"""

from reference.composed import Capped, Mixture
from reference.entropic import KL, LOG_2, FermiDirac, JensenShannon, TwoSidedFermiDirac
from reference.generator import RELATIVE_ACCURACY, Divergence, DomainError, Mean, Reals, Values
from reference.powers import Hellinger, PearsonChi2, Power, ReverseKL

__all__ = [
    "KL",
    "LOG_2",
    "RELATIVE_ACCURACY",
    "Capped",
    "Divergence",
    "DomainError",
    "FermiDirac",
    "Hellinger",
    "JensenShannon",
    "Mean",
    "Mixture",
    "PearsonChi2",
    "Power",
    "Reals",
    "ReverseKL",
    "TwoSidedFermiDirac",
    "Values",
    "divergence_from_name",
]

# Every generator that has a name of its own, with the parameters it takes: what is expected of each, and an example.
_NAMED: dict[str, tuple[type[Divergence], dict[str, str]]] = {
    KL.name: (KL, {}),
    JensenShannon.name: (JensenShannon, {}),
    FermiDirac.name: (FermiDirac, {"cap": "a cap > 1 on the ratio, saw none; give one, for example cap=2"}),
    PearsonChi2.name: (PearsonChi2, {}),
    Hellinger.name: (Hellinger, {}),
    ReverseKL.name: (ReverseKL, {}),
    Power.name: (Power, {"alpha": "an exponent alpha > 0, saw none; give one, for example alpha=2"}),
    TwoSidedFermiDirac.name: (
        TwoSidedFermiDirac,
        {
            "low": "a bound low in [0, 1) on the ratio, saw none; give one, for example low=0.5",
            "high": "a bound high > 1 on the ratio, saw none; give one, for example high=2",
        },
    ),
}


def divergence_from_name(
    name: str,
    cap: float | None = None,
    *,
    alpha: float | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Divergence:
    """The generator of that name, as on a command line.

    `cap` is a parameter of fermi-dirac, `alpha` of power, `low` and `high` of two-sided-fermi-dirac. ValueError says
    which names are known and what they take, which parameter is missing, or which one the generator does not take.
    """
    if name not in _NAMED:
        known = [f"{known} ({', '.join(taken)})" if taken else known for known, (_, taken) in _NAMED.items()]
        raise ValueError(f"expected a divergence among {', '.join(known)}, saw {name!r}")
    kind, expected = _NAMED[name]
    given = {"cap": cap, "alpha": alpha, "low": low, "high": high}
    for parameter, number in given.items():
        if parameter in expected and number is None:
            raise ValueError(f"{name}: expected {expected[parameter]}")
        if parameter not in expected and number is not None:
            takers = ", ".join(other for other, (_, parameters) in _NAMED.items() if parameter in parameters)
            raise ValueError(f"divergence {name!r}: expected no {parameter}, saw {number:g}; only {takers} takes one")
    return kind(**{parameter: given[parameter] for parameter in expected})
