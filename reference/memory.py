"""Whether a request fits into memory, asked before anything is allocated.

An allocation that is too large does not fail where memory is overcommitted: it succeeds, and the process is killed when
it touches the pages. What is left to this process is the smallest of three numbers: what the machine can give
(`MemAvailable` of proc(5)), the room in every control group above it (cgroups(7), both versions) and its own limit on
address space (getrlimit(2)).
"""

import contextlib
import importlib
import os
from pathlib import Path

__all__ = ["NotEnoughMemory", "available_memory", "require_memory"]

GIB = 2.0**30


class NotEnoughMemory(MemoryError, ValueError):
    """The request needs more memory than there is; the message says how much, and what to do instead."""


def require_memory(needed: float, what: str, remedy: str) -> None:
    """Raise `NotEnoughMemory` if about `needed` bytes are more than what is available; never if that is unknown."""
    room = available_memory()
    if room is not None and needed > room:
        raise NotEnoughMemory(
            f"{what} needs about {needed / GIB:.3g} GiB of memory, and {room / GIB:.3g} GiB are available: "
            f"nothing was allocated. {remedy}"
        )


def available_memory() -> int | None:
    """Bytes that this process may still allocate, or None where the system does not say."""
    rooms = [_machine(), _address_space(), *_groups(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))]
    return min((room for room in rooms if room is not None), default=None)


def _machine() -> int | None:
    """Memory that the machine can give without swapping; all that it has where it tells no more."""
    for line in _read(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    with contextlib.suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf, some systems not this name
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _address_space() -> int | None:
    """What is left of the limit on address space (`ulimit -v`)."""
    try:
        resource = importlib.import_module("resource")
        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    except (ModuleNotFoundError, AttributeError):
        return None
    pages = _read(Path("/proc/self/statm")).split()
    if limit == resource.RLIM_INFINITY or not pages:
        return None
    return max(0, limit - int(pages[0]) * os.sysconf("SC_PAGE_SIZE"))


def _groups(membership: Path, root: Path) -> list[int]:
    """Room in each control group that this process is in, from its own up to the root; `membership` names them."""
    rooms: list[int] = []
    for line in _read(membership).splitlines():
        _, controllers, place = line.split(":", 2)
        if controllers == "":
            top, limit, usage, reclaimable = root, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top, limit, usage = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            reclaimable = "total_inactive_file"
        else:
            continue
        # Inside a container the path may be the host's, and only the top of the tree be visible.
        inner = top / place.lstrip("/")
        for folder in (inner, *inner.parents):
            if not folder.is_relative_to(top):
                break
            most, used = _read(folder / limit).strip(), _read(folder / usage).strip()
            if most.isdigit() and used.isdigit():
                fields = dict(pair.split() for pair in _read(folder / "memory.stat").splitlines())
                rooms.append(max(0, int(most) - int(used) + int(fields.get(reclaimable, 0))))
    return rooms


def _read(path: Path) -> str:
    """The text of a small system file, empty if there is none."""
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
