"""Jitted SAC with ROER experience weights, held against the exact solutions of ``reference``.

Modules are imported by name (``from deep import agent``); this file only says, in one line,
what is missing when the extra is not installed.
"""

from importlib.util import find_spec

_MISSING = [name for name in ("jax", "flax", "optax") if find_spec(name) is None]
if _MISSING:
    raise ModuleNotFoundError(
        f'deep needs {", ".join(_MISSING)}, which this environment lacks: pip install "roer[deep]"', name=_MISSING[0]
    )
