"""A run's policy as two files that act without this package: ``policy.npz`` and ``act.py``, which reads it.

NumPy rather than ONNX or StableHLO: the policy is three matrix products, every machine that runs Python has NumPy, and
the one page of code can be read. :mod:`deep.act` is that page; it is copied as it stands.
"""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import PyTree

import deep.act
from deep import runs
from deep.config import ON_POLICY
from deep.environments import Rescaling
from deep.errors import InvalidRun
from deep.files import write_atomically
from deep.policy import Trained

FILES = ("policy.npz", "act.py")


def export(run: Path, trained: Trained, output: Path) -> list[Path]:
    """Write both files into the folder ``output``, replacing those of an earlier export; returns their paths.

    InvalidRun when the policy is not of the kind that the files describe, or the folder cannot be written.
    """
    if trained.config.agent in ON_POLICY:
        raise InvalidRun(f"{run}: expected the tanh policy of an agent such as sac, saw one of {trained.config.agent}")
    if not isinstance(trained.actions, Rescaling):
        raise InvalidRun(f"{run}: expected a policy over a box of actions, saw {trained.actions}")
    actions = trained.actions
    layers = mode_layers(trained.actor)
    arrays: dict[str, Any] = {"layers": np.int64(len(layers))}
    for at, (kernel, bias) in enumerate(layers):
        arrays |= {f"kernel_{at}": kernel, f"bias_{at}": bias}
    arrays |= {"low": actions.low.reshape(actions.shape), "high": actions.high.reshape(actions.shape)}
    packed = io.BytesIO()
    np.savez(packed, about=np.array(json.dumps(_about(run, trained))), **arrays)
    contents = (packed.getvalue(), Path(deep.act.__file__).read_text(encoding="utf-8"))
    paths = [output / name for name in FILES]
    try:
        for path, content in zip(paths, contents, strict=True):
            write_atomically(path, content)
    except OSError as error:
        raise InvalidRun(f"cannot write the policy into {output}: {error}") from error
    return paths


def mode_layers(actor: PyTree) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernel and bias of each hidden layer and of the mean of an actor of :mod:`deep.networks`, in order.

    InvalidRun when the parameters are named otherwise: another network's layers must not be mistaken for these.
    """
    named = dict(actor["params"])
    hidden = sorted((name for name in named if re.fullmatch(r"Dense_\d+", name)), key=lambda name: int(name[6:]))
    order = [f"Dense_{at}" for at in range(len(hidden))]
    if hidden != order or set(named) - {"log_std"} != {*order, "mean"}:
        raise InvalidRun(
            f"expected an actor of the layers Dense_0, ..., mean and perhaps log_std, saw {', '.join(named)}"
        )
    layers = [named[name] for name in [*order, "mean"]]
    if any(set(layer) != {"kernel", "bias"} for layer in layers):
        raise InvalidRun("expected layers with a kernel and a bias")
    return [(np.asarray(layer["kernel"]), np.asarray(layer["bias"])) for layer in layers]


def _about(run: Path, trained: Trained) -> dict[str, Any]:
    config, last = trained.config, runs.sessions(run)[-1]
    return {
        "environment": config.environment,
        "preset": config.preset,
        "seed": config.seed,
        "step": trained.step,
        **{name: last.get(name) for name in ("certificate", "versions", "git_revision")},
    }
