"""Checkpoints: one file with everything that a run needs to continue bit for bit.

A checkpoint is a safetensors file ``step_000025000.safetensors``: arrays by name, and in its header a JSON record of
the host's side (counters, seeds, position in the log, configuration) and a SHA-256 digest of it all. It is written
beside its final name, flushed to the disk and renamed, so a file under its final name is complete; the last two are
kept. Nothing is pickled.

Why not Orbax: measured with 0.12.8, a flipped bit in its array file is restored without a word, and a checkpoint is a
tree of a dozen files; here one bit anywhere in the file is refused, by name, and the previous file is used.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import PyTree
from numpy.typing import NDArray

from deep import replay as buffer
from deep.errors import CheckpointError
from deep.files import flush
from deep.replay import Replay

FORMAT = "roer-checkpoint-1"
KEPT = 2
NAME = re.compile(r"step_(\d+)\.safetensors")

Arrays = dict[str, NDArray[Any]]


class Checkpoint(NamedTuple):
    """What a file holds: arrays by name and the JSON record of the host's side."""

    path: Path
    step: int
    arrays: Arrays
    record: dict[str, Any]


def save(folder: Path, step: int, arrays: Arrays, record: dict[str, Any]) -> Path:
    """Write the checkpoint of ``step`` atomically; of the others only the ``KEPT`` - 1 before it stay.

    CheckpointError when the disk refuses; the checkpoints that were there stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{step:09d}.safetensors"
    partial = path.with_suffix(".partial")
    # The writer copies raw memory, so an array with strides must be laid out first.
    arrays = {name: np.require(array, requirements="C") for name, array in arrays.items()}
    text = json.dumps(record)
    header = {"format": FORMAT, "record": text, "sha256": _digest(arrays, text)}
    try:
        safetensors.numpy.save_file(arrays, partial, metadata=header)
        flush(partial)
        os.replace(partial, path)
        flush(folder)
    except (OSError, safetensors.SafetensorError) as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise CheckpointError(
            f"cannot write the checkpoint {path}: {error}. Earlier checkpoints are untouched; make room, then resume"
        ) from error
    past = files(folder)
    # A file with a later step is a damaged one that the run fell back from: its steps are being made again.
    for other in past[: past.index(path)] + past[past.index(path) + KEPT :]:
        other.unlink(missing_ok=True)
    return path


def load(path: Path) -> Checkpoint:
    """Read and verify one file; CheckpointError names the file and what is wrong with it."""
    named = NAME.fullmatch(path.name)
    if named is None:
        raise CheckpointError(f"{path}: not a checkpoint; expected a file named step_<number>.safetensors")
    try:
        with safetensors.safe_open(path, framework="np") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read, the file is truncated or corrupt ({error})") from error
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path}: expected the format {FORMAT!r}, saw {header.get('format')!r}")
    if header.get("sha256") != _digest(arrays, header.get("record", "")):
        raise CheckpointError(f"{path}: corrupt, its contents do not match the SHA-256 digest in its header")
    return Checkpoint(path, int(named[1]), arrays, json.loads(header["record"]))


def files(folder: Path) -> list[Path]:
    """The checkpoint files of a folder, newest first."""
    found = [(int(match[1]), path) for path in folder.glob("*") if (match := NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found, reverse=True)]


def latest(folder: Path) -> tuple[Checkpoint, list[CheckpointError]]:
    """The newest checkpoint that is sound, and the errors of the newer ones that are not.

    CheckpointError when there is none at all or none is sound.
    """
    refused: list[CheckpointError] = []
    for path in files(folder):
        try:
            return load(path), refused
        except CheckpointError as error:
            refused.append(error)
    if not refused:
        raise CheckpointError(f"{folder}: no checkpoint here; expected a file step_<number>.safetensors")
    reasons = "; ".join(str(error) for error in refused)
    raise CheckpointError(f"{folder}: none of its checkpoints can be used: {reasons}")


def common(folders: Sequence[Path]) -> tuple[list[Checkpoint], list[CheckpointError]]:
    """The newest step at which every folder has a sound checkpoint, and the errors of newer ones that are not.

    Empty when the folders have no file in common: runs killed before all had written their first one. CheckpointError
    when they have, but none is sound.
    """
    steps = set.intersection(*({_step(path) for path in files(folder)} for folder in folders))
    refused: list[CheckpointError] = []
    for step in sorted(steps, reverse=True):
        try:
            return [load(folder / f"step_{step:09d}.safetensors") for folder in folders], refused
        except CheckpointError as error:
            refused.append(error)
    if refused:
        reasons = "; ".join(str(error) for error in refused)
        raise CheckpointError(f"{folders[0]}: none of its checkpoints can be used: {reasons}")
    return [], []


def arrays_of(tree: PyTree, prefix: str) -> Arrays:
    """The leaves of a pytree by path; a typed random key is stored as its words."""
    return {
        name: np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf) for name, leaf in _named(tree, prefix)
    }


def tree_like(template: PyTree, checkpoint: Checkpoint, prefix: str) -> PyTree:
    """A pytree with the structure of ``template`` and the checkpoint's values.

    CheckpointError names the first leaf that is missing, left over, or of another shape or dtype: the file belongs to
    another configuration or another version of the agent.
    """
    named = _named(template, prefix)
    stored = {name for name in checkpoint.arrays if name.startswith(f"{prefix}/")}
    odd = sorted(stored.symmetric_difference(name for name, _ in named))
    if odd:
        side = "has no place in this agent" if odd[0] in stored else "is missing from the file"
        raise CheckpointError(f"{checkpoint.path}: {odd[0]} {side}; it was written with another configuration")
    leaves = []
    for name, leaf in named:
        array = checkpoint.arrays[name]
        words = jax.random.key_data(leaf) if _is_key(leaf) else leaf
        if array.shape != words.shape or array.dtype != words.dtype:
            raise CheckpointError(
                f"{checkpoint.path}: {name} is {array.dtype}{list(array.shape)}, expected "
                f"{words.dtype}{list(words.shape)}; it was written with another configuration or precision"
            )
        # A copy that JAX owns: the arrays are donated later, which memory of a file or of NumPy must not be.
        value = jnp.array(array, copy=True)
        leaves.append(jax.random.wrap_key_data(value, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else value)
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(template), leaves)


def arrays_of_replay(replay: Replay, prefix: str) -> Arrays:
    """The filled part of the buffer: empty slots are never read and sums of weights follow from the weights."""
    size = int(replay.size)
    stored = {name: np.asarray(leaf) for name, leaf in replay._asdict().items() if name != "sums"}
    return {f"{prefix}/{name}": array[:size] if array.ndim else array for name, array in stored.items()}


def replay_like(
    capacity: int,
    observation_size: int,
    action_size: int,
    checkpoint: Checkpoint,
    prefix: str,
    proportional: bool = False,
) -> Replay:
    """A buffer of ``capacity`` slots holding the checkpoint's transitions at their places.

    The capacity may have grown as long as nothing was overwritten: the next slot is then the first empty one.
    """
    size, head = (int(checkpoint.arrays[f"{prefix}/{name}"]) for name in ("size", "head"))
    if size > capacity or (size < capacity and head not in (0, size)):
        raise CheckpointError(
            f"{checkpoint.path}: holds {size} transitions and writes next to slot {head}, which a buffer of {capacity} "
            "slots cannot continue; the size of a buffer that is full cannot be changed"
        )
    fields = {}
    empty = buffer.create(capacity, observation_size, action_size)._asdict()
    del empty["sums"]
    for name, slots in empty.items():
        rows = checkpoint.arrays[f"{prefix}/{name}"]
        if rows.dtype != slots.dtype or rows.shape[1:] != slots.shape[1:]:
            raise CheckpointError(
                f"{checkpoint.path}: {prefix}/{name} has rows {rows.dtype}{list(rows.shape[1:])}, expected "
                f"{slots.dtype}{list(slots.shape[1:])}; it was written for another environment or precision"
            )
        filled = np.array(slots) if slots.ndim else rows
        if slots.ndim:
            filled[:size] = rows
        fields[name] = jnp.array(filled, copy=True)
    head = size % capacity if size < capacity else head
    restored = Replay(**fields, sums=None)._replace(size=jnp.int32(size), head=jnp.int32(head))
    return buffer.with_sums(restored) if proportional else restored


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step_"))


def _named(tree: PyTree, prefix: str) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [(f"{prefix}/{jax.tree_util.keystr(path, simple=True, separator='/')}", leaf) for path, leaf in leaves]


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _digest(arrays: Arrays, record: str) -> str:
    digest = hashlib.sha256(record.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
