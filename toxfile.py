"""What tox needs to be told about this project: where interpreters are, and that a skipped cell is not a success.

tox loads this file by itself. It does three things:

* makes every interpreter that pyenv has installed discoverable, not only the one that is switched on;
* leaves one status file per cell beside the JUnit files, so that the report can tell a cell that broke from one that
  crashed, could not be installed, or never began because the machine lacks its interpreter;
* prints the report's verdict below tox's own summary, which calls skipped cells a success.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

from tox.plugin import impl

_PYTHON = re.compile(r"3\.1[123]\b.*")
_NO_INTERPRETER = "could not find python interpreter"


def _pyenv_folders() -> list[str]:
    """The `bin` folders of pyenv's supported interpreters, newest first."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [path for path in root.glob("versions/*/bin") if _PYTHON.fullmatch(path.parent.name)]
    return [str(path) for path in sorted(found, key=_version_key, reverse=True) if (path / "python").exists()]


def _version_key(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path.parent.name)]


# Appended: whatever the user put first stays first.
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), *_pyenv_folders()])


class _LastWords(logging.Handler):
    """Keeps what tox last said about the environment that runs in each thread; `tox -p` runs one per thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: dict[int, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message if it says how the environment ended; tox echoes its commands at the same level."""
        message = record.getMessage()
        if record.levelno >= logging.ERROR or message.startswith(("skipped because ", "failed with ")):
            self.said[threading.get_ident()] = message


class _Session:
    """One invocation of tox."""

    def __init__(self, state: Any) -> None:
        self.state = state
        self.words = _LastWords()
        self.begun: dict[str, float] = {}
        self.exit_codes: dict[str, int] = {}
        logging.getLogger().addHandler(self.words)

    @property
    def folder(self) -> Path:
        """Where cells leave their files; tox.ini names the same folder."""
        folder = Path(self.state.conf.core["work_dir"]) / "junit"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write one status file, whole or not at all."""
        path = self.folder / f"{name}.json"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)

    def status(self, env: Any) -> dict[str, Any]:
        """How far `env` came, once tox is done with it."""
        name = env.conf.name
        said = self.words.said.pop(threading.get_ident(), "")
        if name in self.exit_codes:
            state, reason = "finished", ""
        elif name in self.begun:
            state, reason = "interrupted", said
        elif _NO_INTERPRETER in said or (not said and not env.env_python().exists()):
            state, reason = "no interpreter", said.removeprefix("skipped because ")
        else:
            state, reason = "set-up failed", said
        return {
            "cell": name,
            "state": state,
            "reason": reason,
            "exit_code": self.exit_codes.get(name),
            "seconds": round(time.monotonic() - self.begun[name], 1) if name in self.begun else 0.0,
            "tests": any("--junit-xml" in word for command in env.conf["commands"] for word in command.args),
        }


_session: _Session | None = None


@impl
def tox_add_core_config(core_conf: Any, state: Any) -> None:
    """Called once, before any environment exists."""
    global _session
    _session = _Session(state)


@impl
def tox_before_run_commands(tox_env: Any) -> None:
    """A cell is installed and starts: what an earlier run left of it must not speak for this one."""
    if _session is None:
        return
    name = tox_env.conf.name
    _session.words.said.pop(threading.get_ident(), None)
    _session.begun[name] = time.monotonic()
    for suffix in (".xml", ".json"):
        (_session.folder / f"{name}{suffix}").unlink(missing_ok=True)
    if name == "report":
        cells = [cell for cell in _session.state.conf.core["env_list"].envs if cell != "report"]
        selected = set(_session.state.envs.iter())
        _session.write("session", {"cells": cells, "selected": [cell for cell in cells if cell in selected]})
        atexit.register(_print_verdict, _session.folder / "verdict.txt")


@impl
def tox_after_run_commands(tox_env: Any, exit_code: int, outcomes: list[Any]) -> None:
    """A cell's commands came to their end."""
    if _session is not None:
        _session.exit_codes[tox_env.conf.name] = exit_code


@impl
def tox_env_teardown(tox_env: Any) -> None:
    """Called for every cell, also for one that was skipped or could not be installed."""
    if _session is None or tox_env.conf.name not in _session.state.conf.core["env_list"].envs:
        return
    name = tox_env.conf.name
    if name == "report":
        return
    if name not in _session.begun:
        (_session.folder / f"{name}.xml").unlink(missing_ok=True)
    _session.write(name, _session.status(tox_env))


def _print_verdict(path: Path) -> None:
    if path.exists():
        print(path.read_text(encoding="utf-8"), end="", flush=True)
        path.unlink()
