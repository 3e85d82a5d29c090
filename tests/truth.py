"""Every certificate against the truth: is an error ever above its bound, and how far above the error is the bound?

    python tests/truth.py                     # 10,000 random and all named processes: a quarter of an hour of one core
    python tests/truth.py --draws 500 --first 20000

Draws are reproducible: number `n` is the process of seed `n`. The truth is exact rational arithmetic (`exact.Exact`,
independent of every solver) or, where there are exponentials, ball arithmetic (`reference.balls`, itself compared with
50-digit decimals in `tests/reference/test_balls.py`). The exit status is 1 if a bound is violated, or if the median
bound of a quantity is more than `tolerances_exact.MEDIAN_RATIO` times its true error.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import tolerances_exact
from exact import Exact, fractions

from reference import library
from reference.balls import enclose_policy_values, enclose_soft_values, enclose_weights
from reference.certificate import certify
from reference.conditional import conditional_value
from reference.divergence import (
    KL,
    Capped,
    FermiDirac,
    Hellinger,
    JensenShannon,
    PearsonChi2,
    Power,
    ReverseKL,
    TwoSidedFermiDirac,
)
from reference.evaluation import evaluate_policy
from reference.exact import solve_exactly
from reference.flow_balls import enclose_flow
from reference.mdp import MDP
from reference.occupancy import occupancy_bound, occupancy_measure
from reference.planning import LinearProgram, ModifiedPolicyIteration, PolicyIteration, ValueIteration
from reference.regularized import regularized_occupancy
from reference.rounding import UNIT_ROUNDOFF
from reference.soft import SoftPolicyIteration, SoftValueIteration
from reference.weights import optimal_weights

DISCOUNTS = (0.0, 0.5, 0.9, 0.99, 0.999, 0.99999)
GENERATORS = (
    KL(),
    JensenShannon(),
    FermiDirac(2.0),
    FermiDirac(1.01),
    FermiDirac(50.0),
    TwoSidedFermiDirac(0.5, 2.0),
    PearsonChi2(),
    Hellinger(),
    ReverseKL(),
    Power(0.5),
    Power(2.0),
    Capped(KL(), 4.0),
    Capped(PearsonChi2(), 1.5),
)
SWEEPS = 300  # of an interrupted value iteration, whose bound must hold as well
POOLED = ("weights,", "multiplier,", "relaxed", "flow")
BACKUPS = 10  # of each policy in modified policy iteration
SHORT = 0.99  # up to here it may back up a policy as often as it likes: what nothing mixes takes 1 / (1 - gamma)
TOY_TEXT = ("FrozenLake-v1", "FrozenLake8x8-v1", "CliffWalking-v1", "Taxi-v4")


@dataclass(frozen=True)
class Measured:
    """One certificate: the true error lies in `[error, error_at_most]`, and must not exceed `bound`.

    `size` is the largest exact value: an error is said to be below rounding if it is below that of one rounding.
    """

    quantity: str
    error: Fraction
    error_at_most: Fraction
    bound: float
    size: float

    @property
    def violated(self) -> bool:
        """Whether the error is certainly above the bound; a bound that is no number is violated."""
        return not (np.isfinite(self.bound) and self.error <= Fraction(self.bound))

    @property
    def ratio(self) -> float:
        """Bound over true error; 1 if both are 0, and infinite for an error of 0 below a positive bound."""
        if self.error_at_most == 0:
            return 1.0 if self.bound == 0.0 else np.inf
        return float(Fraction(self.bound) / self.error_at_most)

    @property
    def ratio_to_rounding(self) -> float:
        """The same, with an error of at least one rounding of the largest value: what float64 can hold at all."""
        floor = max(self.error_at_most, Fraction(UNIT_ROUNDOFF) * Fraction(self.size))
        return float(Fraction(self.bound) / floor) if floor else self.ratio


def draw(seed: int) -> MDP:
    """A small process of any kind: ties, negative and badly scaled rewards, near-deterministic rows, dense or CSR."""
    rng = np.random.default_rng(seed)
    n_states, n_actions = int(rng.choice([1, 2, 3, 3, 4, 4, 5, 6, 8])), int(rng.integers(1, 5))
    shape = (n_states, n_actions)
    rows = rng.choice([0.0, 0.0, 1.0, 1.0, 2.0, 3.0, 7.0, 1e6, 1e12], (*shape, n_states))
    if rng.random() < 0.4:
        rows = rng.exponential(size=rows.shape)
    if rng.random() < 0.15:
        rows = np.eye(n_states)[rng.integers(n_states, size=shape)]
    rows[rows.sum(axis=2) == 0.0, 0] = 1.0
    rows /= rows.sum(axis=2, keepdims=True)
    rewards = rng.integers(-3, 4, shape).astype(np.float64)
    if rng.random() < 0.4:
        rewards = rng.standard_normal(shape)
    if rng.random() < 0.2:
        rewards = -np.abs(rewards)
    scale = rng.choice([1.0, 1.0, 1.0 / 3.0, 1e-8, 1e8, 10.0 ** rng.uniform(-8.0, 8.0)])
    rewards *= 10.0 ** rng.uniform(-8.0, 8.0, shape) if rng.random() < 0.1 else scale
    if n_actions > 1 and rng.random() < 0.3:
        rows[:, 1], rewards[:, 1] = rows[:, 0], rewards[:, 0]
    available = rng.random(shape) < (0.6 if rng.random() < 0.3 else 1.0)
    available[~available.any(axis=1), 0] = True
    if n_states > 1 and rng.random() < 0.3:
        rows[-1], rewards[-1], available[-1] = np.eye(n_states)[-1], 0.0, np.arange(n_actions) == 0
    initial = rng.dirichlet(np.ones(n_states)) if rng.random() < 0.5 else None
    if initial is not None:
        initial = initial / initial.sum()
    mdp = MDP(rows, rewards, float(rng.choice(DISCOUNTS)), initial, available)
    return mdp.to_sparse() if rng.random() < 0.5 else mdp


def cases() -> dict[str, MDP]:
    """Every process with a name: textbook cases, regular families, and Gymnasium's toy text."""
    named = {name: case.mdp for name, case in library.named().items()}
    named |= {"chain": library.chain(12, 0.99), "cliff": library.cliff(), "grid": library.gridworld(5, 6, slip=0.2)}
    return named | {id: library.from_gymnasium(id, 0.99) for id in TOY_TEXT}


def measure(mdp: MDP, seed: int) -> Iterator[Measured]:
    """Every certificate of `mdp`, with a policy, a temperature and data of seed `seed`."""
    rng = np.random.default_rng([seed, 1])
    policy = rng.dirichlet(np.full(mdp.n_actions, 0.5), mdp.n_states) * mdp.available
    policy[policy.sum(axis=1) == 0.0] = mdp.available[policy.sum(axis=1) == 0.0]
    policy /= policy.sum(axis=1, keepdims=True)
    yield from planning(mdp)
    yield from evaluation(mdp, policy)
    alpha = float(10.0 ** rng.uniform(-2.0, 2.0)) * (mdp.largest_reward or 1.0)
    yield from soft(mdp, policy, alpha)
    yield from weights(mdp, policy, float(10.0 ** rng.uniform(-3.0, 3.0)), seed)
    yield from flow(mdp, policy, float(10.0 ** rng.uniform(-3.0, 3.0)), seed)


def planning(mdp: MDP) -> Iterator[Measured]:
    """Optimal values by every solver, finished or interrupted, and what `certify` makes of them."""
    if mdp.n_states <= tolerances_exact.ELIMINATION_STATES:
        values = Exact.of(mdp).optimal_values()
    else:
        values = list(solve_exactly(mdp, limit=mdp.n_states).values)
    scale = mdp.largest_reward or 1.0
    solvers = {
        "policy iteration": PolicyIteration(1e-8 * scale),
        "value iteration": ValueIteration(1e-8 * scale, SWEEPS),
        "value iteration, loose": ValueIteration(1e-2 * scale, SWEEPS),
        "modified policy iteration": ModifiedPolicyIteration(1e-8 * scale, SWEEPS, BACKUPS),
        "modified policy iteration, loose": ModifiedPolicyIteration(1e-2 * scale, SWEEPS, BACKUPS),
        "linear program": LinearProgram(1e-8 * scale),
    }
    if mdp.discount <= SHORT:
        solvers["modified policy iteration, unlimited"] = ModifiedPolicyIteration(1e-8 * scale)
    for name, solver in solvers.items():
        found = solver.solve(mdp)
        yield against(f"optimal values, {name}", found.values, values, found.error_bound)
        seen = certify(mdp, found)
        yield against(f"certify, {name}", found.values, values, seen.error_bound)
        ends = zip(map(float, seen.lower), values, map(float, seen.upper), strict=True)
        yield from flag("interval of every state", all(Fraction(low) <= v <= Fraction(high) for low, v, high in ends))
        if name == "value iteration, loose":
            exact = certify(mdp, found, exact=True, limit=mdp.n_states)
            assert exact.exact is not None
            yield from flag("exact optimum", list(exact.exact.values) == values)
            yield from flag("optimal actions are candidates", bool((exact.candidates <= seen.candidates).all()))


def evaluation(mdp: MDP, policy: np.ndarray) -> Iterator[Measured]:
    """Values and occupancy of a policy."""
    if mdp.n_states > tolerances_exact.ELIMINATION_STATES:
        return
    exact = Exact.of(mdp)
    found = evaluate_policy(mdp, policy)
    yield against("policy values", found.values, exact.policy_values(fractions(policy)), found.error_bound)
    occupancy = occupancy_measure(mdp, policy)
    true = [mass for row in exact.occupancy(fractions(policy)) for mass in row]
    error = sum(abs(Fraction(x) - y) for x, y in zip(occupancy.ravel().tolist(), true, strict=True))
    yield Measured("occupancy, L1", error, error, occupancy_bound(mdp, policy, occupancy), 1.0)


def soft(mdp: MDP, policy: np.ndarray, alpha: float) -> Iterator[Measured]:
    """Maximum-entropy values, and the conditional problem."""
    tolerance = 1e-8 * (mdp.largest_reward or 1.0)
    optimum = enclose_soft_values(mdp, alpha)
    solvers = {"policy": SoftPolicyIteration(alpha, tolerance), "value": SoftValueIteration(alpha, tolerance, SWEEPS)}
    for name, solver in solvers.items():
        found = solver.solve(mdp)
        yield enclosed(f"soft values, soft {name} iteration", optimum, found.values, found.error_bound)
    found = evaluate_policy(mdp, policy, alpha)
    yield enclosed("soft policy values", enclose_policy_values(mdp, policy, alpha), found.values, found.error_bound)
    found = conditional_value(mdp, policy, alpha, tolerance)
    yield enclosed("conditional values", enclose_soft_values(mdp, alpha, policy), found.values, found.error_bound)


def weights(mdp: MDP, policy: np.ndarray, beta: float, seed: int) -> Iterator[Measured]:
    """The relaxed problem on the advantages and the occupancy of a policy."""
    values = evaluate_policy(mdp, policy)
    law = occupancy_measure(mdp, policy)
    law = law / law.sum()
    advantage = np.where(law > 0.0, values.q, 0.0) - values.values[:, None]
    beta *= float(np.ptp(advantage[law > 0.0])) or 1.0
    divergence = GENERATORS[seed % len(GENERATORS)]
    found = optimal_weights(advantage, law, beta, divergence)
    true = enclose_weights(advantage, law, beta, divergence)
    inside = found.weights[law > 0.0]
    name = divergence.name
    yield enclosed(f"weights, {name}", true.weights, inside, found.weights_error)
    yield enclosed(f"multiplier, {name}", true.multiplier, np.array([found.multiplier]), found.multiplier_error)
    yield enclosed(f"relaxed value, {name}", true.value, np.array([found.value]), found.gap)
    yield enclosed(f"relaxed dual, {name}", true.value, np.array([found.dual]), found.gap)


def flow(mdp: MDP, policy: np.ndarray, beta: float, seed: int) -> Iterator[Measured]:
    """The flow problem for data of `policy`, at a temperature of so many ranges of the rewards."""
    if mdp.n_states > tolerances_exact.ELIMINATION_STATES:
        return
    law = occupancy_measure(mdp, policy)
    law = law / law.sum()
    scale = float(np.ptp(mdp.rewards[mdp.available])) or mdp.largest_reward or 1.0
    divergence = GENERATORS[seed % len(GENERATORS)]
    found = regularized_occupancy(mdp, law, beta * scale, divergence, 1e-8 * scale / (1.0 - mdp.discount))
    name = divergence.name
    yield from flag("flow solved", found.converged)
    exact, masses = Exact.of(mdp), fractions(found.occupancy)
    missing = [(1 - exact.discount) * start - sum(row) for start, row in zip(exact.initial, masses, strict=True)]
    for state, rows in enumerate(exact.successors):
        for action, row in enumerate(rows):
            for successor, p in row.items():
                missing[successor] += exact.discount * p * masses[state][action]
    lacks = sum(map(abs, missing), start=Fraction(0))
    yield Measured(f"flow residual, {name}", lacks, lacks, found.flow_residual, 1.0)
    if isinstance(divergence, Capped):
        return  # an occupancy that stands at its cap keeps it for no ball
    try:
        true = enclose_flow(mdp, law, beta * scale, divergence, found.values)
    except ValueError as error:
        print(f"not compared, flow problem of seed {seed}: {error}", file=sys.stderr)
        return
    yield from flag("optimum in [primal, dual]", found.primal <= true.upper[0] and true.lower[0] <= found.dual)
    yield enclosed(f"flow dual, {name}", true, np.array([found.dual]), found.gap)
    yield enclosed(f"flow primal, {name}", true, np.array([found.primal]), found.gap)


def against(quantity: str, values: np.ndarray, exact: list[Fraction], bound: float) -> Measured:
    """A sup-norm error against rationals."""
    error = max(abs(Fraction(float(x)) - y) for x, y in zip(values, exact, strict=True))
    return Measured(quantity, error, error, bound, float(max(map(abs, exact))))


def enclosed(quantity: str, truth, values: np.ndarray, bound: float) -> Measured:
    """A sup-norm error against enclosures."""
    low, high = truth.error(values)
    size = max(max(map(abs, truth.lower)), max(map(abs, truth.upper)))
    return Measured(quantity, low, high, bound, float(size))


def flag(quantity: str, holds: bool) -> Iterator[Measured]:
    """A property without a size, as an error of 0 or 1 below a bound of 0."""
    yield Measured(quantity, Fraction(int(not holds)), Fraction(int(not holds)), 0.0, 0.0)


def table(found: dict[str, list[Measured]]) -> str:
    """How many, how many violated, and the distance between bounds and errors."""
    names = ("compared", "violated", "error 0", "median", "95 %", "of rounding")
    head = f"{'quantity':<52} " + " ".join(f"{name:>11}" for name in names)
    lines = [head]
    for quantity, measured in found.items():
        ratios = np.array([entry.ratio for entry in measured])
        floors = np.array([entry.ratio_to_rounding for entry in measured])
        counts = len(measured), sum(entry.violated for entry in measured), int(np.isinf(ratios).sum())
        distances = median(ratios), quantile(ratios), median(floors)
        cells = [f"{count:>11}" for count in counts] + [f"{distance:>11.3g}" for distance in distances]
        lines.append(f"{quantity:<52} " + " ".join(cells))
    return "\n".join(lines)


def median(ratios: np.ndarray) -> float:
    """The median, infinite entries counted."""
    return float(np.sort(ratios)[(len(ratios) - 1) // 2])


def quantile(ratios: np.ndarray) -> float:
    """95 % of the entries are at most this."""
    return float(np.sort(ratios)[int(np.ceil(0.95 * len(ratios))) - 1])


def families(found: dict[str, list[Measured]]) -> dict[str, list[Measured]]:
    """The quantities without the generator they belong to, properties left out."""
    merged: dict[str, list[Measured]] = defaultdict(list)
    for quantity, measured in found.items():
        name = quantity.partition(",")[0] if quantity.split()[0] in POOLED else quantity
        merged[name] += [entry for entry in measured if entry.size > 0.0 or entry.bound > 0.0]
    return {name: entries for name, entries in merged.items() if entries}


def collect(processes: Iterator[tuple[str, int, MDP]], progress: int = 0) -> dict[str, list[Measured]]:
    """Measure every process; a violation is printed with what reproduces it."""
    found: dict[str, list[Measured]] = defaultdict(list)
    start = time.monotonic()
    for count, (name, seed, mdp) in enumerate(processes, 1):
        for entry in measure(mdp, seed):
            found[entry.quantity].append(entry)
            if entry.violated:
                print(f"VIOLATED: {entry.quantity} of {name}: {float(entry.error)} > {entry.bound}", flush=True)
        if progress and count % progress == 0:
            print(f"{count} processes, {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return found


def main() -> int:
    """Print the table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=10_000, help="random processes (default %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first (default %(default)s)")
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.draws)
    named = collect((name, 0, mdp) for name, mdp in cases().items())
    print(f"{len(cases())} named processes\n{table(named)}\n", flush=True)
    drawn = collect(((f"draw({seed})", seed, draw(seed)) for seed in seeds), progress=250)
    print(f"{arguments.draws} random processes from seed {arguments.first}\n{table(drawn)}")
    pooled = families({name: [*entries, *named.get(name, [])] for name, entries in drawn.items()})
    print(f"\nall of them, quantities of all generators together\n{table(pooled)}")
    everything = [entry for found in (named, drawn) for entries in found.values() for entry in entries]
    violated = sum(entry.violated for entry in everything)
    medians = {name: median(np.array([entry.ratio for entry in entries])) for name, entries in pooled.items()}
    loose = [name for name, ratio in medians.items() if ratio > tolerances_exact.MEDIAN_RATIO]
    print(f"\n{len(everything)} comparisons, {violated} violated; too loose in the median: {loose or 'none'}")
    return int(bool(violated or loose))


if __name__ == "__main__":
    sys.exit(main())
