"""The studio's cells, run without a browser: what the sliders say is what the solvers are asked, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from tolerances import normalisation

from reference.library import garnet, gridworld
from reference.occupancy import flow_residual
from reference.planning import solve
from reference.studio import DIVERGENCES, PROCESSES, app


def run(**moved) -> dict:
    """The app's definitions after the controls in `moved` were set; the others stand where a user finds them."""
    controls = {
        "process": "gridworld:4,5",
        "divergence": DIVERGENCES["kl"],
        "discount": 0.9,
        "greediness": 0.5,
        "log_beta": -0.5,
        "target": 0.5,
        "eta": 0.2,
        "rho": 0.25,
    } | moved
    _, definitions = app.run(defs={name: SimpleNamespace(value=value) for name, value in controls.items()})
    return dict(definitions)


def test_the_first_page(row):
    """What a user sees first, against the solvers called by hand."""
    shown = run()
    exact = solve(gridworld(4, 5, discount=0.9))
    row.exact("RL-06", "studio: optimal values", np.array_equal(shown["optimal"].values, exact.values), "they differ")
    ratios = shown["ratios"]
    mean = float(np.nansum(ratios.behavior.law * ratios.relaxed.weights))
    rounding, _ = normalisation(ratios.behavior.law.size)
    bound = ratios.relaxed.weights_error + rounding
    row("KL-04", "studio: mean of the relaxed weights", abs(mean - 1.0), bound, "weights_error, and a sum of a law")
    residual = float(np.abs(flow_residual(shown["mdp"], ratios.occupancy.occupancy)).sum())
    row("OCC-01", "studio: flow residual", residual, ratios.occupancy.flow_residual, "its own certificate")


def test_the_divergence_reaches_the_weights():
    names = ("kl", "js", "fermi-dirac, cap 2")
    shares = {
        name: run(divergence=DIVERGENCES[name], process="garnet:12,3,3,0", log_beta=0.0)["ratios"]
        .relaxed.effective_sample_fraction
        for name in names
    }  # fmt: skip
    # at equal beta JS concentrates more than KL, whatever the advantages (JS-12)
    assert shares["js"] < shares["kl"]
    assert shares["fermi-dirac, cap 2"] > 0.5  # no weight above 2 and mean one: E w^2 < 2


def test_every_process_in_the_list_opens():
    for name in PROCESSES:
        assert run(process=name)["ratios"].occupancy.converged, name


@pytest.mark.parametrize("label", DIVERGENCES)
def test_every_divergence_in_the_menu_gives_an_answer_or_says_why_not(label):
    """A generator may refuse the law of this behavior; then no number is shown (OCC-03, OCC-04)."""
    ratios = run(divergence=DIVERGENCES[label]).get("ratios")
    assert ratios is None or ratios.relaxed.divergence == DIVERGENCES[label]
    assert ratios is not None or label not in ("kl", "js", "fermi-dirac, cap 2")


@pytest.mark.parametrize(
    ("process", "ends"),
    [
        ("gridworld:4,5", {"discount": 0.0, "greediness": 0.95}),
        ("cliff:3,6", {"discount": 0.99, "log_beta": -2.0}),
        ("chain:8", {"discount": 0.0, "log_beta": 2.0}),
        ("recycling-robot", {"greediness": 0.0, "target": 0.95, "rho": 1.0}),
    ],
)
def test_ends_of_the_sliders(process, ends):
    assert run(process=process, **ends)["ratios"].occupancy.converged


def test_what_the_solvers_refuse_is_said_and_stops_what_rests_on_it():
    """The page keeps its words and controls; no number of an earlier choice stays."""
    shown = run(log_beta=float("nan"))
    assert shown.get("ratios") is None
    assert shown.get("exact_beta") is None


def test_beta_and_discount_reach_the_solvers():
    shown = run(discount=0.5, log_beta=1.0, process="garnet:12,3,3,0")
    assert shown["mdp"].discount == 0.5
    assert shown["ratios"].relaxed.beta == 10.0
    assert np.array_equal(shown["mdp"].rewards, garnet(12, 3, 3, 0, 0.5).rewards)


def test_a_target_that_no_beta_reaches_is_said():
    """Weights concentrate on the best pairs at most, whose share of the data is a floor (BET-03)."""
    shown = run(process="recycling-robot", greediness=0.95, target=0.2)
    behavior = shown["ratios"].behavior
    best = behavior.advantage == behavior.advantage[behavior.law > 0.0].max()
    assert behavior.law[best].sum() > 0.2
    assert shown["exact_beta"] is None


@pytest.mark.parametrize("control", ["discount", "log_beta", "greediness"])
def test_each_slider_moves_something(control):
    moved = {"discount": 0.3, "log_beta": 1.0, "greediness": 0.9}
    before, after = run(), run(**{control: moved[control]})
    assert not np.array_equal(before["ratios"].occupancy.occupancy, after["ratios"].occupancy.occupancy)
