"""From an exact answer to a trained agent: contract, certificate, InvertedPendulum-v5, curve (`tox run -e demo`).

`python tests/demo.py certify` stops after the certificates; `python tests/demo.py all [--seed N]` goes on and trains.
Each step is a command of its own that a user could type; it is printed before it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = "InvertedPendulum-v5"
SOLVED = 900.0  # of the 1000 that an episode can return
# The preset's defaults suit a million steps of a hard task. To balance a pole within ten thousand, the networks are
# smaller, everything moves faster, and the temperature starts lower.
TRAINING = {
    "preset": "roer",
    "steps": "12_000",
    "warmup-steps": "1_000",
    "hidden": "64 64",
    "learning-rate": "1e-3",
    "tau": "0.02",
    "initial-alpha": "0.2",
    "beta": "4",
    "evaluate-every": "1_000",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the steps; the exit status of the first that fails."""
    parser = argparse.ArgumentParser(prog="python tests/demo.py", description=__doc__)
    parser.add_argument("until", choices=("certify", "all"), help="where to stop")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training run (default 0)")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    status = contracts()
    if status:
        return status
    tell("The certificate under which training may run")
    status = call("deep", "certificate")
    if status or options.until == "certify":
        return status
    folder = free_folder(ROOT / "build" / "demo" / f"{ENVIRONMENT}__{TRAINING['preset']}__s{options.seed}")
    tell(f"Training on {ENVIRONMENT}")
    flags = [part for name, value in TRAINING.items() for part in (f"--{name}", *value.replace("_", "").split())]
    status = call("deep", "train", ENVIRONMENT, *flags, "--seed", str(options.seed), "--folder", str(folder))
    if status:
        return status
    outcome = final_return(folder)
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    tell("Result")
    print(f"certificate   {certificate_of(folder)}")
    print(f"final return  {outcome:.1f} of 1000 (seed {options.seed}, {int(TRAINING['steps']):,} steps)")
    print(f"curve         {folder / 'curve.png'}")
    print(f"time          {minutes}:{seconds:02d}")
    if outcome < SOLVED:
        print(f"expected a final return of at least {SOLVED:.0f}, saw {outcome:.1f}; see the curve", file=sys.stderr)
        return 1
    return 0


def contracts() -> int:
    """The contract in both precisions, beside each other: one is shown as it runs, the other when it has ended."""
    # Fixed seeds: a first look at the toolkit is the same everywhere; the matrix draws new examples every time.
    arguments = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--hypothesis-seed=0", "tests/contract")
    tell("The contract: the jitted agent against the exact solutions, in float64 and float32 at once")
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        other = start("pytest", *arguments, precision="float64", output=said)
        try:
            first = call("pytest", *arguments, precision="float32")
            second = other.wait()
        finally:
            other.kill()  # nothing where it has ended
        said.seek(0)
        print(f"\n$ {spelled('pytest', *arguments, precision='float64')}\n{said.read()}", flush=True)
    return first or second


def tell(title: str) -> None:
    """A heading."""
    print(f"\n=== {title}", flush=True)


def spelled(module: str, *arguments: str, precision: str) -> str:
    """The command as a user types it."""
    return f"JAX_ENABLE_X64={int(precision == 'float64')} python -m {module} {' '.join(arguments)}"


def start(module: str, *arguments: str, precision: str, output: IO[str] | None = None) -> subprocess.Popen[bytes]:
    """`python -m module arguments` in `precision`, with its output where it is wanted; None is the terminal."""
    # The safe path keeps the installed packages in front of the folders of the same name in the checkout.
    environment = {**os.environ, "JAX_ENABLE_X64": str(int(precision == "float64")), "PYTHONSAFEPATH": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, env=environment, stdout=output, stderr=output
    )


def call(module: str, *arguments: str, precision: str = "float32") -> int:
    """The same, shown as it runs; its exit status."""
    print(f"$ {spelled(module, *arguments, precision=precision)}", flush=True)
    return start(module, *arguments, precision=precision).wait()


def free_folder(wanted: Path) -> Path:
    """`wanted`, or with the first number for which no run exists: an earlier demo is not overwritten."""
    candidates = (wanted if number == 1 else wanted.with_name(f"{wanted.name}__{number}") for number in range(1, 1000))
    return next(candidate for candidate in candidates if not candidate.exists())


def final_return(folder: Path) -> float:
    """The mean return of the last evaluation in the run's log."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [entry["evaluation/return"] for entry in map(json.loads, lines) if "evaluation/return" in entry][-1]


def certificate_of(folder: Path) -> str:
    """The id of the certificate that the run recorded."""
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))["sessions"][-1]["certificate"]


if __name__ == "__main__":
    raise SystemExit(main())
