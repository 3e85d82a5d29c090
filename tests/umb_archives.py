"""UMB archives put together by hand, from the specification alone: foreign ones, and ones that claim what is not so."""

from __future__ import annotations

import io
import json
import struct
import tarfile
from collections.abc import Iterable
from pathlib import Path

DOUBLE = {"type": "double", "size": 64}


def words(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def reals(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}d", *numbers)


def system(**changes) -> dict:
    """The transition system of the example of the specification: 4 states, 5 choices, 8 branches."""
    counts = {"time": "discrete", "#players": 1, "#states": 4, "#initial-states": 1, "#choices": 5,
              "#choice-actions": 2, "#branches": 8, "#branch-actions": 0, "#observations": 0,
              "branch-probability-type": DOUBLE}  # fmt: skip
    return counts | changes


def example(**changes) -> dict[str, bytes]:
    """The example of the specification, whose files are printed there; `changes` replace parts of its index."""
    rewards = {"r": {"alias": "the reward", "applies-to": ["choices"], "type": DOUBLE}}
    index = {"format-version": 1, "format-revision": 0, "transition-system": system(),
             "file-data": {"tool": "PRISM"}, "annotations": {"rewards": rewards}} | changes  # fmt: skip
    return {
        "index.json": json.dumps(index).encode(),
        "state-to-choices.bin": words(0, 2, 3, 4, 5),
        "choice-to-branches.bin": words(0, 2, 4, 6, 7, 8),
        "branch-to-probability.bin": reals(0.5, 0.5, 0.2, 0.8, 0.9, 0.1, 1.0, 1.0),
        "branch-to-target.bin": words(1, 2, 2, 3, 0, 1, 2, 3),
        "state-is-initial.bin": words(1),
        "actions/choices/values.bin": struct.pack("<5I", 0, 1, 0, 0, 0),
        "annotations/rewards/r/choices/values.bin": reals(0.0, 1.0, 0.0, 0.0, 0.0),
    }


def write(path: Path, files: dict[str, bytes] | Iterable[tuple[str, bytes]], mode: str = "w", **header) -> Path:
    """A tar of `files`, in order; `header` overrides fields of the entry of the last one."""
    entries = list(files.items() if isinstance(files, dict) else files)
    with tarfile.open(path, mode) as archive:
        for number, (name, content) in enumerate(entries):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            if number == len(entries) - 1:
                for field, value in header.items():
                    setattr(entry, field, value)
            archive.addfile(entry, io.BytesIO(content))
    return path


def forge_size(path: Path, name: str, size: int) -> None:
    """Let an uncompressed archive claim that the file `name` has `size` bytes, checksum of the header included."""
    data = bytearray(path.read_bytes())
    start = data.index(name.encode())
    data[start + 124 : start + 136] = b"%011o\x00" % size
    data[start + 148 : start + 156] = b" " * 8
    data[start + 148 : start + 156] = b"%06o\x00 " % sum(data[start : start + 512])
    path.write_bytes(bytes(data))
