"""What the commands without options share."""

from deep.errors import InvalidSetting


def no_arguments(command: str, arguments: list[str]) -> None:
    """Print the usage where help is asked for, and refuse anything else."""
    if arguments in (["-h"], ["--help"]):
        print(f"usage: python -m deep {command}        (it takes no options)")
        raise SystemExit(0)
    if arguments:
        raise InvalidSetting(f"{command} takes no arguments, saw {' '.join(arguments)}")
