"""Faults that real code has suffered, as named edits of `deep`'s sources, and what must notice each.

Ids are those of the fault catalogue (BT bootstrap, SE entropy, TN targets, RB replay, RO weights and values, RN
randomness) or of the claim that the fault contradicts. `names` is what the failing row must call the quantity: a
fault that is noticed somewhere else is not understood.
"""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """Replace `old` by `new`, once, in `file`; then `tests` must fail on a row whose line contains `names`.

    `tests` is below tests/contract, or begins with `tests/` where another folder sees the fault.
    """

    id: str
    what: str
    file: str
    old: str
    new: str
    tests: str
    names: str
    headline: bool = False


WINDOWS, SAMPLING, BASELINES = "test_windows.py", "test_sampling.py", "test_baselines.py"
TARGETS, VALUE, WEIGHTS, UPDATE = "test_targets.py", "test_value.py", "test_weights.py", "test_update.py"
DISTRIBUTION, TEMPERATURE, REPLAY = "test_distribution.py", "test_temperature.py", "test_replay.py"
STREAMS, GENERATORS = "test_random_streams.py", "test_divergences.py"

FAULTS = (
    # -- the seven that must never pass: also in float32 -------------------------------------------------------------
    Fault(
        "SE01",
        "entropy sign in the target",
        "losses.py",
        "jnp.min(q, axis=0) - alpha * log_prob",
        "jnp.min(q, axis=0) + alpha * log_prob",
        f"{TARGETS}::test_soft_value",
        "entropy bonus",
        True,
    ),
    Fault(
        "BT02",
        "terminal mask missing",
        "losses.py",
        "reward + discount * (1.0 - terminated) * next_value",
        "reward + discount * next_value",
        f"{TARGETS}::test_critic_target",
        "critic target at terminal rows",
        True,
    ),
    Fault(
        "RO33",
        "beta multiplied instead of divided",
        "losses.py",
        "z = (q - value) / beta",
        "z = (q - value) * beta",
        f"{VALUE}::test_gradient",
        "gradient of the value loss",
        True,
    ),
    Fault(
        "SAC-14",
        "tanh correction dropped",
        "distributions.py",
        "jnp.sum(normal - log_tanh_slope(pre_tanh), axis=-1)",
        "jnp.sum(normal, axis=-1)",
        f"{DISTRIBUTION}::test_density_integrates_to_one",
        "tanh-Normal density integrates to one",
        True,
    ),
    Fault(
        "BT15",
        "mean instead of minimum of the twins",
        "losses.py",
        "jnp.min(q, axis=0) - alpha",
        "jnp.mean(q, axis=0) - alpha",
        f"{TARGETS}::test_soft_value",
        "minimum of the twins",
        True,
    ),
    Fault(
        "SAC-23",
        "tau and 1 - tau exchanged",
        "agent.py",
        "tau * new + (1.0 - tau) * old",
        "(1.0 - tau) * new + tau * old",
        f"{TARGETS}::test_polyak",
        "Polyak average",
        True,
    ),
    Fault(
        "JS-06",
        "multiplier dropped in the weights",
        "weights.py",
        "return ratio, top + multiplier",
        "return divergence.ratio(centred + top), top + multiplier",
        f"{WEIGHTS}::test_relaxed_weights[js]",
        "relaxed weights (js)",
        True,
    ),
)
