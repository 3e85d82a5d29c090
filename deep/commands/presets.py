"""``presets``: the named presets and what they are."""

from deep import presets
from deep.commands.usage import no_arguments


def run(arguments: list[str]) -> int:
    """Print every preset."""
    no_arguments("presets", arguments)
    print(presets.describe())
    return 0
