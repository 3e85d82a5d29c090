"""The commands of `python -m reference` on regularised problems: flow, temperature, compare, plot, studio."""

import argparse
import contextlib
import importlib.util
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from reference import figures, figures_ratios, planning, show
from reference.catalogue import PARAMETERS, takers
from reference.commands import divergence_of, process_facts, process_of
from reference.divergence import Divergence
from reference.mdp import MDP
from reference.output import check_plot, page_width, report, waiting, write_plot
from reference.panel import Panel
from reference.ratios import Behavior, behavior_of, three_ratios
from reference.regularized import regularized_occupancy
from reference.sources import load_mdp, load_policy
from reference.temperature import (
    Temperature,
    beta_for_effective_sample_fraction,
    beta_for_kl,
    beta_for_perplexity_fraction,
)
from reference.weights import optimal_weights

__all__ = ["DRAWINGS", "compare", "flow", "plot", "studio", "temperature"]

_TARGETS = {"ess": beta_for_effective_sample_fraction, "perplexity": beta_for_perplexity_fraction, "kl": beta_for_kl}
_DECADES = 2  # of beta on either side of the one asked for, in a figure of concentration


def flow(arguments: argparse.Namespace) -> int:
    """The flow problem: the occupancy that trades reward against divergence from the data; 1 if the gap stayed open."""
    mdp = process_of(arguments)
    with waiting(f"solving the flow problem of {arguments.name}"):
        behavior = behavior_of(mdp, load_policy(arguments.behavior, mdp))
        solved = regularized_occupancy(mdp, behavior.law, arguments.beta, divergence_of(arguments))
    reward = math.fsum((solved.occupancy * mdp.rewards).ravel())
    write_plot(arguments.plot, figures.size_for(mdp), lambda ax: figures.plot_occupancy(mdp, solved.occupancy, ax))
    facts = {
        **process_facts(arguments, mdp), "divergence": solved.divergence.name, "beta": solved.beta,
        "method": solved.method, "iterations": solved.iterations, "status": solved.status.name,
        "value": solved.value, "primal": solved.primal, "dual": solved.dual, "gap": solved.gap,
        "flow_residual": solved.flow_residual, "mean_reward": reward, "occupancy": solved.occupancy,
        "ratio": solved.ratio, "values": solved.values,
        "td_error": solved.td_error, "policy": solved.policy, "behavior": solved.behavior,
    }  # fmt: skip
    lines = [
        f"{solved.method}, {solved.iterations} iterations: {solved.status}",
        f"optimum in [{solved.primal:.12g}, {solved.dual:.12g}], of which mean reward {reward:.10g}",
    ]
    panels = show.describe(solved, mdp, limit=arguments.limit, width=page_width())
    report(f"{arguments.name}: {mdp!r}", facts, lines, panels, as_json=arguments.json)
    return 0 if solved.converged else 1


def temperature(arguments: argparse.Namespace) -> int:
    """The beta at which the weights of the behavior's data are as concentrated as asked."""
    ((name, target),) = ((name, value) for name in _TARGETS if (value := getattr(arguments, name)) is not None)
    mdp, divergence = process_of(arguments), divergence_of(arguments)
    with waiting(f"looking for the temperature on {arguments.name}"):
        behavior = behavior_of(mdp, load_policy(arguments.behavior, mdp))
        found: Temperature = _TARGETS[name](behavior.advantage, behavior.law, target, divergence)
    betas = _around(found.beta)
    write_plot(
        arguments.plot, figures.size_for(None),
        lambda ax: figures_ratios.plot_concentration(behavior, betas, [divergence], ax),
    )  # fmt: skip
    facts = {
        **process_facts(arguments, mdp), "divergence": divergence.name, "signal": found.signal,
        "target": found.target, "achieved": found.achieved, "achieved_error": found.achieved_error,
        "beta": found.beta, "beta_low": found.low, "beta_high": found.high, "weights": found.weights.weights,
    }  # fmt: skip
    lines = [
        f"beta {found.beta:.12g}, every exact solution in [{found.low:.17g}, {found.high:.17g}]",
        f"{found.signal} {found.achieved:.12g} there, within {found.achieved_error:.1e}",
    ]
    panels = show.describe(found, mdp, limit=arguments.limit, advantage=behavior.advantage)
    report(f"{arguments.name}: {mdp!r}", facts, lines, panels, as_json=arguments.json)
    return 0


def compare(arguments: argparse.Namespace) -> int:
    """Two policies, several divergences, or the three ratios of one divergence."""
    mdp = process_of(arguments)
    if arguments.policies:
        return _compare_policies(arguments, mdp)
    if arguments.divergences:
        return _compare_divergences(arguments, mdp)
    return _compare_ratios(arguments, mdp)


def _compare_policies(arguments: argparse.Namespace, mdp: MDP) -> int:
    first, second = (behavior_of(mdp, load_policy(name, mdp)) for name in arguments.policies)
    gain = second.evaluation.values - first.evaluation.values
    error = first.evaluation.error_bound + second.evaluation.error_bound
    starts = [float(mdp.initial @ behavior.evaluation.values) for behavior in (first, second)]
    distance = 0.5 * math.fsum(np.abs(second.law - first.law).ravel())
    facts = {
        **process_facts(arguments, mdp), "policies": list(arguments.policies), "start_values": starts,
        "difference": gain, "difference_error": error, "total_variation": distance,
    }  # fmt: skip
    lines = [
        f"value from the start: {arguments.policies[0]} {starts[0]:.10g}, {arguments.policies[1]} {starts[1]:.10g}",
        f"the second gains from {gain.min():.6g} to {gain.max():.6g} over the states, each within {error:.1e}",
        f"total variation between their occupancies {distance:.6g}",
    ]
    order = np.argsort(-np.abs(gain), kind="stable")[: arguments.limit]
    rows = [
        [str(int(state)), *(show.number(b.evaluation.values[state]) for b in (first, second)), show.number(gain[state])]
        for state in order
    ]
    panels = [Panel("values, largest differences first", rows, ["state", *arguments.policies, "difference"])]
    if mdp.grid is not None:
        panels.insert(0, show.grid_of_values(mdp, gain, "what the second gains", page_width()))
    write_plot(
        arguments.plot, figures.size_for(mdp),
        lambda ax: figures.plot_states(mdp, gain, "gain in value", ax).set_title(" to ".join(arguments.policies)),
    )  # fmt: skip
    report(f"{arguments.name}: {mdp!r}", facts, lines, panels, as_json=arguments.json)
    return 0


def _compare_divergences(arguments: argparse.Namespace, mdp: MDP) -> int:
    behavior = behavior_of(mdp, load_policy(arguments.behavior, mdp))
    divergences = [divergence_of(arguments, name) for name in arguments.divergences]
    for parameter in PARAMETERS:
        if getattr(arguments, parameter) is not None and not set(takers(parameter)) & set(arguments.divergences):
            raise ValueError(
                f"--{parameter}: no divergence here takes a {parameter}, only {', '.join(takers(parameter))}"
            )
    solved = [optimal_weights(behavior.advantage, behavior.law, arguments.beta, each) for each in divergences]
    write_plot(
        arguments.plot, figures.size_for(None),
        lambda ax: figures_ratios.plot_weight_curves(behavior, arguments.beta, divergences, ax),
    )  # fmt: skip
    records = [
        {
            "divergence": repr(each.divergence), "multiplier": each.multiplier, "value": each.value, "gap": each.gap,
            "effective_sample_fraction": each.effective_sample_fraction,
            "smallest_weight": float(np.nanmin(each.weights)), "largest_weight": float(np.nanmax(each.weights)),
            "weights": each.weights,
        }
        for each in solved
    ]  # fmt: skip
    columns = ("divergence", "ν", "value", "gap", "1 / E w²", "min w", "max w")
    rows = [[str(text), *(show.number(x, 5) for x in numbers)] for text, *numbers, _ in map(dict.values, records)]
    facts = {**process_facts(arguments, mdp), "beta": arguments.beta, "divergences": records}
    panel = Panel(f"optimal weights at beta {arguments.beta:g}", rows, columns)
    report(f"{arguments.name}: {mdp!r}", facts, [], [panel], as_json=arguments.json)
    return 0


def _compare_ratios(arguments: argparse.Namespace, mdp: MDP) -> int:
    ratios = three_ratios(mdp, load_policy(arguments.behavior, mdp), arguments.beta, divergence_of(arguments))
    write_plot(arguments.plot, figures.size_for(None), lambda ax: figures_ratios.plot_ratios(mdp, ratios, ax))
    law = ratios.behavior.law
    kinds = {
        "relaxed": ratios.relaxed.weights,
        "conditional": ratios.conditional.ratio,
        "occupancy": ratios.occupancy.ratio,
    }
    facts = {
        **process_facts(arguments, mdp), "divergence": ratios.relaxed.divergence.name, "beta": arguments.beta,
        **kinds, "behavior": law,
    }  # fmt: skip
    labels = show.pair_labels(mdp)
    order = np.argsort(-law.ravel(), kind="stable")[: min(arguments.limit, int(np.count_nonzero(law)))]
    rows = [[labels[p], *(show.number(x.ravel()[p]) for x in (law, *kinds.values()))] for p in order]
    panel = Panel("ratios, pairs with most data first", rows, ["pair", "behavior D", *kinds])
    between = float(np.nanmax(np.abs(kinds["conditional"] - kinds["occupancy"])))
    lines = [
        f"optimum of the flow problem in [{ratios.occupancy.primal:.10g}, {ratios.occupancy.dual:.10g}]",
        f"conditional and occupancy ratio differ by up to {between:.6g}: only the second corrects states",
    ]
    report(f"{arguments.name}: {mdp!r}", facts, lines, [panel], as_json=arguments.json)
    return 0


class _Case(NamedTuple):
    """What a figure may need; nothing is computed before it is asked for."""

    mdp: MDP
    policy: Float64[np.ndarray, "S A"]
    divergence: Divergence
    beta: float

    @property
    def behavior(self) -> Behavior:
        return behavior_of(self.mdp, self.policy)


def _around(beta: float) -> Float64[np.ndarray, " N"]:
    return np.geomspace(beta * 10.0**-_DECADES, beta * 10.0**_DECADES, 120)


DRAWINGS: dict[str, Callable[[_Case, Any], Any]] = {
    "values": lambda case, ax: figures.plot_solution(case.mdp, planning.solve(case.mdp), ax),
    "occupancy": lambda case, ax: figures.plot_occupancy(case.mdp, case.behavior.law, ax),
    "weights": lambda case, ax: figures_ratios.plot_weight_curves(case.behavior, case.beta, [case.divergence], ax),
    "ratios": lambda case, ax: figures_ratios.plot_ratios(
        case.mdp, three_ratios(case.mdp, case.policy, case.beta, case.divergence), ax
    ),
    "concentration": lambda case, ax: figures_ratios.plot_concentration(
        case.behavior, _around(case.beta), [case.divergence], ax
    ),
}
"""What `plot --show` draws."""

_MAPS = ("values", "occupancy")  # on the grid, if there is one


def plot(arguments: argparse.Namespace) -> int:
    """One figure, of what `--show` names."""
    check_plot(Path(arguments.file))
    mdp = process_of(arguments)
    with waiting(f"drawing {arguments.name}"):
        case = _Case(mdp, load_policy(arguments.behavior, mdp), divergence_of(arguments), arguments.beta)
        inches = figures.size_for(mdp if arguments.show in _MAPS else None)
        write_plot(arguments.file, inches, lambda ax: DRAWINGS[arguments.show](case, ax))
    facts = {**process_facts(arguments, mdp), "file": arguments.file, "show": arguments.show}
    report(f"{arguments.file}: {arguments.show} of {arguments.name}", facts, [], [], as_json=arguments.json)
    return 0


def studio(arguments: argparse.Namespace) -> int:
    """Serve the marimo application until it is interrupted."""
    if arguments.name is not None:
        load_mdp(arguments.name)  # a wrong name is one clear line here, not a traceback in the browser
    if importlib.util.find_spec("marimo") is None:
        raise ModuleNotFoundError('the studio needs marimo, which is not installed: pip install "roer[studio]"')
    notebook = Path(__file__).with_name("studio.py")
    command = [sys.executable, "-m", "marimo", "--yes", "run", str(notebook), "--host", "127.0.0.1"]
    command += ["--port", str(arguments.port)] if arguments.port is not None else []
    command += ["--headless"] if arguments.headless else []
    command += ["--", "--process", arguments.name] if arguments.name is not None else []
    # The application is local: nothing asks the network for newer versions either.
    with subprocess.Popen(command, env={**os.environ, "MARIMO_SKIP_UPDATE_CHECK": "1"}) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())  # no server outlives its command
        with contextlib.suppress(KeyboardInterrupt):  # the usual way to stop; the server was told as well
            server.wait()
        return max(server.wait(), 0)
