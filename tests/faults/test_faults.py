"""Break the shipped code in one place at a time; the contract must fail, and name what is broken.

Each fault of `catalogue*.py` is planted into a copy of `deep` that shadows the real one, and the contract's tests that
should see it run against the copy in a process of their own. An edit whose text is no longer in the source fails
loudly.
"""

import importlib
import json
import os
import pathlib
import py_compile
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest
from faults import coverage
from faults.catalogue import Fault

HERE = pathlib.Path(__file__).parent
CATALOGUES = [importlib.import_module(f"faults.{file.stem}") for file in sorted(HERE.glob("catalogue*.py"))]
FAULTS: tuple[Fault, ...] = tuple(fault for module in CATALOGUES for fault in module.FAULTS)

ROOT = pathlib.Path(__file__).parents[2]
PRECISIONS = {"f64": "1", "f32": "0"}
CASES = [pytest.param(f, p, id=f"{f.id}-{p}") for f in FAULTS for p in PRECISIONS if p == "f64" or f.headline]


def copy_of_deep(folder: pathlib.Path) -> pathlib.Path:
    """Copy the package `deep` into `folder`."""
    source = pathlib.Path(find_spec("deep").origin).parent
    return shutil.copytree(source, folder / "deep", ignore=shutil.ignore_patterns("__pycache__"))


def plant(fault: Fault, folder: pathlib.Path) -> pathlib.Path:
    """Copy the package `deep` into `folder` and edit it; returns the edited file."""
    edited = copy_of_deep(folder) / fault.file
    text = edited.read_text(encoding="utf-8")
    found = text.count(fault.old)
    assert found == 1, (
        f"fault {fault.id} ({fault.what}): expected its text exactly once in deep/{fault.file}, saw it {found} times. "
        f"The source has changed; bring the edit up to date:\n{fault.old}"
    )
    edited.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
    return edited


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_edit_applies(fault, tmp_path):
    """Every edit still finds its text, exactly once, and leaves a file that compiles."""
    py_compile.compile(str(plant(fault, tmp_path)), cfile=str(tmp_path / "compiled.pyc"), doraise=True)


def test_ids_are_unique():
    ids = [fault.id for fault in FAULTS]
    assert len(ids) == len(set(ids)), f"repeated: {sorted({i for i in ids if ids.count(i) > 1})}"


def test_the_known_faults_are_planted_or_set_aside():
    """All but three in a hundred of those that could be in `deep`; the message names the gaps."""
    aside: dict[str, str] = {}
    for module in CATALOGUES:
        aside |= getattr(module, "NOT_APPLICABLE", {})
    planted = {fault.id for fault in FAULTS}
    gaps = coverage.gaps(planted, aside)
    assert not set(aside) - set(coverage.ids()), "set aside, yet not known"
    assert all(aside.values()), "set aside without a reason"
    assert not coverage.planted(planted) & set(aside), "planted and set aside"
    applicable = len(coverage.ids()) - len(aside)
    assert len(gaps) <= 0.03 * applicable, f"{len(gaps)} of {applicable} applicable faults are not planted: {gaps}"


def run_contract(folder: pathlib.Path, tests: str, x64: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The contract's `tests`, or those below another folder of tests/, against the copy of `deep` in `folder`."""
    paths = [str(folder), str(ROOT / "tests"), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",
        "JAX_ENABLE_X64": x64,
        "ROER_CERTIFICATES": str(folder / "certificates"),
        "HYPOTHESIS_PROFILE": "dev",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
    }
    options = [
        "-x",
        "-p",
        "faults.no_shrinking",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        "--hypothesis-seed=0",
        "--import-mode=importlib",
    ]
    # Without the type checker's import hook: a fault must be noticed by its number.
    where = tests if tests.startswith("tests/") else f"tests/contract/{tests}"
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", *options, *arguments, where]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "precision"), CASES)
def test_fault_is_caught(fault, precision, tmp_path, record_property):
    """The contract fails on the faulty copy, and the failing row is called by the right name."""
    plant(fault, tmp_path)
    began = time.monotonic()
    result = run_contract(tmp_path, fault.tests, PRECISIONS[precision])
    output = result.stdout + result.stderr
    assert f"sources at {tmp_path}" in output, f"the contract did not run against the faulty copy:\n{output[-3000:]}"
    assert result.returncode == 1, f"{fault.id} ({fault.what}) went unnoticed by {fault.tests}:\n{output[-3000:]}"
    messages = [line for line in output.splitlines() if "AssertionError: " in line and "]: " in line]
    named = [line for line in messages if fault.names in line]
    assert named, (
        f"{fault.id} ({fault.what}): expected a row named {fault.names!r} to fail, saw {messages or output[-3000:]}"
    )
    assert not (tmp_path / "certificates").exists(), "a run on faulty code issued a certificate"
    caught = {"id": fault.id, "what": fault.what, "file": f"deep/{fault.file}", "tests": fault.tests}
    message = named[0].partition("AssertionError: ")[2]
    seconds = round(time.monotonic() - began, 1)
    record_property("fault", json.dumps({**caught, "precision": precision, "message": message, "seconds": seconds}))


@pytest.mark.slow
def test_incomplete_run_issues_nothing(tmp_path):
    """A green run of a part of the contract is no certificate, and says what was left out."""
    copy_of_deep(tmp_path)
    result = run_contract(tmp_path, "test_targets.py::test_soft_value", "1")
    assert result.returncode == 0, result.stdout[-3000:]
    assert "no certificate: " in result.stdout, result.stdout[-1000:]
    assert "was not selected" in result.stdout, result.stdout[-1000:]
    assert not (tmp_path / "certificates").exists(), "an incomplete run issued a certificate"


@pytest.mark.slow
@pytest.mark.parametrize("specification", ["deep.agent", "nowhere:thing", "deep.agent:nothing", "deep.agent:update"])
def test_unknown_implementation(specification, tmp_path):
    """One error that says what was expected and what was seen."""
    copy_of_deep(tmp_path)
    result = run_contract(tmp_path, "test_targets.py::test_soft_value", "1", "--implementation", specification)
    assert result.returncode == pytest.ExitCode.USAGE_ERROR, result.stdout[-3000:]
    assert result.stdout.count(f"--implementation {specification}: ") + result.stdout.count(repr(specification)) == 1
