"""Which tests a cell's own command left out (`-m`, `-k`, `--quick`): the report must not show their lines as empty."""

from __future__ import annotations

import json

import pytest

PROPERTY = "left out"  # of the test suite in the JUnit file: a list of tests, named as that file names those that ran
_NAMES = pytest.StashKey[list[str]]()


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Keep the names of the tests that were collected and will not run."""
    for item in items:
        path, _, test = item.nodeid.partition("::")
        name = f"{path.removesuffix('.py').replace('/', '.')}::{test}"
        item.config.stash.setdefault(_NAMES, []).append(name)


@pytest.fixture(autouse=True, scope="session")
def write_left_out(record_testsuite_property, request: pytest.FixtureRequest) -> None:
    """Leave the names in the JUnit file."""
    record_testsuite_property(PROPERTY, json.dumps(request.config.stash.get(_NAMES, [])))
