"""The passes over the transitions: right in NumPy, and the same where they are compiled."""

import math
from fractions import Fraction
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import tolerances
import tolerances_planning as bounds
from exact import distance, fractions
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from strategies import Drawn, few, mdps, vectors

from reference import certify, compiled
from reference import kernels as module
from reference.kernels import COMPILED_FROM, NUMPY, best_of, kernels
from reference.library import garnet
from reference.mdp import MDP, InvalidMDP
from reference.planning import ModifiedPolicyIteration, ValueIteration


@pytest.fixture
def with_numba(monkeypatch):
    """Demand the compiled kernels; without numba these tests are skipped, and their rows missing from the matrix."""
    pytest.importorskip("numba")
    monkeypatch.setenv("ROER_KERNELS", "numba")


@pytest.fixture
def without_numba(monkeypatch):
    def refuse(name):
        raise ImportError(name)

    compiled.compiled.cache_clear()
    monkeypatch.setattr(compiled, "import_module", refuse)
    yield
    compiled.compiled.cache_clear()


@pytest.fixture
def uncompiled(monkeypatch):
    """A numba that leaves functions as they are: the loops mean the same to Python, and are checked without it."""
    compiled.compiled.cache_clear()
    monkeypatch.setattr(compiled, "import_module", lambda name: SimpleNamespace(njit=lambda **_: lambda loop: loop))
    monkeypatch.setenv("ROER_KERNELS", "numba")
    yield
    compiled.compiled.cache_clear()


def wide(mdp: MDP) -> MDP:
    """The same process with 64-bit indices."""
    csr = mdp.to_sparse().transitions
    matrix = sparse.csr_array(csr)
    matrix.indices, matrix.indptr = csr.indices.astype(np.int64), csr.indptr.astype(np.int64)
    return MDP(matrix, mdp.rewards, mdp.discount, mdp.initial, mdp.available)


def entries(mdp: MDP) -> np.ndarray:
    """What is stored: zeros of a dense matrix too."""
    return mdp.matrix.ravel() if isinstance(mdp.matrix, np.ndarray) else mdp.matrix.data


def choices(mdp: MDP, data) -> np.ndarray:
    """Some available action for every state."""
    return np.array([data.draw(st.sampled_from(np.flatnonzero(line).tolist())) for line in mdp.available])


def check_passes(row, name: str, drawn: Drawn, mdp: MDP, passes, data) -> None:
    """Every pass against exact rational arithmetic."""
    exact, states = drawn.exact, np.arange(mdp.n_states)
    deviation, offset = data.draw(vectors(mdp.n_states)), data.draw(st.sampled_from([0.0, 1.0 / 3.0, -1e6 / 7.0]))
    scanned = passes.scan(mdp.matrix)
    pairs = [pair for line in exact.successors for pair in line]
    sums = [sum(pair.values(), Fraction(-1)) for pair in pairs]
    bound, reason = tolerances.row_sums(mdp.n_states, [float(x) for x in sums])
    seen = [abs(Fraction(float(x)) - y) for x, y in zip(scanned.defects, sums, strict=True)]
    row("MDP-01", f"row sums of one scan, {name}", [float(x) for x in seen], bound, reason)

    base = np.where(mdp.available, mdp.rewards, -np.inf)
    best, action = passes.improve(mdp.matrix, base, mdp.discount, deviation)
    row("RL-06", f"one backup and its maximum, {name}", distance(best, exact.backup(fractions(deviation))),
        *tolerances.backup(mdp, deviation))  # fmt: skip
    assert mdp.available[states, action].all()

    q = passes.lookahead(mdp.matrix, deviation, mdp.rewards, mdp.defects, mdp.discount, offset)
    values = [Fraction(offset) + x for x in fractions(deviation)]
    error = max(
        abs(Fraction(float(q[s, a])) + Fraction(offset) - exact.q(values, s, a))
        for s in exact.states for a in exact.actions[s]
    )  # fmt: skip
    radius = certify.lookahead_radius(mdp, deviation, offset)
    row("RL-06", f"centred lookahead, {name}", float(error), radius, "a-priori rounding bound of a centred backup")

    held = None
    for sweeps in (1, 3, 2):  # the second and third policy overwrite the rows of the one before
        taken = choices(mdp, data)
        held = passes.select(mdp.matrix, taken, mdp.n_actions, held), taken
        rewards = mdp.rewards[states, taken]
        last, low, high = passes.evaluate(held[0], rewards, mdp.discount, deviation, sweeps)
        iterates = [fractions(deviation)]
        for _ in range(sweeps):
            iterates.append([exact.q(iterates[-1], s, int(taken[s])) for s in exact.states])
        given_to = [np.array([float(x) for x in line]) for line in iterates]
        bound, reason = bounds.repeated_backups(mdp, given_to[:-1])
        row("RL-09", f"backups of one policy, {name}", distance(last, iterates[-1]), bound, reason)
        change = [new - old for new, old in zip(iterates[-1], iterates[-2], strict=True)]
        ends = distance(np.array([low, high]), [min(change), max(change)])
        rounding = 2.0 * bound + float(np.spacing(np.abs(given_to[-1] - given_to[-2]).max()))
        row("RL-09", f"extremes of the last change, {name}", ends, rounding, f"{reason}, twice, and a difference")


@few
@given(st.data(), mdps(availability=False))
def test_passes_of_numpy(row, data, drawn: Drawn):
    for mdp in (drawn.mdp, drawn.sparse, wide(drawn.mdp)):
        check_passes(row, "NumPy", drawn, mdp, NUMPY, data)


@pytest.mark.compiled
@few
@given(st.data(), mdps(availability=False))
def test_passes_when_compiled(row, with_numba, data, drawn: Drawn):
    for mdp in (drawn.mdp, drawn.sparse, wide(drawn.mdp)):
        passes = kernels(mdp.matrix)
        assert passes.name == "numba"
        check_passes(row, "compiled", drawn, mdp, passes, data)


@few
@given(st.data(), mdps(availability=False))
def test_passes_of_the_loops(row, uncompiled, data, drawn: Drawn):
    for mdp in (drawn.mdp, drawn.sparse, wide(drawn.mdp)):
        passes = kernels(mdp.matrix)
        assert passes.name == "numba"
        check_passes(row, "loops", drawn, mdp, passes, data)
        line = passes.scan(mdp.matrix)
        assert (line.smallest, line.row_entries) == (
            entries(mdp).min(initial=math.inf),
            NUMPY.scan(mdp.matrix).row_entries,
        )


def test_loops_of_rows_longer_than_their_lanes(uncompiled):
    """Sums of a dense row side by side, the last of them over fewer entries: exact, for the entries are dyadic."""
    for columns in (1, 63, 64, 65, 130):
        rows = np.random.default_rng(columns).integers(0, 9, (3, columns)) / 8.0
        found = kernels(rows).scan(rows)
        np.testing.assert_array_equal(found.defects, rows.sum(axis=1) - 1.0)
        assert (found.smallest, found.row_entries) == (rows.min(), np.count_nonzero(rows, axis=1).max())


@pytest.mark.compiled
@pytest.mark.parametrize("as_sparse", [False, True], ids=["dense", "CSR"])
def test_solutions_are_the_same_when_compiled(row, with_numba, monkeypatch, as_sparse):
    available = np.random.default_rng(0).random((200, 4)) < 0.7
    available[~available.any(axis=1), 0] = True
    raw = garnet(200, 4, 70, 0, 0.99, sparse_rows=as_sparse)  # rows longer than the lanes of a compiled sum
    for solver in (ValueIteration(), ModifiedPolicyIteration()):
        found = {}
        for version in ("numpy", "numba"):
            monkeypatch.setenv("ROER_KERNELS", version)
            mdp = MDP(raw.transitions, raw.rewards, raw.discount, available=available)
            found[version] = solver.solve(mdp)
            assert found[version].converged
        one, two = found.values()
        assert one.iterations == two.iterations
        bound = one.error_bound + two.error_bound
        row("RL-05", "compiled against NumPy", np.abs(one.values - two.values).max(), bound, "both certified bounds")


def test_damage_is_found_in_every_block_and_version(monkeypatch):
    versions = ["numpy", "numba"] if find_spec("numba") else ["numpy"]
    monkeypatch.setattr(module, "_BLOCK", 64)
    good = garnet(40, 2, 3, 0).transitions
    for version in versions:
        monkeypatch.setenv("ROER_KERNELS", version)
        for state in (0, 21, 39):
            for bad in (np.nan, np.inf, -0.25, -(2.0**-1074)):
                rows = good.copy()
                rows[state, 1, 0] = bad
                for matrix in (rows, sparse.csr_array(rows.reshape(80, 40))):
                    with pytest.raises(InvalidMDP, match=f"from state {state} under action 1 to state 0 is {bad}"):
                        MDP(matrix, np.zeros((40, 2)), 0.9)


@few
@given(mdps(), st.integers(1, 5))
def test_blocks_change_nothing(monkeypatch, drawn: Drawn, entries):
    whole = [NUMPY.scan(mdp.matrix) for mdp in (drawn.mdp, drawn.sparse)]
    with monkeypatch.context() as patch:
        patch.setattr(module, "_BLOCK", entries)
        parts = [NUMPY.scan(mdp.matrix) for mdp in (drawn.mdp, drawn.sparse)]
    for one, two in zip(whole, parts, strict=True):
        assert (one.smallest, one.row_entries) == (two.smallest, two.row_entries)
        np.testing.assert_array_equal(one.defects, two.defects)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 5, 64, 65]))
def test_maxima_and_first_maximisers(seed, columns):
    q = np.random.default_rng(seed).integers(-2, 3, (7, columns)).astype(np.float64)
    q[0] = -np.inf
    best, action = best_of(q)
    np.testing.assert_array_equal(best, q.max(axis=1))
    np.testing.assert_array_equal(action, q.argmax(axis=1))


def test_which_version_runs(monkeypatch, without_numba):
    large = sparse.csr_array(np.ones((1, COMPILED_FROM)))
    monkeypatch.delenv("ROER_KERNELS", raising=False)
    assert kernels(large) is NUMPY
    monkeypatch.setenv("ROER_KERNELS", "numpy")
    assert kernels(large) is NUMPY
    monkeypatch.setenv("ROER_KERNELS", "numba")
    with pytest.raises(ImportError, match=r"pip install 'roer\[fast\]'"):
        kernels(large)
    monkeypatch.setenv("ROER_KERNELS", "fortran")
    with pytest.raises(ValueError, match="'fortran': expected 'auto', 'numpy' or 'numba'"):
        kernels(large)


@pytest.mark.compiled
def test_compiled_from_a_size_on(monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.delenv("ROER_KERNELS", raising=False)
    for entries, name in ((COMPILED_FROM - 1, "NumPy"), (COMPILED_FROM, "numba")):
        assert kernels(sparse.csr_array(np.ones((1, entries)))).name == name
        assert kernels(np.ones((1, entries))).name == name
