"""Exact solutions of small decision processes, from a terminal: `python -m reference --help`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from reference.memory import GIB, available_memory
from reference.output import check_plot
from reference.parser import parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status. Bad input is one line on stderr and status 2."""
    try:
        arguments = parser().parse_args(argv)
        if getattr(arguments, "plot", None) is not None:
            check_plot(Path(arguments.plot))
        return arguments.run(arguments)
    except BrokenPipeError:  # the reader of a pipe went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except FileNotFoundError as error:
        return _fail(f"{error.filename}: no such file or folder")
    except OSError as error:
        return _fail(f"{error.filename or 'file'}: {error.strerror or error}")
    except (ValueError, ModuleNotFoundError) as error:
        return _fail(str(error))
    except MemoryError as error:
        return _fail(_out_of_memory(error))


def _fail(message: str, status: int = 2) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return status


def _out_of_memory(error: MemoryError) -> str:
    """What was asked and what is there; NumPy says how much it wanted, and for which array."""
    room = available_memory()
    there = "" if room is None else f", and {room / GIB:.3g} GiB are available"
    asked = str(error) or "an allocation failed"
    return f"out of memory: {asked[0].lower()}{asked[1:]}{there}. Take a smaller process, or one with sparse rows"


if __name__ == "__main__":
    sys.exit(main())
