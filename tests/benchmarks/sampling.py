"""Sampling in proportion to stored weights, four ways side by side: `python tests/benchmarks/sampling.py [--lanes L]`.

Each step draws a batch and sets the weights of its slots anew, jitted with donation, in one process and by turns, and
the fastest of many turns counts. `tree` is what `deep.replay` and `deep.sampling` ship; `prefix` cumulates all weights,
`blocks` the sums of blocks and then within one, `kept` the same with the sums of blocks stored and refreshed. The
candidates draw from the same law up to rounding; nothing is asserted. Prints Markdown; read ratios, not microseconds.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from deep import replay, sampling

WIDTH = 128


def renewed(weight, indices):
    """New weights that depend on the old ones, so that no step can be skipped."""
    return 0.9 * weight[indices] + 0.1 * (indices % 7 + 1)


def by_tree(key, stored, batch):
    key, draw = jax.random.split(key)
    indices = sampling.proportional_indices(draw, stored, batch)
    return key, replay.set_weights(stored, indices, renewed(stored.weight, indices))


def by_uniform(key, stored, batch):
    key, draw = jax.random.split(key)
    indices = replay.sample_indices(draw, stored, batch)
    return key, replay.set_weights(stored, indices, renewed(stored.weight, indices))


def by_prefix(key, weight, batch):
    key, draw = jax.random.split(key)
    total = jnp.cumsum(weight)
    indices = jnp.searchsorted(total, jax.random.uniform(draw, (batch,)) * total[-1], side="right")
    indices = jnp.minimum(indices, weight.shape[0] - 1)
    return key, weight.at[indices].set(renewed(weight, indices))


def levels_of(weight):
    """The weights, the sums of their blocks, the sums of blocks of these, and so on to one block."""
    levels = [weight]
    while levels[-1].shape[0] > WIDTH:
        last = levels[-1]
        blocks = math.ceil(last.shape[0] / WIDTH)
        levels.append(jnp.pad(last, (0, blocks * WIDTH - last.shape[0])).reshape(blocks, WIDTH).sum(-1))
    return tuple(levels)


def rows_of(level, blocks):
    return level.at[blocks[:, None] * WIDTH + jnp.arange(WIDTH)].get(mode="fill", fill_value=0.0)


def within(rows, u):
    """A position in each row in proportion to its entries, none of them zero."""
    total = jnp.where(rows > 0, rows @ jnp.triu(jnp.ones((rows.shape[-1],) * 2)), 0.0)
    top = jnp.max(total, axis=-1)
    return jnp.argmax(total > jnp.minimum(u * top, jnp.nextafter(top, jnp.zeros_like(top)))[:, None], axis=-1)


def from_levels(key, levels, batch):
    uniforms = jax.random.uniform(key, (len(levels), batch))
    indices = within(jnp.broadcast_to(levels[-1], (batch, levels[-1].shape[0])), uniforms[0])
    for u, level in zip(uniforms[1:], levels[-2::-1], strict=True):
        indices = indices * WIDTH + within(rows_of(level, indices), u)
    return indices


def by_blocks(key, weight, batch):
    key, draw = jax.random.split(key)
    indices = from_levels(draw, levels_of(weight), batch)
    return key, weight.at[indices].set(renewed(weight, indices))


def by_kept(key, levels, batch):
    key, draw = jax.random.split(key)
    indices = from_levels(draw, levels, batch)
    new = [levels[0].at[indices].set(renewed(levels[0], indices))]
    for level in levels[1:]:
        indices = indices // WIDTH
        new.append(level.at[indices].set(rows_of(new[-1], indices).sum(-1)))
    return key, tuple(new)


def buffer(weight, proportional):
    empty = replay.create(weight.shape[0], 1, 1)
    full = empty._replace(weight=weight, size=jnp.int32(weight.shape[0]))
    return replay.with_sums(full) if proportional else full


CANDIDATES: dict[str, tuple[Callable, Callable]] = {
    "uniform": (by_uniform, lambda weight: buffer(weight, False)),
    "tree": (by_tree, lambda weight: buffer(weight, True)),
    "prefix": (by_prefix, lambda weight: weight + 0.0),
    "blocks": (by_blocks, lambda weight: weight + 0.0),
    "kept": (by_kept, levels_of),
}


def measure(slots: int, batch: int, lanes: int, turns: int) -> dict[str, float]:
    """Microseconds of a step for each candidate."""
    weight = jnp.asarray(np.random.default_rng(0).random(slots))
    running = {}
    for name, (step, start) in CANDIDATES.items():
        function, state = lambda key, state, step=step: step(key, state, batch), (jax.random.key(0), start(weight))
        if lanes > 1:
            stacked = jax.tree.map(lambda leaf: jnp.stack([leaf] * lanes), state[1])
            function, state = jax.vmap(function), (jax.random.split(state[0], lanes), stacked)
        compiled = jax.jit(function, donate_argnums=(0, 1)).lower(*state).compile()
        running[name] = compiled, jax.block_until_ready(compiled(*jax.tree.map(jnp.copy, state)))
    best = dict.fromkeys(running, math.inf)
    for _ in range(turns):
        for name, (compiled, state) in running.items():
            begin = time.perf_counter()
            for _ in range(5):
                state = compiled(*state)
            jax.block_until_ready(state)
            best[name] = min(best[name], (time.perf_counter() - begin) / 5)
            running[name] = compiled, state
    return {name: 1e6 * seconds for name, seconds in best.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slots", type=int, nargs="*", default=[10**5, 10**6])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--turns", type=int, default=40)
    given = parser.parse_args()
    print(f"JAX {jax.__version__}, {jax.default_backend()}, {os.cpu_count()} cores; microseconds a step, "
          f"{given.lanes} lane(s), batches of {given.batch}\n")  # fmt: skip
    print(f"| slots | {' | '.join(CANDIDATES)} |\n|{'---|' * (len(CANDIDATES) + 1)}")
    for slots in given.slots:
        seen = measure(slots, given.batch, given.lanes, given.turns)
        print(f"| {slots:,} | {' | '.join(f'{seen[name]:.0f}' for name in CANDIDATES)} |", flush=True)


if __name__ == "__main__":
    main()
