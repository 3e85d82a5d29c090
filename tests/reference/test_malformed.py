"""Malformed input, all of it in one place: one clear error from Python, one line from a terminal, nothing overwritten.

Each kind is a file (or a name) that a command is given. What arrays `MDP` refuses is in `test_mdp.py`; here they come
from disk, as they would to a user.
"""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import umb_archives as umb

from reference import library, memory
from reference.__main__ import main
from reference.interop import write_umb
from reference.mdp import MDP
from reference.sources import load_mdp, load_policy
from reference.weights import optimal_weights


class Kind(NamedTuple):
    """What is wrong: how to put it on disk as `path`, the name of the file, and what the message has to say."""

    make: Callable[[Path], object]
    name: str
    says: list[str]


def arrays(**changes) -> Callable[[Path], object]:
    """An `.npz` in the layout of `MDP.save`, with some arrays replaced (or left out: None)."""
    mdp = library.garnet(4, 2, 2, 0, 0.9)
    stored = {"format": "roer-mdp-1", "transitions": mdp.transitions, "rewards": mdp.rewards, "discount": 0.9,
              "initial": mdp.initial, "available": mdp.available, "grid": np.array([], dtype=np.int64)}  # fmt: skip
    kept = {name: value for name, value in (stored | changes).items() if value is not None}
    return lambda path: np.savez(path, **kept)


def changed(index, value) -> np.ndarray:
    transitions = np.array(library.garnet(4, 2, 2, 0, 0.9).transitions)
    transitions[index] = value
    return transitions


def cut(path: Path) -> None:
    library.chain(3).save(path)
    path.write_bytes(path.read_bytes()[:300])


def cut_umb(path: Path) -> None:
    write_umb(library.chain(3), path)
    path.write_bytes(path.read_bytes()[:-40])


def files(**changes: bytes) -> Callable[[Path], object]:
    return lambda path: umb.write(path, umb.example() | changes)


NONE = np.zeros((4, 2), dtype=np.bool_)
KINDS = {
    "shape of transitions": Kind(arrays(transitions=np.eye(4)), "a.npz", ["(4, 4)", "expected (S, A, S) = (4, 2, 4)"]),
    "shape of rewards": Kind(arrays(rewards=np.ones(8)), "a.npz", ["rewards has shape (8,)", "expected (S, A)"]),
    "shape of initial": Kind(arrays(initial=np.ones(3) / 3), "a.npz", ["initial has shape (3,)", "(4,)"]),
    "NaN": Kind(arrays(transitions=changed((1, 0, 2), np.nan)), "a.npz", ["state 1 under action 0 to state 2 is nan"]),
    "negative probability": Kind(arrays(transitions=changed((1, 0), [-0.5, 1.5, 0, 0])), "a.npz", ["is -0.5", ">= 0"]),
    "rows off by 1e-6": Kind(
        arrays(transitions=changed((2, 1), [1e-6, 1, 0, 0])), "a.npz",
        ["state 2 under action 1 sum to 1.000001", "expected 1 up to rounding", "divide it by its sum"],
    ),
    "no action available": Kind(arrays(available=NONE), "a.npz", ["state 0 has no available action", "self-loop"]),
    "discount 1": Kind(arrays(discount=1.0), "a.npz", ["discount is 1.0", "expected 0 <= discount < 1", "0.9999"]),
    "discount as text": Kind(arrays(discount="high"), "a.npz", ["high", "discount"]),
    "complex rewards": Kind(arrays(rewards=np.ones((4, 2)) * 1j), "a.npz", ["of dtype complex128", "float64"]),
    "rewards as text": Kind(arrays(rewards=np.full((4, 2), "one")), "a.npz", ["rewards cannot be read as float64"]),
    "grid of one side": Kind(arrays(grid=np.array([4])), "a.npz", ["a.npz"]),
    "arrays missing": Kind(arrays(initial=None), "a.npz", ["lacks initial", "MDP.save"]),
    "matrix out of range": Kind(
        arrays(transitions=None, data=np.ones(8), indices=np.full(8, 4), indptr=np.arange(9)), "a.npz", ["a.npz", "4"],
    ),
    "cut short": Kind(cut, "a.npz", ["not an .npz archive", "cut short", "write it again"]),
    "pickle": Kind(lambda path: path.write_bytes(pickle.dumps({"rewards": 1})), "a.npz", ["not an .npz archive"]),
    "pickled array": Kind(
        arrays(rewards=np.array([[{}]], dtype=object)), "a.npz",
        ["cannot be read: ValueError: ", "allow_pickle=False", "write it again with MDP.save"],
    ),
    "empty file": Kind(lambda path: path.touch(), "a.npz", ["not an .npz archive"]),
    "foreign archive": Kind(lambda path: np.savez(path, weights=np.eye(2)), "a.npz", ["no format entry"]),
    "folder": Kind(lambda path: path.mkdir(), "a.npz", ["is a folder: expected a file"]),
    "folder as UMB": Kind(lambda path: path.mkdir(), "a.umb", ["is a folder: expected a file"]),
    "UMB cut short": Kind(cut_umb, "a.umb", ["export the model again"]),
    "UMB that is text": Kind(
        lambda path: path.write_text("hello"), "a.umb", ["a.umb: cannot be read: ReadError: ", "export the model"],
    ),
    "UMB without discount": Kind(files(), "a.umb", ["has no discount, and none was given", "0.99"]),
    "UMB with offsets that do not fit": Kind(
        files(**{"choice-to-branches.bin": umb.words(0, 2, 4, 6, 7, 9)}), "a.umb", ["9 in choice-to-branches.bin"],
    ),
    "UMB of another length": Kind(
        files(**{"branch-to-target.bin": umb.words(1)}), "a.umb", ["8 bytes in branch-to-target.bin, expected 64"],
    ),
    "UMB that leads elsewhere": Kind(files(**{"../a.npz": b""}), "a.umb", ["'../a.npz', which no UMB archive has"]),
    "UMB with an entry twice": Kind(
        lambda path: umb.write(path, [*umb.example().items(), ("index.json", b"")]), "a.umb", ["'index.json' twice"],
    ),
    "UMB of a game": Kind(
        files(**umb.example(**{"transition-system": umb.system(**{"#players": 2})})), "a.umb",
        ["2 players", "expected discrete time, at most one player"],
    ),
    "PRISM without discount": Kind(lambda path: path.write_text("mdp"), "a.prism", ["has no discount", "0.99"]),
    "more than fits": Kind(lambda path: None, "garnet:10000000,10,5,0", ["needs about", "8 GiB are available"]),
    "a grid that does not fit": Kind(lambda path: None, "gridworld:10000,10000", ["10000 x 10000 needs about"]),
    "a chain that does not fit": Kind(lambda path: None, "chain:100000000", ["100000000 states needs about"]),
    "negative count of states": Kind(lambda path: None, "garnet:-5,2,1,0", ["cannot build", "of at least 1"]),
    "no file": Kind(lambda path: None, "absent.npz", ["absent.npz"]),
}  # fmt: skip


@pytest.fixture(autouse=True)
def small_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "available_memory", lambda: 2**33)
    monkeypatch.chdir(tmp_path)


def contents(folder: Path) -> dict[str, bytes | None]:
    return {path.name: path.read_bytes() if path.is_file() else None for path in folder.iterdir()}


def one_line(capsys, *arguments: str) -> str:
    """The single line on standard error of a command that fails; nothing on standard output, every file as it was."""
    before = contents(Path())
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith("error: ")
    assert contents(Path()) == before
    return line


@pytest.mark.parametrize("case", KINDS)
def test_malformed_input_is_one_clear_error(capsys, tmp_path, case):
    kind = KINDS[case]
    if ":" not in kind.name:
        kind.make(tmp_path / kind.name)
    library.chain(3).save("before.npz")
    with pytest.raises((ValueError, OSError)) as caught:
        load_mdp(kind.name)
    said = str(caught.value)
    printed = one_line(capsys, "solve", kind.name)
    assert one_line(capsys, "export", kind.name, "before.npz") == printed
    for message in (said, printed):
        missing = [fragment for fragment in kind.says if fragment not in message]
        assert not missing, f"the message lacks {missing}: {message}"
        assert "\n" not in message
        assert ":" in kind.name or kind.name in message
    assert MDP.load("before.npz").n_states == 3


POLICIES = {
    "an action that is not available": ([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]], ["policy[2, 1]", "not available there"]),
    "no support at all": ([[0, 0], [0, 0], [0, 0]], ["policy in state 0 sums to 0.0: expected 1"]),
    "NaN": ([[float("nan"), 1], [1, 0], [1, 0]], ["policy[0, 0] (state 0, action 0) is nan: expected a number >= 0"]),
    "another shape": ([[1, 0]], ["has shape (1, 2): expected (S, A) = (3, 2)"]),
    "ragged": ([[1, 0], [1]], ["holds no policy", "Expected (S, A) numbers"]),
    "text": ([["a", "b"]] * 3, ["policy.json holds no policy", "Expected (S, A) numbers"]),
}


@pytest.mark.parametrize("case", POLICIES)
@pytest.mark.parametrize("command", ["weights", "conditional"])
def test_behavior_without_support_is_one_clear_error(capsys, case, command):
    policy, says = POLICIES[case]
    Path("policy.json").write_text(json.dumps({"policy": policy}), encoding="utf-8")
    printed = one_line(capsys, command, "chain:3", "--behavior", "policy.json")
    missing = [fragment for fragment in says if fragment not in printed]
    assert not missing, f"the message lacks {missing}: {printed}"


def test_a_law_without_support_is_one_clear_error():
    with pytest.raises(ValueError, match="behavior"):
        optimal_weights(np.zeros(3), np.zeros(3), 1.0)
    with pytest.raises(ValueError, match="unknown policy"):
        load_policy("nothing", library.chain(3))


def test_foreign_types_in_python_are_one_clear_error():
    """What a checker of types would have caught, said by the constructor where none runs."""
    mdp = library.chain(3).to_sparse()
    broken = mdp.transitions.copy()
    broken.indices = broken.indices + 7
    masked = np.ma.masked_array(mdp.rewards, mdp.rewards > 0)
    cases = [
        ({"transitions": broken}, "no CSR matrix of shape (6, 3)"),
        ({"transitions": mdp.transitions.astype(np.complex128)}, "of dtype complex128"),
        ({"rewards": masked}, "a masked array: expected plain float64 numbers"),
    ]
    for changes, message in cases:
        data = {"transitions": mdp.transitions, "rewards": mdp.rewards, "discount": 0.9} | changes
        with pytest.raises(ValueError, match=r"expected|no CSR") as caught:
            MDP(**data)
        assert message in str(caught.value)
