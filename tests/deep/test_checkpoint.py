"""Checkpoints: what comes back is what was put in, bit for bit, or nothing comes back and the file is named."""

import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deep import checkpoint, replay
from deep.errors import CheckpointError

KINDS = ["float32", "float64", "int32", "int64", "uint32", "uint8", "bool"]
arrays = st.sampled_from(KINDS).flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)


@given(stored=st.dictionaries(st.text("abc/", min_size=1, max_size=5), arrays, max_size=4), number=st.floats())
def test_the_round_trip_is_exact(row, tmp_path_factory, stored, number):
    folder = tmp_path_factory.mktemp("exact")
    checkpoint.save(folder, 3, stored, {"number": number})
    loaded, refused = checkpoint.latest(folder)
    same = loaded.arrays.keys() == stored.keys() and all(
        loaded.arrays[name].dtype == array.dtype
        and loaded.arrays[name].shape == array.shape
        and loaded.arrays[name].tobytes() == array.tobytes()
        for name, array in stored.items()
    )
    row.exact("CK04", "arrays of a checkpoint", same, f"stored {stored}, loaded {loaded.arrays}")
    equal = np.float64(loaded.record["number"]).tobytes() == np.float64(number).tobytes() or np.isnan(number)
    row.exact("CK04", "numbers of the record", equal, f"stored {number!r}, loaded {loaded.record['number']!r}")
    assert refused == []
    assert loaded.step == 3


def test_strided_arrays_are_laid_out(tmp_path):
    table = np.arange(12.0).reshape(3, 4)
    path = checkpoint.save(tmp_path, 0, {"transposed": table.T, "thinned": table[:, ::2]}, {})
    loaded = checkpoint.load(path).arrays
    assert loaded["transposed"].tolist() == table.T.tolist()
    assert loaded["thinned"].tolist() == table[:, ::2].tolist()


def test_pytrees_come_back_with_their_keys(tmp_path):
    tree = {"weights": (jnp.arange(3.0), jnp.int32(7)), "key": jax.random.key(5)}
    path = checkpoint.save(tmp_path, 0, checkpoint.arrays_of(tree, "agent"), {})
    template = {"weights": (jnp.zeros(3), jnp.int32(0)), "key": jax.random.key(0)}
    back = checkpoint.tree_like(template, checkpoint.load(path), "agent")
    assert back["weights"][0].tolist() == [0, 1, 2]
    assert int(back["weights"][1]) == 7
    assert jax.random.bits(back["key"]) == jax.random.bits(tree["key"])


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ({"a": jnp.zeros(3)}, r"agent/b has no place"),
        ({"a": jnp.zeros(3), "b": jnp.zeros(2), "c": jnp.zeros(1)}, r"agent/c is missing"),
        ({"a": jnp.zeros(4), "b": jnp.zeros(2)}, r"agent/a is .*\[3\], expected .*\[4\]"),
        ({"a": jnp.zeros(3, int), "b": jnp.zeros(2)}, r"agent/a is float.*, expected int"),
    ],
)
def test_another_structure_is_refused(tmp_path, template, said):
    tree = {"a": jnp.zeros(3), "b": jnp.zeros(2)}
    path = checkpoint.save(tmp_path, 0, checkpoint.arrays_of(tree, "agent"), {})
    with pytest.raises(CheckpointError, match=said):
        checkpoint.tree_like(template, checkpoint.load(path), "agent")


def test_every_damaged_byte_is_noticed(tmp_path, row):
    path = checkpoint.save(tmp_path, 12, {"a": np.arange(5.0, dtype=np.float32)}, {"text": "x"})
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 16]) + whole[position + 1 :])
        row.exact("CK04", "damaged checkpoint refused", refuses(path), f"byte {position} of {len(whole)} changed")


def test_every_truncation_is_noticed(tmp_path, row):
    path = checkpoint.save(tmp_path, 12, {"a": np.arange(5.0, dtype=np.float32)}, {"text": "x"})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        row.exact("CK04", "truncated checkpoint refused", refuses(path), f"cut to {length} of {len(whole)} bytes")


def refuses(path) -> bool:
    try:
        checkpoint.load(path)
    except CheckpointError as error:
        return str(path) in str(error)
    return False


def test_the_last_two_are_kept_and_the_sound_one_is_used(tmp_path):
    for step in (5, 20, 100, 1000):
        checkpoint.save(tmp_path, step, {"step": np.array(step)}, {})
    assert [path.name for path in checkpoint.files(tmp_path)] == [
        "step_000001000.safetensors",
        "step_000000100.safetensors",
    ]
    newest = checkpoint.files(tmp_path)[0]
    newest.write_bytes(newest.read_bytes()[:-1])
    (tmp_path / "step_000009999.partial").write_bytes(b"cut off by a kill")
    found, refused = checkpoint.latest(tmp_path)
    assert found.step == 100
    assert [str(newest) in str(error) for error in refused] == [True]
    # The run falls back and goes on from step 100: the damaged file must not crowd out what it writes.
    checkpoint.save(tmp_path, 150, {"step": np.array(150)}, {})
    assert [int(checkpoint.load(path).arrays["step"]) for path in checkpoint.files(tmp_path)] == [150, 100]


def test_nothing_sound_is_one_error(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        checkpoint.latest(tmp_path)
    (tmp_path / "step_000000001.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"none of its checkpoints can be used.*step_000000001"):
        checkpoint.latest(tmp_path)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 1, {"a": np.zeros(2)}, {})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(CheckpointError, match=r"step_000000002.*No space left on device"):
        checkpoint.save(tmp_path, 2, {"a": np.zeros(2)}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step_000000001.safetensors"]


def filled(count: int, capacity: int) -> replay.Replay:
    """A buffer after `count` insertions, with weights that are not the initial ones."""
    buffer = replay.create(capacity, 2, 1)
    for number in range(count):
        value = float(number)
        buffer = replay.insert(
            buffer, replay.Transition(jnp.full(2, value), jnp.full(1, -value), value, jnp.full(2, value + 1), 0.0, 0.0)
        )
    return replay.set_weights(buffer, jnp.arange(min(count, capacity)), jnp.arange(2.0, 2.0 + min(count, capacity)))


@pytest.mark.parametrize("count", [0, 3, 5, 7])
def test_the_buffer_comes_back_and_its_empty_part_is_not_stored(tmp_path, row, count):
    buffer = filled(count, capacity=5)
    stored = checkpoint.arrays_of_replay(buffer, "replay")
    row.exact("RB14", "stored transitions", len(stored["replay/steps"]) == min(count, 5), f"{stored['replay/steps']}")
    back = checkpoint.replay_like(5, 2, 1, checkpoint.load(checkpoint.save(tmp_path, 0, stored, {})), "replay")
    assert back.sums is None
    for name, ours, theirs in list(zip(replay.Replay._fields, back, buffer, strict=True))[:-1]:
        same = np.array_equal(ours, theirs) and ours.dtype == theirs.dtype
        row.exact("CK04", f"buffer {name}", same, f"{name}: {ours}, expected {theirs}")


def test_a_buffer_that_is_not_full_may_grow(tmp_path):
    for count in (3, 5):  # 5 fills it: the next slot is 0 here and 5 in the larger one
        saved = checkpoint.load(
            checkpoint.save(tmp_path, count, checkpoint.arrays_of_replay(filled(count, capacity=5), "replay"), {})
        )
        grown = checkpoint.replay_like(9, 2, 1, saved, "replay")
        assert (int(grown.size), int(grown.head), grown.reward.shape) == (count, count, (9,))


def test_a_buffer_that_wrapped_may_not(tmp_path):
    saved = checkpoint.load(checkpoint.save(tmp_path, 0, checkpoint.arrays_of_replay(filled(7, 5), "replay"), {}))
    with pytest.raises(CheckpointError, match="writes next to slot 2, which a buffer of 9 slots cannot continue"):
        checkpoint.replay_like(9, 2, 1, saved, "replay")
    with pytest.raises(CheckpointError, match="another environment or precision"):
        checkpoint.replay_like(5, 3, 1, saved, "replay")


def test_the_file_is_plain_data(tmp_path):
    """Eight bytes of length, a JSON header, raw numbers: nothing that could run when it is read."""
    whole = checkpoint.save(tmp_path, 0, {"a": np.arange(3, dtype=np.int32)}, {"x": 1}).read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    start, end = header["a"]["data_offsets"]
    assert np.frombuffer(whole[8 + length + start : 8 + length + end], np.int32).tolist() == [0, 1, 2]
    assert json.loads(header["__metadata__"]["record"]) == {"x": 1}
