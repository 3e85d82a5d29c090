"""The binary files of UMB: arrays of little-endian numbers, bit sets and CSR mappings, from bytes and to bytes.

Every length is compared with the counts of the index before anything of that length is made.
"""

from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

__all__ = ["Foreign", "bits", "contents", "integers", "mapping", "reals", "starts_of"]

_EXACT_INTEGERS = 2.0**53


class Foreign(ValueError):
    """What does not fit, said without the name of the file."""


def contents(files: dict[str, bytes], name: str, length: int) -> bytes:
    """The bytes of a file, `length` of them."""
    if name not in files:
        raise Foreign(f"has no {name}")
    if len(files[name]) != length:
        raise Foreign(f"has {len(files[name])} bytes in {name}, expected {length} from the counts of its index")
    return files[name]


def integers(files: dict[str, bytes], name: str, kind: str, length: int, below: int) -> Int64[np.ndarray, " N"]:
    """Unsigned integers, all smaller than `below`."""
    array = np.frombuffer(contents(files, name, length * np.dtype(kind).itemsize), dtype=kind)
    if array.size and int(array.max()) >= below:
        raise Foreign(f"has {int(array.max())} in {name}, expected numbers below {below}")
    return array.astype(np.int64)


def mapping(files: dict[str, bytes], name: str, length: int, total: int) -> Int64[np.ndarray, " N_plus_1"]:
    """A CSR mapping of `length` sources onto `total` targets; one to one if the file is absent."""
    if name not in files:
        if length != total:
            raise Foreign(f"has no {name}: expected as many sources as targets, seen {length} and {total}")
        return np.arange(length + 1)
    starts = integers(files, name, "<u8", length + 1, total + 1)
    if starts[0] != 0 or starts[-1] != total or (np.diff(starts) < 0).any():
        raise Foreign(f"has offsets in {name} that do not run from 0 to {total} in order")
    return starts


def reals(files: dict[str, bytes], name: str, kind: Any, length: int) -> Float64[np.ndarray, " N"]:
    """Numbers of type double or rational; a rational is rounded once."""
    kind = kind if isinstance(kind, dict) else {"type": kind}
    size = kind.get("size", {"double": 64, "rational": 128}.get(str(kind.get("type"))))
    if kind.get("type") == "double" and size == 64:
        return np.frombuffer(contents(files, name, 8 * length), dtype="<f8").astype(np.float64)
    if kind.get("type") != "rational" or not isinstance(size, int) or size < 128 or size % 128:
        raise Foreign(f"has numbers of type {kind} in {name}, expected double (64) or rational (128, 256, ...)")
    half = size // 16
    data = contents(files, name, 2 * half * length)
    if half == 8:
        top, bottom = np.frombuffer(data, "<i8")[::2], np.frombuffer(data, "<u8")[1::2]
        # Both are float64 numbers, hence the quotient is the rational rounded once.
        if np.abs(top.astype(np.float64)).max() <= _EXACT_INTEGERS and 0 < bottom.min() <= bottom.max() <= 2**53:
            return top / bottom.astype(np.float64)
    return np.array([_quotient(data[2 * half * i : 2 * half * (i + 1)], half, name) for i in range(length)])


def _quotient(data: bytes, half: int, name: str) -> float:
    numerator, denominator = int.from_bytes(data[:half], "little", signed=True), int.from_bytes(data[half:], "little")
    try:
        return numerator / denominator  # Python rounds once
    except ArithmeticError as error:
        raise Foreign(f"has a rational in {name} that is no float64: {error}") from error


def bits(flags: np.ndarray) -> bytes:
    """A bit set, padded to whole 64-bit words."""
    padded = np.zeros(64 * -(-len(flags) // 64), dtype=np.bool_)
    padded[: len(flags)] = flags
    return np.packbits(padded, bitorder="little").tobytes()


def starts_of(counts: np.ndarray) -> bytes:
    """A CSR mapping: where each run begins, and where the last ends."""
    return np.concatenate([[0], np.cumsum(counts)]).astype("<u8").tobytes()
