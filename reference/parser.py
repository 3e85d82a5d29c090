"""The arguments of `python -m reference`, and a help that teaches by example."""

import argparse
from collections.abc import Callable
from typing import Any

from reference import commands, commands_exact, commands_learning, commands_regularized, learners, show
from reference.catalogue import PARAMETERS, divergence_names, solver_names, takers

__all__ = ["EXAMPLES", "parser"]

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
EXAMPLES = """\
examples:
  python -m reference solve FrozenLake-v1 --discount 0.99
  python -m reference solve CliffWalking-v1 --plot cliff.png
  python -m reference solve gridworld:5,7 --soft 0.5               # maximum entropy, temperature 0.5
  python -m reference solve Taxi-v4 --solver value-iteration --tolerance 1e-6
  python -m reference solve FrozenLake-v1 --json > optimal.json    # every digit, for scripts
  python -m reference solve puterman --exact --intended            # fractions, proved optimal; 0.95 is 19/20
  python -m reference evaluate FrozenLake-v1 --policy optimal.json
  python -m reference occupancy FrozenLake-v1 --policy uniform
  python -m reference weights FrozenLake-v1 --divergence js --beta 0.5
  python -m reference weights garnet:20,4,3,0 --divergence fermi-dirac --cap 3 --beta 0.1 --plot weights.png
  python -m reference conditional FrozenLake-v1 --beta 0.1         # stay close to the behavior policy
  python -m reference flow gridworld:4,5 --beta 0.3 --divergence js
  python -m reference temperature FrozenLake-v1 --ess 0.5          # the beta that keeps half of the data
  python -m reference temperature garnet:20,4,3,0 --kl 0.2 --divergence js --json
  python -m reference compare FrozenLake-v1 --policies uniform optimal
  python -m reference compare garnet:20,4,3,0 --divergences kl js --beta 0.5 --plot curves.png
  python -m reference compare gridworld:4,5 --beta 0.3             # the three ratios that are all called w
  python -m reference plot cliff:4,12 visits.png --show occupancy
  python -m reference learn q-learning CliffWalking-v1 --discount 0.9 --plot learning.png
  python -m reference learn td chain:5 --replications 100          # beside a bound that was proven
  python -m reference learn linear-td chain:10 --features 5 --steps 5000    # to the projected fixed point
  python -m reference learn reinforce garnet:5,3,2,1 --discount 0.7 --steps 300 --baseline optimal
  python -m reference export Taxi-v4 taxi.npz
  python -m reference studio gridworld:4,5                         # sliders, in a browser
"""
_POLICY = "uniform, optimal, a .npy file (S, A), or the .json of solve --json"
_RAW = argparse.RawDescriptionHelpFormatter


class _Parser(argparse.ArgumentParser):
    """Errors in one line, like all others."""

    def error(self, message: str) -> Any:
        raise ValueError(
            f"{message} (try: python -m reference {self.prog.partition(' ')[2]} --help)".replace("  ", " ")
        )


def parser() -> argparse.ArgumentParser:
    """The parser; `run` of what it parses is the function that answers."""
    made = _Parser(prog="reference", description=_HELP, epilog=EXAMPLES, formatter_class=_RAW)
    added = made.add_subparsers(required=True, metavar="COMMAND")
    _add_planning(added)
    _add_regularized(added)
    _add_comparisons(added)
    _add_learning(added)
    _add_files(added)
    return made


def _add_planning(to: Any) -> None:
    solving = _command(to, "solve", commands.solve, "Optimal values and policy, with a certified error bound.")
    solving.add_argument("--tolerance", type=float, metavar="T", help="error asked for (default 1e-8)")
    solving.add_argument("--solver", choices=solver_names(), help="default: chosen by size, which the answer says")
    solving.add_argument("--soft", type=float, metavar="ALPHA", help="maximum-entropy problem at this temperature")
    solving.add_argument(
        "--exact", action="store_true", help="the rational optimum of these floats, and every action that attains it"
    )
    solving.add_argument(
        "--intended", action="store_true", help="with --exact: of the fractions that were meant, 0.95 as 19/20"
    )
    solving.set_defaults(exactly=commands_exact.solve)
    _output(solving)

    evaluating = _command(to, "evaluate", commands.evaluate, "Values of a policy: the Bellman linear system.")
    _policy(evaluating, "--policy")
    evaluating.add_argument(
        "--soft", type=float, default=0.0, metavar="ALPHA", help="add the entropy bonus at this temperature"
    )
    _output(evaluating)

    text = "How often a policy meets each state and action, discounted."
    visiting = _command(to, "occupancy", commands.occupancy, text)
    _policy(visiting, "--policy")
    _output(visiting)


def _add_regularized(to: Any) -> None:
    text = "Optimal weights w = d/D of the data: advantages A and law D are those of the behavior policy."
    weighing = _command(to, "weights", commands.weights, text)
    _regularized(weighing)
    weighing.add_argument(
        "--multiplier", type=float, metavar="NU",
        help="take this multiplier instead of solving for it; weights need not have mean one",
    )  # fmt: skip
    _output(weighing)

    text = "Optimum under a KL penalty towards the behavior policy in every state (Gumbel values)."
    staying = _command(to, "conditional", commands.conditional, text)
    _beta(staying)
    _policy(staying, "--behavior")
    _output(staying)

    text = "The occupancy that trades reward against divergence from the data: optimum enclosed from both sides."
    flowing = _command(to, "flow", commands_regularized.flow, text)
    _regularized(flowing)
    _output(flowing)

    text = "The beta at which the weights of the data are as concentrated as asked: an interval that holds it."
    choosing = _command(to, "temperature", commands_regularized.temperature, text)
    _divergence(choosing)
    _policy(choosing, "--behavior")
    target = choosing.add_mutually_exclusive_group(required=True)
    target.add_argument("--ess", type=float, metavar="F", help="effective share of the data 1/E[w^2], in (0, 1)")
    target.add_argument("--perplexity", type=float, metavar="F", help="perplexity share exp(-KL(d || D)), in (0, 1)")
    target.add_argument("--kl", type=float, metavar="NATS", help="KL(d || D) > 0")
    _output(choosing)


def _add_comparisons(to: Any) -> None:
    text = "Two policies, several divergences, or (with neither) the relaxed, conditional and occupancy ratio."
    comparing = _command(to, "compare", commands_regularized.compare, text)
    what = comparing.add_mutually_exclusive_group()
    what.add_argument("--policies", nargs=2, metavar="P", help=f"two of: {_POLICY}")
    what.add_argument(
        "--divergences", nargs="+", choices=divergence_names(), metavar="D", help="two or more, at one --beta"
    )
    _regularized(comparing)
    _output(comparing)

    drawing = _command(to, "plot", commands_regularized.plot, "Draw one figure of a process.")
    drawing.add_argument("file", metavar="FILE", help="the figure to write: .png, .pdf or .svg")
    drawing.add_argument(
        "--show", choices=commands_regularized.DRAWINGS, default="values", help="what to draw (default %(default)s)"
    )
    _regularized(drawing)
    _json(drawing)

    text = "Serve an application with sliders for discount, beta, divergence and behavior policy."
    playing = _bare(to, "studio", commands_regularized.studio, text)
    playing.add_argument("name", nargs="?", metavar="NAME", help="the process shown first")
    playing.add_argument("--port", type=int, metavar="N", help="default: a free one")
    playing.add_argument("--headless", action="store_true", help="serve only, do not open a browser")


def _add_learning(to: Any) -> None:
    text = "Learn from samples, and see how far from the exact answer one is at every step."
    learning = _bare(to, "learn", commands_learning.learn, text)
    learning.add_argument(
        "method", choices=tuple(learners.LEARNERS), metavar="METHOD",
        help="td, n-step-td, expected-sarsa and n-step-sarsa evaluate --policy by tables, linear-td and linear-sarsa "
        "by --features; sarsa, q-learning and double-q-learning act epsilon-greedily for their own table; reinforce, "
        "qac and a2c improve a softmax policy",
    )  # fmt: skip
    _process(learning)
    learning.add_argument(
        "--steps", type=_rows, metavar="T", help="default 20000; episodes of reinforce, by default 1000"
    )
    learning.add_argument(
        "--replications", type=_rows, default=10, metavar="R", help="independent runs at once (default %(default)s)"
    )
    learning.add_argument("--seed", type=int, default=0, metavar="N", help="of everything drawn (default %(default)s)")
    learning.add_argument(
        "--step-size", type=float, metavar="A",
        help="a constant one, of the policy where one is improved; default: 1 / (1 + (1 - discount) k) at the k-th "
        "visit of an entry, k ** (-2/3) with features, (1 - discount) / largest reward for policies",
    )  # fmt: skip
    learning.add_argument(
        "--epsilon", type=float, metavar="E", help="share of random actions of sarsa and the q-learnings (default 0.1)"
    )
    learning.add_argument("--n", type=_rows, metavar="N", help="steps of the n-step methods (default 4)")
    learning.add_argument("--policy", metavar="P", help=f"what is evaluated: {_POLICY} (default uniform)")
    learning.add_argument(
        "--features", metavar="F",
        help="a number of groups of states (default: half as many as states), or a .npy file (S, D)",
    )  # fmt: skip
    learning.add_argument(
        "--baseline", choices=tuple(learners.BASELINES), help="of reinforce (default v); all of them exact"
    )
    learning.add_argument(
        "--horizon", type=_rows, metavar="T",
        help="steps after which an episode of reinforce is cut (default: what is cut counts for a hundredth)",
    )  # fmt: skip
    _output(learning)


def _add_files(to: Any) -> None:
    exporting = _command(to, "export", commands.export, "Write a process to a file that every command reads.")
    exporting.add_argument("file", metavar="FILE", help="the file to write: .npz, or .umb for model checkers")
    _json(exporting)


def _bare(to: Any, name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    lines = [line for line in EXAMPLES.splitlines() if f"reference {name} " in line]
    epilog = "\n".join(["examples:", *lines])
    added = to.add_parser(name, help=text, description=text, epilog=epilog, formatter_class=_RAW)
    added.set_defaults(run=run)
    return added


def _command(to: Any, name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    return _process(_bare(to, name, run, text))


def _process(added: argparse.ArgumentParser) -> argparse.ArgumentParser:
    added.add_argument("name", metavar="NAME", help="the decision process (see: python -m reference --help)")
    added.add_argument(
        "--discount", type=float, metavar="G", help="in [0, 1); default: that of a file or textbook case, else 0.99"
    )
    added.add_argument("--reward", metavar="R", help="which reward of a .umb or .prism file that has several")
    return added


def _divergence(added: argparse.ArgumentParser) -> None:
    names = divergence_names()
    added.add_argument("--divergence", choices=names, default=names[0], help="default %(default)s")
    for parameter in PARAMETERS:
        owners = ", ".join(takers(parameter))
        added.add_argument(f"--{parameter}", type=float, metavar="X", help=f"parameter of {owners}")


def _beta(added: argparse.ArgumentParser) -> None:
    added.add_argument("--beta", type=float, default=1.0, metavar="B", help="temperature > 0 (default %(default)s)")


def _policy(added: argparse.ArgumentParser, option: str) -> None:
    added.add_argument(option, default="uniform", metavar="P", help=f"{_POLICY} (default %(default)s)")


def _regularized(added: argparse.ArgumentParser) -> None:
    _divergence(added)
    _beta(added)
    _policy(added, "--behavior")


def _json(added: argparse.ArgumentParser) -> None:
    added.add_argument("--json", action="store_true", help="print one JSON object in full precision (null: no number)")


def _output(added: argparse.ArgumentParser) -> None:
    _json(added)
    added.add_argument(
        "--limit", type=_rows, default=show.LIMIT, metavar="N", help="rows of a table (default %(default)s)"
    )
    added.add_argument("--plot", metavar="FILE", help="write a figure: .png, .pdf or .svg")


def _rows(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of rows >= 1, saw {text!r}")
    return int(text)
