"""One training run in a process of its own, for a sweep: its share of the processor, its log file, its end.

``python -m deep.worker PARENT WORD ...`` is ``python -m deep WORD ...`` that is told to save and leave when the process
PARENT, which started it, dies: a sweep that is killed leaves no runs behind that nobody watches.
"""

import datetime
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

INTERVAL = 0.5  # seconds between two looks for the parent
TAIL = 65536  # bytes of a log in which its last line is looked for


class Ended(NamedTuple):
    """How a process ended: its exit status, negative for a signal, None when its machine was lost; and what it said."""

    status: int | None
    said: str

    @property
    def lost(self) -> bool:
        """Whether it was ended from outside (a signal, a lost machine) rather than by itself.

        A run that was told to stop saves and exits with 128 + the signal's number.
        """
        return self.status is None or self.status < 0 or self.status - 128 in (signal.SIGINT, signal.SIGTERM)


def share(threads: int, jobs: int) -> dict[str, str]:
    """The environment variables that hold a process to ``threads`` threads, beside ``jobs`` - 1 others.

    XLA sizes its thread pool by PJRT_NPROC (older versions: NPROC) and reads no other variable for it; NumPy's BLAS and
    MuJoCo's libraries read those of OpenMP. Without them each of n runs starts a pool for all n cores. A GPU's memory,
    of which JAX takes three quarters at its start, is divided likewise, unless the user has said otherwise.
    """
    pools = ("PJRT_NPROC", "NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    variables: dict[str, str] = dict.fromkeys(pools, str(threads))
    if jobs > 1 and not {"XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_PREALLOCATE"} & os.environ.keys():
        variables["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.75 / jobs:.3f}"
    return variables


def heading(words: Sequence[str]) -> str:
    """The line that begins an attempt in a run's log file."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return f"# {now} {platform.node()}\n$ python -m deep {' '.join(words)}\n"


def last_line(log: Path) -> str:
    """What a process said last, without colours; empty when it said nothing."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip() and line[:2] not in ("# ", "$ ")), "")


def main(arguments: list[str]) -> int:
    """Bind this process's life to its parent's, then run the command."""
    parent, *words = arguments
    threading.Thread(target=_watch, args=(int(parent),), daemon=True).start()
    print(f"process {os.getpid()}", flush=True)
    from deep.__main__ import main as command

    return command(words)


def _watch(parent: int) -> None:
    """Send this process one SIGTERM when its parent is gone.

    Linux could be asked to (PR_SET_PDEATHSIG), but sends one for each thread that the parent had.
    """
    while os.getppid() == parent:
        time.sleep(INTERVAL)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
