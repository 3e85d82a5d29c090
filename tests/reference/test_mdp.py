"""MDPs: what is accepted, what is refused and how it is said; exact row sums; files."""

import os
import pickle
import zipfile
from fractions import Fraction

import numpy as np
import pytest
import tolerances
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from strategies import Drawn, few, mdps

from reference import checks
from reference.mdp import MDP, InvalidMDP
from reference.rounding import admissible_defect, csr_sum_minus_one, gamma_n, sum_minus_one


def valid(n_states: int = 4, n_actions: int = 2) -> dict:
    transitions = np.zeros((n_states, n_actions, n_states))
    transitions[:, :, 0], transitions[:, :, 1] = 0.25, 0.75
    return {"transitions": transitions, "rewards": np.ones((n_states, n_actions)), "discount": 0.9}


def with_entry(name: str, index, value, **changes) -> dict:
    data = valid() | changes
    data[name][index] = value
    return data


def as_csr(data: dict) -> dict:
    n_states, n_actions = data["rewards"].shape
    return data | {"transitions": sparse.csr_array(data["transitions"].reshape(n_states * n_actions, -1))}


SHORT_ROW = with_entry("transitions", (3, 1), [0.15, 0.75, 0.0, 0.0])
REFUSED = {
    "row sum": (SHORT_ROW, ["state 3", "action 1", "0.9", "expected 1", "available[3, 1] = False"]),
    "row sum, CSR": (as_csr(SHORT_ROW), ["state 3", "action 1", "0.9", "expected 1"]),
    "row of zeros": (with_entry("transitions", (2, 0), 0.0), ["state 2", "action 0", "sum to 0.0", "available[2, 0]"]),
    "row in single precision": (
        with_entry("transitions", (1, 0), np.float32([0.1, 0.7, 0.2, 0.0])),
        ["state 1", "action 0", "divide it by its sum"],
    ),
    "negative probability": (
        with_entry("transitions", (1, 1, slice(0, 2)), [-0.25, 1.25]),
        ["state 1", "action 1", "state 0", "-0.25", ">= 0"],
    ),
    "negative probability, CSR": (
        as_csr(with_entry("transitions", (1, 1, slice(0, 2)), [-0.25, 1.25])), ["state 1", "action 1", "-0.25"],
    ),
    "NaN probability": (with_entry("transitions", (0, 1, 1), np.nan), ["state 0", "action 1", "state 1", "nan"]),
    "NaN reward": (with_entry("rewards", (2, 1), np.nan), ["state 2", "action 1", "nan", "finite"]),
    "infinite reward": (
        with_entry("rewards", (2, 1), -np.inf), ["state 2", "action 1", "-inf", "available[2, 1] = False"],
    ),
    "discount 1": (valid() | {"discount": 1.0}, ["1.0", "0 <= discount < 1"]),
    "discount below 0": (valid() | {"discount": -0.1}, ["-0.1", "0 <= discount < 1"]),
    "discount NaN": (valid() | {"discount": np.nan}, ["nan", "0 <= discount < 1"]),
    "discount too close to 1": (
        with_entry("transitions", (0, 0), [1.0, 2.0**-52, 0.0, 0.0], discount=1.0 - 2.0**-53),
        ["state 0", "not below 1"],
    ),
    "overflow": (with_entry("rewards", (0, 0), 1e308), ["1.0e+308", "overflow", "Rescale"]),
    "shape of transitions": (valid() | {"transitions": np.eye(4)}, ["(4, 4)", "(S, A, S) = (4, 2, 4)"]),
    "another S": (
        valid() | {"transitions": valid(5)["transitions"]}, ["(5, 2, 5)", "(4, 2, 4)", "rewards has shape (4, 2)"],
    ),
    "shape, CSR": (valid() | {"transitions": sparse.csr_array(np.eye(4))}, ["(4, 4)", "(S*A, S) = (8, 4)", "s*A + a"]),
    "shape of rewards": (valid() | {"rewards": np.ones(4)}, ["rewards", "(4,)", "(S, A)"]),
    "no states": (valid() | {"rewards": np.ones((0, 2))}, ["(0, 2)", "at least one state"]),
    "not numbers": (valid() | {"rewards": [["a", "b"]]}, ["rewards", "float64"]),
    "idle state": (
        valid() | {"available": np.array([[True, True], [False, False], [True, False], [False, False]])},
        ["state 1", "no available action", "2 without", "self-loop"],
    ),
    "available as numbers": (valid() | {"available": np.ones((4, 2))}, ["float64", "bool"]),
    "shape of available": (valid() | {"available": np.ones((2, 4), bool)}, ["(2, 4)", "(S, A) = (4, 2)"]),
    "initial sum": (valid() | {"initial": np.full(4, 0.2)}, ["initial", "0.8", "expected 1"]),
    "initial shape": (valid() | {"initial": np.full(3, 1 / 3)}, ["initial", "(3,)", "(4,)"]),
    "initial negative": (valid() | {"initial": np.array([1.5, -0.5, 0.0, 0.0])}, ["initial[1]", "-0.5"]),
    "grid too large": (valid() | {"grid": (3, 2)}, ["(3, 2)", "4 (the states)"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_say_what_where_expected_and_remedy(case):
    data, fragments = REFUSED[case]
    with pytest.raises(InvalidMDP) as caught:
        MDP(**data)
    missing = [fragment for fragment in fragments if fragment not in str(caught.value)]
    assert not missing, f"the message lacks {missing}: {caught.value}"
    assert "np.float64" not in str(caught.value)


@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=12))
def test_every_row_normalised_in_float64_is_accepted(row, weights):
    size = len(weights)
    line = np.array(weights) / np.sum(weights)
    assert MDP(np.tile(line, (size, 1, 1)), np.zeros((size, 1)), 0.5).n_states == size
    defect = abs(sum(map(Fraction, line.tolist())) - 1)
    # The sharper statement behind `admissible_defect`.
    row("MDP-01", "defect of a normalised row", float(defect), *tolerances.normalisation(size))


def test_admissible_defect_separates_rounding_from_errors(row):
    # A thousand entries: rounding of a float64 normalisation passes, the same row in float32 does not.
    weights = np.random.default_rng(0).random(1000)
    defect = abs(float(sum_minus_one((weights / weights.sum())[None])[0]))
    row("MDP-01", "defect of a long row", defect, admissible_defect(1000), "the admissible defect, gamma_2(n + 1)")
    single = (weights / weights.sum()).astype(np.float32).astype(np.float64)
    assert abs(float(sum_minus_one(single[None])[0])) > admissible_defect(1000)


@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.sampled_from([1.0, 1e-20, 1e-300]))
def test_row_sums_are_exact(row, size, seed, smallest):
    rng = np.random.default_rng(seed)
    weights = rng.random((3, size)) * smallest ** rng.random((3, size))
    rows = weights / weights.sum(axis=1, keepdims=True)
    exact = [sum(map(Fraction, line.tolist())) - 1 for line in rows]
    bound, reason = tolerances.row_sums(size, [float(d) for d in exact])
    for name, seen in (("dense", sum_minus_one(rows)), ("CSR", csr_sum_minus_one(sparse.csr_array(rows)))):
        error = [float(abs(Fraction(float(x)) - d)) for x, d in zip(seen, exact, strict=True)]
        row("MDP-01", f"row sums minus one, {name}", error, bound, reason)


def test_gamma_n_refuses_what_it_cannot_bound():
    with pytest.raises(ValueError, match="fewer than 9007199254740992 roundings"):
        gamma_n(2**53)


@few
@given(mdps())
def test_layouts_agree(drawn: Drawn):
    dense, csr = drawn.mdp, drawn.sparse
    assert (dense.is_sparse, csr.is_sparse) == (False, True)
    for name in ("rewards", "available", "initial", "terminal", "defects"):
        np.testing.assert_array_equal(getattr(dense, name), getattr(csr, name), err_msg=name)
    for name in ("n_states", "n_actions", "discount", "row_entries", "column_entries", "grid"):
        assert getattr(dense, name) == getattr(csr, name), name
    np.testing.assert_array_equal(csr.to_dense().transitions, dense.transitions)
    assert dense.to_dense() is dense
    assert csr.to_sparse() is csr


@few
@given(mdps(), st.booleans())
def test_files_return_what_was_saved(tmp_path_factory, drawn: Drawn, as_sparse: bool):
    path = tmp_path_factory.mktemp("files") / "model.npz"
    mdp = drawn.sparse if as_sparse else drawn.mdp
    mdp.save(path)
    again = MDP.load(path)
    assert (again.is_sparse, again.discount, again.grid) == (mdp.is_sparse, mdp.discount, mdp.grid)
    np.testing.assert_array_equal(again.to_dense().transitions, mdp.to_dense().transitions)
    for name in ("rewards", "initial", "available"):
        np.testing.assert_array_equal(getattr(again, name), getattr(mdp, name))


def test_grid_and_path_survive_a_file(tmp_path):
    MDP(**valid(), grid=(2, 2)).save(tmp_path / "no-suffix")
    assert MDP.load(str(tmp_path / "no-suffix")).grid == (2, 2)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "model.npz"
    MDP(**valid()).save(path)
    return path.read_bytes()


@few
@given(st.data())
def test_a_file_cut_short_is_one_clear_error(tmp_path_factory, saved, data):
    path = tmp_path_factory.mktemp("cut") / "model.npz"
    path.write_bytes(saved[: data.draw(st.integers(0, len(saved) - 1))])
    with pytest.raises(InvalidMDP, match=r"model\.npz.*write it again with MDP\.save"):
        MDP.load(path)


@given(st.data())
def test_a_damaged_file_never_loads_as_another_mdp(tmp_path_factory, saved, data):
    path = tmp_path_factory.mktemp("damaged") / "model.npz"
    position, flip = data.draw(st.integers(0, len(saved) - 1)), data.draw(st.integers(1, 255))
    path.write_bytes(saved[:position] + bytes([saved[position] ^ flip]) + saved[position + 1 :])
    try:
        mdp = MDP.load(path)
    except InvalidMDP:
        return
    for name, expected in valid().items():  # time stamps and such are not covered by a checksum, and do not matter
        np.testing.assert_array_equal(getattr(mdp, name), expected)


def test_foreign_files_are_refused(tmp_path):
    def refuse(path, fragment):
        with pytest.raises(InvalidMDP) as caught:
            MDP.load(path)
        assert fragment in str(caught.value)
        assert path.name in str(caught.value)

    pickled, objects, array, foreign = (tmp_path / name for name in ("p.npz", "o.npz", "a.npy", "f.npz"))
    pickled.write_bytes(pickle.dumps(valid()))
    np.savez(objects, rewards=np.array([{}], dtype=object))
    np.save(array, np.eye(3))
    np.savez(foreign, weights=np.eye(3))
    refuse(pickled, "not an .npz archive")
    refuse(objects, "allow_pickle=False")
    refuse(array, "not an .npz archive")
    refuse(foreign, "no format entry")
    with pytest.raises(FileNotFoundError):
        MDP.load(tmp_path / "absent.npz")


@pytest.mark.parametrize("as_sparse", [False, True])
def test_incomplete_and_inconsistent_files_are_refused(tmp_path, as_sparse):
    path = tmp_path / "model.npz"
    mdp = MDP(**valid())
    (mdp.to_sparse() if as_sparse else mdp).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    for name in set(arrays) - {"format", "transitions"}:
        np.savez(path, **{key: value for key, value in arrays.items() if key != name})
        with pytest.raises(InvalidMDP, match=f"lacks {name}"):
            MDP.load(path)
    wrong = {"rewards": np.ones(3), "discount": np.float64(1.5), "initial": np.ones(4), "grid": np.array([9, 9])}
    wrong |= {"indices": arrays["indices"] + 4, "indptr": arrays["indptr"][:-1]} if as_sparse else {}
    for name, value in wrong.items():
        np.savez(path, **(arrays | {name: value}))
        with pytest.raises(InvalidMDP, match=r"model\.npz"):
            MDP.load(path)


def test_saving_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    MDP(**valid()).save(path)
    before = path.read_bytes()

    def fail_halfway(file, **arrays):
        file.write(b"half a file")
        raise OSError("no space left on device")

    def fail_to_rename(source, target):
        raise OSError("no space left for a name")

    for module, name, failure in ((np, "savez", fail_halfway), (os, "replace", fail_to_rename)):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, failure)
            with pytest.raises(OSError, match="no space left"):
                MDP(**valid(5)).save(path)
        assert path.read_bytes() == before
        assert [entry.name for entry in tmp_path.iterdir()] == ["model.npz"]


def test_files_hold_plain_arrays(tmp_path):
    MDP(**valid()).to_sparse().save(tmp_path / "model.npz")
    with zipfile.ZipFile(tmp_path / "model.npz") as archive:
        names = sorted(archive.namelist())
    expected = ["available", "data", "discount", "format", "grid", "indices", "indptr", "initial", "rewards"]
    assert names == [f"{name}.npy" for name in expected]


def test_terminal_means_one_action_no_reward_no_way_out():
    # State 0 is terminal; 1 pays; 2 has two actions (soft value log 2 per step); 3 leaves; 4 leaves with 2^-1074.
    transitions = np.zeros((5, 2, 5))
    transitions[np.arange(3), :, np.arange(3)] = 1.0
    transitions[3, :, 0] = 1.0
    transitions[4, :, 4], transitions[4, :, 0] = 1.0, 2.0**-1074
    rewards = np.zeros((5, 2))
    rewards[1] = 1.0
    available = np.array([[False, True], [True, False], [True, True], [True, False], [True, False]])
    mdp = MDP(transitions, rewards, 0.9, available=available)
    assert mdp.terminal.tolist() == [True, False, False, False, False]
    assert mdp.to_sparse().terminal.tolist() == [True, False, False, False, False]


def test_data_are_copied_and_frozen():
    data = as_csr(valid())
    for given_data in (valid(), data):
        mdp = MDP(**given_data)
        given_data["rewards"][0, 0] = 7.0
        assert mdp.rewards[0, 0] == 1.0
        with pytest.raises(ValueError, match="read-only"):
            mdp.rewards[0, 0] = 2.0
        with pytest.raises(ValueError, match="read-only"):
            (mdp.transitions.data if mdp.is_sparse else mdp.transitions)[0] = 2.0
        with pytest.raises(AttributeError):
            mdp.discount = 0.5


def parts(transitions) -> list[np.ndarray]:
    dense = isinstance(transitions, np.ndarray)
    return [transitions] if dense else [transitions.data, transitions.indices, transitions.indptr]


def shared(one, two) -> bool:
    return all(np.shares_memory(a, b) for a, b in zip(parts(one), parts(two), strict=True))


def test_what_nobody_can_write_to_is_shared_and_nothing_else():
    for given_data in (valid(), as_csr(valid())):
        transitions = given_data["transitions"]
        if sparse.issparse(transitions):
            arrays = [np.array(part) for part in parts(transitions)]
            transitions = sparse.csr_array(tuple(arrays), shape=transitions.shape)  # its parts may be views of these
        else:
            arrays = parts(transitions)
        given_data["transitions"] = transitions
        assert not any(
            np.shares_memory(a, b) for a, b in zip(arrays, parts(MDP(**given_data).transitions), strict=True)
        )
        for part in parts(transitions):
            view = part[:]
            view.setflags(write=False)  # while the array behind it can still be written to
            assert not checks.frozen(view)
        for array in [*arrays, *parts(transitions), given_data["rewards"]]:
            array.setflags(write=False)
        mdp = MDP(**given_data)
        assert shared(mdp.transitions, transitions)
        assert mdp.transitions is not transitions or not mdp.is_sparse
        assert np.shares_memory(mdp.rewards, given_data["rewards"])
        assert shared(mdp.with_discount(0.5).transitions, mdp.transitions)


def test_what_is_no_float64_or_not_canonical_is_converted_and_left_alone():
    disordered = sparse.csr_array(([0.5, 0.5, 1.0], [1, 0, 0], [0, 2, 3]), shape=(2, 2))
    whole = sparse.csr_array(np.array([[1, 0], [0, 1]]))
    for matrix in (disordered, whole):
        before = [part.copy() for part in parts(matrix)]
        for part in parts(matrix):
            (part if part.base is None else part.base).setflags(write=False)
            part.setflags(write=False)
        mdp = MDP(matrix, np.zeros((2, 1)), 0.9)
        assert mdp.transitions.has_canonical_format
        assert mdp.transitions.dtype == np.float64
        np.testing.assert_array_equal(mdp.transitions.toarray(), matrix.toarray())
        for old, new in zip(before, parts(matrix), strict=True):
            np.testing.assert_array_equal(old, new)


def test_duplicate_csr_entries_are_added_up():
    pairs = sparse.coo_array(([0.25, 0.75, 1.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    mdp = MDP(sparse.csr_array(pairs), np.zeros((2, 1)), 0.9)
    np.testing.assert_array_equal(mdp.to_dense().transitions[:, 0], [[0.0, 1.0], [1.0, 0.0]])


def test_rows_and_rewards_of_forbidden_pairs_are_ignored():
    available = np.ones((4, 2), dtype=np.bool_)
    available[2, 1] = False
    for filler in (np.zeros(4), np.full(4, 0.25)):
        data = with_entry("transitions", (2, 1), filler, available=available)
        data["rewards"][2, 1] = np.nan
        mdp = MDP(**data)
        assert mdp.rewards[2, 1] == 0.0
        assert mdp.defects[2, 1] == 0.0
    with pytest.raises(InvalidMDP, match="state 2 under action 1"):
        MDP(**with_entry("transitions", (2, 1), np.full(4, 0.2), available=available))


def test_defaults_and_copies():
    mdp = MDP(**valid())
    assert mdp.initial.tolist() == [0.25] * 4
    assert mdp.available.all()
    other = mdp.with_discount(0.5)
    assert (other.discount, mdp.discount) == (0.5, 0.9)
    assert repr(mdp) == "MDP(4 states, 2 actions, discount 0.9, dense)"
    assert repr(mdp.to_sparse()) == "MDP(4 states, 2 actions, discount 0.9, CSR)"
