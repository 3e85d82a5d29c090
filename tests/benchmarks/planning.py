"""Discounted values, arrays in and certified values out, beside QuantEcon, mdpsolver and Storm.

    python -m pip install quantecon mdpsolver stormpy numba gymnasium
    python tests/benchmarks/planning.py --quick      # small sizes, few repetitions
    python tests/benchmarks/planning.py              # the table of the goals, S = 1e6 included
    python tests/benchmarks/planning.py --memory     # peak memory, one process for each number

Every solver gets the same arrays and is asked for 1e-8; timed is from the arrays to the values, models built anew. All
solvers of a cell run in one process, one after the other in every repetition; the minima are compared, on one thread
each. The error of everyone's values is the certified bound of `reference.certify`, so what the table calls an error is
never below the true one; who is above 1e-8 does not count as the best peer. Who needs more than `SLOW` seconds runs
once. Ratios above 1: this package is faster. Nothing is asserted: read ratios, not milliseconds.

`MDP` shares arrays that are read-only and copies all others: "shared" and "copied" are the two.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import math
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from reference import certify
from reference.library import from_gymnasium
from reference.mdp import MDP
from reference.planning import solve

TOLERANCE = 1e-8
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
SUCCESSORS = 5
GOAL_STATES = 1000  # the goals speak of models from this size on
SLOW = 10.0


class Ours(NamedTuple):
    """This package: which kernels, and whether its arrays may be shared."""

    kernels: str
    shared: bool


OURS = {
    "NumPy": Ours("numpy", True),
    "compiled": Ours("numba", True),
    "NumPy, copied": Ours("numpy", False),
    "compiled, copied": Ours("numba", False),
}


class Arrays(NamedTuple):
    """A model as anybody would hold it."""

    transitions: np.ndarray | sparse.csr_array
    rewards: np.ndarray

    @property
    def is_sparse(self) -> bool:
        return sparse.issparse(self.transitions)

    def freeze(self, frozen: bool) -> None:
        """Let nobody write to the arrays, or let everybody."""
        matrix = self.transitions
        for part in [matrix] if isinstance(matrix, np.ndarray) else [matrix.data, matrix.indices, matrix.indptr]:
            for array in [part] if part.base is None else [part.base, part]:  # SciPy's are views
                array.setflags(write=not frozen)
        self.rewards.setflags(write=not frozen)


class Peer(NamedTuple):
    """A public solver: its module, and up to how many stored transitions it is asked."""

    module: str
    run: Callable[[Arrays, float], np.ndarray]
    most: float = math.inf


# -- instances ---------------------------------------------------------------------------------------------------------


def dense(n_states: int, n_actions: int = 10) -> Arrays:
    """Rows of exponential weights."""
    rng = np.random.default_rng(0)
    rows = rng.exponential(size=(n_states, n_actions, n_states))
    rows /= rows.sum(axis=2, keepdims=True)
    return Arrays(rows, rng.random((n_states, n_actions)))


def random_sparse(n_states: int, n_actions: int = 4, reach: int | None = None) -> Arrays:
    """Five successors for each pair: anywhere, or with `reach` no further away than that (which mixes slowly)."""
    rng = np.random.default_rng(0)
    pairs = n_states * n_actions
    columns = rng.integers(0, n_states, (pairs, SUCCESSORS), dtype=np.int32)
    rewards = rng.random((n_states, n_actions))
    if reach is not None:
        here = np.repeat(np.arange(n_states, dtype=np.int32), n_actions)[:, None]
        columns = np.clip(here + rng.integers(-reach, reach + 1, (pairs, SUCCESSORS), dtype=np.int32), 0, n_states - 1)
        rewards *= -0.01
        rewards[-1] = 1.0
    rows = rng.exponential(size=(pairs, SUCCESSORS))
    rows /= rows.sum(axis=1, keepdims=True)
    indptr = np.arange(0, pairs * SUCCESSORS + 1, SUCCESSORS, dtype=np.int32)
    matrix = sparse.csr_array((rows.ravel(), columns.ravel(), indptr), shape=(pairs, n_states))
    matrix.sum_duplicates()
    return Arrays(owning(matrix), rewards)


def owning(matrix: sparse.csr_array) -> sparse.csr_array:
    """The same matrix in arrays of its own: SciPy's are often views, and a view may be written to through its base."""
    parts = (np.array(matrix.data), np.array(matrix.indices), np.array(matrix.indptr))
    return sparse.csr_array(parts, shape=matrix.shape)


def toy(name: str) -> Arrays:
    """A Gymnasium text environment as CSR arrays; what is not available does what the first available action does."""
    mdp = from_gymnasium(name, 0.99).to_sparse()
    action = np.where(mdp.available, np.arange(mdp.n_actions), mdp.available.argmax(axis=1)[:, None])
    rows = (np.arange(mdp.n_states)[:, None] * mdp.n_actions + action).ravel()
    return Arrays(owning(mdp.transitions[rows]), np.array(mdp.rewards.ravel()[rows].reshape(mdp.rewards.shape)))


INSTANCES: dict[str, tuple[Callable[[], Arrays], int]] = {
    "FrozenLake 8x8": (lambda: toy("FrozenLake8x8-v1"), 64),
    "Taxi": (lambda: toy("Taxi-v4"), 500),
    "dense 100 x 10": (lambda: dense(100), 100),
    "dense 500 x 10": (lambda: dense(500), 500),
    "dense 1000 x 10": (lambda: dense(1000), 1000),
    "dense 2000 x 10": (lambda: dense(2000), 2000),
    "sparse 1e4 x 4": (lambda: random_sparse(10**4), 10**4),
    "local 1e4 x 4": (lambda: random_sparse(10**4, reach=50), 10**4),
    "sparse 1e5 x 4": (lambda: random_sparse(10**5), 10**5),
    "local 1e5 x 4": (lambda: random_sparse(10**5, reach=500), 10**5),
    "sparse 1e6 x 4": (lambda: random_sparse(10**6), 10**6),
}
QUICK_STATES = 10**4  # the largest of a quick run
QUICK = (0.99,)
FULL = (0.9, 0.99, 0.999)


# -- solvers: arrays in, values out ------------------------------------------------------------------------------------


def ours(arrays: Arrays, discount: float) -> np.ndarray:
    return solve(MDP(arrays.transitions, arrays.rewards, discount), tolerance=TOLERANCE).values


def quantecon(method: str) -> Callable[[Arrays, float], np.ndarray]:
    def run(arrays: Arrays, discount: float) -> np.ndarray:
        markov = importlib.import_module("quantecon.markov")
        if arrays.is_sparse:
            n_states, n_actions = arrays.rewards.shape
            states = np.repeat(np.arange(n_states), n_actions)
            actions = np.tile(np.arange(n_actions), n_states)
            model = markov.DiscreteDP(arrays.rewards.ravel(), arrays.transitions, discount, states, actions)
        else:
            model = markov.DiscreteDP(arrays.rewards, arrays.transitions, discount)
        # Exact ties make its policy iteration go round for ever: its own default limit ends that, the values are good.
        limit = 250 if method == "policy_iteration" else 10**6
        return model.solve(method=method, epsilon=TOLERANCE, max_iter=limit).v

    return run


def mdpsolver(arrays: Arrays, discount: float) -> np.ndarray:
    n_states, n_actions = arrays.rewards.shape
    model = importlib.import_module("mdpsolver").model()
    if arrays.is_sparse:
        matrix = arrays.transitions
        bounds, columns, entries = matrix.indptr.tolist(), matrix.indices.tolist(), matrix.data.tolist()
        rows = [[slice(*bounds[row : row + 2]) for row in range(s * n_actions, (s + 1) * n_actions)]
                for s in range(n_states)]  # fmt: skip
        lists: dict[str, Any] = {
            "tranMatProbs": [[entries[part] for part in state] for state in rows],
            "tranMatColumns": [[columns[part] for part in state] for state in rows],
        }
    else:
        lists = {"tranMatWithZeros": arrays.transitions.tolist()}
    model.mdp(discount=discount, rewards=arrays.rewards.tolist(), **lists)
    model.solve(algorithm="mpi", tolerance=TOLERANCE, parallel=False)
    return np.array(model.getValueVector())


def storm(arrays: Arrays, discount: float) -> np.ndarray:
    stormpy = importlib.import_module("stormpy")
    structures, models = (importlib.import_module(f"stormpy.{name}") for name in ("datastructures", "models"))
    n_states, n_actions = arrays.rewards.shape
    matrix = arrays.transitions
    if not arrays.is_sparse:
        matrix = sparse.csr_array(matrix.reshape(-1, n_states))
    builder = structures.SparseMatrixBuilder(
        rows=0, columns=0, entries=0, force_dimensions=False, has_custom_row_grouping=True, row_groups=0
    )
    bounds, columns, entries = matrix.indptr.tolist(), matrix.indices.tolist(), matrix.data.tolist()
    for row in range(n_states * n_actions):
        if row % n_actions == 0:
            builder.new_row_group(row)
        for k in range(bounds[row], bounds[row + 1]):
            builder.add_next_value(row, columns[k], entries[k])
    labels = models.StateLabeling(n_states)
    labels.add_label("init")
    labels.add_label_to_state("init", 0)
    rewards = models.SparseRewardModel(optional_state_action_reward_vector=arrays.rewards.ravel().tolist())
    model = models.SparseMdp(models.SparseModelComponents(
        transition_matrix=builder.build(), state_labeling=labels, reward_models={"r": rewards}
    ))  # fmt: skip
    environment = stormpy.Environment()
    settings = environment.solver().min_max()
    settings.precision = stormpy.Rational(TOLERANCE)
    settings.relative_termination_criterion = False
    goal = stormpy.parse_properties(f'R{{"r"}}max=? [ Cdiscount={discount} ]')[0]
    return np.array(stormpy.model_checking(model, goal, environment=environment).get_value_vector())


PEERS = {
    "QuantEcon MPI": Peer("quantecon", quantecon("modified_policy_iteration")),
    "QuantEcon VI": Peer("quantecon", quantecon("value_iteration"), 3e5),
    "QuantEcon PI": Peer("quantecon", quantecon("policy_iteration"), 6e3),
    "mdpsolver MPI": Peer("mdpsolver", mdpsolver, 1.1e7),
    "Storm": Peer("stormpy", storm, 2.1e7),
}
SHOWN = ("QuantEcon MPI", "mdpsolver MPI", "Storm")


# -- measuring ---------------------------------------------------------------------------------------------------------


def run_ours(version: Ours, arrays: Arrays, discount: float) -> np.ndarray:
    os.environ["ROER_KERNELS"] = version.kernels
    return ours(arrays, discount)


def conditions() -> str:
    """What the numbers were measured with."""
    names = ("numpy", "scipy", "numba", "quantecon", "mdpsolver", "stormpy")
    versions = []
    for name in names:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            versions.append(f"no {name}")
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{platform.platform()}, {os.cpu_count()} cores{load}; Python {platform.python_version()}, " + ", ".join(
        versions
    )


def timed(call: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    values = call()
    return 1e3 * (time.perf_counter() - start), values


def cell(arrays: Arrays, discount: float, repetitions: int) -> dict[str, tuple[float, float]]:
    """Milliseconds and certified error of every solver on one instance."""
    entries = arrays.rewards.size * (SUCCESSORS if arrays.is_sparse else arrays.rewards.shape[0])
    calls: dict[str, Callable[[], np.ndarray]] = {
        name: (lambda version=version: run_ours(version, arrays, discount)) for name, version in OURS.items()
        if version.kernels == "numpy" or importlib.util.find_spec("numba")
    }  # fmt: skip
    for name, peer in PEERS.items():
        if entries <= peer.most and importlib.util.find_spec(peer.module):
            calls[name] = lambda peer=peer: peer.run(arrays, discount)
    mdp = MDP(arrays.transitions, arrays.rewards, discount)
    best, errors = {}, {}
    for name, call in calls.items():  # compiles and imports as well, so its time counts only where it is long
        arrays.freeze(name not in OURS or OURS[name].shared)
        best[name], values = timed(call)
        errors[name] = certify.optimality_bounds(mdp, values).error
    repeated = [name for name in calls if best[name] <= 1e3 * SLOW]
    best.update(dict.fromkeys(repeated, math.inf))
    for _ in range(repetitions):
        for name in repeated:
            arrays.freeze(name not in OURS or OURS[name].shared)
            best[name] = min(best[name], timed(calls[name])[0])
    return {name: (best[name], errors[name]) for name in calls}


def table(discounts: tuple[float, ...], most_states: int, repetitions: int, only: str) -> None:
    """Print one line for each instance and discount, and geometric means over the models the goals speak of."""
    print(f"{conditions()}\n")
    heads = ["instance", "gamma", "best peer", "its ms", *OURS, "largest error", *(f"NumPy / {name}" for name in SHOWN)]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    ratios: dict[str, list[float]] = {name: [] for name in OURS}
    for name, (make, n_states) in INSTANCES.items():
        if only not in name or n_states > most_states:
            continue
        arrays = make()
        arrays.freeze(True)
        for discount in discounts:
            seen = cell(arrays, discount, max(3, repetitions * min(4, 10**4 // n_states + 1)))
            right = {peer: ms for peer, (ms, error) in seen.items() if peer in PEERS and error <= TOLERANCE}
            best = min(right, key=lambda peer: right[peer], default="none")
            line = [name, str(discount), best, f"{right.get(best, math.nan):.2f}"]
            for version in OURS:
                ratio = right[best] / seen[version][0] if version in seen and right else math.nan
                line.append(f"{ratio:.2f}x")
                if n_states >= GOAL_STATES:
                    ratios[version].append(ratio)
            line.append(f"{max(seen[version][1] for version in OURS if version in seen):.1e}")
            line += [f"{seen[peer][0] / seen['NumPy'][0]:.2f}x" if peer in seen else "-" for peer in SHOWN]
            print(f"| {' | '.join(line)} |", flush=True)
    for version, found in ratios.items():
        known = [ratio for ratio in found if ratio == ratio]
        if known:
            mean = math.exp(sum(map(math.log, known)) / len(known))
            print(f"\n{version}: geometric mean {mean:.2f}x, least {min(known):.2f}x over {len(known)} cells "
                  f"of at least {GOAL_STATES} states")  # fmt: skip


def memory(only: str) -> None:
    """Peak resident memory of one solve, each in a process of its own that makes the same arrays."""
    print(f"{conditions()}\n")
    heads = ["instance", "arrays alone", *OURS, "QuantEcon MPI"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name, (_, n_states) in INSTANCES.items():
        if only in name and n_states >= GOAL_STATES:
            peaks = []
            for who in ("arrays", *OURS, "QuantEcon MPI"):
                command = [sys.executable, __file__, "--peak", who, "--only", name]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                peaks.append(f"{done.stdout.strip()} MB" if done.returncode == 0 else "-")
            print(f"| {name} | {' | '.join(peaks)} |", flush=True)


def peak(who: str, name: str) -> None:
    """Run one solver once and print the peak resident memory of this process, in MB."""
    arrays = INSTANCES[name][0]()
    arrays.freeze(who not in OURS or OURS[who].shared)
    if who in OURS:
        run_ours(OURS[who], arrays, 0.99)
    elif who in PEERS:
        PEERS[who].run(arrays, 0.99)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes and gamma 0.99 only")
    parser.add_argument("--memory", action="store_true", help="peak memory in place of times")
    parser.add_argument("--only", default="", help="instances whose name contains this")
    parser.add_argument("--discounts", type=float, nargs="+", default=FULL, help="default: %(default)s")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if missing := [name for name in THREADS if name not in os.environ]:  # libraries read them when they are loaded
        os.environ.update(dict.fromkeys(missing, "1"))
        os.execv(sys.executable, [sys.executable, *sys.argv])
    if given.peak:
        peak(given.peak, given.only)
    elif given.memory:
        memory(given.only)
    elif given.quick:
        table(QUICK, QUICK_STATES, 3, given.only)
    else:
        table(tuple(given.discounts), 10**9, given.repetitions, given.only)


if __name__ == "__main__":
    main()
