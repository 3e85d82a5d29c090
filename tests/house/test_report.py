"""The report must never call a run good that it did not see end well."""

import ast
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report import __main__ as command
from report import machine, markdown, page, sources
from report.cells import Cell, Row, State, read
from report.matrix import Matrix
from report.sources import Place, Sources, Statement

CONTRACT = command.ROOT / "tests" / "contract" / "conftest.py"


def row(id="JS-04", quantity="relaxed weights", error=1e-12, bound=1e-10, exact=False):
    return {
        "id": id,
        "quantity": quantity,
        "error": error,
        "bound": bound,
        "reason": "rounding of a sum",
        "exact": exact,
        "comparisons": 25,
    }


def leave_status(folder: Path, cell: str, state="finished", exit_code=0, tests=True, reason=""):
    status = {"cell": cell, "state": state, "reason": reason, "exit_code": exit_code, "seconds": 1.5, "tests": tests}
    (folder / f"{cell}.json").write_text(json.dumps(status))


def leave_junit(folder: Path, cell: str, *cases, left_out=()):
    """Each case is (test, outcome, message, rows), with the outcome being a JUnit tag or "passed"."""
    suite = ElementTree.Element("testsuite")
    properties = ElementTree.SubElement(suite, "properties")
    ElementTree.SubElement(properties, "property", name="jax", value="0.12.0")
    names = json.dumps([f"tests.contract.test_weights::{name}" for name in left_out])
    ElementTree.SubElement(properties, "property", name="left out", value=names)
    for name, outcome, message, rows in cases:
        case = ElementTree.SubElement(suite, "testcase", classname="tests.contract.test_weights", name=name)
        properties = ElementTree.SubElement(case, "properties")
        for entry in rows:
            ElementTree.SubElement(properties, "property", name="row", value=json.dumps(entry))
        if outcome != "passed":
            ElementTree.SubElement(case, outcome, message=message)
    ElementTree.ElementTree(suite).write(folder / f"{cell}.xml")


def leave_session(folder: Path, cells, selected=None):
    content = {"cells": list(cells), "selected": list(cells if selected is None else selected)}
    (folder / "session.json").write_text(json.dumps(content))


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Run the report over what a test left in `run.source`; returns status, printed text and the Markdown."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(command, "ROOT", tmp_path)  # reading the whole repository takes seconds

    class Run:
        source = tmp_path / "junit"
        target = tmp_path / "matrix"

        def __call__(self):
            status = command.main(["--from", str(self.source), "--to", str(self.target)])
            return status, capsys.readouterr().out, (self.target / "matrix.md").read_text(encoding="utf-8")

    Run.source.mkdir()
    return Run()


def good_cell(folder, name, *rows):
    leave_status(folder, name)
    leave_junit(folder, name, ("test_weights", "passed", "", rows or [row()]))


def test_a_green_run_is_green(run):
    for name in ("py311-deep-f64", "py312-deep-f64"):
        good_cell(run.source, name)
    leave_status(run.source, "lint", tests=False)
    leave_session(run.source, ["lint", "py311-deep-f64", "py312-deep-f64"])
    status, printed, text = run()
    assert status == 0
    assert printed.splitlines()[-1] == "3 passed, 0 failed, 0 skipped"
    assert "✓ 1.0e-12 ≤ 1.0e-10" in text
    assert "Broken" not in text
    assert "0.12.0" in text


def test_broken_in_exactly_one_cell_comes_first(run):
    bad = row(error=3e-9)
    for name in ("py311-deep-f64", "py312-deep-f64"):
        good_cell(run.source, name, row(), row(id="JS-10"))
    leave_status(run.source, "py312-deep-f32", exit_code=1)
    message = "AssertionError: relaxed weights [JS-04]: largest error"
    leave_junit(run.source, "py312-deep-f32", ("test_weights", "failure", message, [bad, row(id="JS-10")]))
    leave_session(run.source, ["py311-deep-f64", "py312-deep-f64", "py312-deep-f32"])
    status, printed, text = run()
    assert status == 1
    assert printed.splitlines()[-1] == "2 passed, 1 failed, 0 skipped"
    first = text.index("## Broken in exactly one cell")
    assert first < text.index("## Cells")
    line = text[first:].splitlines()[2]
    for word in ("relaxed weights [JS-04]", "3.0e-09", "1.0e-10", "rounding of a sum", "py312-deep-f32", "2 others"):
        assert word in line
    assert "✗ 3.0e-09 > 1.0e-10" in text
    # The same test measured JS-10 as well, and that one held.
    assert "[JS-10]" not in text[first : text.index("## Cells")]


def test_broken_in_several_cells(run):
    for name in ("py311-deep-f64", "py312-deep-f64"):
        leave_status(run.source, name, exit_code=1)
        leave_junit(run.source, name, ("test_weights", "failure", "AssertionError", [row(error=1.0)]))
    leave_session(run.source, ["py311-deep-f64", "py312-deep-f64"])
    status, printed, text = run()
    assert status == 1
    assert "## Broken in several cells" in text
    assert "exactly one cell" not in text + printed.lower()


@pytest.mark.parametrize("error", [float("nan"), float("inf")])
def test_an_error_that_is_no_number_is_broken(run, error):
    leave_status(run.source, "py311-deep-f64", exit_code=1)
    leave_junit(run.source, "py311-deep-f64", ("test_weights", "failure", "AssertionError", [row(error=error)]))
    leave_session(run.source, ["py311-deep-f64"])
    status, _, text = run()
    assert status == 1
    assert f"✗ {error} > 1.0e-10" in text
    assert f"error {error}, bound 1.0e-10" in text


def test_a_test_that_fails_without_a_broken_row_vouches_for_none(run):
    leave_status(run.source, "py311-deep-f64", exit_code=1)
    leave_junit(run.source, "py311-deep-f64", ("test_weights", "failure", "TypeError: no such leaf", [row()]))
    leave_session(run.source, ["py311-deep-f64"])
    status, _, text = run()
    assert status == 1
    assert "✗ 1.0e-12 ≤ 1.0e-10" in text
    assert "what it measured holds, but the test that measured it failed" in text
    assert "TypeError: no such leaf" in text


def test_a_yes_no_row_shows_no_numbers(run):
    statement = row(id="KEY-01", quantity="keys are distinct", error=0.0, bound=0.0, exact=True)
    good_cell(run.source, "py311-deep-f64", statement)
    leave_session(run.source, ["py311-deep-f64"])
    status, _, text = run()
    assert status == 0
    assert "| KEY-01 | keys are distinct | ✓ |" in text


def test_a_cell_that_crashed_before_pytest_wrote_its_file(run):
    good_cell(run.source, "py311-deep-f64")
    leave_status(run.source, "py312-deep-f64", exit_code=-11)
    leave_session(run.source, ["py311-deep-f64", "py312-deep-f64"])
    status, printed, text = run()
    assert status == 1
    assert "CRASHED" in text
    assert "ended with exit code -11 (signal 11) before pytest wrote its file" in text
    assert printed.splitlines()[-1] == "1 passed, 1 failed, 0 skipped"


@pytest.mark.parametrize("content", ["", "<testsuites><testsuite", "<testsuites></testsuites>"])
def test_a_cell_whose_file_is_torn(run, content):
    leave_status(run.source, "py312-deep-f64", exit_code=1)
    (run.source / "py312-deep-f64.xml").write_text(content)
    leave_session(run.source, ["py312-deep-f64"])
    status, _, text = run()
    assert status == 1
    assert "CRASHED" in text
    assert "unreadable" in text


def test_a_cell_with_an_unreadable_row_is_not_green(run):
    leave_status(run.source, "py312-deep-f64")
    leave_junit(run.source, "py312-deep-f64", ("test_weights", "passed", "", [{"id": "JS-04"}]))
    leave_session(run.source, ["py312-deep-f64"])
    status, _, text = run()
    assert status == 1
    assert "CRASHED" in text


def test_a_cell_that_was_interrupted(run):
    good_cell(run.source, "py311-deep-f64")
    leave_status(run.source, "py312-deep-f64", state="interrupted", exit_code=None)
    leave_session(run.source, ["py311-deep-f64", "py312-deep-f64"])
    assert run()[0] == 1


def test_a_cell_that_could_not_be_installed(run):
    good_cell(run.source, "py311-deep-f64")
    leave_status(run.source, "py312-deep-f64", state="set-up failed", exit_code=None, reason="no wheel for mujoco")
    leave_session(run.source, ["py311-deep-f64", "py312-deep-f64"])
    status, _, text = run()
    assert status == 1
    assert "NOT INSTALLED. no wheel for mujoco" in text


def test_a_selected_cell_that_left_nothing_fails_the_run(run):
    good_cell(run.source, "py311-deep-f64")
    leave_session(run.source, ["py311-deep-f64", "py312-deep-f64"])
    status, printed, text = run()
    assert status == 1
    assert "NO TRACE" in text
    assert printed.splitlines()[-1] == "1 passed, 1 failed, 0 skipped"


@pytest.mark.parametrize(("ci", "expected"), [("", 0), ("true", 1)])
def test_a_missing_interpreter_is_shown_and_fails_only_where_completeness_was_promised(run, monkeypatch, ci, expected):
    if ci:
        monkeypatch.setenv("CI", ci)
    good_cell(run.source, "py311-deep-f64")
    reason = "could not find python interpreter with spec(s): py313"
    leave_status(run.source, "py313-deep-f64", state="no interpreter", exit_code=None, reason=reason)
    leave_session(run.source, ["py311-deep-f64", "py313-deep-f64"])
    status, printed, text = run()
    assert status == expected
    assert "NOT RUN: no interpreter" in text
    assert reason in text
    assert "| JS-04 | relaxed weights | ✓ 1.0e-12 ≤ 1.0e-10 | ? |" in text
    assert printed.splitlines()[-1] == ("1 passed, 1 failed, 0 skipped" if ci else "1 passed, 0 failed, 1 skipped")


def test_a_run_in_which_nothing_ran_is_not_green(run):
    leave_status(run.source, "py313-deep-f64", state="no interpreter", exit_code=None)
    leave_session(run.source, ["py313-deep-f64"])
    status, printed, _ = run()
    assert status == 1
    assert "1 failed" in printed.splitlines()[-1]


def test_a_cell_that_nobody_selected_is_shown_and_does_not_fail(run):
    good_cell(run.source, "py311-deep-f64")
    leave_session(run.source, ["py311-deep-f64", "py312-deep-f64"], selected=["py311-deep-f64"])
    status, _, text = run()
    assert status == 0
    assert "NOT RUN: not selected" in text


def test_a_stale_file_speaks_for_nobody(run):
    good_cell(run.source, "py311-deep-f64")
    leave_junit(run.source, "py312-deep-f64", ("test_weights", "passed", "", [row()]))  # of an earlier, interrupted run
    leave_session(run.source, ["py311-deep-f64", "py312-deep-f64"])
    status, _, text = run()
    assert status == 1
    assert "NO TRACE" in text
    assert [path.name for path in run.source.iterdir()] == ["verdict.txt"], "what was read is deleted"


def test_a_second_report_does_not_repeat_the_first(run, capsys):
    good_cell(run.source, "py311-deep-f64")
    leave_session(run.source, ["py311-deep-f64"])
    assert run()[0] == 0
    assert command.main(["--from", str(run.source), "--to", str(run.target)]) == 2
    assert "session.json" in capsys.readouterr().err


def test_a_skipped_test_is_skipped_and_not_passed(run):
    leave_status(run.source, "py311-deep-f64")
    leave_junit(
        run.source,
        "py311-deep-f64",
        ("test_gumbel", "passed", "", [row(id="GUM-01", quantity="value")]),
        ("test_weights", "skipped", "needs a conic solver", [row()]),
    )
    leave_session(run.source, ["py311-deep-f64"])
    status, printed, text = run()
    assert status == 0
    assert printed.splitlines()[-1] == "1 passed, 0 failed, 1 skipped"
    assert "∼ 1.0e-12" in text
    assert "needs a conic solver" in text


def test_a_line_that_one_cell_left_out_is_not_an_empty_one(run):
    rows = [row(quantity="quick"), row(quantity="thorough")]
    leave_status(run.source, "py312-reference")
    leave_junit(
        run.source, "py312-reference", ("test_quick", "passed", "", rows[:1]), left_out=["test_long", "test_never"]
    )
    leave_status(run.source, "py313-reference")
    leave_junit(
        run.source, "py313-reference", ("test_quick", "passed", "", rows[:1]), ("test_long", "passed", "", rows[1:])
    )
    leave_session(run.source, ["py312-reference", "py313-reference"])
    status, _, text = run()
    assert status == 0
    lines = {line.split("|")[2].strip(): line.split("|")[3:5] for line in text.splitlines() if "| JS-04 |" in line}
    assert [entry.strip() for entry in lines["thorough"]] == ["–", "✓ 1.0e-12 ≤ 1.0e-10"]
    assert [entry.strip() for entry in lines["quick"]] == ["✓ 1.0e-12 ≤ 1.0e-10"] * 2
    cells = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    assert {line[1].strip(" `"): line[-2].strip() for line in cells} == {"py312-reference": "2", "py313-reference": ""}
    # What one cell leaves out and none runs is not hidden behind those that do.
    everywhere = text.split("## Left out of every cell that ran")[1]
    assert "test_never" in everywhere
    assert "test_long" not in everywhere
    html, seen = ((run.target / f"matrix.{kind}").read_text(encoding="utf-8") for kind in ("html", "json"))
    assert html.count(">–</td>") == 1
    assert "<li>tests.contract.test_weights::test_never</li>" in html
    assert [len(entry["left_out"]) for entry in json.loads(seen)["cells"]] == [2, 0]


def test_a_cell_in_which_every_test_was_skipped_is_broken(run):
    leave_status(run.source, "py311-deep-f64")
    leave_junit(run.source, "py311-deep-f64", ("test_weights", "skipped", "needs JAX", []))
    leave_session(run.source, ["py311-deep-f64"])
    status, _, text = run()
    assert status == 1
    assert "not one test passed" in text


def test_a_cell_whose_program_the_machine_lacks_did_not_run(run, monkeypatch):
    """It is neither passed nor broken, even where a complete matrix was promised: pip installs no browser."""
    reason = "not run: this machine has no Chromium"
    for promised in (None, "true"):
        good_cell(run.source, "py311-deep-f64")
        leave_status(run.source, "py312-browser")
        leave_junit(run.source, "py312-browser", *((name, "skipped", reason, []) for name in ("test_a", "test_b")))
        leave_session(run.source, ["py311-deep-f64", "py312-browser"])
        if promised:
            monkeypatch.setenv("CI", promised)
        status, printed, text = run()
        assert status == 0
        assert "NOT RUN: a program is missing" in text
        assert reason in text
        assert printed.splitlines()[-1] == "1 passed, 0 failed, 1 skipped"


def test_a_program_that_is_missing_excuses_no_other_skipped_test(run):
    leave_status(run.source, "py312-browser")
    reasons = ("not run: this machine has no Chromium", "needs JAX")
    leave_junit(run.source, "py312-browser", *((f"test_{r[-1]}", "skipped", r, []) for r in reasons))
    leave_session(run.source, ["py312-browser"])
    status, _, text = run()
    assert status == 1
    assert "not one test passed" in text


def test_exit_code_and_file_must_agree(run):
    leave_status(run.source, "py311-deep-f64", exit_code=3)
    leave_junit(run.source, "py311-deep-f64", ("test_weights", "passed", "", [row()]))
    leave_session(run.source, ["py311-deep-f64"])
    status, _, text = run()
    assert status == 1
    assert "no test failed, yet it ended with exit code 3" in text


def test_a_test_that_fails_and_then_errs_is_one_failure(run):
    leave_status(run.source, "py311-deep-f64", exit_code=1)
    leave_junit(
        run.source,
        "py311-deep-f64",
        ("test_weights", "failure", "AssertionError", []),
        ("test_weights", "error", "failed on teardown", []),
    )
    leave_session(run.source, ["py311-deep-f64"])
    assert run()[1].splitlines()[-1] == "0 passed, 1 failed, 0 skipped"


def test_a_check_without_tests_is_judged_by_its_exit_code(run):
    leave_status(run.source, "lint", exit_code=1, tests=False)
    leave_status(run.source, "types", exit_code=0, tests=False)
    leave_session(run.source, ["lint", "types"])
    status, printed, _ = run()
    assert status == 1
    assert printed.splitlines()[-1] == "1 passed, 1 failed, 0 skipped"


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"state": "finished"}'])
def test_an_unreadable_status_is_not_green(tmp_path, content):
    (tmp_path / "lint.json").write_text(content)
    assert read("lint", tmp_path).state is State.NO_TRACE


def cell(name, *rows, state=State.OK, reason=""):
    measured = {(entry.id, entry.quantity): entry for entry in rows}
    return Cell(name, state, reason, passed=1, rows=measured)


def measured(id, quantity="q", error=0.5, bound=1.0, broken=False):
    return Row(id, quantity, error, bound, "why", False, 1, "tests::test", broken, False)


def test_lines_are_grouped_by_chapter_and_ordered_by_number():
    matrix = Matrix((cell("a", measured("JS-10"), measured("JS-9"), measured("GUM-01")),), "abc", "today")
    assert list(matrix.chapters()) == ["GUM", "JS"]
    assert [key[0] for key in matrix.chapters()["JS"]] == ["JS-9", "JS-10"]


def test_the_worst_of_a_line_is_kept_and_comparisons_add_up():
    close, far = measured("JS-09", error=0.9), measured("JS-09", error=0.1, bound=0.2)
    assert close.merged(far) == far.merged(close)
    assert close.merged(far).error == 0.9
    assert close.merged(far).comparisons == 2
    broken = measured("JS-09", error=0.0, broken=True)
    assert close.merged(broken).broken


class Tags(HTMLParser):
    """Collects tags and attributes, and holds that what is opened is closed."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.links, self.open = set(), set(), set(), []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        self.links |= {value for name, value in attributes if name == "href"}
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_escapes_what_it_shows():
    wicked = measured("JS-09", quantity="<script>alert(1)</script>", error=2.0, broken=True)
    tags = Tags()
    place = Place("<script>", "reference/a.py", 3)
    found = Sources({"JS-09": Statement("1 < 2 & <script>", "<b>", place)}, {"JS-09": (place,)})
    tags.feed(page.render(Matrix((cell("a", wicked), cell("b", state=State.CRASHED)), "abc", "today"), found))
    assert not tags.open
    assert not tags.tags & {"script", "link", "img", "iframe", "object", "b"}
    assert not tags.attributes & {"src", "onload"}
    assert tags.links == {"../../reference/a.py#L3"}


def test_an_id_leads_to_its_claim_its_functions_and_its_test(tmp_path):
    files = {
        "proofs/js/sigmoid.py": '@claim("JS-05", source="002", statement="It " "is a sigmoid.", formula="w = s")\n'
        "def js_05(case): ...\n",
        "reference/weights.py": '"""Weights."""\n\n\ndef weigh():\n    """Weights of a law (JS-04, JS-05)."""\n',
        "deep/losses.py": "def loss():\n    return 'JS-05'\n",
        "tests/contract/conftest.py": '"""The contract.\n\n    UP-01  one whole update\n    RT-01, RT-02  returns,\n'
        '           of both kinds\n"""\n',
        "tests/contract/test_weights.py": "def test_ratio(offered):\n    pass\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = sources.read(tmp_path)
    claim = Place("the claim JS-05", "proofs/js/sigmoid.py", 1)
    assert found.statements["JS-05"] == Statement("It is a sigmoid.", "w = s", claim)
    assert found.statements["UP-01"].text == "one whole update"
    assert found.statements["RT-01"].text == found.statements["RT-02"].text == "returns, of both kinds"
    weigh = Place("reference.weights.weigh", "reference/weights.py", 4)
    assert found.functions == {"JS-04": (weigh,), "JS-05": (weigh,)}
    test = Place("test_ratio", "tests/contract/test_weights.py", 1)
    assert found.test("tests.contract.test_weights::test_ratio[kl]") == test
    assert found.test("tests.contract.test_weights::test_other") is None


def test_every_id_of_the_contract_is_stated_somewhere():
    stated, docstring = sources.read(command.ROOT).statements, ast.get_docstring(ast.parse(CONTRACT.read_text()))
    assert set(re.findall(r"\b[A-Z]{2,4}-\d+\b", docstring)) <= set(stated)


def test_faults_that_were_caught_are_a_table(tmp_path):
    fault = {"id": "BT02", "what": "mask | missing", "file": "deep/losses.py", "tests": "test_targets.py"}
    fault |= {"precision": "f32", "message": "critic target [SAC-05]: <b> off by 3", "seconds": 7.4}
    leave_status(tmp_path, "py312-faults")
    leave_junit(tmp_path, "py312-faults", ("test_fault_is_caught[BT02-f32]", "passed", "", []))
    junit = tmp_path / "py312-faults.xml"
    tree = ElementTree.parse(junit)
    properties = next(tree.getroot().iter("testcase")).find("properties")
    ElementTree.SubElement(properties, "property", name="fault", value=json.dumps(fault))
    tree.write(junit)
    matrix = Matrix((read("py312-faults", tmp_path),), "abc", "today")
    text, html = markdown.render(matrix), page.render(matrix, Sources())
    line = "| BT02 mask \\| missing | `deep/losses.py` | critic target [SAC-05]: <b> off by 3 | f32 | 7 |"
    assert line in text
    assert "Planted faults that were caught: 1" in text
    assert "critic target [SAC-05]: &lt;b&gt; off by 3" in html
    assert json.loads(machine.render(matrix, Sources()))["cells"][0]["faults"] == [fault]


def test_machines_read_the_same(tmp_path):
    rows = measured("JS-09", error=math.inf, broken=True), measured("JS-10")
    matrix = Matrix((cell("a", *rows), cell("b", state=State.CRASHED, reason="why")), "abc", "today")
    seen = json.loads(machine.render(matrix, Sources()), parse_constant=pytest.fail)
    assert [row["id"] for row in seen["rows"]] == ["JS-09", "JS-10"]
    assert seen["rows"][0]["cells"]["a"]["error"] == "inf"
    assert seen["rows"][0]["cells"]["a"]["broken"] is True
    assert [(entry["name"], entry["state"]) for entry in seen["cells"]] == [("a", "ok"), ("b", "CRASHED")]
    assert seen["holds"] is False


def test_a_pipe_does_not_break_a_table():
    text = markdown.render(Matrix((cell("a", measured("JS-09", quantity="|error| of v")),), "abc", "today"))
    assert "\\|error\\| of v" in text


@pytest.mark.parametrize(("error", "expected"), [(0.0, 0.0), (1e-9, 0.0), (1e-3, 0.5), (1.0, 1.0)])
def test_the_bar_is_logarithmic_below_the_bound(error, expected):
    assert page.filled(measured("JS-09", error=error)) == pytest.approx(expected)


def test_the_bar_of_a_broken_row_is_full():
    assert page.filled(measured("JS-09", error=float("nan"), broken=True)) == 1.0
