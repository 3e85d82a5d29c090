"""Runs small enough to repeat, and processes that share their compiled programs."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_runs import TINY


@pytest.fixture(autouse=True)
def _compiled():
    """Training always runs compiled; the cell without jit asks about the update, and the contract answers it."""
    import jax

    with jax.disable_jit(False):
        yield


@pytest.fixture(autouse=True, scope="session")
def _nothing_of_the_user(tmp_path_factory):
    """No certificate and no cache of compiled programs from outside, for fixtures that outlive one test as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROER_CERTIFICATES", str(tmp_path_factory.mktemp("certificates")))
        patch.setenv("JAX_ENABLE_COMPILATION_CACHE", os.environ.get("JAX_ENABLE_COMPILATION_CACHE", "0"))
        yield


@pytest.fixture(autouse=True)
def _apart(monkeypatch, tmp_path):
    """Each test has certificates and a working directory of its own."""
    monkeypatch.setenv("ROER_CERTIFICATES", str(tmp_path / "certificates"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def tiny():
    """`tiny(steps=500)`: the settings of a run of seconds."""
    from deep.config import Config

    def make(**changes) -> Config:
        return dataclasses.replace(Config(**TINY), **changes)

    return make


@pytest.fixture(scope="session")
def compiled_programs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def launch(compiled_programs, tmp_path):
    """`launch("train", ...)`: the command line in a process of its own, warnings as errors, output captured."""

    def start(*arguments: str) -> subprocess.Popen:
        environment = os.environ | {
            "JAX_DISABLE_JIT": "0",
            "JAX_ENABLE_COMPILATION_CACHE": "1",
            "JAX_COMPILATION_CACHE_DIR": str(compiled_programs),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PYTHONWARNINGS": "error",
        }
        return subprocess.Popen(
            [sys.executable, "-m", "deep", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            env=environment,
        )

    return start


@pytest.fixture
def processes(compiled_programs, monkeypatch):
    """Processes that a sweep starts share their compiled programs and treat warnings as errors."""
    for name, value in {
        "JAX_DISABLE_JIT": "0",
        "JAX_ENABLE_COMPILATION_CACHE": "1",
        "JAX_COMPILATION_CACHE_DIR": str(compiled_programs),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONWARNINGS": "error",
    }.items():
        monkeypatch.setenv(name, value)
