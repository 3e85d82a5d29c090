"""The machine's Chromium, driven by playwright: what tests in a browser share. ROER_CHROMIUM names another one."""

import importlib.util
import os
import shutil

import pytest

PATH = os.environ.get("ROER_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
needed = [
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="needs the group `browser`"),
    pytest.mark.skipif(PATH is None, reason="not run: this machine has no Chromium (ROER_CHROMIUM names one)"),
]
# Chromium's own errands (updates, sync) are not requests of the page; no name resolves, so that nothing gets out.
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
