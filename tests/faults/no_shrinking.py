"""A pytest plugin for runs that are expected to fail: any failing example will do, a smallest one costs minutes.

It also says which copy of `deep` is under test, for tests outside the contract.
"""

import importlib.util
import pathlib

from hypothesis import Phase, settings


def pytest_configure() -> None:
    settings.register_profile("faults", settings.get_profile("dev"), phases=(Phase.explicit, Phase.generate))
    settings.load_profile("faults")


def pytest_report_header() -> str:
    found = importlib.util.find_spec("deep")
    where = pathlib.Path(found.origin).parent if found and found.origin else "nowhere"
    return f"faults: deep's sources at {where}"
