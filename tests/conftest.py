"""What every test shares: the `row` and `variant` fixtures, Hypothesis profiles, and what each cell really ran."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from left_out import pytest_deselected, write_left_out
from rows import pytest_runtest_makereport, row
from variants import variant

__all__ = ["pytest_deselected", "pytest_runtest_makereport", "row", "variant", "write_left_out"]

# A first example compiles, so time says nothing about the code under test. The `row` fixture is meant to see every
# example of a test, which is exactly what the suppressed health check warns about.
_COMMON = {
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}
_JIT = os.environ.get("JAX_DISABLE_JIT", "0").lower() not in ("1", "true", "yes", "on")
# Without jit every operation of every example is dispatched by itself, and there are as many rounding errors to compare
# in a few examples of the same arrays as it takes to tell that the operations are the same.
_EXAMPLES = 25 if _JIT else 8
settings.register_profile("dev", max_examples=_EXAMPLES, **_COMMON)
settings.register_profile("ci", max_examples=_EXAMPLES, derandomize=True, database=None, **_COMMON)
settings.register_profile("nightly", max_examples=5000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))

_DISTRIBUTIONS = ("numpy", "scipy", "jax", "flax", "optax", "gymnasium", "mujoco", "sympy", "python-flint")


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _cell() -> dict[str, str]:
    """What this process really runs; the name of an environment is a wish, this is the fact."""
    x64 = os.environ.get("JAX_ENABLE_X64", "0").lower() in ("1", "true", "yes", "on")
    versions = {name: _version(name) for name in _DISTRIBUTIONS}
    return {
        "cell": os.environ.get("TOX_ENV_NAME", "local"),
        "python": platform.python_version(),
        **versions,
        "precision": "float64" if x64 or versions["jax"] == "absent" else "float32",
        "jit": "on" if _JIT else "off",
        "examples": str(settings().max_examples),
    }


def pytest_report_header() -> str:
    return "cell: " + ", ".join(f"{name} {value}" for name, value in _cell().items() if value != "absent")


# -- compiled programs ------------------------------------------------------------------------------------------------

_PRIVATE = pytest.StashKey[Path]()
_KEPT = 7 * 24 * 3600.0  # seconds: programs of sources that have changed since would otherwise pile up


def pytest_configure(config: pytest.Config) -> None:
    """Take over what other cells compiled, where ROER_COMPILED names a folder for it.

    XLA compiles the same program of the same jaxlib to the same code whichever Python asks, and half of a cell's time
    goes there. JAX does not write its files atomically, so every process works on a copy of its own.
    """
    shared = os.environ.get("ROER_COMPILED")
    if not shared or importlib.util.find_spec("jax") is None:
        return
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    config.stash[_PRIVATE] = private = Path(tempfile.mkdtemp(prefix="compiled-"))
    Path(shared).mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(shutil.Error):  # another process may tidy up meanwhile: what was copied will do
        shutil.copytree(shared, private, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.partial"))
    jax.config.update("jax_compilation_cache_dir", str(private))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    compilation_cache.reset_cache()  # one that an earlier session in this process opened is gone


def pytest_unconfigure(config: pytest.Config) -> None:
    private = config.stash.get(_PRIVATE, None)
    if private is None:
        return
    shared = Path(os.environ["ROER_COMPILED"])
    for file in shared.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process has renamed its partial file, or tidied up
            if time.time() - file.stat().st_mtime > _KEPT:
                file.unlink()
    for file in private.glob("*-cache"):
        if not (shared / file.name).exists():
            partial = shared / f"{file.name}.{os.getpid()}.partial"
            shutil.copy(file, partial)
            os.replace(partial, shared / file.name)
    shutil.rmtree(private, ignore_errors=True)


@pytest.fixture(autouse=True, scope="session")
def _write_cell(record_testsuite_property, request: pytest.FixtureRequest) -> None:
    for name, value in _cell().items():
        record_testsuite_property(name, value)
    if request.config.getoption("jaxtyping_packages", None):
        record_testsuite_property("calls", "checked")
