"""Jitted SAC with ROER experience weights, held against the exact solutions of ``reference``.

Modules are imported by name (``from deep import agent``); this file only says, in one line,
what is missing when the extra is not installed.
"""

import sys
from importlib.util import find_spec

_MISSING = [name for name in ("jax", "flax", "optax") if find_spec(name) is None]
if _MISSING:
    _message = f'deep needs {", ".join(_MISSING)}, which this environment lacks: pip install "roer[deep]"'
    # `python -m deep` and `roer-train` import this file before they could catch anything.
    if sys.argv[0].endswith("roer-train") or (sys.argv[0] == "-m" and "deep" in sys.orig_argv):
        sys.exit(f"error: {_message}")
    raise ModuleNotFoundError(_message, name=_MISSING[0])
