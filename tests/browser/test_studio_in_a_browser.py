"""The studio as a user has it: served, opened in Chromium, sliders moved by the keyboard, numbers read off the page.

What the page must show is computed here, from the arrays of the process alone: sweeps, a softmax, a quasi-Newton
method. `tox run -e py312-browser`; ROER_CHROMIUM names a Chromium, ROER_SCREENSHOTS a folder for pictures.
"""

from __future__ import annotations

import importlib
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

import chromium
import numpy as np
import pytest
from scipy import optimize, special

from reference.library import garnet, gridworld

pytestmark = chromium.needed

LOCAL = re.compile(r"(https?|wss?)://127\.0\.0\.1[:/]|data:|blob:")
PATIENCE = 240.0  # seconds for a page on a slow machine
NAME = "garnet:12,3,3,0"  # no ties, hence one optimal policy
# Order of the sliders on the page, with the value at which each starts and its step.
SLIDERS = {"discount": (0, 0.9, 0.01), "share": (1, 0.5, 0.05), "log_beta": (2, -0.5, 0.05), "target": (3, 0.5, 0.05)}
WIDTHS = (1320, 620)


class Shown(NamedTuple):
    """What the page shows, as numbers."""

    optimal: float
    behavior: float
    beta: float
    relaxed: float
    conditional: float
    occupancy: float
    multiplier: float
    optimum: float


# -- the same, independently ---------------------------------------------------------------------------------------


def expected(mdp, share: float, beta: float) -> Shown:
    """The eight numbers for KL, by other means than the library's."""
    gamma, transitions, start = mdp.discount, np.asarray(mdp.transitions), mdp.initial
    values = soft = np.zeros(mdp.n_states)
    sweeps = int(np.ceil(np.log(1e-13) / np.log(gamma)))
    for _ in range(sweeps):
        values = (mdp.rewards + gamma * transitions @ values).max(axis=1)
    best = (mdp.rewards + gamma * transitions @ values).argmax(axis=1)
    policy = (1.0 - share) / mdp.n_actions + share * np.eye(mdp.n_actions)[best]
    chain = np.einsum("sa,sat->st", policy, transitions)
    identity = np.eye(mdp.n_states)
    own = np.linalg.solve(identity - gamma * chain, (policy * mdp.rewards).sum(axis=1))
    law = (1.0 - gamma) * np.linalg.solve(identity - gamma * chain.T, start)[:, None] * policy
    advantage = mdp.rewards + gamma * transitions @ own - own[:, None]
    multiplier = float(special.logsumexp(advantage / beta, b=law))
    relaxed = np.exp(advantage / beta - multiplier)
    for _ in range(sweeps):
        soft = beta * special.logsumexp((mdp.rewards + gamma * transitions @ soft) / beta, b=policy, axis=1)
    conditional = np.exp((mdp.rewards + gamma * transitions @ soft - soft[:, None]) / beta)

    def dual(v):
        delta = (mdp.rewards + gamma * transitions @ v - v[:, None]) / beta
        log_mean = special.logsumexp(delta, b=law)
        d = law * np.exp(delta - log_mean)
        slope = (1.0 - gamma) * start + gamma * np.einsum("sa,sat->t", d, transitions) - d.sum(axis=1)
        return (1.0 - gamma) * start @ v + beta * log_mean, slope, d

    found = optimize.minimize(lambda v: dual(v)[:2], np.zeros(mdp.n_states), jac=True, method="BFGS", tol=1e-9)
    occupancy = dual(found.x)[2] / law
    ess = [1.0 / float((law * ratio**2).sum()) for ratio in (relaxed, conditional, occupancy)]
    return Shown(float(start @ values), float(start @ own), beta, *ess, multiplier, float(found.fun))


def exact_beta(mdp, share: float, target: float) -> float:
    """The temperature at which the relaxed KL weights keep `target` of the data, by Brent's method (BET-03)."""
    return 10.0 ** optimize.brentq(lambda x: expected(mdp, share, 10.0**x).relaxed - target, -2.0, 2.0, xtol=1e-12)


# -- the page ------------------------------------------------------------------------------------------------------


@pytest.fixture
def address(tmp_path):
    """The address of a running studio."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "reference", "studio", NAME, "--headless", "--port", str(port)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5).close()
                    break
                except OSError:
                    said = (tmp_path / "log").read_text()
                    assert process.poll() is None, said
                    assert time.monotonic() < deadline, said
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "the server outlived the command that started it"


@pytest.fixture
def page(address):
    """The studio in Chromium, once it shows numbers; at the end: no error on its console, no request to elsewhere."""
    errors, outside = [], []

    def guard(route):
        if LOCAL.match(route.request.url):
            route.continue_()
        else:
            outside.append(route.request.url)
            route.abort()

    with importlib.import_module("playwright.sync_api").sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium.PATH, args=chromium.QUIET)
        page = browser.new_page(viewport={"width": WIDTHS[0], "height": 1000})
        page.route("**/*", guard)
        page.on("websocket", lambda socket: None if LOCAL.match(socket.url) else outside.append(socket.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.goto(address, timeout=1000.0 * PATIENCE)
        page.get_by_text("exact β").first.wait_for(timeout=1000.0 * PATIENCE)
        yield page
        browser.close()
    assert errors == []
    assert outside == []


def cards(page) -> list[str]:
    """The text of each number with a label; marimo draws them in shadow roots."""
    script = "all => all.map(e => [...e.shadowRoot.children].map(child => child.innerText).join('\\n'))"
    return page.locator("marimo-stat").evaluate_all(script)


def printed(page) -> list[str] | None:
    """The numbers on the page, as they stand there; None while it is being redrawn."""
    found = [re.search(r"^-?\d+(\.\d+)?(e[-+]?\d+)?$", text, re.MULTILINE) for text in cards(page)]
    complete = len(found) == len(Shown._fields) and None not in found
    return [match.group() for match in found] if complete else None


def shown(page) -> Shown | None:
    """The same as numbers."""
    texts = printed(page)
    return None if texts is None else Shown(*map(float, texts))


def last_digit(text: str) -> float:
    """The unit of the last digit of a printed number."""
    digits, _, exponent = text.partition("e")
    return 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))


def settles_at(page, numbers: Shown, rows, label: str) -> None:
    """Wait until the page shows `numbers`; the worst of them, in units of its last digit, is a row.

    Rounding to what is printed takes half of a unit; the other half is for the solvers of this file.
    """
    errors: list[float] = []
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        texts = printed(page)
        if texts is not None:
            errors = [abs(float(t) - number) / last_digit(t) for t, number in zip(texts, numbers, strict=True)]
            if max(errors) <= 1.0:
                break
        page.wait_for_timeout(250)
    assert errors, cards(page)
    rows("KL-04", f"studio in a browser: {label}", max(errors), 1.0, "units of the last digit that is printed")


def move(page, slider: str, steps: int) -> float:
    """Press an arrow key that often, and return where the slider then stands."""
    place, start, step = SLIDERS[slider]
    page.get_by_role("slider").nth(place).focus()
    for _ in range(abs(steps)):
        page.keyboard.press("ArrowRight" if steps > 0 else "ArrowLeft")
    return round(start + steps * step, 10)


def picture(page, name: str) -> None:
    """The whole page at each width, where a folder for pictures is named."""
    if folder := os.environ.get("ROER_SCREENSHOTS"):
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 3200})
            page.wait_for_timeout(2000)
            page.screenshot(path=str(Path(folder) / f"studio_{name}_{width}.png"))


def test_sliders_recompute_and_nothing_leaves_the_machine(page, row):
    settles_at(page, expected(garnet(12, 3, 3, 0, 0.9), 0.5, 10.0**-0.5), row, "first page")
    picture(page, "first")
    log_beta = move(page, "log_beta", 8)
    settles_at(page, expected(garnet(12, 3, 3, 0, 0.9), 0.5, 10.0**log_beta), row, "beta moved")
    share = move(page, "share", -4)
    settles_at(page, expected(garnet(12, 3, 3, 0, 0.9), share, 10.0**log_beta), row, "behavior moved")
    discount = move(page, "discount", -10)
    mdp = garnet(12, 3, 3, 0, discount)
    settles_at(page, expected(mdp, share, 10.0**log_beta), row, "discount moved")
    target = move(page, "target", 4)
    page.get_by_text(f"exact β = {exact_beta(mdp, share, target):.6g}").first.wait_for(timeout=1000.0 * PATIENCE)
    picture(page, "moved")


def test_menus_change_the_process_and_the_divergence(page):
    """Generators at equal beta concentrate differently (JS-12); an optimal value that ties cannot change."""
    relaxed = shown(page).relaxed
    menus = page.get_by_role("combobox")
    menus.nth(1).select_option("js")
    deadline = time.monotonic() + PATIENCE
    while (now := shown(page)) is None or now.relaxed == relaxed:
        assert time.monotonic() < deadline, cards(page)
        page.wait_for_timeout(250)
    assert now.relaxed < relaxed
    menus.nth(0).select_option("gridworld:4,5")
    mdp = gridworld(4, 5, discount=0.9)
    values = np.zeros(mdp.n_states)
    for _ in range(400):
        values = np.where(mdp.available, mdp.rewards + 0.9 * mdp.expected_next(values), -np.inf).max(axis=1)
    text = f"{float(mdp.initial @ values):.5f}"
    while text not in "\n".join(cards(page)):
        assert time.monotonic() < deadline, cards(page)
        page.wait_for_timeout(250)
    picture(page, "menus")
