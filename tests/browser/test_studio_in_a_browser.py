"""The studio as a user has it: served, opened in Chromium, sliders moved by the keyboard. `tox run -e browser`."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs the group `browser`")
CHROMIUM = os.environ.get("ROER_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install it, or name it in ROER_CHROMIUM")

# Chromium's own errands: updates, sync and the like are not requests of the page.
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
PATIENCE = 120_000  # milliseconds for a page on a slow machine


@pytest.fixture
def served(tmp_path):
    """The address of a running studio."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "reference", "studio", "gridworld:4,5", "--headless", "--port", str(port)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(address, timeout=1).close()
                    break
                except OSError:
                    assert process.poll() is None, (tmp_path / "log").read_text()
                    time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            process.wait(30)


def stat(page, label: str) -> str:
    """The number that stands above `label`."""
    card = page.locator("marimo-stat").filter(has_text=label).first
    return card.inner_text(timeout=PATIENCE)


def settle(page, label: str, before: str) -> str:
    """The statistic once it has changed."""
    for _ in range(PATIENCE // 500):
        now = stat(page, label)
        if now != before:
            return now
        page.wait_for_timeout(500)
    pytest.fail(f"{label} did not change from {before!r}")


def test_sliders_recompute_and_nothing_leaves_the_machine(served):
    pictures = Path(os.environ.get("ROER_SCREENSHOTS", "build/studio"))
    pictures.mkdir(parents=True, exist_ok=True)
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1320, "height": 1700})
        outside, errors = [], []
        page.on(
            "request",
            lambda r: None if re.match(r"(https?|wss?)://127\.0\.0\.1|data:|blob:", r.url) else outside.append(r.url),
        )
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(served)
        page.get_by_text("regularised optimum").first.wait_for(timeout=PATIENCE)
        page.get_by_text("Choosing β").first.wait_for(timeout=PATIENCE)
        page.wait_for_timeout(3000)
        page.screenshot(path=str(pictures / "first.png"), full_page=True)

        share = stat(page, "effective share, relaxed")
        slider = page.get_by_role("slider").nth(2)  # discount, behavior, beta
        slider.focus()
        for _ in range(10):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Tab")
        warmer = settle(page, "effective share, relaxed", share)
        number = re.compile(r"0?\.\d+|1\.0+")
        # the effective share grows with beta (ESS-11)
        assert float(number.search(warmer).group()) > float(number.search(share).group())

        value = stat(page, "optimal value")
        slider = page.get_by_role("slider").first
        slider.focus()
        for _ in range(9):
            page.keyboard.press("ArrowLeft")
        page.keyboard.press("Tab")
        settle(page, "optimal value", value)
        page.wait_for_timeout(3000)
        page.screenshot(path=str(pictures / "moved.png"), full_page=True)
        browser.close()
    assert errors == []
    assert outside == []
