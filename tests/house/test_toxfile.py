"""A small project run through tox itself, with every way in which a cell can end."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TOX_INI = """
[tox]
env_list = good, broken, check, crash, absent-py399, unbuilt, report
skip_missing_interpreters = true

[testenv]
package = skip
set_env = JUNIT = {{work_dir}}/junit/{{env_name}}.xml
deps =
    unbuilt: {missing}
commands =
    good: python write.py --junit-xml 0
    broken: python write.py --junit-xml 1
    check: python -c "raise SystemExit(3)"
    crash: python -c "import os; os._exit(139)" --junit-xml
    absent: python write.py --junit-xml 0
    unbuilt: python write.py --junit-xml 0

[testenv:report]
depends = good, broken, check, crash, absent-py399, unbuilt
set_env = PYTHONPATH = {tests}
commands = python -m report --from {{work_dir}}/junit --to {{tox_root}}/matrix
"""

WRITE = """
import os, sys
failure = '<failure message="AssertionError"/>' if sys.argv[-1] == "1" else ""
with open(os.environ["JUNIT"], "w") as file:
    file.write(f'<testsuites><testsuite><testcase classname="t" name="t">{failure}</testcase></testsuite></testsuites>')
sys.exit(int(sys.argv[-1]))
"""


CALLS = """
import jaxtyping
import numpy as np
import pytest


def test_shape():
    from reference.bellman import greedy

    with pytest.raises(jaxtyping.TypeCheckError):
        greedy(np.zeros(3))


def test_type():
    from deep.losses import td_error

    with pytest.raises(jaxtyping.TypeCheckError):
        td_error(np.zeros(3), "value", np.zeros(3), np.zeros(3), np.ones(3))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "toxfile.py", folder)
    (folder / "write.py").write_text(WRITE)
    (folder / "tox.ini").write_text(
        TOX_INI.format(missing=folder / "missing-1.0-py3-none-any.whl", tests=ROOT / "tests")
    )
    return folder


def tox(project, *arguments):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TOX_", "CI"))}
    command = [sys.executable, "-m", "tox", *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("mode", [("run",), ("run-parallel", "-p", "2")], ids=["sequential", "parallel"])
def test_every_ending_is_told_apart(project, mode):
    # What an earlier run left behind must not make a cell that never began look green.
    folder = project / ".tox" / "junit"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("absent-py399", "unbuilt", "crash"):
        (folder / f"{name}.xml").write_text('<testsuite><testcase classname="t" name="t"/></testsuite>')
    result = tox(project, *mode)
    assert result.returncode != 0
    text = (project / "matrix" / "matrix.md").read_text(encoding="utf-8")
    states = {
        line.split("|")[1].strip(" `"): line.split("|")[2].strip(" *") for line in text.splitlines() if "| `" in line
    }
    assert states == {
        "good": "ok",
        "broken": "BROKEN",
        "check": "BROKEN",
        "crash": "CRASHED",
        "absent-py399": "NOT RUN: no interpreter",
        "unbuilt": "NOT INSTALLED",
    }
    # tox's own summary is not the last word.
    assert result.stdout.splitlines()[-1] == "1 passed, 4 failed, 1 skipped"
    assert not list(folder.glob("*.xml"))


def test_a_selection_is_judged_by_what_was_selected(project):
    result = tox(project, "run", "-e", "good,report")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "1 passed, 0 failed, 5 skipped"


def test_every_cell_runs_programs_and_nothing_else(tmp_path):
    # A line continued in tox.ini, or one without its factor, would be a command of every cell.
    words = ("config", "-c", str(ROOT / "tox.ini"), "--workdir", str(tmp_path), "-k", "commands")
    told = tox(tmp_path, *words)
    assert told.returncode == 0, told.stdout + told.stderr
    commands = [line.removeprefix("commands =").strip() for line in told.stdout.splitlines() if line[:1] not in "[#"]
    programs = {command.split()[0] for command in commands if command}
    assert programs == {"pytest", "python", "ruff", "pyright", "lint-imports"}


def test_checked_cells_and_no_others_check_every_call(tmp_path):
    """What tox.ini hands the `checked` cells makes a call with wrong arguments fail before its first line runs."""
    told = tox(tmp_path, "config", "-c", str(ROOT / "tox.ini"), "--workdir", str(tmp_path), "-k", "set_env")
    assert told.returncode == 0, told.stdout + told.stderr
    cells = {part.partition("]")[0]: part for part in told.stdout.split("[testenv:")[1:]}
    given = {name: re.findall(r"PYTEST_ADDOPTS=(.*)", part) for name, part in cells.items()}
    checked = {name for name, options in given.items() if options}
    assert checked == {name for name in cells if name.endswith("-checked")}
    assert {name.split("-")[1] for name in checked} == {"reference", "proofs", "deep"}
    ((option,),) = {tuple(options) for options in given.values() if options}
    (tmp_path / "test_calls.py").write_text(CALLS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_calls.py"]
    for options, passed in ((option, 2), ("", 0)):
        environment = {**os.environ, "PYTEST_ADDOPTS": options}
        said = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert f"{passed} passed" in said.stdout if passed else "2 failed" in said.stdout, said.stdout + said.stderr
