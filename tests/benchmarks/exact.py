"""Exact rational optima beside Storm's exact mode: times, and whether the rationals are identical.

    python -m pip install stormpy python-flint
    python tests/benchmarks/exact.py

The same process in the same rational numbers on both sides, built beforehand; timed is from the model in memory to the
optimal values of all states. Storm has no discounted rewards in exact mode, so discounting is a step to a sink with
probability `1 - gamma`; `stormpy.environments.exact()` is its environment for exact results. Minimum of interleaved
repetitions, more of them where both take milliseconds. The last rows, which Storm would take minutes to hours for, are
solved by this package alone.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from reference.exact import ExactSolution, solve_exactly
from reference.library import garnet
from reference.mdp import MDP
from reference.rational import RationalMDP, pair_row

ACTIONS = 4
DISCOUNT = Fraction(19, 20)


class Instance(NamedTuple):
    """A process and whether Storm is asked as well."""

    name: str
    process: MDP | RationalMDP
    compared: bool


def small_rationals(n_states: int, successors: int, seed: int = 0) -> RationalMDP:
    """Rows of weights 1 to 9 over their sum, rewards of tenths."""
    rng = np.random.default_rng(seed)
    transitions = []
    for _ in range(n_states):
        rows = []
        for _ in range(ACTIONS):
            columns = np.sort(rng.choice(n_states, successors, replace=False)).tolist()
            weights = rng.integers(1, 10, successors).tolist()
            rows.append({t: Fraction(w, sum(weights)) for t, w in zip(columns, weights, strict=True)})
        transitions.append(rows)
    rewards = [[Fraction(int(r), 10) for r in line] for line in rng.integers(0, 100, (n_states, ACTIONS))]
    return RationalMDP(transitions, rewards, DISCOUNT)


def floats(n_states: int, successors: int, seed: int = 0) -> MDP:
    """A Garnet process with rewards >= 0: its floats, exactly. Storm needs rows that sum to one, so these do."""
    mdp = garnet(n_states, ACTIONS, successors, seed, float(DISCOUNT))
    rows = np.round(np.asarray(mdp.transitions) * 2.0**30) / 2.0**30  # dyadic, with room for a sum without rounding
    largest = rows.argmax(axis=2)[..., None]
    np.put_along_axis(rows, largest, np.take_along_axis(rows, largest, 2) + (1.0 - rows.sum(2, keepdims=True)), 2)
    return MDP(rows, np.abs(mdp.rewards), mdp.discount)


def instances(largest: int) -> list[Instance]:
    """Small rationals and floats, dense and with five successors; with Storm up to `largest` states."""
    made = [
        *((f"rationals, S = {n}, dense", small_rationals(n, n)) for n in (20, 50, 100)),
        *((f"rationals, S = {n}, 5 successors", small_rationals(n, 5)) for n in (50, 100)),
        *((f"floats, S = {n}, dense", floats(n, n)) for n in (20, 50)),
        ("rationals, S = 400, dense", small_rationals(400, 400)),
        ("rationals, S = 1000, 5 successors", small_rationals(1000, 5)),
        ("floats, S = 400, 5 successors", floats(400, 5)),
        ("floats, S = 400, dense", floats(400, 400)),
    ]
    return [Instance(name, process, process.n_states <= largest) for name, process in made]


def storm(process: MDP | RationalMDP) -> Callable[[], list[Fraction]]:
    """A function that solves `process` with Storm's exact mode; the model is built here."""
    stormpy: Any = importlib.import_module("stormpy")
    rational, n_states, n_actions = stormpy.Rational, process.n_states, process.n_actions
    discount = Fraction(process.discount)
    matrices, models = stormpy.datastructures, stormpy.models
    builder = matrices.SparseMatrixBuilder[rational](0, 0, 0, False, True, 0)
    pays = []
    for state in range(n_states):
        builder.new_row_group(state * n_actions)
        for action in range(n_actions):
            pair = state * n_actions + action
            row = pair_row(process, pair)
            for target, numerator in zip(row.columns, row.numerators, strict=True):
                builder.add_next_value(pair, target, rational(discount * Fraction(numerator, row.denominator)))
            stays = 1 - discount * Fraction(sum(row.numerators), row.denominator)
            builder.add_next_value(pair, n_states, rational(stays))
            pays.append(rational(Fraction(process.rewards[state, action])))
    builder.new_row_group(n_states * n_actions)
    builder.add_next_value(n_states * n_actions, n_states, rational(Fraction(1)))
    labels = models.StateLabeling(n_states + 1)
    for label, marked in (("init", 0), ("sink", n_states)):
        labels.add_label(label)
        labels.add_label_to_state(label, marked)
    rewards = models.SparseRewardModel[rational](
        optional_state_action_reward_vector=[*pays, rational(Fraction(0))]
    )  # fmt: skip
    components = models.SparseModelComponents[rational](
        transition_matrix=builder.build(), state_labeling=labels, reward_models={"reward": rewards}
    )
    model = models.SparseMdp[rational](components)
    formula = stormpy.parse_properties('R{"reward"}max=? [F "sink"]')[0]
    environment = stormpy.environments.exact()

    def run() -> list[Fraction]:
        result = stormpy.model_checking(model, formula, environment=environment)
        return [Fraction(str(result.get_value(state))) for state in range(n_states)]

    return run


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and the result."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def main() -> None:
    """Print the table, one row as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=100, help="states up to which Storm runs (default %(default)s)")
    parser.add_argument("--repetitions", type=int, default=3, help="at least (default %(default)s)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=5.0,
        help="repeat, until both together have taken this long (default %(default)s)",
    )
    arguments = parser.parse_args()
    print(f"{'process':<36} {'this, s':>9} {'Storm, s':>9} {'ratio':>7}  identical  solves  bits", flush=True)
    ratios = []
    for name, process, compared in instances(arguments.largest):
        other = storm(process) if compared else None
        ours, theirs, found, expected = [], [], None, None
        while len(ours) < arguments.repetitions or (theirs and sum(ours) + sum(theirs) < arguments.seconds):
            seconds, found = timed(lambda process=process: solve_exactly(process))
            ours.append(seconds)
            if other is not None:
                seconds, expected = timed(other)
                theirs.append(seconds)
        assert isinstance(found, ExactSolution)
        right = f"{found.solves:>6}  {found.denominator.bit_length()}"
        if expected is None:
            print(f"{name:<36} {min(ours):>9.3f} {'':>9} {'':>7}  {'':<9}  {right}", flush=True)
            continue
        ratios.append(min(theirs) / min(ours))
        same = "yes" if list(found.values) == expected else "NO"
        print(f"{name:<36} {min(ours):>9.3f} {min(theirs):>9.3f} {ratios[-1]:>7.1f}  {same:<9}  {right}", flush=True)
    if ratios:
        print(f"geometric mean of the ratios {np.exp(np.log(ratios).mean()):.1f}, least {min(ratios):.1f}")


if __name__ == "__main__":
    main()
