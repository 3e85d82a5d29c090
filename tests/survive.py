"""Kill runs with SIGKILL at random moments, resume them, and compare what they leave with runs nothing happened to.

    python tests/survive.py                                20 kills over sac and roer, tiny runs, some minutes
    python tests/survive.py --kills 40 --presets roer
    python tests/survive.py -- train Hopper-v5 --preset {preset} --seed 3 --steps 20000 --checkpoint-every 1000

After `--` stands the command line of a run, as `python -m deep` takes it, without --folder; `{preset}` is each preset
in turn. A run is killed, resumed, killed again, ... until its share of the kills is spent, then resumed to its end.
The moments: a third when the log reaches a size drawn at random, a third at a random time after that, and a third while
a checkpoint is being written. Compared, byte for byte: every metrics.jsonl
below the run's folder, and the arrays and the record of every last checkpoint. Exit status 1 if anything differs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, NamedTuple

from outcomes import difference, outcome
from tiny_runs import TINY, flags

ROOT = Path(__file__).resolve().parents[1]
POLL = 0.0005  # seconds; a tiny checkpoint is being written for a few milliseconds
PATIENCE = 600.0  # seconds after which a run that neither writes nor ends is given up


class Run(NamedTuple):
    """A process and the file that it prints to."""

    process: subprocess.Popen[bytes]
    printed: IO[str]


def main(arguments: list[str] | None = None) -> int:
    """Run the kills; the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    at = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(
        prog="python tests/survive.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="SIGKILLs in all (default 20)")
    parser.add_argument("--presets", nargs="+", default=["sac", "roer"], help="presets that share them")
    parser.add_argument("--seed", type=int, default=None, help="of the moments; a new one is drawn and printed")
    parser.add_argument("--folder", type=Path, default=None, help="keep the run folders here; none removes them")
    options = parser.parse_args(arguments[:at])
    words = arguments[at + 1 :] or tiny_words()
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    print(f"{options.kills} kills over {', '.join(options.presets)}, moments from seed {seed}", flush=True)
    moments = random.Random(seed)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="survive-"))
    shares = [options.kills // len(options.presets)] * len(options.presets)
    for extra in range(options.kills % len(options.presets)):
        shares[extra] += 1
    try:
        differing = [
            preset
            for preset, kills in zip(options.presets, shares, strict=True)
            if not survives(preset, [word.replace("{preset}", preset) for word in words], folder, kills, moments)
        ]
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    if differing:
        print(f"NOT bit for bit the same: {', '.join(differing)}", file=sys.stderr)
        return 1
    print(f"all {options.kills} kills survived: logs and checkpoints are those of the uninterrupted runs, bit for bit")
    return 0


def tiny_words() -> list[str]:
    """A run of a few seconds that evaluates and saves often."""
    from deep.config import Config

    words = flags(Config(**TINY | {"steps": 4000, "checkpoint_every": 100, "preset": "sac"}))
    words[words.index("--preset") + 1] = "{preset}"
    return [*words, "--unverified"]


def survives(preset: str, words: list[str], folder: Path, kills: int, moments: random.Random) -> bool:
    """Kill one run `kills` times; whether it ended as the one that was left alone."""
    whole, killed = folder / f"{preset}-whole", folder / f"{preset}-killed"
    run = launch([*words, "--folder", str(whole)])
    while run.process.poll() is None and not log_size(whole):
        time.sleep(POLL)
    began = time.monotonic()
    finish(run)
    expected, duration, size = outcome(whole), time.monotonic() - began, log_size(whole)
    print(f"{preset}: left alone, a run writes {size:,} bytes of log in {duration:.1f} s", flush=True)
    rounds, done = 0, 0
    while done < kills:
        rounds += 1
        shutil.rmtree(killed, ignore_errors=True)
        while done < kills:
            where = kill_once(words, killed, moments, ("log", "time", "save")[done % 3], duration, size)
            if where is None:
                break  # it was through before its moment came; the next kill begins with another run
            done += 1
            print(f"  kill {done:2}: {where}", flush=True)
        if has_begun(killed):
            finish(launch(resumed(words, killed)))
        if message := difference(outcome(killed), expected):
            print(f"  {preset}: {message}", flush=True)
            return False
    print(f"  {preset}: {kills} kills in {rounds} run(s): the same", flush=True)
    return True


def kill_once(
    words: list[str], folder: Path, moments: random.Random, how: str, duration: float, size: int
) -> str | None:
    """Start or resume the run and kill it at a moment of its kind; where that was, None if the run ended first."""
    run = launch(resumed(words, folder) if has_begun(folder) else [*words, "--folder", str(folder)])
    process = run.process
    before = log_size(folder)
    until_size = moments.randrange(before, max(before, size) + 1)
    delay, nth, reached, saving = moments.uniform(0.0, 0.05 * duration), moments.randrange(1, 12), None, False
    limit = time.monotonic() + max(PATIENCE, 10 * duration)
    while process.poll() is None:
        now, writing = time.monotonic(), is_saving(folder)
        if reached is None and log_size(folder) != before and log_size(folder) >= until_size:
            reached = now
        nth -= writing and not saving
        saving = writing
        due = {
            "log": reached is not None,
            "time": reached is not None and now - reached >= delay,
            "save": writing and nth <= 0,
        }
        if due[how]:
            break
        if now > limit:
            process.kill()
            raise SystemExit(f"{folder}: the run neither ended nor came to its moment ({how}) in {limit:.0f} s")
        time.sleep(POLL)
    process.send_signal(signal.SIGKILL)
    status = process.wait()
    if status == 0:
        return None
    if status != -signal.SIGKILL:
        raise SystemExit(f"the run failed by itself with status {status}:\n{said(run)}")
    left = "while saving" if is_saving(folder) else "not saving"
    return f"by {how}, at {log_size(folder):,} bytes of log, last checkpoint {newest(folder)}, {left}"


def launch(words: list[str]) -> Run:
    """`python -m deep WORD ...`; what it prints goes to a file, because nobody empties a pipe while it is watched."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    printed = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by `said`, or with the process)
    command = [sys.executable, "-m", "deep", *words]
    environment = {**os.environ, "PYTHONPATH": path}
    return Run(subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT, env=environment), printed)


def resumed(words: list[str], folder: Path) -> list[str]:
    """The words that continue the run."""
    return ["train", "--resume", str(folder), *(["--unverified"] if "--unverified" in words else [])]


def finish(run: Run) -> None:
    """Wait; what it printed if it failed."""
    if status := run.process.wait():
        raise SystemExit(f"a run that was left alone ended with status {status}:\n{said(run)}")


def said(run: Run) -> str:
    """What a run that ended has printed."""
    with run.printed:
        run.printed.seek(0)
        return run.printed.read()


def has_begun(folder: Path) -> bool:
    """Whether there is something to resume."""
    return any(folder.rglob("config.json"))


def log_size(folder: Path) -> int:
    """Bytes of every metrics.jsonl."""
    return sum(path.stat().st_size for path in folder.rglob("metrics.jsonl"))


def is_saving(folder: Path) -> bool:
    """Whether there is a checkpoint that is not finished: at this moment, or when the run was killed."""
    with contextlib.suppress(FileNotFoundError):  # finished while we looked
        return any(folder.glob("**/checkpoints/unfinished/*"))
    return False


def newest(folder: Path) -> str:
    """The name of the newest checkpoint."""
    return max((path.stem for path in folder.rglob("step_*.safetensors")), default="none")


if __name__ == "__main__":
    raise SystemExit(main())
