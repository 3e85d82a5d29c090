"""What each command of `python -m reference` does with its parsed arguments: an exit status, 0 when all is well."""

import argparse
import math
from typing import Any

import numpy as np

from reference import figures, planning, show
from reference.conditional import conditional_value
from reference.divergence import divergence_from_name
from reference.evaluation import evaluate_policy
from reference.mdp import MDP
from reference.occupancy import flow_residual, occupancy_measure
from reference.output import page_width, report, write_plot
from reference.soft import SoftPolicyIteration, SoftValueIteration, solve_soft
from reference.solution import Solution
from reference.sources import load_mdp, load_policy, save_mdp
from reference.weights import optimal_weights, relaxed_objective, weights_at

__all__ = ["conditional", "evaluate", "export", "occupancy", "solve", "weights"]


def solve(arguments: argparse.Namespace) -> int:
    """Optimal values and policy; 1 if the tolerance was not met."""
    mdp = load_mdp(arguments.name, arguments.discount)
    tolerance, alpha = arguments.tolerance, arguments.soft
    if arguments.solver is None:
        solution = planning.solve(mdp, tolerance=tolerance) if alpha is None else solve_soft(mdp, alpha, tolerance)
    elif alpha is None:
        chosen = planning.PolicyIteration if arguments.solver == "policy-iteration" else planning.ValueIteration
        solution = chosen(tolerance=tolerance).solve(mdp)
    else:
        soft = SoftPolicyIteration if arguments.solver == "policy-iteration" else SoftValueIteration
        solution = soft(alpha, tolerance).solve(mdp)
    return _report(arguments, mdp, solution)


def evaluate(arguments: argparse.Namespace) -> int:
    """Values of a policy."""
    mdp = load_mdp(arguments.name, arguments.discount)
    return _report(arguments, mdp, evaluate_policy(mdp, load_policy(arguments.policy, mdp), arguments.soft))


def conditional(arguments: argparse.Namespace) -> int:
    """The conditional problem (OCC-06)."""
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


def occupancy(arguments: argparse.Namespace) -> int:
    """The discounted occupancy of a policy."""
    mdp = load_mdp(arguments.name, arguments.discount)
    optimal = arguments.policy == "optimal"
    policy = planning.solve(mdp).policy if optimal else load_policy(arguments.policy, mdp)
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


def weights(arguments: argparse.Namespace) -> int:
    """Optimal weights of the relaxed problem, or those at a multiplier of the caller's."""
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


def export(arguments: argparse.Namespace) -> int:
    """Write the process to a file."""
    mdp = load_mdp(arguments.name, arguments.discount)
    save_mdp(mdp, arguments.file)
    print(f"{arguments.file}: {mdp!r}")
    return 0


def _process(arguments: argparse.Namespace, mdp: MDP) -> dict[str, Any]:
    return {"name": arguments.name, "states": mdp.n_states, "actions": mdp.n_actions, "discount": mdp.discount}
