"""The page of all commands says what `--help` says; `python tests/reference/test_commands_page.py` writes it anew."""

import argparse
import os
from itertools import zip_longest
from pathlib import Path

from reference.parser import parser

PAGE = Path(__file__).parents[2] / "reference" / "COMMANDS.md"
WIDTH = 100
OUTDATED = f"{PAGE.name} is out of date: python tests/reference/test_commands_page.py"
HEAD = """\
# The commands of `python -m reference`

What `python -m reference --help` and `python -m reference COMMAND --help` print.
"""


def page() -> str:
    """The whole page; help is wrapped for the columns that the environment variable COLUMNS gives."""
    made = parser()
    [commands] = (action for action in made._actions if isinstance(action, argparse._SubParsersAction))
    sections = [HEAD, fenced(made), *(f"## {name}\n\n{fenced(each)}" for name, each in commands.choices.items())]
    return "\n".join(sections)


def fenced(command: argparse.ArgumentParser) -> str:
    return f"```text\n{command.format_help()}```\n"


def test_the_page_of_all_commands_is_what_they_say():
    """To the letter, but for where lines break and columns begin: that differs between versions of Python."""
    written = PAGE.read_text(encoding="utf-8")
    for seen, expected in zip_longest(written.split("\n## "), page().split("\n## "), fillvalue=""):
        assert "".join(seen.split()) == "".join(expected.split()), OUTDATED


if __name__ == "__main__":
    os.environ["COLUMNS"] = str(WIDTH)
    PAGE.write_text(page(), encoding="utf-8")
