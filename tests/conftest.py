"""What every test shares: the `row` and `variant` fixtures, Hypothesis profiles, and what each cell really ran."""

from __future__ import annotations

import importlib.metadata
import os
import platform

import pytest
from hypothesis import HealthCheck, settings
from rows import pytest_runtest_makereport, row
from variants import variant

__all__ = ["pytest_runtest_makereport", "row", "variant"]

# A first example compiles, so time says nothing about the code under test. The `row` fixture is meant to see every
# example of a test, which is exactly what the suppressed health check warns about.
_COMMON = {
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}
settings.register_profile("dev", max_examples=25, **_COMMON)
settings.register_profile("ci", max_examples=25, derandomize=True, database=None, **_COMMON)
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
    jit = os.environ.get("JAX_DISABLE_JIT", "0").lower() not in ("1", "true", "yes", "on")
    versions = {name: _version(name) for name in _DISTRIBUTIONS}
    return {
        "cell": os.environ.get("TOX_ENV_NAME", "local"),
        "python": platform.python_version(),
        **versions,
        "precision": "float64" if x64 or versions["jax"] == "absent" else "float32",
        "jit": "on" if jit else "off",
        "examples": str(settings().max_examples),
    }


def pytest_report_header() -> str:
    return "cell: " + ", ".join(f"{name} {value}" for name, value in _cell().items() if value != "absent")


@pytest.fixture(autouse=True, scope="session")
def _write_cell(record_testsuite_property) -> None:
    for name, value in _cell().items():
        record_testsuite_property(name, value)
