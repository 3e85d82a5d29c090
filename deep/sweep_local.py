"""The engine of a sweep on this machine: each run a subprocess with its share of the processor's threads."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from deep import worker
from deep.sweep import Unit
from deep.worker import Ended

GRACE = 10.0  # seconds between asking the processes to end and ending them
INTERVAL = 0.02  # seconds between two looks


class Local:
    """``slots`` processes at once, each held to ``threads`` threads."""

    def __init__(self, slots: int, threads: int) -> None:
        self.slots = slots
        self._environment = os.environ | worker.share(threads, slots)
        self._running: dict[Unit, subprocess.Popen[bytes]] = {}

    def start(self, unit: Unit, words: Sequence[str]) -> None:
        """Start the process in a session of its own: Ctrl-C at the terminal is for the sweep, which passes it on."""
        unit.log.parent.mkdir(parents=True, exist_ok=True)
        with unit.log.open("ab") as log:
            log.write(worker.heading(words).encode())
            log.flush()
            self._running[unit] = subprocess.Popen(
                [sys.executable, "-m", "deep.worker", str(os.getpid()), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )

    def ended(self, seconds: float) -> list[tuple[Unit, Ended]]:
        """The processes that ended."""
        until = time.monotonic() + seconds
        while True:
            gone = [unit for unit, process in self._running.items() if process.poll() is not None]
            if gone or time.monotonic() >= until:
                return [(unit, Ended(self._running.pop(unit).returncode, worker.last_line(unit.log))) for unit in gone]
            time.sleep(INTERVAL)

    def stop(self) -> None:
        """SIGTERM: the runs save and leave."""
        self._send(signal.SIGTERM)

    def close(self) -> None:
        """Interrupt what is left, and end what does not mind."""
        self._send(signal.SIGINT)
        until = time.monotonic() + GRACE
        for process in self._running.values():
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    def _send(self, number: int) -> None:
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
