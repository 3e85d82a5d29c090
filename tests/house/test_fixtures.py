"""The `row` and `variant` fixtures fail when they should, and what they write is what the report reads."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from report.cells import State, read
from rows import Rows
from variants import transformed

pytest_plugins = ["pytester"]


@pytest.fixture
def inner(pytester):
    """Run a test file of its own through pytest, with the fixtures loaded and nothing else of this suite.

    In this process, so the file must not be the first to import JAX: it cannot be loaded twice.
    """
    options = ("-p", "rows", "-p", "variants", "-p", "left_out", "-p", "no:randomly", "-o", "junit_family=xunit1")

    def run(source, *more):
        pytester.makepyfile(source)
        return pytester.runpytest_inprocess(*options, "--junit-xml=cell.xml", *more)

    return run


def test_holds_and_breaks():
    recorder = Rows()
    recorder("JS-04", "weights", 1.0, 1.0, "rounding")
    expected = r"weights \[JS-04\]: largest error 2\.000e\+00 exceeds bound 1\.000e\+00 \(rounding\)"
    with pytest.raises(AssertionError, match=expected):
        recorder("JS-04", "weights", 2.0, 1.0, "rounding")


@pytest.mark.parametrize("error", [float("nan"), float("inf"), np.array([0.0, np.nan])])
def test_no_number_never_holds(error):
    with pytest.raises(AssertionError, match=r"weights \[JS-04\]"):
        Rows()("JS-04", "weights", error, 1.0, "rounding")


def test_the_worst_entry_is_the_one_worst_for_its_bound():
    recorder = Rows()
    recorder("JS-04", "weights", np.array([1e-3, 5e-9]), np.array([1.0, 1e-8]), "per entry")
    recorder("JS-04", "weights", 1e-9, 1e-8, "per entry")
    (kept,) = recorder.collected()
    assert (kept.error, kept.bound, kept.comparisons) == (5e-9, 1e-8, 2)


def test_the_worst_input_is_named_bit_for_bit():
    recorder = Rows()
    recorder("FD-01", "slope", np.array([1.0, 3.0]), np.array([4.0, 4.0]), "rounding", at=np.array([2.0, 0.375]))
    (kept,) = recorder.collected()
    assert kept.reason == "rounding; worst input 0.375 = 0x1.8000000000000p-2"


def test_zero_bound_admits_zero_error_only():
    recorder = Rows()
    recorder("RPL-01", "indices", 0.0, 0.0, "integers")
    with pytest.raises(AssertionError):
        recorder("RPL-01", "indices", 1e-300, 0.0, "integers")


def test_an_error_beyond_all_multiples_of_its_bound_is_a_failing_row():
    """Their quotient overflows, which is a warning of NumPy's and must not stand in the row's place."""
    with pytest.raises(AssertionError, match=r"weights \[JS-04\]: largest error 4\.000e\+00"):
        Rows()("JS-04", "weights", np.array([4.0, 0.0]), np.array([5e-324, 5e-324]), "smallest number")


@pytest.mark.parametrize("bound", [float("inf"), float("nan"), -1.0])
def test_a_bound_that_nothing_could_break_is_refused(bound):
    with pytest.raises(ValueError, match="expected finite bounds"):
        Rows()("JS-04", "weights", 0.0, bound, "none")


@pytest.mark.parametrize(("error", "words"), [(np.zeros(0), "nothing to compare"), (-1.0, "expected errors >= 0")])
def test_a_comparison_that_could_not_fail_is_refused(error, words):
    with pytest.raises(ValueError, match=words):
        Rows()("JS-04", "weights", error, 1.0, "rounding")


def test_a_statement_fails_with_its_message():
    recorder = Rows()
    recorder.exact("KEY-01", "keys", True, "unused")
    with pytest.raises(AssertionError, match=r"keys \[KEY-01\]: key 3 is drawn from twice"):
        recorder.exact("KEY-01", "keys", False, "key 3 is drawn from twice")


def test_an_id_is_needed():
    with pytest.raises(ValueError, match="expected an id"):
        Rows().exact("", "keys", True, "unused")


def test_the_worst_of_all_examples_reaches_the_report(inner, pytester):
    result = inner(
        """
        from hypothesis import HealthCheck, given, settings, strategies as st
        @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], database=None, derandomize=True)
        @given(st.integers(0, 8))
        def test_small(row, n):
            row("JS-04", "weights", n / 10, 1.0, "why not")
        def test_broken(row):
            row("JS-05", "weights", float("nan"), 1.0, "why not")
        """
    )
    result.assert_outcomes(passed=1, failed=1)
    status = {"state": "finished", "exit_code": 1, "tests": True, "seconds": 1, "reason": ""}
    (pytester.path / "cell.json").write_text(json.dumps(status))
    cell = read("cell", pytester.path)
    assert cell.state is State.BROKEN
    held, broken = cell.rows["JS-04", "weights"], cell.rows["JS-05", "weights"]
    assert (held.error, held.bound, held.broken) == (0.8, 1.0, False)
    assert held.comparisons >= 9
    assert broken.broken


def test_what_a_cell_leaves_out_reaches_the_report_by_the_names_of_what_it_runs(inner, pytester):
    source = """
        import pytest
        @pytest.mark.parametrize("n", [1, 2, "a/b.py::c"])
        def test_small(row, n):
            row("JS-04", "weights", 0.5, 1.0, "why not")
        """
    status = {"state": "finished", "exit_code": 0, "tests": True, "seconds": 1, "reason": ""}
    (pytester.path / "cell.json").write_text(json.dumps(status))
    inner(source).assert_outcomes(passed=3)
    everything = read("cell", pytester.path)
    inner(source, "-k", "2").assert_outcomes(passed=1, deselected=2)
    cell = read("cell", pytester.path)
    assert len(everything.tests) == 3
    assert everything.left_out == frozenset()
    assert cell.left_out == everything.tests - cell.tests
    assert len(cell.left_out) == 2


def test_a_row_that_never_compares_is_an_error(inner):
    inner("def test_nothing(row): pass").assert_outcomes(passed=1, errors=1)


def test_a_skipped_or_failed_test_is_not_accused_as_well(inner):
    source = """
        import pytest
        def test_skipped(row): pytest.skip("later")
        def test_failed(row): assert False
        """
    inner(source).assert_outcomes(skipped=1, failed=1)


def twice(tree, key):
    return {"x": 2.0 * tree["x"], "noise": jax.random.normal(key, (2,))}


def test_every_variant_computes_the_same(variant):
    tree, key = {"x": jnp.arange(3.0)}, jax.random.key(0)
    seen, expected = variant(twice)(tree, key), twice(tree, key)
    assert jax.tree.structure(seen) == jax.tree.structure(expected)
    assert jax.tree.map(jnp.shape, seen) == jax.tree.map(jnp.shape, expected)
    assert jax.tree.all(jax.tree.map(lambda left, right: bool(jnp.array_equal(left, right)), seen, expected))


def test_only_eager_runs_without_tracing_and_undoes_an_inner_jit(variant):
    traced = []

    @jax.jit
    def look(x):
        traced.append(isinstance(x, jax.core.Tracer))
        return x

    variant(look)(jnp.ones(2))
    assert traced[-1] == (variant.mode != "eager")


def test_wrapping_again_compiles_nothing(variant):
    traces = []

    def look(x):
        traces.append(x)
        return x

    variant(look)(jnp.ones(2))
    first = len(traces)
    variant(look)(jnp.zeros(2))
    assert len(traces) == (2 if variant.mode == "eager" else first)


def test_an_unknown_mode_is_named():
    with pytest.raises(ValueError, match="unknown mode 'pmap'; expected one of eager, jit, vmap, scan"):
        transformed("pmap", abs)


def test_a_variant_that_is_never_called_is_an_error(inner):
    inner("def test_nothing(variant): pass").assert_outcomes(passed=4, errors=4)
