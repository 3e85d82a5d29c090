"""The page about other people's packages must show what a run saw, no more, and must fail where it ought to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from contract import deviations, protocol
from others import __main__ as command
from others.packages import Package
from others.verdicts import Comparison, State, Verdict, column

TESTS = Path(__file__).parents[1]
# Any installed distribution will do: these packages are not looked at, only that they are there.
THERE, ABSENT = "numpy", "no-such-distribution"
POLYAK = ("SAC-23", "Polyak average")

WRONG = """
from contract.protocol import Implementation
nothing = Implementation(name="Nothing")
wrong = Implementation(name="Wrong", polyak=lambda online, target, tau: tau * online - (1 - tau) * target)
"""


def entry(holds=True, error=1e-9, bound=1e-8, id="SAC-23", quantity="Polyak average", **more):
    """One row as a survey writes it."""
    common = {"id": id, "quantity": quantity, "error": error, "bound": bound, "holds": holds, "exact": False}
    return common | {"reason": "rounding", "comparisons": 3} | more


def survey(folder, name, *tests):
    """A survey file; each test is (outcome, message, rows)."""
    content = [
        {"test": f"tests/contract/test_targets.py::test_{k}", "outcome": outcome, "message": message, "rows": rows}
        for k, (outcome, message, rows) in enumerate(tests)
    ]
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"name": name, "specification": "x:y", "tests": content}))
    return path


def made(folder, name, *tests, version="1.0"):
    return column(Package(name, name, name, "all of it"), survey(folder, name, *tests), version, 1.0)


def comparison(*columns, listed=()):
    return Comparison(tuple(columns), tuple(listed), "revision", "today")


def line(name="Wrong", id="SAC-23", quantity="Polyak average", number=1):
    return deviations.Deviation(name, id, quantity, "on purpose", number)


@pytest.mark.parametrize("text", ["a | b | c", "a | b | | d", "only words", "a | b | c | d\na | b | c | again"])
def test_lines_that_say_too_little_or_twice_are_refused(tmp_path, text):
    path = tmp_path / "deviations.txt"
    path.write_text(f"# a remark\n\n{text}\n")
    with pytest.raises(ValueError, match=r"deviations\.txt:[34]: "):
        deviations.read(path)


def test_the_shipped_lines_can_be_read_and_name_packages_that_are_surveyed():
    names = {package.name for package in command.PACKAGES}
    assert {found.name for found in deviations.read(command.LISTED)} <= names


def test_what_deviates_must_be_listed_and_what_is_listed_must_deviate(tmp_path):
    wrong = made(tmp_path, "Wrong", ("passed", "", [entry(holds=False, error=2.0)]))
    assert comparison(wrong, listed=[line()]).problems() == []
    assert comparison(wrong, listed=[line()]).verdict(wrong, POLYAK) is Verdict.KNOWN
    (unlisted,) = comparison(wrong).problems()
    assert "Polyak average [SAC-23] deviates and is not listed" in unlisted
    right = made(tmp_path, "Wrong", ("passed", "", [entry()]))
    (idle,) = comparison(right, listed=[line(number=7)]).problems()
    assert idle.startswith("line 7: no broken row matches Wrong | SAC-23")
    (stranger,) = comparison(right, listed=[line(name="Nobody")]).problems()
    assert "Nobody" in stranger


def test_a_package_that_is_not_installed_says_so_and_its_lines_wait(tmp_path):
    absent = column(Package("Wrong", ABSENT, "wrong", ""), tmp_path / "none.json", None, 0.0)
    right = made(tmp_path, "Right", ("passed", "", [entry()]))
    both = comparison(absent, right, listed=[line()])
    assert both.verdict(absent, POLYAK) is Verdict.NOT_INSTALLED
    assert both.problems() == []
    assert f"{ABSENT} is not installed" in command.summary(both)
    assert comparison(absent).problems() == ["not one package was held against the contract"]


def test_a_test_that_is_left_out_vouches_for_nothing(tmp_path):
    right = made(tmp_path, "Right", ("passed", "", [entry()]))
    without = made(tmp_path, "Without", ("skipped", "Without: polyak is not offered", [entry()]))
    both = comparison(right, without)
    assert both.verdict(without, POLYAK) is Verdict.NOT_OFFERED
    assert both.counts(without)[Verdict.AGREES] == 0


def test_an_exception_or_a_crash_is_a_problem(tmp_path):
    right = made(tmp_path, "Right", ("passed", "", [entry()]))
    raising = made(tmp_path, "Raising", ("failed", "TypeError: no such argument", []))
    both = comparison(right, raising)
    assert both.verdict(raising, POLYAK) is Verdict.NOT_REACHED
    assert any("TypeError: no such argument" in problem for problem in both.problems())
    crashed = column(Package("Crashed", THERE, "crashed", ""), tmp_path / "none.json", "1.0", 1.0)
    assert crashed.state is State.CRASHED
    assert any("crashed" in problem for problem in comparison(crashed).problems())


def test_the_worst_of_several_tests_is_shown(tmp_path):
    rows = [
        ("passed", "", [entry(error=1e-9)]),
        ("passed", "", [entry(holds=False, error=3.0)]),
        ("passed", "", [entry()]),
    ]
    row = made(tmp_path, "Wrong", *rows).rows[POLYAK]
    assert (row.holds, row.error, row.comparisons) == (False, 3.0, 9)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    """A search path with a module of two adapters, one that offers nothing and one with a planted sign."""
    folder = tmp_path_factory.mktemp("adapters")
    (folder / "planted.py").write_text(WRONG)
    return os.pathsep.join([str(folder), str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])


def planted(attribute, name):
    class Planted(Package):
        specification = f"planted:{attribute}"

    return Planted(name, THERE, attribute, "a planted one")


def test_a_planted_sign_is_reported_with_its_size_and_lines_that_show_it(adapters, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", adapters)
    tests = TESTS / "contract" / "test_targets.py"
    wrong = command.surveyed(planted("wrong", "Wrong"), tmp_path, "polyak", tests)
    row = wrong.rows[POLYAK]
    assert not row.holds
    assert row.error > row.bound
    # What the reproduction printed when it was executed is the error of the row, to the last bit.
    words = row.printed.split()
    theirs, exact = (float(words[words.index(word) + 1]) for word in ("theirs", "exact"))
    assert abs(theirs - exact) == row.error
    seen = comparison(wrong)
    assert command.page.render(seen).count("DEVIATES") + command.markdown.render(seen).count("not listed") > 1
    assert row.reproduction in command.markdown.render(seen)


def test_an_adapter_that_offers_nothing_agrees_with_nothing(adapters, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", adapters)
    tests = TESTS / "contract" / "test_targets.py"
    nothing = command.surveyed(planted("nothing", "Nothing"), tmp_path, None, tests)
    assert (nothing.state, nothing.rows, nothing.failures) == (State.RAN, {}, ())
    right = made(tmp_path, "Right", ("passed", "", [entry()]))
    both = comparison(right, nothing)
    assert both.counts(nothing)[Verdict.NOT_OFFERED] == len(both.lines()) == 1


def test_pytest_excuses_what_is_listed_and_reports_lines_without_a_row(adapters, tmp_path):
    listed = tmp_path / "deviations.txt"
    listed.write_text("Wrong | SAC-23 | Polyak average | a planted sign\nWrong | RL-15 | TD error | never seen\n")
    options = ["-q", "-o", "addopts=", "--import-mode=importlib", "-p", "no:cacheprovider", "-k", "test_polyak"]
    options += ["--implementation", "planted:wrong", "--deviations", str(listed)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(TESTS / "contract" / "test_targets.py")],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": adapters},
        cwd=TESTS.parent,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert "1 passed" in done.stdout  # the row that deviates is excused
    assert f"{listed}:2: no broken row matches RL-15 | TD error" in done.stdout


def test_an_implementation_is_printed_by_its_name_alone():
    assert repr(protocol.Implementation(name="Wrong", polyak=print)) == "<Implementation Wrong>"
