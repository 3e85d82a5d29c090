"""What agents reach: returns along training over several seeds, beside SBX's SAC and among the weighting rules.

    python tests/benchmarks/learning.py run peer --folder F --peer-python PATH   # sac beside SBX, equal settings
    python tests/benchmarks/learning.py run weights --folder F                   # the weighting rules
    python tests/benchmarks/learning.py collect peer --folder F --record R.json  # what is finished, in a small file
    python tests/benchmarks/learning.py show R.json --output curves.svg          # its table in Markdown, and its curves

`run` has a worker for each of `--jobs` cores and binds each run to its worker's core. Ours is `python -m deep train`; a
run that is there is left alone when it is finished and resumed when it is not, so `run` may be killed and called again.
A peer's run is started anew. The defaults are the full study: 300,000 steps, networks of 256-256, batches of 256, seeds
0 to 4. Smaller ones are asked for by `--steps`, `--hidden`, `--batch`, and the record says which they were.

Equal settings: networks, batch, learning rate 3e-4, discount 0.99, tau 0.005, a million transitions of replay, one
update for each step after the same number of random steps, learned temperature from 1 towards entropy -dim(A). Both
play episodes with the policy's mode at ten steps of training; compared is their mean return at the last of these.
Nothing is asserted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

PEER = "sbx"
PEER_SEEDS = 100  # added to a peer's seeds: its networks and resets are not those of our run with the same seed
STUDIES = {
    "peer": (("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5"), ("sac", PEER)),
    "weights": (
        ("HalfCheetah-v5", "Hopper-v5"),
        # sac and roer-published-uniform are uniform replay at the scales of loss of the others
        ("sac", "roer", "roer-js", "roer-fermi-dirac", "roer-occupancy", "roer-published", "roer-published-uniform"),
    ),
}
EVALUATIONS = 10


class Run(NamedTuple):
    """One seed of one contestant on one task."""

    task: str
    label: str
    seed: int

    def place(self, folder: Path) -> Path:
        return folder / self.task / self.label / f"s{self.seed}"


@dataclasses.dataclass(frozen=True)
class Scale:
    """How large the study is."""

    steps: int
    hidden: tuple[int, ...]
    batch: int
    warmup: int
    episodes: int

    @property
    def every(self) -> int:
        """Steps between two evaluations."""
        return self.steps // EVALUATIONS


# -- running -----------------------------------------------------------------------------------------------------------


def command(run: Run, scale: Scale, folder: Path, peer_python: str | None) -> list[str]:
    """What trains it, or what continues it."""
    place = run.place(folder)
    if run.label == PEER:
        words = [peer_python or "", str(Path(__file__).resolve()), "--peer", json.dumps(dataclasses.asdict(scale))]
        return [*words, run.task, str(run.seed), str(place)]
    words = [sys.executable, "-m", "deep", "train", "--unverified"]
    if (place / "config.json").exists():
        return [*words, "--resume", str(place)]
    settings = {
        "preset": run.label, "seed": run.seed, "steps": scale.steps, "batch-size": scale.batch,
        "warmup-steps": scale.warmup, "evaluate-every": scale.every, "evaluation-episodes": scale.episodes,
        "checkpoint-every": max(scale.steps // 3, 1), "folder": place,
    }  # fmt: skip
    flags = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    return [*words, run.task, "--hidden", *map(str, scale.hidden), *flags]


def finished(run: Run, folder: Path) -> bool:
    """Whether its last evaluation is there."""
    place = run.place(folder)
    if run.label == PEER:
        return (place / "evaluations.json").exists()
    from deep import results, runs
    from deep.errors import InvalidRun

    try:
        return bool(results.read(place).steps[-1] == runs.settings(place).steps)
    except InvalidRun:
        return False


def execute(waiting: Sequence[Run], scale: Scale, folder: Path, peer_python: str | None, jobs: int) -> int:
    """Train what is not finished; 1 if a run failed, each of which leaves its output in a file."""
    every = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    cores: SimpleQueue[int | None] = SimpleQueue()
    for at in range(jobs):
        cores.put(every[at % len(every)] if every else None)
    threads = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}

    def one(run: Run) -> int:
        core, begun, place = cores.get(), time.perf_counter(), run.place(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        printed = place.with_suffix(".txt")
        with printed.open("w") as output:
            process = subprocess.Popen(command(run, scale, folder, peer_python), env={**os.environ, **threads},
                                       stdout=output, stderr=subprocess.STDOUT)  # fmt: skip
            if core is not None:
                os.sched_setaffinity(process.pid, [core])
            status = process.wait()
        cores.put(core)
        said = "done" if status == 0 else f"FAILED with status {status}, see {printed}"
        print(f"{run.task} {run.label} seed {run.seed}: {said}, {time.perf_counter() - begun:.0f} s", flush=True)
        return int(status != 0)

    with ThreadPoolExecutor(jobs) as workers:
        return max(workers.map(one, [run for run in waiting if not finished(run, folder)]), default=0)


def peer(scale: dict[str, Any], task: str, seed: int, place: Path) -> None:
    """Train SBX's SAC in this process and write its evaluations."""
    import gymnasium
    from sbx import SAC
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    model = SAC("MlpPolicy", gymnasium.make(task), learning_starts=scale["warmup"], batch_size=scale["batch"],
                learning_rate=3e-4, buffer_size=1_000_000, gamma=0.99, tau=0.005, train_freq=1, gradient_steps=1,
                ent_coef="auto_1.0", policy_kwargs={"net_arch": list(scale["hidden"])}, seed=seed)  # fmt: skip
    evaluation = make_vec_env(task, seed=10_000 + seed)
    seen = []
    for at in range(EVALUATIONS):
        model.learn(scale["steps"] // EVALUATIONS, reset_num_timesteps=at == 0)
        found, _ = evaluate_policy(model, evaluation, scale["episodes"], return_episode_rewards=True)
        seen.append({"step": model.num_timesteps, "returns": found})
    place.mkdir(parents=True, exist_ok=True)
    write_json(place / "evaluations.json", {"scale": scale, "evaluations": seen})


def write_json(path: Path, value: Any) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value) + "\n", encoding="utf-8")
    partial.replace(path)


# -- what was seen -----------------------------------------------------------------------------------------------------


def collect(every: Sequence[Run], scale: Scale, folder: Path) -> list[dict[str, Any]]:
    """The mean return of each evaluation of the finished runs, and the returns of random actions in the warm-up.

    Ends the program where a run is of another scale than the one to be recorded.
    """
    from deep import results, runs

    seen = []
    for run in every:
        if not finished(run, folder):
            print(f"{run.task} {run.label} seed {run.seed}: not finished, left out", file=sys.stderr)
            continue
        place, random = run.place(folder), []
        if run.label == PEER:
            record = json.loads((place / "evaluations.json").read_text())
            its, lines = record["scale"], record["evaluations"]
            agree(place, scale, Scale(**{**its, "hidden": tuple(its["hidden"])}))
            steps, means = [line["step"] for line in lines], [sum(x := line["returns"]) / len(x) for line in lines]
        else:
            one, its = results.read(place), runs.settings(place)
            agree(place, scale, Scale(its.steps, its.hidden, its.batch_size, its.warmup_steps, its.evaluation_episodes))
            steps, means, random = one.steps.tolist(), one.returns.mean(axis=1).tolist(), one.random.tolist()
        rounded = {name: [round(x, 1) for x in values] for name, values in (("means", means), ("random", random))}
        seen.append({**run._asdict(), "steps": steps, **rounded})
    return seen


def agree(place: Path, asked: Any, seen: Any) -> None:
    if seen != asked:
        sys.exit(f"error: {place}: expected the scale that the flags say, {asked}, saw {seen}")


def as_results(record: dict[str, Any]) -> list[Any]:
    """The record as `deep`'s own commands read runs; settings are those that all contestants share."""
    import numpy as np

    from deep import presets, results

    scale = record["scale"]
    shared = {"hidden": tuple(scale["hidden"]), "batch_size": scale["batch"], "warmup_steps": scale["warmup"],
              "steps": scale["steps"], "evaluation_episodes": scale["episodes"]}  # fmt: skip
    found = []
    for one in record["runs"]:
        base = presets.preset("sac", one["task"])
        config = dataclasses.replace(base, **shared, preset=one["label"], seed=one["seed"])
        returns = np.array(one["means"], np.float64)[:, None]
        random = np.array(one["random"], np.float64)
        found.append(results.Result(Path(one["label"]), config, np.array(one["steps"], np.int64), returns, random))
    return found


def show(record: dict[str, Any], baseline: str, output: Path | None) -> None:
    """Print the tables; draw the curves."""
    from deep import compare, comparison_table, figures, plot, results

    found = as_results(record)
    print(comparison_table.markdown(compare.compare(found, baseline)))
    if output is not None:
        curves = [plot.curve(group) for group in results.groups(found)]
        figures.save(plot.draw(curves), output)


def main() -> int:
    if sys.argv[1:2] == ["--peer"]:
        peer(json.loads(sys.argv[2]), sys.argv[3], int(sys.argv[4]), Path(sys.argv[5]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("run", "collect"):
        one = commands.add_parser(name)
        one.add_argument("study", choices=STUDIES)
        one.add_argument("--folder", type=Path, required=True, help="where the runs lie")
        one.add_argument("--tasks", nargs="+", help="some of the tasks, or others (default: the study's)")
        one.add_argument("--labels", nargs="+", help="some of the contestants (default: all)")
        one.add_argument("--seeds", type=int, default=5, help="how many, from 0 (default: 5)")
        one.add_argument("--steps", type=int, default=300_000)
        one.add_argument("--hidden", type=int, nargs="+", default=[256, 256])
        one.add_argument("--batch", type=int, default=256)
        one.add_argument("--warmup", type=int, default=5_000, help="random steps before the first update")
        one.add_argument("--episodes", type=int, default=10, help="episodes of an evaluation")
    commands.choices["run"].add_argument("--peer-python", metavar="PATH", help="an interpreter that has sbx-rl")
    commands.choices["run"].add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time")
    commands.choices["collect"].add_argument("--record", type=Path, required=True, metavar="FILE")
    one = commands.add_parser("show")
    one.add_argument("record", type=Path)
    one.add_argument("--baseline", help="whom the others are compared with (default: sbx if it is there, else sac)")
    one.add_argument("--output", type=Path, help="the curves (svg, png, pdf)")
    given = parser.parse_args()
    if given.command == "show":
        record = json.loads(given.record.read_text())
        there = {one["label"] for one in record["runs"]}
        show(record, given.baseline or (PEER if PEER in there else "sac"), given.output)
        return 0
    tasks, labels = STUDIES[given.study]
    every = [
        Run(task, label, seed + (PEER_SEEDS if label == PEER else 0))
        for seed in range(given.seeds) for task in given.tasks or tasks for label in given.labels or labels
    ]  # fmt: skip
    if given.steps < EVALUATIONS or given.steps % EVALUATIONS:
        parser.error(f"--steps: expected a multiple of {EVALUATIONS}, the number of evaluations, saw {given.steps}")
    scale = Scale(given.steps, tuple(given.hidden), given.batch, given.warmup, given.episodes)
    if given.command == "collect":
        record = {"scale": dataclasses.asdict(scale), "runs": collect(every, scale, given.folder)}
        write_json(given.record, record)
        return 0
    if any(run.label == PEER for run in every) and not given.peer_python:
        parser.error("--peer-python: expected an interpreter with sbx-rl, for sbx is among the contestants")
    if given.peer_python and not os.access(given.peer_python, os.X_OK):
        parser.error(f"--peer-python: expected an interpreter with sbx-rl, saw {given.peer_python!r}")
    return execute(every, scale, given.folder, given.peer_python, given.jobs)


if __name__ == "__main__":
    sys.exit(main())
