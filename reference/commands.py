"""What each command of `python -m reference` does with its parsed arguments: an exit status, 0 when all is well."""

import argparse
import math
from typing import Any

import numpy as np

from reference import figures, planning, show
from reference.catalogue import PARAMETERS, named_divergence, named_solver
from reference.conditional import conditional_value
from reference.divergence import Divergence
from reference.evaluation import evaluate_policy
from reference.mdp import MDP
from reference.occupancy import flow_residual, occupancy_measure
from reference.output import page_width, report, waiting, write_plot
from reference.ratios import behavior_of
from reference.soft import solve_soft
from reference.solution import Solution
from reference.sources import load_mdp, load_policy, save_mdp
from reference.weights import optimal_weights, relaxed_objective, weights_at

__all__ = [
    "conditional",
    "divergence_of",
    "evaluate",
    "export",
    "occupancy",
    "process_facts",
    "process_of",
    "solve",
    "weights",
]

_TOLERANCE = 1e-8


def solve(arguments: argparse.Namespace) -> int:
    """Optimal values and policy; 1 if the tolerance was not met."""
    if arguments.exact or arguments.intended:
        return arguments.exactly(arguments)
    mdp = process_of(arguments)
    tolerance = _TOLERANCE if arguments.tolerance is None else arguments.tolerance
    with waiting(f"solving {arguments.name}"):
        if arguments.solver is not None:
            solution = named_solver(arguments.solver, tolerance, arguments.soft).solve(mdp)
        elif arguments.soft is not None:
            solution = solve_soft(mdp, arguments.soft, tolerance)
        else:
            solution = planning.solve(mdp, tolerance=tolerance)
    return _report(arguments, mdp, solution)


def evaluate(arguments: argparse.Namespace) -> int:
    """Values of a policy."""
    mdp = process_of(arguments)
    with waiting(f"evaluating on {arguments.name}"):
        solution = evaluate_policy(mdp, load_policy(arguments.policy, mdp), arguments.soft)
    return _report(arguments, mdp, solution)


def conditional(arguments: argparse.Namespace) -> int:
    """The conditional problem (OCC-06)."""
    mdp = process_of(arguments)
    with waiting(f"solving {arguments.name}"):
        solution = conditional_value(mdp, load_policy(arguments.behavior, mdp), arguments.beta)
    return _report(arguments, mdp, solution, beta=solution.beta, ratio=solution.ratio)


def _report(arguments: argparse.Namespace, mdp: MDP, solution: Solution, **more: Any) -> int:
    write_plot(arguments.plot, figures.size_for(mdp), lambda ax: figures.plot_solution(mdp, solution, ax))
    start = float(mdp.initial @ solution.values)
    facts = {
        **process_facts(arguments, mdp), "solver": solution.solver, "reason": solution.reason,
        "iterations": solution.iterations, "status": solution.status.name, "message": str(solution.status),
        "error_bound": solution.error_bound, "start_value": start, **more, "values": solution.values,
        "policy": solution.policy, "q": solution.q,
    }  # fmt: skip
    lines = [
        f"{solution.solver}, {solution.iterations} iterations: {solution.status}",
        f"value from the start {start:.10g}, every value within {solution.error_bound:.1e}",
        *([solution.reason] if solution.reason else []),
    ]
    report(
        f"{arguments.name}: {mdp!r}",
        facts,
        lines,
        show.describe(solution, mdp, limit=arguments.limit, width=page_width()),
        as_json=arguments.json,
    )
    return 0 if solution.converged else 1


def occupancy(arguments: argparse.Namespace) -> int:
    """The discounted occupancy of a policy."""
    mdp = process_of(arguments)
    with waiting(f"following the policy through {arguments.name}"):
        occupancy = occupancy_measure(mdp, load_policy(arguments.policy, mdp))
    write_plot(arguments.plot, figures.size_for(mdp), lambda ax: figures.plot_occupancy(mdp, occupancy, ax))
    residual = float(np.abs(flow_residual(mdp, occupancy)).max())
    reward = math.fsum((occupancy * mdp.rewards).ravel())
    facts = {**process_facts(arguments, mdp), "flow_residual": residual, "mean_reward": reward, "occupancy": occupancy}
    lines = [f"mean reward {reward:.10g}, largest residual of the Bellman flow {residual:.1e}"]
    report(
        f"{arguments.name}: {mdp!r}",
        facts,
        lines,
        show.occupancy_panels(mdp, occupancy, arguments.limit, page_width()),
        as_json=arguments.json,
    )
    return 0


def weights(arguments: argparse.Namespace) -> int:
    """Optimal weights of the relaxed problem, or those at a multiplier of the caller's."""
    mdp = process_of(arguments)
    divergence = divergence_of(arguments)
    with waiting(f"evaluating the behavior on {arguments.name}"):
        behavior = behavior_of(mdp, load_policy(arguments.behavior, mdp))
    evaluated, advantage, law = behavior.evaluation, behavior.advantage, behavior.law
    facts = {
        **process_facts(arguments, mdp),
        "divergence": divergence.name,
        **{name: getattr(arguments, name) for name in PARAMETERS},
        "beta": arguments.beta,
    }
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


def export(arguments: argparse.Namespace) -> int:
    """Write the process to a file."""
    mdp = process_of(arguments)
    save_mdp(mdp, arguments.file)
    facts = {**process_facts(arguments, mdp), "file": arguments.file}
    report(f"{arguments.file}: {mdp!r}", facts, [], [], as_json=arguments.json)
    return 0


def process_of(arguments: argparse.Namespace) -> MDP:
    """The process that the options name."""
    with waiting(f"reading {arguments.name}"):
        return load_mdp(arguments.name, arguments.discount, arguments.reward)


def process_facts(arguments: argparse.Namespace, mdp: MDP) -> dict[str, Any]:
    """What identifies the process in every answer."""
    return {"name": arguments.name, "states": mdp.n_states, "actions": mdp.n_actions, "discount": mdp.discount}


def divergence_of(arguments: argparse.Namespace, name: str | None = None) -> Divergence:
    """The generator that the options name; `name` replaces `--divergence` and leaves out parameters of others."""
    given = {parameter: getattr(arguments, parameter) for parameter in PARAMETERS}
    return named_divergence(arguments.divergence if name is None else name, given, strict=name is None)
