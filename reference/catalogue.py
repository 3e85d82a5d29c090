"""What commands and menus offer by name, read off the library: generators with their parameters, planning solvers.

Nothing is listed here: a generator that `divergence_from_name` learns, or a solver that `planning` or `soft` gains, is
offered by the command line and by the studio without another line of code.
"""

import dataclasses
import inspect
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from reference import divergence, planning, soft
from reference.divergence import Divergence, divergence_from_name

__all__ = [
    "PARAMETERS",
    "divergence_menu",
    "divergence_names",
    "named_divergence",
    "named_solver",
    "solver_names",
    "takers",
]

PARAMETERS: tuple[str, ...] = tuple(inspect.signature(divergence_from_name).parameters)[1:]
"""Names of all parameters that some generator takes."""

# Where a menu needs values of a parameter: a small one and a large one where both are usual.
_USUAL: Mapping[str, Sequence[float]] = {"cap": (2.0, 4.0), "alpha": (0.5, 2.0), "low": (0.5,), "high": (2.0,)}


def _generators() -> dict[str, tuple[str, ...]]:
    """The generators that have a name of their own, and the parameters of each."""
    found = {}
    for kind in vars(divergence).values():
        if inspect.isclass(kind) and issubclass(kind, Divergence) and not inspect.isabstract(kind):
            parameters = tuple(field.name for field in dataclasses.fields(kind))
            if set(parameters) <= set(PARAMETERS):  # others are made of generators: caps of them, mixtures
                found[kind.name] = parameters
    return found


def divergence_names() -> tuple[str, ...]:
    """What `divergence_from_name` accepts: KL, the others without parameters, those with."""
    known = _generators()
    return tuple(sorted(known, key=lambda name: (len(known[name]), name != divergence.KL.name, name)))


def takers(parameter: str) -> tuple[str, ...]:
    """The generators that take `parameter`."""
    return tuple(name for name in divergence_names() if parameter in _generators()[name])


def named_divergence(name: str, parameters: Mapping[str, float | None], *, strict: bool = True) -> Divergence:
    """The generator `name` with what it takes from `parameters`.

    ValueError as `divergence_from_name`; without `strict`, parameters that belong to other generators are left out.
    """
    own = _generators().get(name, ())
    return divergence_from_name(name, **{key: parameters.get(key) for key in PARAMETERS if strict or key in own})


def divergence_menu() -> dict[str, Divergence]:
    """Every generator under a label, those with parameters at usual values of them: `fermi-dirac, cap 2`."""
    menu = {}
    for name in divergence_names():
        own = _generators()[name]
        for values in itertools.product(*(_USUAL[parameter] for parameter in own)):
            label = ", ".join([name, *(f"{key} {value:g}" for key, value in zip(own, values, strict=True))])
            menu[label] = named_divergence(name, dict(zip(own, values, strict=True)))
    return menu


def _solvers() -> dict[str, type]:
    """The planning solvers by their names in words: `value-iteration` for `ValueIteration`."""
    return {
        re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower(): kind
        for kind in vars(planning).values()
        if inspect.isclass(kind) and dataclasses.is_dataclass(kind) and hasattr(kind, "solve")
    }


def solver_names() -> tuple[str, ...]:
    """The planning solvers."""
    return tuple(_solvers())


def named_solver(name: str, tolerance: float, temperature: float | None = None) -> Any:
    """The solver of that name; with a `temperature`, the one for maximum entropy. ValueError if there is none."""
    kind = _solvers()[name]
    if temperature is None:
        return kind(tolerance=tolerance)
    gentle = getattr(soft, f"Soft{kind.__name__}", None)
    if gentle is None:
        known = [other for other, each in _solvers().items() if hasattr(soft, f"Soft{each.__name__}")]
        raise ValueError(f"no {name} for the maximum-entropy problem: expected one of {', '.join(known)}")
    return gentle(temperature, tolerance)
