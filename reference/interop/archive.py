"""The container of a UMB file: a tar of plain files, possibly compressed, read without trusting it.

Nothing is unpacked to the disk. What is refused: names outside the format (such as `../index.json`), links and devices,
names that occur twice, more bytes than there is memory for, and an archive that is cut short.
"""

import contextlib
import gzip
import io
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from reference.files import whole_file
from reference.memory import available_memory

__all__ = ["ArchiveError", "read_archive", "write_archive"]

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")
_LARGEST_INDEX = 1 << 24  # bytes of a file that is parsed as JSON
_LARGEST_TAIL = 1 << 20  # bytes of padding after the end of the archive
_REMEDY = "Expected a UMB archive (tar, uncompressed or gzip or xz); export the model again."


class ArchiveError(ValueError):
    """The file is no archive that can be read; the message says why."""


def read_archive(path: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The contents of the files whose name is `wanted`. Raises `ArchiveError`; a missing file keeps its own error."""
    with path.open("rb") as file, _explained(path), tarfile.open(fileobj=file, mode="r:*") as archive:
        return dict(_members(path, archive, wanted))


def write_archive(path: str | os.PathLike[str], files: Mapping[str, bytes]) -> None:
    """Write `files` in their order, with the checksum of gzip. The archive appears whole or not at all.

    The same contents give the same bytes: no times, owners or names of this machine are recorded.
    """
    with (
        whole_file(path) as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Whatever parsers of damaged bytes may raise becomes one clear error."""
    try:
        yield
    except (ArchiveError, MemoryError):
        raise
    except Exception as error:
        message = " ".join(str(error).split())  # tarfile explains itself in several lines
        raise ArchiveError(f"{path}: cannot be read: {type(error).__name__}: {message}. {_REMEDY}") from error


def _members(path: Path, archive: tarfile.TarFile, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    room = available_memory()
    for member in archive:
        name = member.name.removeprefix("./")
        if member.isdir() and (name in ("", ".") or _NAME.fullmatch(name)):
            continue
        if not member.isreg() or not _NAME.fullmatch(name):
            kind = "file" if member.isreg() else "link or device"
            raise ArchiveError(f"{path}: holds the {kind} {member.name!r}, which no UMB archive has. {_REMEDY}")
        if name in seen:
            raise ArchiveError(f"{path}: holds {name!r} twice. {_REMEDY}")
        seen.add(name)
        # Asked for every member, wanted or not: passing over a compressed one costs its whole length.
        if room is not None and member.size > room:
            raise ArchiveError(f"{path}: {name!r} claims {member.size} bytes, and {room} are available. {_REMEDY}")
        if not wanted(name):
            continue
        if name.endswith(".json") and member.size > _LARGEST_INDEX:
            raise ArchiveError(f"{path}: {name!r} claims {member.size} bytes: expected at most {_LARGEST_INDEX}.")
        content = archive.extractfile(member)
        data = b"" if content is None else content.read()
        if len(data) != member.size:
            raise ArchiveError(f"{path}: cut short within {name!r}. {_REMEDY}")
        if room is not None:
            room -= len(data)
        yield name, data
    _check_end(path, archive)


def _check_end(path: Path, archive: tarfile.TarFile) -> None:
    """The archive ends with a block of zeros; reading on to the end also lets gzip and xz compare their checksums."""
    raw: Any = archive.fileobj
    raw.seek(archive.offset)
    if raw.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise ArchiveError(f"{path}: cut short: the mark of its end is missing. {_REMEDY}")
    if len(raw.read(_LARGEST_TAIL + 1)) > _LARGEST_TAIL:
        raise ArchiveError(f"{path}: has more than {_LARGEST_TAIL} bytes after its end. {_REMEDY}")
