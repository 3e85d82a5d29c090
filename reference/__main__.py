"""Exact solutions of small decision processes, from a terminal: `python -m reference --help`."""

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reference import figures, show
from reference.conditional import conditional_value
from reference.divergence import divergence_from_name
from reference.evaluation import evaluate_policy
from reference.mdp import MDP
from reference.occupancy import flow_residual, occupancy_measure
from reference.output import check_plot, page_width, report, write_plot
from reference.planning import PolicyIteration, ValueIteration, solve
from reference.soft import SoftPolicyIteration, SoftValueIteration, solve_soft
from reference.solution import Solution
from reference.sources import load_mdp, load_policy
from reference.weights import optimal_weights, relaxed_objective, weights_at

_HELP = """\
Solve finite decision processes exactly. Every answer comes with a bound on its error, rounding included.

NAME is one of
  FrozenLake-v1, Taxi-v4, CliffWalking-v1   a Gymnasium toy-text environment: pip install "roer[show]"
  recycling-robot, puterman, bandit, ...    a textbook case with known answers
  garnet:20,4,3,0                           a random process: states, actions, branching, seed
  gridworld:5,7  cliff:4,12  chain:10       regular processes
  process.npz                               a file written by `MDP.save` or by `export`
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
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, epilog=_examples_of(name), formatter_class=raw)
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

    solving = command("solve", _solve, "Optimal values and policy, with a certified error bound.")
    solving.add_argument(
        "--tolerance", type=float, default=1e-8, metavar="T", help="error asked for (default %(default)s)"
    )
    solving.add_argument("--solver", choices=["policy-iteration", "value-iteration"], help="default: by size")
    solving.add_argument("--soft", type=float, metavar="ALPHA", help="maximum-entropy problem at this temperature")
    output(solving)

    evaluating = command("evaluate", _evaluate, "Values of a policy: the Bellman linear system.")
    evaluating.add_argument("--policy", default="uniform", metavar="P", help=_POLICY)
    evaluating.add_argument(
        "--soft", type=float, default=0.0, metavar="ALPHA", help="add the entropy bonus at this temperature"
    )
    output(evaluating)

    visiting = command("occupancy", _occupancy, "How often a policy meets each state and action, discounted.")
    visiting.add_argument("--policy", default="uniform", metavar="P", help=f"optimal, or {_POLICY}")
    output(visiting)

    weighing = command(
        "weights", _weights,
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
        _conditional,
        "Optimum under a KL penalty towards the behavior policy in every state (Gumbel values).",
    )
    staying.add_argument("--beta", type=float, default=1.0, metavar="B", help="temperature > 0 (default %(default)s)")
    staying.add_argument("--behavior", default="uniform", metavar="P", help=_POLICY)
    output(staying)

    exporting = command("export", _export, "Write a process to an .npz file that every command reads.")
    exporting.add_argument("file", metavar="FILE", help="the file to write, ending in .npz")
    return parser


def _rows(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of rows >= 1, saw {text!r}")
    return int(text)


def _examples_of(name: str) -> str:
    lines = [line for line in _EXAMPLES.splitlines() if f"reference {name} " in line]
    return "\n".join(["examples:", *lines])


def _solve(arguments: argparse.Namespace) -> int:
    mdp = load_mdp(arguments.name, arguments.discount)
    tolerance, alpha = arguments.tolerance, arguments.soft
    if arguments.solver is None:
        solution = solve(mdp, tolerance=tolerance) if alpha is None else solve_soft(mdp, alpha, tolerance)
    elif alpha is None:
        chosen = PolicyIteration if arguments.solver == "policy-iteration" else ValueIteration
        solution = chosen(tolerance=tolerance).solve(mdp)
    else:
        soft = SoftPolicyIteration if arguments.solver == "policy-iteration" else SoftValueIteration
        solution = soft(alpha, tolerance).solve(mdp)
    return _report(arguments, mdp, solution)


def _evaluate(arguments: argparse.Namespace) -> int:
    mdp = load_mdp(arguments.name, arguments.discount)
    return _report(arguments, mdp, evaluate_policy(mdp, load_policy(arguments.policy, mdp), arguments.soft))


def _conditional(arguments: argparse.Namespace) -> int:
    mdp = load_mdp(arguments.name, arguments.discount)
    solution = conditional_value(mdp, load_policy(arguments.behavior, mdp), arguments.beta)
    return _report(arguments, mdp, solution, beta=solution.beta, ratio=solution.ratio)


def _report(arguments: argparse.Namespace, mdp: MDP, solution: Solution, **more: Any) -> int:
    write_plot(arguments.plot, figures.size_for(mdp), lambda ax: figures.plot_solution(mdp, solution, ax))
    start = float(mdp.initial @ solution.values)
    facts = {
        **_process(arguments, mdp), "solver": solution.solver, "iterations": solution.iterations,
        "status": solution.status.name, "message": str(solution.status), "error_bound": solution.error_bound,
        "start_value": start, **more, "values": solution.values, "policy": solution.policy, "q": solution.q,
    }  # fmt: skip
    lines = [
        f"{solution.solver}, {solution.iterations} iterations: {solution.status}",
        f"value from the start {start:.10g}, every value within {solution.error_bound:.1e}",
    ]
    report(
        f"{arguments.name}: {mdp!r}",
        facts,
        lines,
        show.describe(solution, mdp, limit=arguments.limit, width=page_width()),
        as_json=arguments.json,
    )
    return 0 if solution.converged else 1


def _occupancy(arguments: argparse.Namespace) -> int:
    mdp = load_mdp(arguments.name, arguments.discount)
    optimal = arguments.policy == "optimal"
    policy = solve(mdp).policy if optimal else load_policy(arguments.policy, mdp)
    occupancy = occupancy_measure(mdp, policy)
    write_plot(arguments.plot, figures.size_for(mdp), lambda ax: figures.plot_occupancy(mdp, occupancy, ax))
    residual = float(np.abs(flow_residual(mdp, occupancy)).max())
    reward = math.fsum((occupancy * mdp.rewards).ravel())
    facts = {**_process(arguments, mdp), "flow_residual": residual, "mean_reward": reward, "occupancy": occupancy}
    lines = [f"mean reward {reward:.10g}, largest residual of the Bellman flow {residual:.1e}"]
    report(
        f"{arguments.name}: {mdp!r}",
        facts,
        lines,
        show.occupancy_panels(mdp, occupancy, arguments.limit, page_width()),
        as_json=arguments.json,
    )
    return 0


def _weights(arguments: argparse.Namespace) -> int:
    mdp = load_mdp(arguments.name, arguments.discount)
    divergence = divergence_from_name(arguments.divergence, arguments.cap)
    behavior = load_policy(arguments.behavior, mdp)
    evaluated = evaluate_policy(mdp, behavior)
    advantage = evaluated.q - evaluated.values[:, None]
    occupancy = occupancy_measure(mdp, behavior)
    law = occupancy / math.fsum(occupancy.ravel())
    facts = {**_process(arguments, mdp), "divergence": divergence.name, "cap": arguments.cap, "beta": arguments.beta}
    if arguments.multiplier is not None:
        return _weights_at(arguments, mdp, facts, divergence, advantage, law)
    solved = optimal_weights(advantage, law, arguments.beta, divergence)
    write_plot(arguments.plot, figures.size_for(None), lambda ax: figures.plot_weights(solved, advantage, ax))
    facts |= {
        "multiplier": solved.multiplier, "multiplier_error": solved.multiplier_error, "value": solved.value,
        "dual": solved.dual, "gap": solved.gap, "effective_sample_size": solved.effective_sample_size,
        "effective_sample_fraction": solved.effective_sample_fraction,
        "support": solved.support, "weights_error": solved.weights_error, "weights": solved.weights,
        "behavior": solved.behavior, "advantage": advantage,
    }  # fmt: skip
    lines = [f"advantages of the behavior policy, from values within {evaluated.error_bound:.1e}; D is its occupancy"]
    report(
        f"{arguments.name}: {mdp!r}",
        facts,
        lines,
        show.describe(solved, mdp, limit=arguments.limit, advantage=advantage),
        as_json=arguments.json,
    )
    return 0


def _weights_at(
    arguments: argparse.Namespace,
    mdp: MDP,
    facts: dict[str, Any],
    divergence: Any,
    advantage: np.ndarray,
    law: np.ndarray,
) -> int:
    """Weights at the caller's multiplier: how far their mean is from one, and what that costs."""
    if arguments.plot is not None:
        raise ValueError("--plot shows optimal weights: leave out --multiplier")
    support = law > 0.0
    ratio = weights_at(arguments.multiplier, np.where(support, advantage, -np.inf), arguments.beta, divergence)
    ratio = np.where(support, ratio, np.nan)
    mean = math.fsum(law[support] * ratio[support])
    best = optimal_weights(advantage, law, arguments.beta, divergence)
    value = relaxed_objective(np.where(support, ratio, 0.0), advantage, law, arguments.beta, divergence)
    facts |= {
        "multiplier": arguments.multiplier,
        "mean": mean,
        "objective": value,
        "optimal_multiplier": best.multiplier,
        "weights": ratio,
    }
    lines = [
        f"mean of the weights {mean:.10g} (1 at the multiplier {best.multiplier:.10g})",
        f"objective {value:.10g}; {best.value:.10g} is the optimum of weights with mean one",
    ]
    report(f"{arguments.name}: {mdp!r}", facts, lines, [], as_json=arguments.json)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    if not arguments.file.endswith(".npz"):
        raise ValueError(f"cannot write {arguments.file!r}: expected a name that ends in .npz")
    mdp = load_mdp(arguments.name, arguments.discount)
    mdp.save(arguments.file)
    print(f"{arguments.file}: {mdp!r}")
    return 0


def _process(arguments: argparse.Namespace, mdp: MDP) -> dict[str, Any]:
    return {"name": arguments.name, "states": mdp.n_states, "actions": mdp.n_actions, "discount": mdp.discount}


if __name__ == "__main__":
    sys.exit(main())
