"""Gymnasium's tables, QuantEcon's DiscreteDP and UMB return the floats that they were given (MDP-02)."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from exact import Exact
from hypothesis import given
from hypothesis import strategies as st
from same import difference, used_actions
from scipy import sparse
from strategies import Drawn, few, mdps

from reference import library
from reference.interop import (
    from_gymnasium_table,
    from_quantecon,
    read_umb,
    to_gymnasium_table,
    to_quantecon,
    write_umb,
)
from reference.mdp import MDP, InvalidMDP

NAMED = sorted(library.named())
GRID = library.gridworld(3, 4, 0.9, slip=0.25)


def arrives(row, quantity: str, sent: MDP, received: MDP, **options) -> None:
    differs = difference(sent, received, **options)
    row.exact("MDP-02", quantity, not differs, f"{differs} differ: sent {sent!r}, received {received!r}")


@given(mdps())
def test_gymnasium_tables_return_what_was_sent(row, drawn: Drawn):
    mdp = drawn.mdp
    table = to_gymnasium_table(mdp)
    again = from_gymnasium_table(table, mdp.discount, mdp.initial, mdp.grid)
    arrives(row, "Gymnasium table there and back", mdp, again, actions=used_actions(mdp))
    for state, actions in table.items():
        assert list(actions) == np.flatnonzero(mdp.available[state]).tolist()
        for outcomes in actions.values():
            assert all(end == mdp.terminal[target] for _, target, _, end in outcomes)
    assert to_gymnasium_table(drawn.sparse) == table


def pairs(mdp: MDP, order: np.ndarray) -> SimpleNamespace:
    """The state-action pairs of an MDP in any order, gathered one by one."""
    state, action = np.argwhere(mdp.available)[order].T
    rows = np.asarray(mdp.to_dense().transitions)[state, action]
    return SimpleNamespace(
        R=mdp.rewards[state, action], Q=rows, beta=mdp.discount, s_indices=state, a_indices=action.astype(np.int32)
    )


@given(mdps(), st.randoms(use_true_random=False))
def test_both_forms_of_quantecon_arrive(row, drawn: Drawn, random):
    mdp = drawn.mdp
    product = SimpleNamespace(
        R=np.where(mdp.available, mdp.rewards, -np.inf), Q=np.array(mdp.transitions), beta=mdp.discount
    )
    product.Q[~mdp.available] = np.nan  # QuantEcon never looks there
    arrives(row, "QuantEcon, product form", mdp, from_quantecon(product, mdp.initial, mdp.grid))
    order = list(range(int(mdp.available.sum())))
    random.shuffle(order)
    listed = pairs(mdp, np.array(order))
    for layout in (np.asarray, sparse.csr_matrix, sparse.csc_array):
        listed.Q = layout(pairs(mdp, np.array(order)).Q)
        again = from_quantecon(listed, mdp.initial, mdp.grid)
        assert again.is_sparse == sparse.issparse(listed.Q)
        arrives(row, "QuantEcon, pairs", mdp, again, actions=used_actions(mdp))


@few
@given(mdps())
def test_what_quantecon_is_given_is_the_process(row, monkeypatch, drawn: Drawn):
    """Without QuantEcon: both forms, as its constructor takes them, and the arrays of the MDP themselves."""

    def discrete(R, Q, beta, s_indices=None, a_indices=None):
        pairs = {} if s_indices is None else {"s_indices": s_indices, "a_indices": a_indices}
        return SimpleNamespace(R=R, Q=Q, beta=beta, **pairs)

    monkeypatch.setitem(sys.modules, "quantecon", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "quantecon.markov", SimpleNamespace(DiscreteDP=discrete))
    for mdp in (drawn.mdp, drawn.sparse):
        ddp = to_quantecon(mdp)
        assert hasattr(ddp, "s_indices") == mdp.is_sparse
        assert sparse.isspmatrix_csr(ddp.Q) == mdp.is_sparse
        everywhere = bool(mdp.available.all())
        assert np.shares_memory(ddp.R, mdp.rewards) == everywhere
        if everywhere or not mdp.is_sparse:
            stored = mdp.matrix.data if mdp.is_sparse else mdp.transitions
            assert np.shares_memory(ddp.Q.data if mdp.is_sparse else ddp.Q, stored)
        actions = used_actions(mdp) if mdp.is_sparse else None
        arrives(row, "QuantEcon's arguments", mdp, from_quantecon(ddp, mdp.initial, mdp.grid), actions=actions)


@pytest.mark.interop
@few
@given(mdps(discounts=(0.0, 0.5, 0.9, 0.99)))
def test_quantecon_s_own_class_there_and_back(row, drawn: Drawn):
    pytest.importorskip("quantecon", reason="not run: quantecon is not installed")
    for mdp in (drawn.mdp, drawn.sparse):
        ddp = to_quantecon(mdp)
        again = from_quantecon(ddp, mdp.initial, mdp.grid)
        actions = used_actions(mdp) if mdp.is_sparse else None
        arrives(row, "QuantEcon's DiscreteDP there and back", mdp, again, actions=actions)
        arrives(row, "QuantEcon's pairs there and back", mdp, from_quantecon(ddp.to_sa_pair_form(), mdp.initial),
                actions=used_actions(mdp), ignore=("grid",))  # fmt: skip


@pytest.mark.interop
def test_quantecon_shares_arrays_and_finds_an_optimal_policy(row):
    pytest.importorskip("quantecon", reason="not run: quantecon is not installed")
    mdp = library.garnet(6, 3, 2, 0, 0.9)
    exact = Exact.of(mdp)
    for sent in (mdp, mdp.to_sparse()):
        ddp = to_quantecon(sent)
        stored = sent.matrix.data if sent.is_sparse else sent.transitions
        assert np.shares_memory(ddp.Q.data if sent.is_sparse else ddp.Q, stored)
        assert np.shares_memory(ddp.R, sent.rewards)
        chosen = ddp.solve(method="policy_iteration").sigma.tolist()
        values = exact.policy_values(exact.deterministic(chosen))
        row.exact("MDP-02", "QuantEcon's policy is optimal", values == exact.optimal_values(), f"it chose {chosen}")
    assert np.shares_memory(from_quantecon(to_quantecon(mdp)).transitions, mdp.transitions)
    writable = SimpleNamespace(R=np.array(mdp.rewards), Q=np.array(mdp.transitions), beta=0.9)
    copied = from_quantecon(writable)
    writable.Q[:] = 0.0
    arrives(row, "QuantEcon, product form", mdp, copied)


@given(mdps(), st.booleans())
def test_umb_returns_what_was_sent(row, tmp_path_factory, drawn: Drawn, as_sparse: bool):
    path = tmp_path_factory.mktemp("umb") / "process.umb"
    mdp = drawn.sparse if as_sparse else drawn.mdp
    write_umb(mdp, path)
    arrives(row, "UMB there and back", mdp, read_umb(path))


@few
@given(mdps())
def test_one_format_after_the_other(row, tmp_path_factory, drawn: Drawn):
    """Gymnasium, then QuantEcon, then UMB, then .npz: still the floats that were drawn."""
    folder = tmp_path_factory.mktemp("chain")
    sent = drawn.mdp
    table = from_gymnasium_table(to_gymnasium_table(sent), sent.discount, sent.initial)
    product = SimpleNamespace(
        R=np.where(table.available, table.rewards, -np.inf), Q=table.transitions, beta=table.discount
    )
    write_umb(from_quantecon(product, table.initial), folder / "process.umb")
    read_umb(folder / "process.umb").save(folder / "process.npz")
    received = MDP.load(folder / "process.npz")
    arrives(row, "every format in turn", sent, received, actions=used_actions(sent))


@pytest.mark.parametrize("name", [*NAMED, "grid", "cliff", "sparse"])
def test_cases_of_the_library_arrive(row, tmp_path, name):
    families = {"grid": GRID, "cliff": library.cliff(), "sparse": library.garnet(80, 2, 3, 1, sparse_rows=True)}
    mdp = families[name] if name in families else library.named()[name].mdp
    write_umb(mdp, tmp_path / "process.umb")
    arrives(row, "UMB there and back", mdp, read_umb(tmp_path / "process.umb"))
    again = from_gymnasium_table(to_gymnasium_table(mdp), mdp.discount, mdp.initial, mdp.grid)
    arrives(row, "Gymnasium table there and back", mdp, again)
    mdp.save(tmp_path / "process.npz")
    stored = MDP.load(tmp_path / "process.npz")
    np.testing.assert_array_equal(stored.to_dense().transitions, mdp.to_dense().transitions)


def test_the_end_of_a_gymnasium_episode():
    """Terminated into a live state: one absorbing state is added. Into an end: that is the absorbing state."""
    live = {0: {0: [(0.5, 0, 1.0, False), (0.5, 1, 3.0, True)]}, 1: {0: [(1.0, 0, 5.0, False)]}}
    mdp = from_gymnasium_table(live, 0.9, [1.0, 0.0])
    assert mdp.n_states == 3
    np.testing.assert_array_equal(mdp.transitions[:, 0], [[0.5, 0.0, 0.5], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert mdp.rewards[:, 0].tolist() == [2.0, 5.0, 0.0]
    assert mdp.terminal.tolist() == [False, False, True]
    assert mdp.initial.tolist() == [1.0, 0.0, 0.0]
    end = live | {1: {0: [(1.0, 1, 0.0, True)]}}
    mdp = from_gymnasium_table(end, 0.9)
    assert mdp.n_states == 2
    assert mdp.terminal.tolist() == [False, True]
    never = {0: {0: [(1.0, 0, 1.0, False)]}}
    assert from_gymnasium_table(never, 0.9).n_states == 1


def test_gaps_between_actions_are_unavailable():
    mdp = from_gymnasium_table({0: {2: [(1.0, 0, 1.0, False)]}}, 0.5)
    assert mdp.available.tolist() == [[False, False, True]]
    again = from_gymnasium_table({np.int64(0): {np.int32(0): [[1.0, np.int64(0), np.float32(0.5), np.False_]]}}, 0.5)
    assert again.rewards.tolist() == [[0.5]]


TABLES = {
    "no states": ({}, "expected the states 0, 1"),
    "a gap": ({0: {0: []}, 2: {0: []}}, "{0, 2}: expected the states"),
    "no action": ({0: {}}, "P[0] has the keys {}: expected at least one action"),
    "a named action": ({0: {"up": []}}, "{'up'}"),
    "no such state": ({0: {0: [(1.0, 1, 0.0, False)]}}, "P[0][0] leads to state 1: expected a state between 0 and 0"),
    "a state by name": ({0: {0: [(1.0, "1", 0.0, False)]}}, "P[0][0] is no list of (probability, next state"),
    "three parts": ({0: {0: [(1.0, 0, 0.0)]}}, "P[0][0] is no list of (probability, next state"),
    "infinite": ({0: {0: [(0.5, 0, np.inf, False), (0.5, 0, 1.0, False)]}}, "P[0][0] has a number that is not finite"),
    "NaN": ({0: {0: [(1.0, 0, np.nan, False)]}}, "rewards[0, 0] (state 0, action 0) is nan"),
    "half": ({0: {0: [(0.5, 0, 0.0, False)]}}, "sum to 0.5: expected 1"),
    "nothing": ({0: {0: []}}, "P[0][0] is empty: expected at least one"),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables_that_are_none_are_refused(case):
    table, message = TABLES[case]
    with pytest.raises(InvalidMDP) as caught:
        from_gymnasium_table(table, 0.9)
    assert message in str(caught.value)


def ddp(**changes) -> SimpleNamespace:
    listed = {"R": np.zeros(3), "Q": np.eye(3)[[0, 1, 1]], "beta": 0.9,
              "s_indices": np.array([0, 1, 2]), "a_indices": np.array([0, 0, 1])}  # fmt: skip
    return SimpleNamespace(**(listed | changes))


DDPS = {
    "another class": (SimpleNamespace(R=np.zeros(2)), "no attribute Q and no beta: expected a QuantEcon DiscreteDP"),
    "beta one": (ddp(beta=1.0), "discount is 1.0"),
    "listed twice": (
        ddp(s_indices=np.array([0, 1, 1]), a_indices=np.array([0, 1, 1])),
        "state 1, action 1 is listed 2",
    ),
    "no such state": (ddp(s_indices=np.array([0, 1, 3])), "expected at least one pair, states between 0 and 2"),
    "negative action": (ddp(a_indices=np.array([0, -1, 0])), "actions of at least 0"),
    "indices as floats": (ddp(a_indices=np.zeros(3)), "a_indices is float64 of shape (3,)"),
    "no indices": (ddp(s_indices=None), "s_indices is absent: expected 3 whole numbers"),
    "rewards too short": (ddp(R=np.zeros(2)), "R has 2 entries: expected one for each of the 3 rows"),
    "idle state": (ddp(R=np.array([0.0, -np.inf, 0.0])), "state 1 has no available action"),
    "a row of halves": (ddp(Q=np.eye(3)[[0, 1, 1]] / 2), "state 0 under action 0 sum to 0.5"),
    "mixed forms": (ddp(R=np.zeros((3, 1))), "R has shape (3, 1) and Q (3, 3): expected"),
    "infinite reward": (ddp(R=np.array([0.0, np.inf, 0.0])), "rewards[1, 0] (state 1, action 0) is inf"),
    "names for rewards": (ddp(R=np.array(["a", "b", "c"])), "R cannot be read as float64"),
    "product of other sizes": (SimpleNamespace(R=np.zeros((2, 1)), Q=np.zeros((2, 2, 2)), beta=0.5), "(2, 2, 2)"),
}


@pytest.mark.parametrize("case", DDPS)
def test_discrete_dps_that_are_none_are_refused(case):
    given, message = DDPS[case]
    with pytest.raises(InvalidMDP) as caught:
        from_quantecon(given)
    assert message in str(caught.value)


def test_missing_quantecon_names_the_remedy(monkeypatch):
    for name in ("quantecon", "quantecon.markov"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match=r"needs QuantEcon.*pip install quantecon"):
        to_quantecon(GRID)


def test_the_library_offers_what_the_design_names():
    assert library.from_quantecon is from_quantecon
    assert library.from_storm.__module__ == "reference.interop.storm"
    assert library.from_gymnasium.__module__ == "reference.interop.toy_text"
