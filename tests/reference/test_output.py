"""How the command line waits and ends: clocks, interrupts, pipes without a reader."""

import os
import sys
import threading
from types import SimpleNamespace

import pytest

from reference import __main__ as program
from reference import output


class Progress:
    """In place of rich's: what was asked of it, in order."""

    def __init__(self):
        self.asked = []

    def add_task(self, what):
        self.asked.append(what)

    def start(self):
        self.asked.append("start")

    def stop(self):
        self.asked.append("stop")


class Timer:
    """In place of one that waits: `due` says whether the time is over before it is cancelled."""

    due = False

    def __init__(self, seconds, begin):
        assert seconds == 0.5
        self.begin, self.state = begin, "made"

    def start(self):
        self.state = "started"
        if self.due:
            self.begin()

    def cancel(self):
        assert self.state == "started"
        self.state = "cancelled"

    def join(self):
        assert self.state == "cancelled"


@pytest.mark.parametrize(("due", "asked"), [(False, ["solving x", "stop"]), (True, ["solving x", "start", "stop"])])
def test_a_clock_starts_after_half_a_second_and_stops_whatever_happens(monkeypatch, due, asked):
    monkeypatch.setattr(Timer, "due", due)
    monkeypatch.setattr(threading, "Timer", Timer)
    for failing in (False, True):
        progress = Progress()
        monkeypatch.setattr(output, "_spinner", lambda clock=progress: clock)
        try:
            with output.waiting("solving x"):
                assert progress.asked == asked[:-1]
                if failing:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            assert failing
        assert progress.asked == asked


def test_a_clock_leaves_nothing_on_the_screen(monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    clock = output._spinner()
    assert clock.live.transient
    assert clock.console.stderr
    assert [type(column).__name__ for column in clock.columns] == ["SpinnerColumn", "TextColumn", "TimeElapsedColumn"]
    task = clock.add_task("solving [x]")
    assert clock.columns[1].render(clock.tasks[task]).plain == "solving [x]"


def test_an_interrupt_is_one_word_and_the_status_of_a_signal(capsys, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("reference.commands.load_mdp", interrupted)
    assert program.main(["solve", "chain:3"]) == 130
    assert capsys.readouterr() == ("", "error: interrupted\n")


def test_a_reader_that_goes_away_is_no_error(capfd, monkeypatch):
    """What is still to come is written into nothing, which has to be open for writing."""

    def gone(*arguments, **options):
        raise BrokenPipeError

    copied = []
    nothing = SimpleNamespace(
        devnull=os.devnull,
        O_WRONLY=os.O_WRONLY,
        open=lambda path, flags: (path, flags),
        dup2=lambda source, target: copied.append((source, target)),
    )
    monkeypatch.setattr("reference.commands.load_mdp", gone)
    monkeypatch.setattr(program, "os", nothing)
    assert program.main(["solve", "chain:3"]) == 0
    assert copied == [((os.devnull, os.O_WRONLY), sys.stdout.fileno())]
    assert capfd.readouterr() == ("", "")
