"""The page that the studio opens with: its words, controls, numbers and figures, without a browser."""

from __future__ import annotations

import functools
import html
import json
import re
from typing import Any

import marimo as mo
import numpy as np
import pytest

from reference import figures_ratios
from reference.studio import DIVERGENCES, PROCESSES, app

BOUND = re.compile(r"\de[+-]\d+")
ROW = "flex-direction: row;justify-content: flex-start;align-items: normal;flex-wrap: {};"
COLUMN = "flex-direction: column;justify-content: flex-start;align-items: normal;flex-wrap: nowrap;"


@functools.cache
def page() -> tuple[list[str], dict[str, Any], list[Any]]:
    """The cells' outputs as HTML, what the cells define, and the figures in the order in which they are drawn."""
    made = []
    empty = figures_ratios.figure

    def noted(inches):
        figure, ax = empty(inches)
        made.append((figure, ax))
        return figure, ax

    figures_ratios.figure = noted
    try:
        outputs, definitions = app.run()
    finally:
        figures_ratios.figure = empty
    return [mo.as_html(output).text for output in outputs if output is not None], dict(definitions), made


def words(text: str) -> str:
    """What a reader reads: no tags, formulas as they are written."""
    plain = re.sub(r"<[^>]*>", " ", re.sub(r"\|\|\((.*?)\|\|\)", r"$\1$", text))
    return " ".join(html.unescape(plain).split())


def test_words():
    outputs, _, _ = page()
    texts = [words(text) for text in outputs if "<h1" in text or "<h2" in text]
    assert texts == [
        "One process, three ratios A behavior policy $\\pi_D$ meets the pairs of a process with law $D$ . "
        "Regularisation of strength $\\beta$ asks which law $d$ to prefer, and three ratios $w = d/D$ answer to that "
        "name: relaxed (advantages as fixed coefficients, KL-04), conditional (close to $\\pi_D$ in every state, "
        "OCC-06) and occupancy (the law of a policy, OCC-01).",
        "Choosing β The effective share of the data grows with β (ESS-11), so a rule that raises β when the share is "
        "above its target, as the note prints it, runs away to a bound; with the sign reversed it settles. The exact "
        "answer needs no rule (BET-03).",
    ]


SLIDERS = {
    "discount": ("discount γ", 0.0, 0.99, 0.01, 0.9),
    "greediness": ("optimal share of the behavior", 0.0, 0.95, 0.05, 0.5),
    "log_beta": ("log10 of β", -2.0, 2.0, 0.05, -0.5),
    "target": ("target share", 0.05, 0.95, 0.05, 0.5),
    "eta": ("rate η", 0.02, 1.0, 0.02, 0.2),
    "rho": ("smoothing ρ", 0.05, 1.0, 0.05, 0.25),
}


@pytest.mark.parametrize("name", SLIDERS)
def test_sliders(name):
    """What each is called, where it begins and ends, its steps, where it stands; its number is shown beside it."""
    slider = page()[1][name]
    label, *numbers = SLIDERS[name]
    assert [slider.start, slider.stop, slider.step, slider.value] == numbers
    assert label in html.unescape(slider.text)
    assert "data-show-value='true'" in slider.text


def test_menus():
    """Processes and divergences, of which one is always chosen: the first."""
    _, definitions, _ = page()
    for name, options in (("process", list(PROCESSES)), ("divergence", list(DIVERGENCES))):
        menu = definitions[name]
        assert list(menu.options) == options
        assert f"{name}\\u003c/span" in html.unescape(menu.text)
        assert "data-allow-select-none='false'" in menu.text
    assert definitions["process"].value == PROCESSES[0]
    assert definitions["divergence"].value == next(iter(DIVERGENCES.values()))


def test_layout():
    """Menus beside each other above their sliders; numbers and figures go on in the next line where one is full."""
    outputs, _, _ = page()
    controls, numbers, *_ = (text for text in outputs if "<h" not in text)
    assert COLUMN in controls
    assert ROW.format("nowrap") in controls
    assert controls.count("marimo-slider data") == 3
    choosing = next(text for text in outputs if "target share" in text)
    assert choosing.count("marimo-slider data") == 3
    answer = outputs[-1]
    assert COLUMN in answer
    for text in (numbers, choosing, answer, *outputs[3:5]):
        assert ROW.format("wrap") in text


def test_numbers():
    """Each with its name, and with its bound or its formula where it has one."""
    outputs, definitions, _ = page()
    ratios, optimal, mdp = (definitions[name] for name in ("ratios", "optimal", "mdp"))
    law = ratios.behavior.law

    def share(ratio):
        return f"{1.0 / float(np.nansum(law * ratio**2)):.5f}"

    expected = [
        ("optimal value", f"{mdp.initial @ optimal.values:.5f}", f"error ≤ {optimal.error_bound:.0e}"),
        ("value of the behavior", f"{mdp.initial @ ratios.behavior.evaluation.values:.5f}", None),
        ("β", f"{10.0**-0.5:.4g}", None),
        ("effective share, relaxed", share(ratios.relaxed.weights), "ESS/n = 1 / E w²"),
        ("effective share, conditional", share(ratios.conditional.ratio), "ESS/n = 1 / E w²"),
        ("effective share, occupancy", share(ratios.occupancy.ratio), "ESS/n = 1 / E w²"),
        ("multiplier ν", f"{ratios.relaxed.multiplier:.5f}", f"± {ratios.relaxed.multiplier_error:.0e}"),
        ("regularised optimum", f"{ratios.occupancy.dual:.5f}", f"gap ≤ {ratios.occupancy.gap:.0e}"),
    ]
    text = next(text for text in outputs if "marimo-stat" in text)
    seen = []
    for stat in re.findall(r"<marimo-stat ([^>]*)>", text):
        fields = {key: json.loads(html.unescape(value)) for key, value in re.findall(r"data-(\w+)='([^']*)'", stat)}
        seen.append((fields["label"], fields["value"], fields.get("caption")))
    assert seen == expected


FIGURES = [
    ("optimal values", "", "", []),
    ("behavior", "", "", []),
    ("regularised occupancy", "", "", []),
    (
        "three ratios, KL(), β = 0.316228",
        "pairs with data, by occupancy ratio",
        "ratio w",
        ["occupancy d*/D", "conditional π*/π_D", "relaxed"],
    ),
    ("optimal weights at β = 0.316228", "advantage", "weight w", ["KL()", "JensenShannon()"]),
    (
        "feedback laws, target 0.5, η = 0.2, ρ = 0.25",
        "step",
        "β",
        ["as printed", "sign reversed", "exact β = {exact:.3g}"],
    ),
    ("effective share of the data", "β", "1 / E w²", ["KL()", "JensenShannon()"]),
]


def test_figures():
    """Three maps beside each other, then curves two by two: what they say of themselves, in which size."""
    _, definitions, made = page()
    assert len(made) == len(FIGURES)
    for (_, ax), (title, across, up, entries) in zip(made, FIGURES, strict=True):
        legend = ax.get_legend()
        said = [text.get_text().partition(", ESS")[0] for text in legend.get_texts()] if legend else []
        expected = [entry.format(exact=definitions["exact_beta"]) for entry in entries]
        assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel(), said) == (title, across, up, expected)
    width, height = 6.0 + 1.2, 6.0 * 4 / 5 + 0.6  # of a page for a grid of 4 by 5
    sizes = [tuple(figure.get_size_inches()) for figure, _ in made]
    assert sizes == [(3.4, 3.4 * height / width)] * 3 + [(5.2, 3.5)] * 4


def test_figures_draw_what_was_solved():
    _, definitions, made = page()
    mdp, optimal, ratios = (definitions[name] for name in ("mdp", "optimal", "ratios"))
    for (_, ax), shown in zip(
        made[:3], (optimal.values, ratios.behavior.law.sum(axis=1), ratios.occupancy.occupancy.sum(axis=1)), strict=True
    ):
        np.testing.assert_array_equal(np.asarray(ax.images[0].get_array()).ravel(), shown)
    laws, share = made[5][1], made[6][1]
    for line in laws.lines[:2]:
        path = np.asarray(line.get_ydata())
        assert (len(path), path[0]) == (81, 10.0**-0.5)
    assert laws.get_ylim() == (0.7e-3, 1.4e2)
    np.testing.assert_array_equal(share.lines[0].get_xdata(), np.geomspace(1e-2, 1e2, 33))
    assert mdp.grid == (4, 5)


def test_the_exact_beta_is_said():
    outputs, definitions, _ = page()
    said = BOUND.sub("~", words(outputs[-1]))
    assert said == f"exact β = {definitions['exact_beta']:.6g}, relative error ≤ ~"
