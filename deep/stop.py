"""What SIGTERM and Ctrl-C mean to a process with work worth saving: finish the step at hand, save, leave."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class Stop:
    """Set by SIGTERM and Ctrl-C; the loop saves and leaves at the next step.

    A Ctrl-C after that interrupts at once. Another SIGTERM does not: schedulers repeat theirs, and have SIGKILL.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals while inside; only a process's main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._receive) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: object) -> None:
        if self.signal is None:
            self.signal = number
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
