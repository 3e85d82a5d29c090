"""Train a grid of tasks, presets and seeds, on this machine or a Ray cluster."""

import dataclasses
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

from deep.errors import InvalidSetting, NotCertified

ONE_RUN = ("--environment", "--preset", "--seed", "--folder", "--resume")  # settings of train that the grid decides


def run(arguments: list[str]) -> int:
    """0 when every run of the grid is complete, 1 when one is not, 128 + the signal's number when interrupted."""
    import tyro

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Sweep:
        """Train every task with every preset and every seed, each in a run folder of its own.

        Further settings are those of `train` (see its --help) and hold for every run: --steps 100000 --beta 4.
        The same command again skips what is complete and continues the rest; a larger grid adds to it.
        """

        tasks: tuple[str, ...]
        """Environments by Gymnasium id."""
        presets: tuple[str, ...] = ("roer",)
        """Presets (list: python -m deep presets)."""
        seeds: tuple[str, ...] = ("0",)
        """Seeds, with ranges: 0-4, or 0-2,7, or 0 1 2."""
        folder: Path
        """Folder of the sweep: a run folder for each run, logs/ with what each printed, summary.json."""
        jobs: int | None = None
        """Runs at once; none means one for each processor here, or as many as a given cluster has room for."""
        threads: int | None = None
        """Processor threads of each run; none means the processors divided by the jobs (1 on a given cluster)."""
        retries: int = 3
        """Further attempts for a run that was lost or failed, each from its last checkpoint."""
        engine: Literal["local", "ray"] = "local"
        """Where to train: local processes, or a Ray cluster (extra: ray) that shares the folder's storage."""
        address: str | None = None
        """Of a running Ray cluster; none starts one on this machine."""
        gpus: float = 0.0
        """With --engine ray: accelerators of each run; 0.25 lets four runs share one."""
        keep: int | None = None
        """Checkpoints kept of each run, the newest ones; none means as many as `train` keeps."""
        tensorboard: bool = False
        """Also write TensorBoard events, to each run folder."""
        wandb: str | None = None
        """Also log to this project of Weights & Biases; extra: wandb."""
        unverified: bool = False
        """Train even if no certificate covers this environment; recorded in each config.json."""

    parsed, settings = tyro.cli(
        Sweep,
        prog="python -m deep sweep",
        args=arguments,
        return_unknown_args=True,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    _check(parsed, settings)
    from deep import build, runs, sweep, sweep_show
    from deep.commands.train import seed_list
    from deep.config import Config

    seeds = seed_list(",".join(parsed.seeds))
    configs = [
        _config(task, preset, seed, settings)
        for task, preset, seed in itertools.product(parsed.tasks, parsed.presets, seeds)
    ]

    def words(config: Config) -> list[str]:
        return ["--preset", config.preset, "--seed", str(config.seed), *settings]

    folder = parsed.folder.resolve()
    units = sweep.plan(folder, configs, words, _options(parsed))
    for config in {(one.environment, one.agent): one for one in configs}.values():
        build.environment_of(config).close()  # a name misspelt is said now, not by the last run of the grid
    if not parsed.unverified:
        _require_certificate()
    folder.mkdir(parents=True, exist_ok=True)
    with runs.claimed(folder):
        shown = sweep_show.display()
        try:
            entries, stopped_by = sweep.train(
                units, _engine(parsed, len(units)), parsed.retries, shown, folder / "summary.json"
            )
        finally:
            shown.close()
    sweep_show.table(entries)
    done = sum(entry.state == "complete" for entry in entries)
    if stopped_by and done < len(entries):
        print(f"interrupted with {done} of {len(entries)} runs complete; the same command again continues", flush=True)
        return 128 + stopped_by
    print(f"{done} of {len(entries)} runs complete; {folder / 'summary.json'}", flush=True)
    return 0 if done == len(entries) else 1


def _check(parsed, settings: list[str]) -> None:
    """Raise InvalidSetting for the first option outside its range, or that belongs to one run."""
    for flag, value, expected, holds in (
        ("--tasks", parsed.tasks, "at least one environment", len(parsed.tasks) > 0),
        ("--presets", parsed.presets, "at least one preset", len(parsed.presets) > 0),
        ("--seeds", parsed.seeds, "at least one seed", len(parsed.seeds) > 0),
        ("--jobs", parsed.jobs, "a whole number >= 1", parsed.jobs is None or parsed.jobs >= 1),
        ("--threads", parsed.threads, "a whole number >= 1", parsed.threads is None or parsed.threads >= 1),
        ("--retries", parsed.retries, "a whole number >= 0", parsed.retries >= 0),
        ("--keep", parsed.keep, "a whole number >= 1", parsed.keep is None or parsed.keep >= 1),
        ("--gpus", parsed.gpus, "a number >= 0", parsed.gpus >= 0),
    ):
        if not holds:
            raise InvalidSetting(f"{flag}: expected {expected}, saw {value!r}")
    if parsed.engine == "local" and (parsed.address or parsed.gpus):
        flag = "--address" if parsed.address else "--gpus"
        raise InvalidSetting(f"{flag} is for --engine ray; local processes share what this machine has")
    for word in settings:
        if (flag := word.partition("=")[0]) in ONE_RUN:
            raise InvalidSetting(f"{flag}: the grid decides it: give --tasks, --presets, --seeds and --folder")


def _options(parsed) -> list[str]:
    """What every process is told, those that continue a run among them."""
    words = ["--keep", str(parsed.keep)] if parsed.keep is not None else []
    words += ["--tensorboard"] if parsed.tensorboard else []
    words += ["--wandb", parsed.wandb] if parsed.wandb is not None else []
    return words + (["--unverified"] if parsed.unverified else [])


def _config(task: str, preset: str, seed: int, settings: list[str]):
    """The settings of one run, as `train` will read them."""
    import tyro

    from deep import presets
    from deep.config import Config

    return tyro.cli(
        Config,
        prog="python -m deep sweep",
        args=settings,
        default=dataclasses.replace(presets.preset(preset, task), seed=seed),
        config=(tyro.conf.FlagCreatePairsOff,),
    )


def _require_certificate() -> None:
    """Raise NotCertified with the reason unless this environment is covered.

    Asked in a process that ends: the answer needs JAX to open its device, and the runs are to have all of it.
    """
    asked = subprocess.run([sys.executable, "-m", "deep", "certificate"], capture_output=True, text=True, check=False)
    if asked.returncode:
        raise NotCertified(asked.stderr.strip().removeprefix("error: "))


def _engine(parsed, runs: int):
    """The engine that was asked for."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if parsed.address is not None:
        jobs, threads = parsed.jobs or runs, parsed.threads or 1
    else:
        jobs = min(parsed.jobs or processors, runs)
        threads = parsed.threads or max(1, processors // jobs)
    if parsed.engine == "ray":
        from deep.sweep_ray import Cluster

        return Cluster(jobs, threads, parsed.gpus, parsed.address)
    from deep.sweep_local import Local

    return Local(jobs, threads)
