"""Counting mutants: on a small project with one that is noticed, one that computes the same and one that survives."""

import json
import math
import sys
from pathlib import Path

import pytest

pytest.importorskip("mutmut", reason="needs the group `mutants`")
if sys.version_info < (3, 12):
    pytest.skip("needs Python 3.12, which can say what runs", allow_module_level=True)
from faults import mutant_score, mutants, mutation

CODE = """
TABLE = {}


def twice(x):
    return x * 2


def small(x, below=3):
    return x < below


@property
def never(self):
    raise ValueError("So sad")


def table():
    return 7


def unseen(x):
    return -x


SEVEN = table()
"""
TESTS = """
import pytest

from tiny import code


def test_twice(tmp_path):
    assert code.twice(2) == 4
    assert code.twice(3) == 6


def test_small():
    assert code.small(2)
    assert not code.small(3.5)


@pytest.mark.parametrize("seven", [code.SEVEN])
def test_seven(seven):
    assert seven == 7
"""
EQUIVALENTS = """
[[equivalent]]
file = "tiny/code.py"
function = "small"
diffs = ['''
- return x < below
+ return x <= below
''']
reason = "the same, for the sake of this test"
"""
GROUP = mutants.Group("tiny", ("tiny/*.py",), ("tiny",), ("tests/test_code.py",))


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    for name, text in {
        "tiny/__init__.py": "",
        "tiny/code.py": CODE,
        "tests/test_code.py": TESTS,
        mutants.EQUIVALENTS: EQUIVALENTS,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def count(project, monkeypatch, tmp_path):
    """Run the count; returns its exit status and the log's last line of each mutant, by diff."""
    monkeypatch.setenv("PYTHONPATH", str(Path(mutants.__file__).parents[1]))
    log = tmp_path / "log" / "mutants.jsonl"

    def run(*arguments, groups=(GROUP,)):
        status = mutants.main(["--jobs", "1", "--log", str(log), *arguments], project, groups)
        lines = map(json.loads, log.read_text().splitlines()) if log.exists() else ()
        return status, {(line["function"], line["diff"]): line for line in lines}

    run.log = log
    return run


def test_every_verdict(count, project, capfd):
    status, lines = count("--all")
    said = capfd.readouterr()
    verdicts = {place: line["verdict"] for place, line in lines.items()}
    assert verdicts["twice", "- return x * 2\n+ return x / 2"] == "killed", said
    assert lines["twice", "- return x * 2\n+ return x / 2"]["test"] == "tests/test_code.py::test_twice"
    # The default of an argument, and a function that has run when the tests are loaded: files that are imported anew.
    assert verdicts["small", "- def small(x, below=3):\n+ def small(x, below=4):"] == "killed"
    assert verdicts["table", "- return 7\n+ return 8"] == "killed"
    assert verdicts["unseen", "- return -x\n+ return +x"] == "no tests"
    assert ("small", "- return x < below\n+ return x <= below") not in lines, "an equivalent one was run"
    assert status == 1, "a score below the goal"
    assert "no tests: tiny/code.py unseen" in said.out
    # Nothing is run twice; --again runs what was not noticed.
    size = len(count.log.read_text().splitlines())
    assert count("--all")[0] == 1
    assert len(count.log.read_text().splitlines()) == size
    (project / "tests" / "test_code.py").write_text(TESTS + "\n\ndef test_one():\n    assert code.unseen(1) == -1\n")
    status, lines = count("--all", "--again")
    assert lines["unseen", "- return -x\n+ return +x"]["verdict"] == "killed"


def test_functions_that_others_compile_from_their_text(count, project):
    """As marimo does the cells of a notebook: no function is seen to be entered, and yet each change is noticed."""
    (project / "tiny" / "cells.py").write_text("def cell(x):\n    return x * 2\n")
    (project / "tests" / "test_cells.py").write_text(
        "from pathlib import Path\n\nimport tiny\n\n\ndef test_cell():\n    cells = {}\n"
        "    exec(Path(tiny.__file__).with_name('cells.py').read_text(), cells)\n    assert cells['cell'](3) == 6\n"
    )
    cells = GROUP._replace(name="cells", sources=("tiny/cells.py",), tests=("tests/test_cells.py",), from_text=True)
    status, lines = count("--all", "tiny/cells.py", groups=(cells, GROUP))
    assert (status, {line["verdict"] for line in lines.values()}) == (0, {"killed"})
    # A file belongs to the first group that takes it: the other one's tests never see it.
    chosen = mutants.chosen_files(project, (cells, GROUP), ())
    assert chosen == {cells: ["tiny/cells.py"], GROUP: ["tiny/__init__.py", "tiny/code.py"]}


def test_a_test_that_fails_without_a_mutant_is_an_error(count, project, capfd):
    (project / "tests" / "test_code.py").write_text(TESTS + "\n\ndef test_wrong():\n    assert code.twice(1) == 3\n")
    assert count("--all")[0] == 2
    said = capfd.readouterr().err
    assert "1 tests fail without a mutant" in said
    assert "test_wrong" in said


def test_a_test_file_that_cannot_be_loaded_is_an_error(count, project, capfd):
    (project / "tests" / "test_code.py").write_text("from tiny import nothing\n")
    assert count("--all")[0] == 2
    assert "tiny: 1 test files cannot be loaded" in capfd.readouterr().err


def test_an_entry_that_no_mutant_answers_to_is_an_error(count, project, capfd):
    (project / mutants.EQUIVALENTS).write_text(EQUIVALENTS.replace("x <= below", "x >= below"))
    assert count("--all")[0] == 2
    assert "1 entries match no mutant" in capfd.readouterr().err


def test_an_entry_without_a_reason_is_an_error(count, project, capfd):
    (project / mutants.EQUIVALENTS).write_text(EQUIVALENTS.replace("the same, for the sake of this test", ""))
    assert count("--all")[0] == 2
    assert "lacks ['reason']" in capfd.readouterr().err


def test_an_entry_that_a_test_notices_is_an_error(count, project, capfd):
    (project / mutants.EQUIVALENTS).write_text(
        EQUIVALENTS.replace("small", "twice").replace("x < below", "x * 2").replace("x <= below", "x / 2")
    )
    made, _ = mutation.mutants("tiny/code.py", CODE)
    count.log.parent.mkdir()
    for mutant in made:
        line = {**mutant._asdict(), "id": mutant.id, "verdict": "killed", "test": "test_twice"}
        with count.log.open("a") as log:
            log.write(json.dumps(line) + "\n")
    assert count("--all")[0] == 2
    assert "listed as equivalent, yet noticed" in capfd.readouterr().err


def test_a_pattern_without_a_file_is_an_error(count, capfd):
    assert count("other/*.py")[0] == 2
    assert "no source file matches ['other/*.py']" in capfd.readouterr().err


def test_every_mutant_is_one_change_that_compiles():
    made, left_out = mutation.mutants("tiny/code.py", CODE)
    assert left_out == 3, "the message of `never`, changed in three ways"
    assert len({mutant.id for mutant in made}) == len(made)
    for mutant in made:
        text = mutant.planted(CODE)
        compile(text, "code.py", "exec")
        assert text != CODE
    assert {mutant.function for mutant in made} == {"twice", "small", "never", "table", "unseen"}


def test_methods_that_are_the_same_are_told_apart_by_their_place():
    method = """
    def half(self):
        return self.x / 2
"""
    code = f"class First:{method}\n\nclass Second:{method}"
    made, _ = mutation.mutants("tiny/code.py", code)
    changed = {mutant.function: mutant.planted(code).partition("class Second") for mutant in made}
    assert changed.keys() == {"First.half", "Second.half"}
    first, _, rest = changed["First.half"]
    assert method not in first
    assert rest.endswith(method)
    first, _, rest = changed["Second.half"]
    assert method in first
    assert not rest.endswith(method)
    assert len({mutant.line for mutant in made}) == 2


def test_a_sample_is_decided_by_its_seed():
    made, _ = mutation.mutants("tiny/code.py", CODE)
    first, second = mutation.in_random_order(made, 0), mutation.in_random_order(made[::-1], 0)
    assert first == second
    assert sorted(first) == sorted(made)
    assert mutation.in_random_order(made, 1) != first
    # A change of one function leaves the order of the others as it was.
    edited, _ = mutation.mutants("tiny/code.py", CODE.replace("x * 2", "x * 3"))
    kept = [mutant.id for mutant in mutation.in_random_order(edited, 0) if mutant.function != "twice"]
    assert kept == [mutant.id for mutant in first if mutant.function != "twice"]


@pytest.mark.parametrize(("hits", "of"), [(0, 9), (9, 9), (7, 9), (1, 150), (140, 150)])
def test_the_interval_is_exact(hits, of):
    """Each end is where the tail of the binomial law is 2.5 %, to the rounding of the sum and of the inverse."""
    low, high = mutant_score.interval(hits, of)
    eps = sys.float_info.epsilon

    def tail(p, counts):
        return math.fsum(math.comb(of, k) * p**k * (1 - p) ** (of - k) for k in counts)

    # An end is known to a few roundings; the tail's derivative with respect to p is at most `of`.
    slack = 8 * of * eps * (of + 1)
    assert (low == 0.0) if hits == 0 else abs(tail(low, range(hits, of + 1)) - 0.025) <= slack
    assert (high == 1.0) if hits == of else abs(tail(high, range(hits + 1)) - 0.025) <= slack
