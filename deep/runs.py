"""Run folders: ``runs/<environment>__<preset>__s<seed>/`` and what they say about themselves.

    config.json      every setting, and one entry for each time the run was started or resumed: versions, certificate,
                     git revision, date
    metrics.jsonl    the log, free of clocks;  timing.jsonl  with clocks;  tensorboard/ and wandb/  on request
    checkpoints/     the last few, each enough to continue bit for bit
    curve.png        at the end

A folder belongs to one process at a time and is never overwritten.
"""

import contextlib
import datetime
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deep.certificate import Certificate, backend, precision, versions
from deep.config import Config, from_json, to_json
from deep.errors import InvalidRun
from deep.files import flush, write_atomically


def folder_of(config: Config, root: Path = Path("runs"), seeds: str | None = None) -> Path:
    """Where a run lies unless told otherwise; with ``seeds``, the folder that holds the runs of all of them."""
    environment = re.sub(r"[^\w.-]+", "-", config.environment)
    return root / f"{environment}__{config.preset}__s{config.seed if seeds is None else seeds}"


def members(folder: Path) -> list[Path]:
    """The folder itself, or the runs s<seed> in it that were started together, by seed."""
    if (folder / "config.json").exists():
        return [folder]
    inside = [path for path in folder.glob("s*") if re.fullmatch(r"s\d+", path.name) and path.is_dir()]
    return sorted(inside, key=lambda path: int(path.name[1:])) or [folder]


def create(folder: Path, config: Config, session: dict[str, Any]) -> None:
    """Make the folder with its config.json; InvalidRun if something of that name is there already.

    The folder takes its name when the file is in it: a process killed at any moment leaves a run that can be continued
    or none, never a folder that can neither be started nor resumed.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".partial"))
    except OSError as error:
        raise InvalidRun(f"cannot make the run folder {folder}: {error}") from error
    try:
        _write(partial, config, [session])
        partial.chmod(0o755)  # mkdtemp makes folders private to their owner
        if folder.exists():  # a rename would take the place of an empty folder
            raise InvalidRun(taken(folder))
        partial.rename(folder)
        flush(folder.parent)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError):
            told = taken(folder) if folder.exists() else f"cannot make the run folder {folder}: {error}"
            raise InvalidRun(told) from error
        raise


def taken(folder: Path) -> str:
    """What to do about a folder that is there already."""
    return (
        f"{folder} exists already and is not overwritten: continue it with --resume {folder}, "
        "or choose another place with --folder"
    )


def settings(folder: Path) -> Config:
    """The settings of a run; InvalidRun if the folder is none."""
    return from_json(_record(folder)["settings"], str(folder / "config.json"))


def sessions(folder: Path) -> list[dict[str, Any]]:
    """Each start of the run: versions, certificate, revision, date, first step."""
    return _record(folder)["sessions"]


def append(folder: Path, config: Config, session: dict[str, Any]) -> None:
    """Record that the run was resumed."""
    _write(folder, config, [*sessions(folder), session])


def session(certificate: Certificate | None, step: int) -> dict[str, Any]:
    """What this process is: written down so that a result can be traced to what made it."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "from_step": step,
        "certificate": certificate.id if certificate else None,
        "unverified": certificate is None,
        "versions": versions(),
        "backend": backend(),
        "precision": precision(),
        "git_revision": git_revision(),
    }


def git_revision() -> str | None:
    """The commit of the checkout that ``deep`` is imported from, with "+changes" if it was edited; None elsewhere."""
    here = Path(__file__).parent
    try:
        revision = _git(here, "rev-parse", "HEAD")
        # Installed below somebody else's repository, that repository's commit says nothing about these files.
        if not revision or not _git(here, "ls-files", "--", Path(__file__).name):
            return None
        return revision + ("+changes" if _git(here, "status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; InvalidRun if another has it. A process that dies releases it."""
    try:
        import fcntl
    except ImportError:  # Windows: no lock, and no worse than without this function
        yield
        return
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InvalidRun(f"{folder} is in use by another process; wait for it, or stop it") from error
        yield


def in_use(folder: Path) -> bool:
    """Whether another process holds the folder at this moment."""
    try:
        with claimed(folder):
            return False
    except InvalidRun:
        return True


def _git(where: Path, *arguments: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(where), *arguments], capture_output=True, text=True, timeout=10, env=environment, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _record(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {"settings": record["settings"], "sessions": record["sessions"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidRun(f"{folder} is not a run folder: expected a readable config.json in it ({error!r})") from error


def _write(folder: Path, config: Config, entries: list[dict[str, Any]]) -> None:
    record = {"settings": to_json(config), "sessions": entries}
    write_atomically(folder / "config.json", json.dumps(record, indent=1) + "\n")
