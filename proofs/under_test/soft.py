"""Comparisons with `reference`: maximum entropy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flint import fmpq

from proofs import balls
from proofs.evidence import Answer
from proofs.under_test.data import shielded

if TYPE_CHECKING:
    pass


_ACTION_VALUES = (0.0, 1.0, 3.0)
_TEMPERATURE = 0.75


@shielded
def boltzmann_policy() -> Answer:
    """Whether `reference.bellman` has the rounded exact Boltzmann policy and soft value of one state.

    The bounds count roundings: n + 8 units of each probability, and of the value's largest summand.
    """
    import numpy as np

    from reference.bellman import boltzmann, soft_maximum

    q = np.array([_ACTION_VALUES])
    seen = [float(x) for x in boltzmann(q, _TEMPERATURE)[0]]
    value = float(np.ravel(soft_maximum(q, _TEMPERATURE))[0])
    with balls.precision(256):
        raw = [(balls.ball(x) / balls.ball(_TEMPERATURE)).exp() for x in _ACTION_VALUES]
        partition = sum(raw, balls.ball(0))
        unit = balls.ball(fmpq(len(raw) + 8, 2**53))
        errors = [abs(x / partition - balls.ball(p)) / balls.ball(p) for x, p in zip(raw, seen, strict=True)]
        exact = balls.ball(_TEMPERATURE) * partition.log()
        errors.append(abs(exact - balls.ball(value)) / balls.ball(max(abs(value), *_ACTION_VALUES)))
        worst = max(float(error.upper()) for error in errors)
        return Answer(all(bool(error <= unit) for error in errors), f"largest relative error {worst:.1e}")


@shielded
def soft_optimum() -> Answer:
    """Whether `reference.soft.solve_soft` is as close to the exact soft optimal values as its own error bound says.

    The exact ones are enclosed by 160 steps of the soft Bellman operator, a contraction with modulus 1/2, in balls.
    """
    import numpy as np

    from reference.mdp import MDP
    from reference.soft import solve_soft

    transitions = np.array([[[0.25, 0.75], [1.0, 0.0]], [[0.5, 0.5], [0.0, 1.0]]])
    rewards = np.array([[1.0, -0.5], [0.25, 2.0]])
    solved = solve_soft(MDP(transitions, rewards, 0.5, np.array([0.5, 0.5])), _TEMPERATURE)
    with balls.precision(256):
        alpha, values = balls.ball(_TEMPERATURE), [balls.ball(0), balls.ball(0)]
        steps = []
        for _ in range(160):
            rows = [
                [
                    balls.ball(float(rewards[s, a]))
                    + sum(
                        (balls.ball(float(p)) * v for p, v in zip(transitions[s, a], values, strict=True)),
                        balls.ball(0),
                    )
                    / 2
                    for a in range(2)
                ]
                for s in range(2)
            ]
            new = [alpha * sum(((q / alpha).exp() for q in row), balls.ball(0)).log() for row in rows]
            steps.append(max((abs(x - y).upper() for x, y in zip(values, new, strict=True)), key=float))
            values = new
        rest = steps[0] / balls.ball(2) ** 159
        errors = [abs(v - balls.ball(float(t))) + rest for v, t in zip(values, solved.values, strict=True)]
        holds = all(error <= balls.ball(float(solved.error_bound)) for error in errors)
        worst = max(float(error.upper()) for error in errors)
    return Answer(holds, f"largest error {worst:.1e}, its own bound {solved.error_bound:.1e}")


@shielded
def temperature_for_entropy(entropy: Callable[[Any], Any], action_values: tuple[int, ...]) -> Answer:
    """Whether the interval of `reference.entropy_target.temperature_for_entropy_at` holds the exact temperature.

    `entropy` is that of the Boltzmann policy of these values at a temperature; the target is a dyadic 0.75.
    """
    import numpy as np

    from reference.entropy_target import temperature_for_entropy_at

    found = temperature_for_entropy_at(np.array([action_values], dtype=np.float64), 0.75, np.array([1.0]))
    with balls.precision(256):
        target = balls.ball(fmpq(3, 4))
        below, above = (entropy(balls.ball(float(end))) for end in (found.low, found.high))
        width = (found.high - found.low) / found.alpha
    return Answer(bool(below < target < above), f"alpha {found.alpha:.6f}, relative width {width:.1e}")
