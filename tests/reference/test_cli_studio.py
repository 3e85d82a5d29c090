"""`python -m reference studio`: what it serves, to whom, and how it ends. The application itself: tests/studio."""

import os
import signal
import sys
from pathlib import Path

import pytest
from terminal import fails

from reference import commands_regularized
from reference.__main__ import main

NOTEBOOK = Path(commands_regularized.__file__).with_name("studio.py")
SERVED = [sys.executable, "-m", "marimo", "--yes", "run", str(NOTEBOOK), "--host", "127.0.0.1"]


class Server:
    """In place of a process: it says how it was started, and each wait ends as the next of `ends` says."""

    started: list["Server"]
    ends: list[int | type[BaseException]]

    def __init__(self, command, env):
        self.command, self.env, self.terminated = command, env, 0
        self.started.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        return None

    def wait(self):
        end = self.ends.pop(0)
        if isinstance(end, int):
            return end
        raise end

    def terminate(self):
        self.terminated += 1


@pytest.fixture
def handlers(monkeypatch):
    """Servers in place of processes; what handles which signal."""
    found: dict[int, object] = {}
    monkeypatch.setattr(Server, "started", [], raising=False)
    monkeypatch.setattr(Server, "ends", [0, 0], raising=False)
    monkeypatch.setattr(commands_regularized.importlib.util, "find_spec", {"marimo": "found"}.get)
    monkeypatch.setattr(commands_regularized.subprocess, "Popen", Server)
    monkeypatch.setattr(commands_regularized.signal, "signal", found.__setitem__)
    return found


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        ("", ""),
        ("chain:3", "-- --process chain:3"),
        ("--port 8080 --headless", "--port 8080 --headless"),
    ],
)
def test_the_notebook_is_served_to_this_machine_alone(handlers, arguments, more):
    """And looks for no newer version of its server."""
    assert main(["studio", *arguments.split()]) == 0
    [server] = Server.started
    assert server.command == [*SERVED, *more.split()]
    assert NOTEBOOK.is_file()
    assert server.env == {**os.environ, "MARIMO_SKIP_UPDATE_CHECK": "1"}


@pytest.mark.parametrize(("ends", "status"), [([KeyboardInterrupt, -15], 0), ([0, 0], 0), ([3, 3], 3)])
def test_the_server_ends_with_its_command(handlers, ends, status):
    """An interrupt is the usual end; a signal is passed on; a failure of the server is one of the command."""
    Server.ends = list(ends)
    assert main(["studio"]) == status
    [server] = Server.started
    assert list(handlers) == [signal.SIGTERM]
    handlers[signal.SIGTERM](signal.SIGTERM, None)
    assert server.terminated == 1


def test_a_wrong_name_is_said_before_anything_is_served(capsys, handlers):
    assert "chain:x" in fails(capsys, "studio", "chain:x")
    assert Server.started == []


def test_the_studio_names_the_extra_that_it_needs(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "marimo", None)  # what an absent module looks like to import
    line = 'error: the studio needs marimo, which is not installed: pip install "roer[studio]"'
    assert fails(capsys, "studio") == line
