"""A pytest plugin for runs that are expected to fail: any failing example will do, a smallest one costs minutes."""

from hypothesis import Phase, settings


def pytest_configure() -> None:
    settings.register_profile("faults", settings.get_profile("dev"), phases=(Phase.explicit, Phase.generate))
    settings.load_profile("faults")
