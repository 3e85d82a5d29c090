"""Environment steps per second of training, beside SBX and the official ROER learner: one update for each step, batch
256, networks of 256-256, HalfCheetah-v5.

    python tests/benchmarks/training.py --peer-python PATH --official PATH          # the table of the goals
    python tests/benchmarks/training.py --peer-python PATH --threads 1 --rounds 20  # one core, without the official one
    python tests/benchmarks/training.py --lanes 1 4 10                              # seeds trained in one program
    python tests/benchmarks/training.py --compile                                   # seconds to the first update

Every contestant is a process of its own and stays alive, waiting for a line on its input; only one runs at a time, for
a block of steps, and every round asks each of them once, in a new order. A ratio is taken within a round, so the noise
of the machine hits both sides alike; printed are the median of the rounds and the range that holds their middle half.
Processes are bound to as many cores as `--threads` says, and with one of them XLA computes in the thread that calls it.

`--peer-python` is an interpreter that has sbx-rl (and JAX, its version is printed); without it there are no peers.
`--official` is a Python file, run by the same interpreter, that defines `ORIGIN` and `start(environment, seed, warmup)
-> step`: `step()` is one step of the environment and, after the warm-up, one update. Nothing of it is kept here.

The roofline: in each round a bare jitted product of two 256-by-256 matrices is timed as well, and each contestant's
products at that speed are what its step would take without anything else. The work is what XLA's optimised programs
contain, every `dot` counted. `busy` is the processor's time over the clock's: below 1 on one thread, others had the
core, and ratios of processor time say more than those of the clock. Nothing is asserted: read ratios, not milliseconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

ENVIRONMENT = "HalfCheetah-v5"
WARMUP, SETTLE = 500, 200  # random steps, and steps with updates before the first block
PRODUCT = 2 * 256**3  # floating-point operations of one product
PACKAGES = ("jax", "jaxlib", "flax", "optax", "gymnasium", "mujoco", "numpy", "sbx-rl")
# Floating-point operations of all matrix products of one step, in those of one product.
WORK = {"sac": 17.3, "roer": 24.8, "roer-published": 26.9, "sbx": 17.3, "official": 37.9}
OURS = ("sac", "roer", "roer-published")
GOALS = (("sac", "sbx", 1.4), ("roer", "sbx", 1.0), ("roer-published", "official", 1.5))


class Block(NamedTuple):
    """What a contestant reports: steps (or products) made, wall and processor seconds they took."""

    count: int
    wall: float
    processor: float


# -- contestants: each returns a function that makes so many steps and waits for the last ------------------------------


def sbx(seed: int) -> Callable[[int], None]:
    import gymnasium
    from sbx import SAC

    model = SAC("MlpPolicy", gymnasium.make(ENVIRONMENT), learning_starts=WARMUP, batch_size=256, seed=seed,
                buffer_size=1_000_000, learning_rate=3e-4, policy_kwargs={"net_arch": [256, 256]})  # fmt: skip

    def advance(count: int) -> None:
        model.learn(count, reset_num_timesteps=False)  # reads its losses at every step, so it waits for the update

    return advance


def module_at(path: str) -> Any:
    """The Python file that starts the official learner."""
    spec = importlib.util.spec_from_file_location("official", path)
    if spec is None or spec.loader is None:
        sys.exit(f"error: --official: expected a Python file, saw {path!r}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def official(path: str) -> Callable[[int], Callable[[int], None]]:
    def begin(seed: int) -> Callable[[int], None]:
        step = module_at(path).start(ENVIRONMENT, seed, WARMUP)

        def advance(count: int) -> None:
            for _ in range(count):
                step()  # reads the weights back, so it waits for the update

        return advance

    return begin


def ours(name: str, lanes: int, warmup: int = WARMUP) -> Callable[[int], Callable[[int], None]]:
    def begin(seed: int) -> Callable[[int], None]:
        import dataclasses

        import jax

        from deep import environments, presets
        from deep.session import Session

        base = dataclasses.replace(presets.preset(name, ENVIRONMENT), warmup_steps=warmup, steps=1_000_000)
        configs = [dataclasses.replace(base, seed=seed + lane) for lane in range(lanes)]
        session = Session(configs, [environments.make(ENVIRONMENT) for _ in configs])

        def advance(count: int) -> None:
            for _ in range(count):
                session.advance()
                if session.step % base.log_every == 0:
                    session.fetch_metrics()
            jax.block_until_ready((session.state, session.memory))

        return advance

    return begin


def products(_: int) -> Callable[[int], None]:
    """Bare products, each of the one before; 20 in a dispatch, so that dispatching does not count."""
    import jax
    import jax.numpy as jnp

    left, right = jnp.ones((256, 256)), jnp.full((256, 256), 1.0 / 256)
    chain = jax.jit(lambda x: jax.lax.scan(lambda x, _: (x @ right, None), x, length=20)[0])

    def multiply(count: int) -> None:
        x = left
        for _ in range(count // 20):
            x = chain(x)
        jax.block_until_ready(x)

    return multiply


def contestant(name: str, path: str | None) -> Callable[[int], Callable[[int], None]]:
    if name.startswith("products"):
        return products
    if name == "sbx":
        return sbx
    if name == "official" and path:
        return official(path)
    preset, _, lanes = name.partition("@")
    return ours(preset, int(lanes or 1))


# -- the process of a contestant ---------------------------------------------------------------------------------------


def processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def serve(name: str, path: str | None) -> None:
    """Warm up, say so, then make as many steps as each line of the input asks for."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # whatever a library prints is not an answer
        run = contestant(name, path)(0)
        run(1000 if name.startswith("products") else WARMUP + SETTLE)
        print(json.dumps(versions()), file=answers, flush=True)
        for line in sys.stdin:
            count, begun, used = int(line), time.perf_counter(), processor()
            run(count)
            print(json.dumps(Block(count, time.perf_counter() - begun, processor() - used)), file=answers, flush=True)


def first_update(name: str) -> None:
    """Print the seconds that the imports take, and then those to the end of the first update."""
    begun = time.perf_counter()
    import deep.environments
    import deep.presets
    import deep.session  # noqa: F401

    imported = time.perf_counter()
    run = ours(name, 1, warmup=10)(0)
    run(11)
    print(json.dumps([imported - begun, time.perf_counter() - imported]))


def environment_of(threads: int) -> dict[str, str]:
    """The variables of a process with so many threads."""
    counts = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    flags = os.environ.get("XLA_FLAGS", "")
    if threads == 1:
        flags += " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return {**os.environ, **counts, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags.strip()}


def bind(cores: list[int]) -> None:
    """Keep this process, and those it starts, to these cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


# -- the driver --------------------------------------------------------------------------------------------------------


class Running(NamedTuple):
    """A contestant that waits for its next block."""

    process: subprocess.Popen[str]
    versions: dict[str, str]

    def block(self, count: int) -> Block:
        print(count, file=self.process.stdin, flush=True)
        return Block(*answer(self.process))


def answer(process: subprocess.Popen[str]) -> Any:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        sys.exit(f"error: {process.args} ended with status {process.wait()}; its messages are above")
    return json.loads(line)


def launch(name: str, python: str, threads: int, path: str | None) -> Running:
    """Start a contestant and wait until it is warm: compilations must not disturb each other."""
    command = [python, __file__, "--serve", name, *(["--official", path] if path else [])]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment_of(threads))
    return Running(process, answer(process))


def measure(running: dict[str, Running], rounds: int, steps: int) -> dict[str, list[Block]]:
    """A block of every contestant in each round; products are fewer than steps, for they are shorter."""
    blocks: dict[str, list[Block]] = {name: [] for name in running}
    order, shuffle = list(running), random.Random(0).shuffle
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            lanes = int(name.partition("@")[2] or 1)
            blocks[name].append(running[name].block(1000 if name.startswith("products") else max(steps // lanes, 20)))
    return blocks


def milliseconds(blocks: list[Block], clock: str = "wall") -> list[float]:
    return [1e3 * getattr(block, clock) / block.count for block in blocks]


def middle(values: list[float], digits: int = 2) -> str:
    """The median, and the range of the middle half."""
    if len(values) < 3:
        return f"{statistics.median(values):.{digits}f}"
    low, centre, high = statistics.quantiles(values, n=4)
    return f"{centre:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def ratio(blocks: dict[str, list[Block]], fast: str, slow: str, clock: str = "wall") -> list[float]:
    """How many times the steps per second of ``slow`` the other makes, round by round."""
    pairs = zip(milliseconds(blocks[slow], clock), milliseconds(blocks[fast], clock), strict=True)
    return [theirs / mine for theirs, mine in pairs]


def report(blocks: dict[str, list[Block]], bare: dict[str, str]) -> None:
    """The table; ``bare`` names the products that a contestant's share is taken of, those of its own JAX."""
    peers = [name for name in ("sbx", "official") if name in blocks]
    heads = ["learner", "steps/s", "ms per step", "products alone, ms", "their share", "busy",
             *(f"x {name}" for name in peers)]  # fmt: skip
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name, made in blocks.items():
        if name.startswith("products"):
            continue
        preset, _, lanes = name.partition("@")
        times, seeds = milliseconds(made), int(lanes or 1)
        alone = [seeds * WORK[preset] * each for each in milliseconds(blocks[bare[name]])]
        share = [least / taken for least, taken in zip(alone, times, strict=True)]
        busy = statistics.median(block.processor / block.wall for block in made)
        line = [name, f"{1e3 / statistics.median(times):.0f}", middle(times)]
        line += [middle(alone), middle(share), f"{busy:.2f}"]
        line += [middle(ratio(blocks, name, peer)) if peer != name and seeds == 1 else "-" for peer in peers]
        print(f"| {' | '.join(line)} |")
    for name in sorted(set(bare.values())):
        speed = PRODUCT / 1e6 / statistics.median(milliseconds(blocks[name]))
        print(f"\n{name}: {middle(milliseconds(blocks[name]), 3)} ms for 256 x 256 x 256, {speed:.0f} GFLOP/s")
    for name, peer, goal in GOALS:
        if name in blocks and peer in blocks:
            wall, used = ratio(blocks, name, peer), ratio(blocks, name, peer, "processor")
            span = f"least {min(wall):.2f}, most {max(wall):.2f}"
            print(f"\n{name} / {peer}: {middle(wall)}, {span}; in processor time {middle(used)}; the goal is {goal}")
    for name in blocks:
        preset, _, lanes = name.partition("@")
        if lanes and f"{preset}@1" in blocks:
            total = [int(lanes) * each for each in ratio(blocks, name, f"{preset}@1")]
            each = 1e3 / statistics.median(milliseconds(blocks[name]))
            print(f"\n{name}: {each:.1f} steps/s for each seed, {middle(total)} times the steps of one seed in all")


def conditions(threads: int) -> str:
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{platform.platform()}, {os.cpu_count()} cores{load}; {threads} thread{'s' * (threads > 1)}"


def compare(given: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Start everyone, measure, print; returns what was seen."""
    peers = ["sbx", *(["official"] if given.official else [])] if given.peer_python else []
    mine = [f"{name}@{lanes}" for name in given.presets for lanes in given.lanes] if given.lanes else [*given.presets]
    peers = [] if given.lanes else peers
    bare = {**dict.fromkeys(peers, "products, peers' JAX"), **dict.fromkeys(mine, "products, our JAX")}
    running: dict[str, Running] = {}
    started = conditions(threads)
    try:
        for name in [*dict.fromkeys(bare.values()), *peers, *mine]:
            theirs = name in peers or "peers'" in name
            running[name] = launch(name, given.peer_python if theirs else sys.executable, threads, given.official)
        blocks = measure(running, given.rounds, given.steps)
    finally:
        for one in running.values():
            one.process.communicate()  # the end of its input ends it
    print(f"\n{started}; after: {conditions(threads)}; {given.rounds} rounds of {given.steps} steps\n")
    seen = {name: one.versions for name, one in running.items()}
    for side in sorted(set(bare.values())):
        listed = ", ".join(f"{name} {version}" for name, version in seen[side].items())
        print(f"{side.split(', ')[1]}: {listed}\n")
    report(blocks, bare)
    return {"conditions": started, "threads": threads, "versions": seen, "blocks": blocks}


def compiling(presets: list[str], threads: int, rounds: int) -> list[dict[str, Any]]:
    """Seconds to the first update, each in a process of its own: without a compilation cache, and with a warm one."""
    print(f"\n{conditions(threads)}\n")
    print("| preset | cache | imports, s | then to the first update, s |\n|---|---|---|---|")
    seen = []
    for name in presets:
        with tempfile.TemporaryDirectory() as folder:
            # What `train` sets: small programs are kept as well.
            kept = {"JAX_COMPILATION_CACHE_DIR": folder, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
            filled = [first_update_of(name, threads, kept)]
            for label, extra in (("cold", {}), ("warm", kept)):
                times = [first_update_of(name, threads, extra) for _ in range(rounds)]
                imports, update = (statistics.median(part) for part in zip(*times, strict=True))
                print(f"| {name} | {label} | {imports:.1f} | {update:.1f} |", flush=True)
                seen.append({"preset": name, "cache": label, "seconds": times, "filling": filled})
    return seen


def first_update_of(name: str, threads: int, extra: dict[str, str]) -> list[float]:
    command = [sys.executable, __file__, "--first-update", name]
    done = subprocess.run(command, env=environment_of(threads) | extra, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: {' '.join(command)} ended with status {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", nargs="+", default=OURS, choices=OURS, metavar="PRESET")
    parser.add_argument("--peer-python", metavar="PATH", help="an interpreter that has sbx-rl")
    parser.add_argument("--official", metavar="PATH", help="a file that starts the official learner")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="one table for each (default: 1 2)")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=200, help="environment steps of a block")
    parser.add_argument("--lanes", type=int, nargs="+", help="how many seeds in one program, in place of the peers")
    parser.add_argument("--compile", action="store_true", help="seconds to the first update, in place of steps")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every block here as well")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--first-update", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        return serve(given.serve, given.official)
    if given.first_update:
        return first_update(given.first_update)
    if given.official and not given.peer_python:
        parser.error("--official needs --peer-python, the interpreter that runs it")
    if given.official:
        print(f"official: {module_at(given.official).ORIGIN}")
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    seen = []
    for threads in given.threads:
        bind(cores[:threads])
        seen.append(compiling(given.presets, threads, 3) if given.compile else compare(given, threads))
    if given.json:
        given.json.write_text(json.dumps(seen, indent=1))


if __name__ == "__main__":
    main()
