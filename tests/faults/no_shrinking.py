"""A pytest plugin for runs that are expected to fail: any failing example will do, a smallest one costs minutes.

It also says which copy of `deep` they ran against, whatever folder their tests are in.
"""

import importlib.util
import pathlib

from hypothesis import Phase, settings


def pytest_configure() -> None:
    settings.register_profile("faults", settings.get_profile("dev"), phases=(Phase.explicit, Phase.generate))
    settings.load_profile("faults")


def pytest_report_header() -> str:
    return f"faulty sources at {pathlib.Path(importlib.util.find_spec('deep').origin).parent}"
