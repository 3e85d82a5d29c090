"""``presets``: the named presets and what they are."""

import dataclasses

import tyro

from deep import presets


def run(arguments: list[str]) -> int:
    """Print every preset."""

    @dataclasses.dataclass(frozen=True)
    class Presets:
        """The named presets: what each is and where it differs from the defaults."""

        explain: bool = False
        """Also print how a preset is known to deviate from what it is meant to compute, with the claims' ids."""

    parsed = tyro.cli(Presets, prog="python -m deep presets", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))
    print(presets.describe(parsed.explain))
    return 0
