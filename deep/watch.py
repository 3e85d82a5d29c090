"""What became NaN or infinite first, and at which update: a record of three scalars that the update carries along.

A number that is not finite spreads through every quantity within an update or two, so an array found bad at a
checkpoint says little about where it began. :func:`watch` looks at every update, on the device, at the quantities in
the order in which an update computes them, and keeps the first that is bad; after that the record never changes. The
host reads it where it waits for the device anyway: with each line of the log and before each checkpoint.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

# The order of an update. What it computes and is not listed here comes last, by name.
ORDER = (
    "losses/critic",
    "values/q",
    "parameters/critic",
    "losses/value",
    "parameters/value",
    "values/v",
    "weights/td_error",
    "weights/beta",
    "weights/multiplier",
    "weights/ratio_max",
    "weights/mean",
    "losses/actor",
    "values/entropy",
    "parameters/actor",
    "losses/log_alpha",
    "parameters/log_alpha",
    "parameters/target_critic",
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Record:
    """The first quantity that was not finite: its place in ``names``, its value, the update; ``index`` -1 for none.

    Scalars, or one for each seed. Typed ``Any`` because JAX also builds trees of other things than arrays.
    """

    index: Any
    update: Any
    value: Any
    names: tuple[str, ...] = field(metadata={"static": True})


def names(metrics: Iterable[str], groups: Iterable[str]) -> tuple[str, ...]:
    """What is watched, in the order of the update: the metrics by name and each group of parameters."""
    known = {name: place for place, name in enumerate(ORDER)}
    found = {*metrics, *(f"parameters/{group}" for group in groups)}
    return tuple(sorted(found, key=lambda name: (known.get(name, len(ORDER)), name)))


def clean(names: tuple[str, ...], shape: tuple[int, ...] = ()) -> Record:
    """A record that has seen nothing bad; ``shape`` is that of the seeds trained together."""
    return Record(jnp.full(shape, -1, jnp.int32), jnp.zeros(shape, jnp.int32), jnp.zeros(shape), names)


def watch(
    record: Record,
    metrics: Mapping[str, Float[Array, ""]],
    groups: Mapping[str, PyTree],
    update: Int[Array, ""] | int,
) -> Record:
    """The record after one more update, with its metrics and the groups of parameters that it left, by name.

    Of each group the sum is watched: a NaN or an infinity in any leaf makes it NaN or infinite, and it costs one pass
    over memory that the optimiser has just written. ``update`` is the update's number. ValueError when these are not
    the quantities of ``record.names``, at the time of tracing.
    """
    found = dict(metrics) | {f"parameters/{name}": _total(group) for name, group in groups.items()}
    if odd := sorted(found.keys() ^ set(record.names)):
        side = "is not watched" if odd[0] in found else "is missing"
        raise ValueError(f"watch: expected the quantities {record.names}, but {odd[0]} {side}")
    values = jnp.stack([jnp.asarray(found[name], record.value.dtype) for name in record.names])
    bad = ~jnp.isfinite(values)
    first = jnp.argmax(bad)
    news = jnp.any(bad) & (record.index < 0)
    return Record(
        jnp.where(news, first.astype(jnp.int32), record.index),
        jnp.where(news, jnp.asarray(update, jnp.int32), record.update),
        jnp.where(news, values[first], record.value),
        record.names,
    )


def describe(record: Record) -> str | None:
    """What went bad first and at which update, None if nothing did; of seeds trained together, the earliest."""
    index, update, value = (np.atleast_1d(part) for part in jax.device_get((record.index, record.update, record.value)))
    bad = np.flatnonzero(index >= 0)
    if not bad.size:
        return None
    at = bad[np.argmin(update[bad])]
    whose = f" of seed number {at} of the {index.size} trained together" if index.size > 1 else ""
    return (
        f"{record.names[index[at]]}{whose} was the first to be no finite number: {value[at]} at update {update[at]:,}"
    )


def _total(group: PyTree) -> Float[Array, ""]:
    return jnp.sum(jnp.stack([jnp.sum(leaf) for leaf in jax.tree.leaves(group)]))
