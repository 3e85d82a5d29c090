"""Plain row sums of large dense transitions: checks and bounds are what exact ones make them (MDP-01, RL-06)."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import tolerances
from exact import distance
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from strategies import Drawn, mdps, vectors

from reference import certify, kernels
from reference.kernels import COMPILED_FROM, NUMPY, Scan
from reference.library import garnet
from reference.mdp import MDP, InvalidMDP
from reference.planning import ModifiedPolicyIteration, ValueIteration, solve
from reference.rounding import admissible_defect
from reference.solution import Status

STATES, ACTIONS = 128, 8  # the least power of two from which on sums are plain
BLUR = 2.0**-34  # far above what summation can lose, and below what `quick_row_sums` allows at any discount drawn


@pytest.fixture(autouse=True)
def _without_numba(monkeypatch):
    """Compiled sums are exact in one reading."""
    monkeypatch.setenv("ROER_KERNELS", "numpy")


def large(discount: float = 0.99) -> MDP:
    return garnet(STATES, ACTIONS, STATES, 0, discount)


def lossy() -> MDP:
    """Rows whose second half is lost, all of it, where it is added to any part of the first."""
    rows = np.full((512, 1, 512), 2.0**-8)
    rows[..., 256:] = 2.0**-59
    return MDP(rows, np.random.default_rng(0).standard_normal((512, 1)), 0.99)


def blurred(seed: int):
    """A glance whose row sums are wrong by as much as its blur says, either way."""

    def glance(matrix) -> Scan:
        exact = NUMPY.scan(matrix)
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], len(exact.defects))
        return exact._replace(defects=exact.defects + BLUR * signs, blur=BLUR * (1.0 + BLUR))

    return glance


@pytest.mark.parametrize("make", [large, lossy])
def test_plain_sums_are_within_their_blur(row, make):
    """And nobody reads the transitions again to make them exact, unless asked for what rests on it."""
    mdp = make()
    assert mdp.transitions.size >= COMPILED_FROM
    quick = mdp.quick_row_sums
    exact = [sum(map(Fraction, line), Fraction(-1)) for line in np.asarray(mdp.matrix).tolist()]
    error = [
        float(abs(Fraction(seen) - sum_)) for seen, sum_ in zip(quick.defects.ravel().tolist(), exact, strict=True)
    ]
    row("MDP-01", "plain row sums", error, quick.blur, "gamma_n of the sum")
    assert ModifiedPolicyIteration().solve(mdp).converged
    assert "_scan" not in vars(mdp)
    bound, reason = tolerances.row_sums(mdp.n_states, [float(x) for x in exact])
    seen = [float(abs(Fraction(x) - sum_)) for x, sum_ in zip(mdp.defects.ravel().tolist(), exact, strict=True)]
    row("MDP-01", "row sums made exact later", seen, bound, reason)


@given(mdps(availability=False), st.integers(0, 2**32 - 1), st.data())
def test_bounds_hold_however_wrong_the_sums_are(row, drawn: Drawn, seed, data):
    """Within their blur: what may be the best action of a state is made exact, and the rest decides nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "NUMPY", NUMPY._replace(glance=blurred(seed)))
        mdp = dataclasses.replace(drawn.mdp)
    assert not mdp.quick_row_sums.exact
    optimum = drawn.exact.optimal_values()
    values = np.array([float(v) for v in optimum]) + data.draw(st.sampled_from([0.0, 1.0])) * data.draw(
        vectors(mdp.n_states)
    )
    offset, deviation, _ = certify.split(values)
    bounds, _ = certify.optimality(mdp, deviation, offset, mdp.quick_row_sums)
    errors = [v - Fraction(offset) - Fraction(w) for v, w in zip(optimum, map(float, deviation), strict=True)]
    inside = all(Fraction(bounds.lower) <= error <= Fraction(bounds.upper) for error in errors)
    row.exact("RL-06", "bounds from plain row sums", inside, f"{bounds}, {[float(error) for error in errors]}")
    sharp, _ = certify.optimality(mdp, deviation, offset)
    radius = certify.lookahead_radius(mdp, deviation, offset)
    margin = 1.0 - mdp.discount * (1.0 + mdp.largest_defect + 2.0 * BLUR)
    allowed = 4.0 * radius / margin + 4.0 * BLUR / margin * sharp.error
    wider = max(sharp.lower - bounds.lower, bounds.upper - sharp.upper)
    row("RL-06", "bounds from plain row sums: wider", wider, allowed, "a rounding more of q, and MacQueen's with blur")


def test_near_ties_are_decided_by_exact_sums(row, monkeypatch):
    """The action that looks best is not the only one that may be; far from the optimum, row sums scale the bounds."""
    better = 1.0 + BLUR  # its values are 1 / (1 - gamma) times as much better as its rewards; blur acts on c = 10
    for seed in range(16):  # all four pairs of signs
        monkeypatch.setattr(kernels, "NUMPY", NUMPY._replace(glance=blurred(seed)))
        mdp = MDP(np.ones((1, 2, 1)), np.array([[1.0, better]]), 0.9)
        optimum = Fraction(better) / (1 - Fraction(mdp.discount))
        for value in (0.0, 1.0 / (1.0 - mdp.discount)):
            bounds, _ = certify.optimality(mdp, np.zeros(1), value, mdp.quick_row_sums)
            error = optimum - Fraction(value)
            inside = Fraction(bounds.lower) <= error <= Fraction(bounds.upper)
            row.exact("RL-06", "bounds at a near tie", inside, f"{bounds}, {float(error)}")


@pytest.mark.parametrize("solver", [ValueIteration, ModifiedPolicyIteration], ids=lambda solver: solver.__name__)
@pytest.mark.parametrize("discount", [0.9, 0.999])
def test_solvers_end_where_exact_sums_would(row, monkeypatch, solver, discount):
    """A tolerance that blurred sums cannot meet is met by exact ones; one that nothing meets ends at the floor."""
    exact = large(discount)
    monkeypatch.setattr(kernels, "NUMPY", NUMPY._replace(glance=blurred(0)))
    mdp = large(discount)
    for tolerance in (1e-8, 5e-324):
        one, two = solver(tolerance).solve(mdp), solver(tolerance).solve(exact)
        assert one.status is two.status
        own = one.error_bound + two.error_bound
        row(
            "RL-05", "plain against exact row sums", np.abs(one.values - two.values).max(), own, "both certified bounds"
        )
    floor, reason = tolerances.rounding_floor(mdp, one.values)
    row("RL-06", "floor after plain row sums", one.error_bound, tolerances.tightness()[0] * floor, reason)
    assert one.status is Status.ROUNDING_FLOOR
    assert "_scan" in vars(mdp)


def test_rows_next_to_the_limit_are_decided_exactly():
    """Plain sums may miss by half of what is admissible: they accept only what is right in any case."""
    limit = admissible_defect(STATES)
    for share in (0.9, 1.1):
        rows = np.full((STATES, ACTIONS, STATES), 1.0 / STATES)
        rows[77, 3, 5] += share * limit
        rewards = np.zeros((STATES, ACTIONS))
        if share > 1.0:
            with pytest.raises(InvalidMDP, match=r"from state 77 under action 3 sum to 1\.0.* 1 such rows"):
                MDP(rows, rewards, 0.9)
            available = np.ones(rewards.shape, dtype=np.bool_)
            available[77, 3] = False
            with pytest.raises(InvalidMDP, match="from state 77 under action 3"):
                MDP(rows, rewards, 0.9, available=available)
        else:
            assert (
                distance(MDP(rows, rewards, 0.9).defects[77, [3]], [Fraction(rows[77, 3, 5]) - Fraction(1, 128)]) == 0
            )


def test_contraction_is_decided_exactly():
    """Where 1 - gamma is of the size of the blur."""
    rows = np.full((STATES, ACTIONS, STATES), 1.0 / STATES)
    rows[77, 3, 5] += 2.0**-46
    rewards = np.zeros((STATES, ACTIONS))
    mdp = MDP(rows, rewards, 1.0 - 2.0**-45)
    assert mdp.quick_row_sums.exact
    with pytest.raises(InvalidMDP, match="discount times the row sum of state 77, action 3 is not below 1"):
        MDP(rows, rewards, 1.0 - 2.0**-47)


@pytest.mark.parametrize(
    ("excess", "seen", "discount", "says"),
    [(2.0**-50, 2.0**-51, 0.9, "sum to 1"), (2.0**-52, 0.0, 1.0 - 2.0**-53, "is not below 1")],
    ids=["distribution", "contraction"],
)
def test_what_the_blur_may_hide_is_refused(monkeypatch, excess, seen, discount, says):
    """Plain sums that look right, next to the limit: 4 u for one state, 1 / gamma for a contraction."""
    scan = Scan(1.0, np.array([seen]), 1, excess - seen)
    monkeypatch.setattr(kernels, "NUMPY", NUMPY._replace(glance=lambda _: scan))
    with pytest.raises(InvalidMDP, match=says):
        MDP(np.full((1, 1, 1), 1.0 + excess), np.zeros((1, 1)), discount)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.25, -(2.0**-1074)])
def test_damage_shows_at_a_glance(bad):
    """And is found where it is, behind a row that is empty, in either layout."""
    whole, available = large(), np.ones((STATES, ACTIONS), dtype=np.bool_)
    rows, available[3, 2] = whole.transitions.copy(), False
    rows[3, 2], rows[126, 7, 127] = 0.0, bad
    for transitions in (rows, sparse.csr_array(rows.reshape(-1, STATES))):
        with pytest.raises(InvalidMDP, match=f"from state 126 under action 7 to state 127 is {bad}"):
            MDP(transitions, whole.rewards, 0.9, available=available)


def test_unavailable_pairs_keep_empty_rows():
    rows, available = large().transitions.copy(), np.ones((STATES, ACTIONS), dtype=np.bool_)
    rows[3, 2], available[3, 2] = 0.0, False
    mdp = MDP(rows, np.ones((STATES, ACTIONS)), 0.9, available=available)
    assert mdp.quick_row_sums.defects[3, 2] == 0.0
    assert solve(mdp).q[3, 2] == -np.inf
    with pytest.raises(InvalidMDP, match="from state 3 under action 2 sum to 0"):
        MDP(rows, np.ones((STATES, ACTIONS)), 0.9)
