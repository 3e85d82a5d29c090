"""UMB archives of other tools are read as the specification says; damaged and hostile ones are one clear error."""

import gzip
import json
import lzma
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from same import difference
from strategies import few
from umb_archives import DOUBLE, example, forge_size, reals, system, words, write

from reference import library, memory
from reference.interop import archive, read_umb, write_umb
from reference.mdp import MDP, InvalidMDP

SENT = library.garnet(5, 3, 2, 4, 0.9)


def refuse(path, *fragments: str, **options) -> None:
    with pytest.raises(InvalidMDP) as caught:
        read_umb(path, **options)
    missing = [fragment for fragment in (path.name, *fragments) if fragment not in str(caught.value)]
    assert not missing, f"the message lacks {missing}: {caught.value}"
    assert "\n" not in str(caught.value)


def test_the_example_of_the_specification(tmp_path):
    mdp = read_umb(write(tmp_path / "mdp.umb", example()), 0.9)
    expected = np.zeros((4, 2, 4))
    expected[0, 0, [1, 2]], expected[0, 1, [2, 3]] = 0.5, [0.2, 0.8]
    expected[1, 0, [0, 1]], expected[2, 0, 2], expected[3, 0, 3] = [0.9, 0.1], 1.0, 1.0
    np.testing.assert_array_equal(mdp.transitions, expected)
    assert mdp.available.tolist() == [[True, True], [True, False], [True, False], [True, False]]
    assert mdp.rewards[0].tolist() == [0.0, 1.0]
    assert (mdp.discount, mdp.initial.tolist(), mdp.grid) == (0.9, [1.0, 0.0, 0.0, 0.0], None)
    assert not difference(mdp, read_umb(tmp_path / "mdp.umb", 0.9, "the reward"))


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress], ids=["gzip", "xz"])
def test_compressed_archives_and_folders(tmp_path, pack):
    """As Storm writes them: compressed, with entries for folders; and as tar does on its own, with a leading `./`."""
    plain = write(tmp_path / "plain.umb", {f"./{name}": content for name, content in example().items()})
    with tarfile.open(plain, "a") as file:
        entry = tarfile.TarInfo("annotations")
        entry.type = tarfile.DIRTYPE
        file.addfile(entry)
    packed = tmp_path / "packed.umb"
    packed.write_bytes(pack(plain.read_bytes()))
    assert not difference(read_umb(plain, 0.5), read_umb(packed, 0.5))


def test_rewards_of_states_choices_and_branches_add_up(tmp_path):
    """All are paid when the choice is made; those of branches in the mean; `reward` says which model is meant."""
    every = {"applies-to": ["states", "choices", "branches"], "type": DOUBLE}
    other = {"alias": "q", "applies-to": ["states"], "type": DOUBLE}
    files = example(annotations={"rewards": {"r": every, "q-1": other}}) | {
        "annotations/rewards/r/states/values.bin": reals(10.0, 20.0, 30.0, 40.0),
        "annotations/rewards/r/branches/values.bin": reals(4.0, 8.0, 0.0, 5.0, 0.0, 0.0, 1.0, 0.0),
        "annotations/rewards/q-1/states/values.bin": reals(1.0, 2.0, 3.0, 4.0),
    }
    path = write(tmp_path / "mdp.umb", files)
    assert read_umb(path, 0.9, "r").rewards.tolist() == [[16.0, 15.0], [20.0, 0.0], [31.0, 0.0], [40.0, 0.0]]
    for name in ("q", "q-1"):
        assert read_umb(path, 0.9, name).rewards[:, 0].tolist() == [1.0, 2.0, 3.0, 4.0]
    refuse(path, "reward models q-1, r", "which one to take was not said", discount=0.9)
    refuse(path, "none is called 's'", discount=0.9, reward="s")
    refuse(write(tmp_path / "none.umb", example(annotations={})), "has no reward model", discount=0.9)


def test_choices_of_the_same_action_are_numbered_in_their_order(tmp_path):
    twice = example() | {"actions/choices/values.bin": bytes(20)}
    named = read_umb(write(tmp_path / "named.umb", example()), 0.9)
    assert not difference(named, read_umb(write(tmp_path / "twice.umb", twice), 0.9))
    swapped = example() | {"actions/choices/values.bin": words(1, 0)[:4] + words(0, 0)[:16]}
    mdp = read_umb(write(tmp_path / "swapped.umb", swapped), 0.9)
    np.testing.assert_array_equal(mdp.transitions[0], np.asarray(named.transitions)[0, ::-1])
    assert mdp.rewards[0].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("size", [128, 256])
def test_rationals_are_rounded_once(tmp_path, size):
    def rationals(*numbers: tuple[int, int]) -> bytes:
        half = size // 16
        return b"".join(n.to_bytes(half, "little", signed=True) + d.to_bytes(half, "little") for n, d in numbers)

    kind = {"type": "rational", "size": size}
    big = 3**39  # neither it nor its third is a float64 number
    thirds = [(1, 3), (2, 3), (big, 3 * big), (2 * big, 3 * big), (1, 2), (1, 2), (1, 1), (7, 7)]
    files = example() | {"branch-to-probability.bin": rationals(*thirds)}
    index = json.loads(files["index.json"])
    index["transition-system"]["branch-probability-type"] = kind
    index["annotations"]["rewards"]["r"]["type"] = kind
    files["annotations/rewards/r/choices/values.bin"] = rationals((-1, 3), (big, 7), (0, 1), (1, 10), (5, 1))
    mdp = read_umb(write(tmp_path / "exact.umb", files | {"index.json": json.dumps(index).encode()}), 0.9)
    np.testing.assert_array_equal(mdp.to_sparse().matrix.data, [1 / 3, 2 / 3, 1 / 3, 2 / 3, 0.5, 0.5, 1.0, 1.0])
    assert mdp.rewards[mdp.available].tolist() == [-1 / 3, big / 7, 0.0, 0.1, 5.0]
    files["branch-to-probability.bin"] = rationals(*thirds[:-1], (1, 0))
    path = write(tmp_path / "zero.umb", files | {"index.json": json.dumps(index).encode()})
    refuse(path, "branch-to-probability.bin", "no float64", discount=0.9)


def test_absent_files_have_their_defaults(tmp_path):
    """A Markov chain in its shortest form: one choice for each state, one branch for each choice, no initial state."""
    counts = {"#players": 0, "#states": 2, "#choices": 2, "#branches": 2, "#choice-actions": 0, "#initial-states": 0}
    annotations = {"rewards": {"r": {"applies-to": ["states"], "type": DOUBLE}}}
    index = {"format-version": 1, "transition-system": system() | counts, "annotations": annotations}
    files = {
        "index.json": json.dumps(index).encode(),
        "branch-to-target.bin": words(1, 0),
        "branch-to-probability.bin": reals(1.0, 1.0),
        "annotations/rewards/r/states/values.bin": reals(2.0, 3.0),
    }
    mdp = read_umb(write(tmp_path / "chain.umb", files), 0.5)
    np.testing.assert_array_equal(mdp.transitions, [[[0.0, 1.0]], [[1.0, 0.0]]])
    assert (mdp.rewards.tolist(), mdp.initial.tolist()) == ([[2.0], [3.0]], [0.5, 0.5])


CHANGED = {
    "no index": ({"index.json": None}, ["has no index.json"]),
    "index cut short": ({"index.json": b'{"format-version": 1,'}, ["index.json", "JSONDecodeError"]),
    "index too deep": ({"index.json": b"[" * 100_000}, ["index.json"]),
    "index of a list": ({"index.json": b"[1]"}, ["format version None, expected 1"]),
    "another version": (example(**{"format-version": 2}), ["format version 2, expected 1"]),
    "continuous time": (example(**{"transition-system": system(time="stochastic")}), ["stochastic time"]),
    "two players": (example(**{"transition-system": system(**{"#players": 2})}), ["2 players", "at most one player"]),
    "observations": (example(**{"transition-system": system(**{"#observations": 3})}), ["3 observations"]),
    "negative states": (example(**{"transition-system": system(**{"#states": -4})}), ["#states = -4", "at least 0"]),
    "states as text": (example(**{"transition-system": system(**{"#states": "4"})}), ["#states = '4'"]),
    "no states": (example(**{"transition-system": system(**{"#states": 0})}), ["no states"]),
    "absurd states": (
        example(**{"transition-system": system(**{"#states": 2**62})}), ["40 bytes in state-to-choices.bin, expected"],
    ),
    "absurd branches": (
        example(**{"transition-system": system(**{"#branches": 2**62})}), ["64 bytes in branch-to-target.bin"],
    ),
    "no probabilities": (
        example(**{"transition-system": system(**{"branch-probability-type": None})}), ["no branch-probability-type"],
    ),
    "intervals": (
        example(**{"transition-system": system(**{"branch-probability-type": {"type": "double-interval"}})}),
        ["double-interval", "expected double (64) or rational"],
    ),
    "single precision": (
        example(**{"transition-system": system(**{"branch-probability-type": {"type": "double", "size": 32}})}),
        ["'size': 32", "branch-to-probability.bin"],
    ),
    "too few targets": ({"branch-to-target.bin": words(1, 2)}, ["16 bytes in branch-to-target.bin, expected 64"]),
    "targets absent": ({"branch-to-target.bin": None}, ["has no branch-to-target.bin"]),
    "probabilities absent": ({"branch-to-probability.bin": None}, ["has no branch-to-probability.bin"]),
    "mapping absent": ({"choice-to-branches.bin": None}, ["no choice-to-branches.bin", "5 and 8"]),
    "a target too far": ({"branch-to-target.bin": words(1, 2, 2, 4, 0, 1, 2, 3)}, ["4 in branch-to-target", "below 4"]),
    "a negative target": (
        {"branch-to-target.bin": words(1, 2, 2, 2**64 - 1, 0, 1, 2, 3)}, ["18446744073709551615", "below 4"],
    ),
    "offsets past the end": ({"choice-to-branches.bin": words(0, 2, 4, 6, 7, 9)}, ["9 in choice-to-branches.bin"]),
    "offsets going back": ({"choice-to-branches.bin": words(0, 4, 2, 6, 7, 8)}, ["do not run from 0 to 8 in order"]),
    "offsets from one": ({"state-to-choices.bin": words(1, 2, 3, 4, 5)}, ["do not run from 0 to 5 in order"]),
    "a state without choice": ({"state-to-choices.bin": words(0, 2, 4, 4, 5)}, ["state 2 has no available action"]),
    "a choice without branch": (
        {"choice-to-branches.bin": words(0, 2, 4, 4, 7, 8)}, ["state 1 under action 0 sum to 0.0"],
    ),
    "an action too far": (
        {"actions/choices/values.bin": words(5, 0)[:8] + bytes(12)}, ["5 in actions/choices/values.bin", "below 2"],
    ),
    "rows of a half": ({"branch-to-probability.bin": reals(*[0.25] * 8)}, ["state 0 under action 0 sum to 0.5"]),
    "a NaN": ({"branch-to-probability.bin": reals(*[np.nan] * 8)}, ["state 0 under action 0 to state 1 is nan"]),
    "negative": ({"branch-to-probability.bin": reals(-0.5, 1.5, *[1.0] * 6)}, ["state 0 under action 0", "-0.5"]),
    "another number of initial states": ({"state-is-initial.bin": words(3)}, ["marks 2 states as initial, expected 1"]),
    "initial states absent": ({"state-is-initial.bin": None}, ["has no state-is-initial.bin"]),
    "rewards absent": ({"annotations/rewards/r/choices/values.bin": None}, ["has no annotations/rewards/r/choices"]),
    "rewards of players": (
        example(annotations={"rewards": {"r": {"applies-to": ["players"], "type": DOUBLE}}}), ["apply to ['players']"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGED)
def test_archives_that_are_not_as_they_claim_are_refused(tmp_path, case):
    changes, fragments = CHANGED[case]
    files = {name: content for name, content in (example() | changes).items() if content is not None}
    refuse(write(tmp_path / "model.umb", files), *fragments, discount=0.9)


def test_a_missing_discount_is_asked_for(tmp_path):
    refuse(write(tmp_path / "model.umb", example()), "has no discount", "give one, such as 0.99")
    write_umb(SENT, tmp_path / "ours.umb")
    assert read_umb(tmp_path / "ours.umb", 0.25).discount == 0.25
    for name, value in (("discount", "0.9"), ("grid", [2]), ("grid", "ab")):
        data = {"tool": "roer", "parameters": {"discount": 0.5, name: value}}
        refuse(write(tmp_path / "model.umb", example(**{"file-data": data})), name, repr(value))
    # What another tool means by its parameters is not ours to guess.
    data = {"tool": "other", "parameters": {"discount": 0.5, "grid": "ab"}}
    refuse(write(tmp_path / "model.umb", example(**{"file-data": data})), "has no discount")


@pytest.mark.parametrize("name", ["../index.json", "/etc/passwd", "a/../../b.bin", "a\\b", "caf\u00e9"])
def test_names_that_lead_out_of_the_archive_are_refused(tmp_path, name):
    refuse(write(tmp_path / "model.umb", example() | {name: b"x"}), repr(name), "no UMB archive has", discount=0.9)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.umb"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    files = example() | {"valuations.bin": b""}
    path = write(tmp_path / "model.umb", files, type=kind, linkname="/etc/passwd")
    refuse(path, "link or device 'valuations.bin'", discount=0.9)


def test_what_occurs_twice_or_is_too_large_is_refused(tmp_path, monkeypatch):
    twice = [*example().items(), ("index.json", b"{}")]
    refuse(write(tmp_path / "twice.umb", twice), "'index.json' twice", discount=0.9)
    write(tmp_path / "bomb.umb", example())
    forge_size(tmp_path / "bomb.umb", "branch-to-target.bin", 2**32)
    monkeypatch.setattr(archive, "available_memory", lambda: 2**30)
    refuse(tmp_path / "bomb.umb", "'branch-to-target.bin' claims 4294967296 bytes, and 107", discount=0.9)
    write(tmp_path / "index.umb", example())
    forge_size(tmp_path / "index.umb", "index.json", 2**25)
    refuse(tmp_path / "index.umb", "'index.json' claims 33554432 bytes: expected at most", discount=0.9)
    long = write(tmp_path / "long.umb", example())
    long.write_bytes(long.read_bytes() + bytes(2**21))
    refuse(long, "bytes after its end", discount=0.9)


def test_actions_without_end_are_refused_before_they_are_laid_out(tmp_path, monkeypatch):
    """The index may claim 2^31 actions in twenty bytes of choices: arrays of that size are never made."""
    monkeypatch.setattr(memory, "available_memory", lambda: 2**34)
    index = {"transition-system": system(**{"#choice-actions": 2**31})}
    with pytest.raises(memory.NotEnoughMemory, match="2147483648 actions"):
        read_umb(write(tmp_path / "model.umb", example(**index)), 0.9)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(600), bytes(1024), b"\x1f\x8b" + bytes(50)])
def test_foreign_files_are_refused(tmp_path, content):
    path = tmp_path / "model.umb"
    path.write_bytes(content)
    refuse(path, "export the model again" if content != bytes(1024) else "has no index.json", discount=0.9)


def test_missing_files_keep_their_own_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_umb(tmp_path / "absent.umb")
    (tmp_path / "folder.umb").mkdir()
    with pytest.raises(IsADirectoryError):
        read_umb(tmp_path / "folder.umb")


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "model.umb"
    write_umb(SENT, path)
    return path.read_bytes()


@few
@given(st.data())
def test_an_archive_cut_short_is_one_clear_error(tmp_path_factory, saved, data):
    folder = tmp_path_factory.mktemp("cut")
    packed, plain = folder / "packed.umb", write(folder / "plain.umb", example())
    packed.write_bytes(saved[: data.draw(st.integers(0, len(saved) - 1))])
    refuse(packed, "export the model again")
    with tarfile.open(plain) as file:
        end = max(member.offset_data + -(-member.size // 512) * 512 for member in file)
    plain.write_bytes(plain.read_bytes()[: data.draw(st.integers(0, end))])
    refuse(plain, "cut short" if plain.stat().st_size == end else "", discount=0.9)


@given(st.data())
def test_a_damaged_archive_of_ours_never_loads_as_another_mdp(tmp_path_factory, saved, data):
    path = tmp_path_factory.mktemp("damaged") / "model.umb"
    position, flip = data.draw(st.integers(0, len(saved) - 1)), data.draw(st.integers(1, 255))
    path.write_bytes(saved[:position] + bytes([saved[position] ^ flip]) + saved[position + 1 :])
    try:
        mdp = read_umb(path)
    except InvalidMDP:
        return
    assert not difference(SENT, mdp)  # bytes of the header of gzip that say nothing


def test_writing_is_whole_or_not_at_all_and_repeats_itself(tmp_path, monkeypatch, saved):
    path = tmp_path / "model.umb"
    write_umb(SENT, path)
    assert path.read_bytes() == saved

    def fail(self, entry, file=None):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", fail)
    with pytest.raises(OSError, match="No space left"):
        write_umb(MDP(np.ones((1, 1, 1)), np.zeros((1, 1)), 0.5), path)
    assert path.read_bytes() == saved
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.interop
@pytest.mark.parametrize("name", ["garnet", "first"])
def test_umbi_reads_ours_and_we_read_umbi_s(row, tmp_path, name):
    """The reference implementation in Python, on both of its levels; its copy lacks the discount and the grid."""
    umbi = pytest.importorskip("umbi", reason="not run: umbi is not installed")
    low = pytest.importorskip("umbi.umb", reason="not run: umbi is not installed")
    first = np.array([0.5, 0.25, 0.25, 0.0, 0.0])
    sent = SENT if name == "garnet" else MDP(SENT.transitions, SENT.rewards, 0.9, first, SENT.available)
    write_umb(sent, tmp_path / "ours.umb")
    seen = low.read(tmp_path / "ours.umb")
    matrix = sent.to_sparse().matrix
    assert seen.branch_to_probability == matrix.data.tolist()
    assert seen.branch_to_target == matrix.indices.tolist()
    assert seen.annotations["rewards"]["reward"]["choices"] == sent.rewards[sent.available].tolist()
    assert seen.state_is_initial == (sent.initial > 0.0).tolist()
    assert seen.choice_action_to_string == ["a0", "a1", "a2"]
    low.write(seen, tmp_path / "theirs.umb")
    differs = difference(sent, read_umb(tmp_path / "theirs.umb", 0.9))
    row.exact("MDP-02", "UMB through umbi", not differs, f"{differs} differ")
    if name == "garnet":  # umbi's upper level knows the annotation groups `rewards` and `aps` only
        umbi.ats.write(umbi.ats.read(tmp_path / "ours.umb"), tmp_path / "upper.umb")
        differs = difference(sent, read_umb(tmp_path / "upper.umb", 0.9))
        row.exact("MDP-02", "UMB through umbi", not differs, f"{differs} differ")
