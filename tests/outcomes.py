"""What a finished run leaves that a clock has no part in, and where two runs differ."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Outcome(NamedTuple):
    """The logs below a folder by path, and of each last checkpoint the arrays' bytes and the record."""

    logs: dict[str, bytes]
    checkpoints: dict[str, tuple[dict[str, bytes], dict]]


def outcome(folder: Path) -> Outcome:
    """Every metrics.jsonl and every last checkpoint below the folder, whose files must all be sound."""
    from deep import checkpoint

    logs = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("metrics.jsonl"))}
    last = {}
    for place in sorted(path for path in folder.rglob("checkpoints") if path.is_dir()):
        saved, refused = checkpoint.latest(place)
        if refused:
            raise AssertionError(f"damaged checkpoints in a finished run: {refused}")
        arrays = {name: array.tobytes() for name, array in saved.arrays.items()}
        last[str(place.relative_to(folder))] = (arrays, saved.record)
    return Outcome(logs, last)


def difference(ours: Outcome, theirs: Outcome) -> str:
    """The first difference between two runs, empty if there is none."""
    if ours.logs.keys() != theirs.logs.keys() or ours.checkpoints.keys() != theirs.checkpoints.keys():
        return f"other files: {sorted(ours.logs)}, {sorted(ours.checkpoints)}, expected {sorted(theirs.logs)}"
    for name, expected in theirs.logs.items():
        lines = zip(ours.logs[name].splitlines(), expected.splitlines(), strict=False)
        for number, (line, other) in enumerate(lines, 1):
            if line != other:
                return f"{name} line {number}: {line!r}, expected {other!r}"
        if ours.logs[name] != expected:
            return f"{name}: {len(ours.logs[name])} bytes, expected {len(expected)}"
    for name, (arrays, record) in theirs.checkpoints.items():
        mine, our_record = ours.checkpoints[name]
        odd = [key for key in arrays.keys() | mine.keys() if arrays.get(key) != mine.get(key)]
        if odd or record != our_record:
            return f"{name}: {sorted(odd) or 'the record'} differ"
    return ""
