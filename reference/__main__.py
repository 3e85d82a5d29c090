"""Exact solutions of small decision processes, from a terminal: `python -m reference --help`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reference import commands, show
from reference.output import check_plot

_HELP = """\
Solve finite decision processes exactly. Every answer comes with a bound on its error, rounding included.

NAME is one of
  FrozenLake-v1, Taxi-v4, CliffWalking-v1   a Gymnasium toy-text environment: pip install "roer[show]"
  recycling-robot, puterman, bandit, ...    a textbook case with known answers
  garnet:20,4,3,0                           a random process: states, actions, branching, seed
  gridworld:5,7  cliff:4,12  chain:10       regular processes
  process.npz                               a file written by `MDP.save` or by `export`
  process.umb  model.prism                  the model checkers' files; PRISM needs pip install "roer[storm]"
"""
_EXAMPLES = """\
examples:
  python -m reference solve FrozenLake-v1 --discount 0.99
  python -m reference solve CliffWalking-v1 --plot cliff.png
  python -m reference solve gridworld:5,7 --soft 0.5               # maximum entropy, temperature 0.5
  python -m reference solve Taxi-v4 --solver value-iteration --tolerance 1e-6
  python -m reference solve FrozenLake-v1 --json > optimal.json    # every digit, for scripts
  python -m reference evaluate FrozenLake-v1 --policy optimal.json
  python -m reference occupancy FrozenLake-v1 --policy uniform
  python -m reference weights FrozenLake-v1 --divergence js --beta 0.5
  python -m reference weights garnet:20,4,3,0 --divergence fermi-dirac --cap 3 --beta 0.1 --plot weights.png
  python -m reference conditional FrozenLake-v1 --beta 0.1         # stay close to the behavior policy
  python -m reference export Taxi-v4 taxi.npz
"""


_POLICY = "uniform (default), a .npy file (S, A), or the .json of solve --json"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status. Bad input is one line on stderr and status 2."""
    try:
        arguments = _parser().parse_args(argv)
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
    except MemoryError:
        return _fail("out of memory: the process is too large for its dense form")


def _fail(message: str, status: int = 2) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    """Errors in one line, like all others."""

    def error(self, message: str) -> Any:
        raise ValueError(
            f"{message} (try: python -m reference {self.prog.partition(' ')[2]} --help)".replace("  ", " ")
        )


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="reference", description=_HELP, epilog=_EXAMPLES, formatter_class=raw)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        added = subparsers.add_parser(name, help=text, description=text, epilog=_examples_of(name), formatter_class=raw)
        added.set_defaults(run=run)
        added.add_argument("name", metavar="NAME", help="the decision process (see: python -m reference --help)")
        added.add_argument(
            "--discount", type=float, metavar="G", help="in [0, 1); default: that of a file or textbook case, else 0.99"
        )
        return added

    def output(added: argparse.ArgumentParser) -> None:
        added.add_argument(
            "--json", action="store_true", help="print one JSON object in full precision (null: no number)"
        )
        added.add_argument(
            "--limit", type=_rows, default=show.LIMIT, metavar="N", help="rows of a table (default %(default)s)"
        )
        added.add_argument("--plot", metavar="FILE", help="write a figure: .png, .pdf or .svg")

    solving = command("solve", commands.solve, "Optimal values and policy, with a certified error bound.")
    solving.add_argument(
        "--tolerance", type=float, default=1e-8, metavar="T", help="error asked for (default %(default)s)"
    )
    solving.add_argument("--solver", choices=["policy-iteration", "value-iteration"], help="default: by size")
    solving.add_argument("--soft", type=float, metavar="ALPHA", help="maximum-entropy problem at this temperature")
    output(solving)

    evaluating = command("evaluate", commands.evaluate, "Values of a policy: the Bellman linear system.")
    evaluating.add_argument("--policy", default="uniform", metavar="P", help=_POLICY)
    evaluating.add_argument(
        "--soft", type=float, default=0.0, metavar="ALPHA", help="add the entropy bonus at this temperature"
    )
    output(evaluating)

    visiting = command("occupancy", commands.occupancy, "How often a policy meets each state and action, discounted.")
    visiting.add_argument("--policy", default="uniform", metavar="P", help=f"optimal, or {_POLICY}")
    output(visiting)

    weighing = command(
        "weights", commands.weights,
        "Optimal weights w = d/D of the data: advantages A and law D are those of the behavior policy.",
    )  # fmt: skip
    weighing.add_argument("--divergence", choices=["kl", "js", "fermi-dirac"], default="kl", help="default %(default)s")
    weighing.add_argument("--beta", type=float, default=1.0, metavar="B", help="temperature > 0 (default %(default)s)")
    weighing.add_argument("--cap", type=float, metavar="C", help="largest weight, for fermi-dirac: > 1")
    weighing.add_argument("--behavior", default="uniform", metavar="P", help=_POLICY)
    weighing.add_argument(
        "--multiplier",
        type=float,
        metavar="NU",
        help="take this multiplier instead of solving for it; weights need not have mean one",
    )
    output(weighing)

    staying = command(
        "conditional",
        commands.conditional,
        "Optimum under a KL penalty towards the behavior policy in every state (Gumbel values).",
    )
    staying.add_argument("--beta", type=float, default=1.0, metavar="B", help="temperature > 0 (default %(default)s)")
    staying.add_argument("--behavior", default="uniform", metavar="P", help=_POLICY)
    output(staying)

    exporting = command("export", commands.export, "Write a process to a file that every command reads.")
    exporting.add_argument("file", metavar="FILE", help="the file to write: .npz, or .umb for model checkers")
    return parser


def _rows(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of rows >= 1, saw {text!r}")
    return int(text)


def _examples_of(name: str) -> str:
    lines = [line for line in _EXAMPLES.splitlines() if f"reference {name} " in line]
    return "\n".join(["examples:", *lines])


if __name__ == "__main__":
    sys.exit(main())
