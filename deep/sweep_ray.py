"""The engine of a sweep on a Ray cluster: each run a task in a worker process of its own.

Ray places the tasks and says when one is lost with its process or its machine; continuing the run from its checkpoint,
wherever Ray places it next, is the sweep's part, so the run folders must lie on storage that every machine of the
cluster sees under the same path. A worker process trains one run and ends, so nothing of a run is left for the next.
"""

import contextlib
import importlib
import os
import signal
import socket
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from deep import worker
from deep.errors import InvalidSetting
from deep.sweep import Unit
from deep.worker import Ended

PATIENCE = 10.0  # seconds for a cluster's machine to answer
PASSED_ON = ("JAX_", "XLA_", "ROER_", "MUJOCO_")  # what decides how a run computes


class Cluster:
    """``slots`` tasks at once, each with ``threads`` processors and ``gpus`` accelerators (a fraction shares one).

    ``address`` is that of a cluster; None starts one on this machine, for as long as the sweep lasts.
    """

    def __init__(self, slots: int, threads: int, gpus: float = 0.0, address: str | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when a cluster is started
        try:
            ray: Any = importlib.import_module("ray")
        except ModuleNotFoundError as error:
            raise InvalidSetting('--engine ray: Ray is not installed here: pip install "roer[ray]"') from error
        self.slots, self._ray = slots, ray
        self._running: dict[Any, Unit] = {}
        variables = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        quiet["runtime_env"] = {"env_vars": variables | worker.share(threads, 1 if gpus >= 1 else slots)}
        try:
            if address is None:
                _start_here(ray, slots * threads, quiet)
            else:
                _knock(address)
                ray.init(address=address, **quiet)
        except Exception as error:  # Ray raises whatever its layers do, bare Exception among it
            where = f"no Ray cluster answers at {address}" if address else "no Ray cluster can be started here"
            raise InvalidSetting(f"--engine ray: {where}: {_first_sentence(error)}") from error
        # One call to a process, and no retry by Ray itself: a new attempt must be another command, --resume.
        options: dict[str, Any] = {"num_cpus": threads, "num_gpus": gpus, "max_calls": 1, "max_retries": 0}
        self._attempt = ray.remote(**options)(attempt)

    def start(self, unit: Unit, words: Sequence[str]) -> None:
        """Hand the run to the cluster, which begins it when there is room."""
        unit.log.parent.mkdir(parents=True, exist_ok=True)
        self._running[self._attempt.remote(list(words), str(unit.log))] = unit

    def ended(self, seconds: float) -> list[tuple[Unit, Ended]]:
        """The tasks that ended, lost ones among them."""
        ready, _ = self._ray.wait(list(self._running), timeout=seconds) if self._running else ([], [])
        return [(self._running.pop(task), self._end(task)) for task in ready]

    def stop(self) -> None:
        """Cancel: Ray interrupts the worker as Ctrl-C would, so that the run saves; what is not begun never begins."""
        for task in self._running:
            self._ray.cancel(task)

    def close(self) -> None:
        """Leave the cluster, which ends what is left; one that was started here goes away."""
        self._ray.shutdown()
        self._running.clear()

    def _end(self, task: Any) -> Ended:
        errors = self._ray.exceptions
        try:
            return Ended(*self._ray.get(task))
        except errors.TaskCancelledError:
            return Ended(128 + signal.SIGINT, "cancelled before it began")
        except errors.RayTaskError as error:
            return Ended(1, str(error).strip().splitlines()[-1])
        except errors.RayError as error:
            return Ended(None, f"{type(error).__name__}: {_first_sentence(error)}")


def _start_here(ray: Any, processors: int, options: dict[str, Any]) -> None:
    """A cluster of this machine. Ray gives its processes 30 s to come up, which a busy machine may not."""
    for last in (False, False, True):
        try:
            with warnings.catch_warnings():
                # JAX warns of any fork; those by which Ray starts its processes are followed by exec at once.
                warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
                ray.init(address="local", num_cpus=processors, include_dashboard=False, **options)
            return
        except Exception:
            ray.shutdown()
            if last:
                raise


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at HOST:PORT; Ray itself tries for more than ten minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()


def _first_sentence(error: Exception) -> str:
    """What an error of Ray's says before it says how to look into Ray."""
    return str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".")


def attempt(words: list[str], log: str) -> tuple[int, str]:
    """``python -m deep WORD ...`` in this process, its output appended to ``log``: exit status and last line."""
    from deep.__main__ import main

    place = Path(log)
    with place.open("a", encoding="utf-8", buffering=1) as file, _output_into(file):
        print(f"{worker.heading(words)}process {os.getpid()}")
        try:
            status = main(words)
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        except BaseException:  # what the interpreter would print, and the status that it would give
            traceback.print_exc()
            status = 1
    return status, worker.last_line(place)


@contextlib.contextmanager
def _output_into(file: TextIO) -> Iterator[None]:
    """Send what this process prints, and what its libraries print past Python, to ``file``."""
    kept = [(number, os.dup(number)) for number in (1, 2)]
    try:
        for number, _ in kept:
            os.dup2(file.fileno(), number)
        with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            yield
    finally:
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)
