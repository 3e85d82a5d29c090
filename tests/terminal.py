"""The command line of `reference` in this process: what a test types, and what comes back."""

import json

import pytest

from reference.__main__ import main


def run(capsys, *arguments: str) -> str:
    """Standard output of a command that succeeds and says nothing on standard error."""
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def run_json(capsys, *arguments: str) -> dict:
    """Its JSON object; literals that JSON does not have are refused."""

    def refuse(literal: str) -> None:
        raise AssertionError(f"{literal} is not JSON")

    return json.loads(run(capsys, *arguments, "--json"), parse_constant=refuse)


def fails(capsys, *arguments: str) -> str:
    """The single line on standard error of a command that fails, with nothing on standard output."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith("error: ")
    assert "Traceback" not in line
    return line


def needs(module: str) -> None:
    pytest.importorskip(module, reason=f"this command needs the extra that brings {module}")
