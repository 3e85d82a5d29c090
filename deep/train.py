"""The training loop: steps, log, evaluations, checkpoints, and what happens when it is interrupted.

:func:`start` begins a run in a new folder behind the gate, :func:`resume` continues one from its last sound
checkpoint; both end in the same loop. Killed at any moment and resumed, a run ends with the log and the parameters of
the run that was not killed, bit for bit (on CPU; on an accelerator as far as its kernels are deterministic).
"""

import contextlib
import dataclasses
import functools
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deep import certificate, checkpoint, environments, log, plot, runs
from deep.certificate import Certificate
from deep.errors import CheckpointError, Diverged, InvalidRun
from deep.evaluate import evaluate, greedy
from deep.presets import Config
from deep.session import Session

TICK = 16  # steps between two looks at the clock for the progress bar


class Stop:
    """Set by SIGTERM and Ctrl-C; the loop saves and leaves at the next step. A second Ctrl-C interrupts at once."""

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
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number


def start(config: Config, folder: Path, *, unverified: bool = False) -> int:
    """Train from the beginning in a new folder; returns the number of the signal that stopped it, or 0.

    NotCertified without a matching certificate unless ``unverified``; InvalidRun if the folder exists;
    InvalidEnvironment, Diverged, CheckpointError as their names say. Nothing is written before all checks have passed.
    """
    if folder.exists():  # said before anything is built; `create` decides it
        raise InvalidRun(runs.taken(folder))
    environment = environments.make(config.environment)
    covered = _gate(unverified)
    session = Session(config, environment)
    runs.create(folder, config, runs.session(covered, 0))
    with runs.claimed(folder):
        return _loop(session, folder, log.Log(folder))


def resume(folder: Path, *, steps: int | None = None, unverified: bool = False) -> int:
    """Continue a run from its last sound checkpoint, or from the beginning if it never wrote one.

    ``steps`` may extend it. The log is cut back to where it was at the checkpoint.
    """
    stored = runs.settings(folder)
    config = stored if steps is None else dataclasses.replace(stored, steps=steps)
    covered = _gate(unverified)
    with runs.claimed(folder):
        saved = None
        if checkpoint.files(folder / "checkpoints"):
            saved, refused = checkpoint.latest(folder / "checkpoints")
            for error in refused:
                print(f"warning: {error}; falling back to {saved.path.name}", flush=True)
        session = Session(config, environments.make(config.environment))
        position = session.restore(saved) if saved else 0
        _warn_of_changes(folder)
        print(f"resuming {folder} at step {session.host.step:,}", flush=True)
        if session.host.step >= config.steps:
            print(f"the run is complete ({config.steps:,} steps); --steps N extends it", flush=True)
            return 0
        runs.append(folder, config, runs.session(covered, session.host.step))
        return _loop(session, folder, log.Log(folder, position, session.host.step))


def _loop(session: Session, folder: Path, written: log.Log) -> int:
    config, host, stop = session.config, session.host, Stop()
    policy = greedy(session.learner)
    fresh = functools.partial(environments.make, config.environment)
    shown = log.display(config.steps, host.step)
    checkpoints = folder / "checkpoints"
    try:
        with stop.listening():
            while host.step < config.steps and stop.signal is None:
                ended = session.advance()
                step = host.step
                if ended is not None:
                    written.write(
                        step, {"charts/episodic_return": ended.episodic_return, "charts/episodic_length": ended.length}
                    )
                    shown.episode(ended.episodic_return)
                if step % config.log_every == 0:
                    if metrics := session.fetch_metrics():
                        written.write(step, metrics)
                    written.speed(step)
                if step % config.evaluate_every == 0 or step == config.steps:
                    began = time.monotonic()
                    actor = session.state.params.actor
                    result = evaluate(fresh, policy, actor, config.evaluation_episodes, config.seed, step)
                    mean = float(np.mean(result.returns))
                    written.write(
                        step,
                        {
                            "evaluation/return": mean,
                            "evaluation/returns": result.returns.tolist(),
                            "evaluation/length": float(np.mean(result.lengths)),
                        },
                    )
                    written.evaluated(step, time.monotonic() - began)
                    shown.evaluation(step, mean, float(np.std(result.returns)))
                if step % config.checkpoint_every == 0:
                    session.save(checkpoints, written.position())
                if step % TICK == 0:
                    shown.tick(step)
            # Inside the handler's reach, so that an impatient scheduler's second signal does not cut the save short.
            if host.step % config.checkpoint_every or not checkpoint.files(checkpoints):
                session.save(checkpoints, written.position())
    except (Diverged, CheckpointError) as error:
        kept = checkpoint.files(checkpoints)
        last = f"the last good checkpoint is {kept[0]}" if kept else "no checkpoint had been written yet"
        raise type(error)(f"training stopped: {error}; {last}") from error
    finally:
        written.close()
        shown.close()
    if stop.signal is not None and host.step < config.steps:
        name = signal.Signals(stop.signal).name
        print(f"{name}: saved at step {host.step:,}; continue with: python -m deep train --resume {folder}", flush=True)
        return stop.signal
    plot.save(plot.curves([folder]), folder / "curve.png")
    print(f"done: {host.step:,} steps, {folder / 'curve.png'}", flush=True)
    return 0


def _gate(unverified: bool) -> Certificate | None:
    """The certificate that covers this process, printed; None if training unverified was asked for."""
    precision = certificate.precision()
    if unverified:
        covered = certificate.find(precision)
        print(f"certificate {covered.id}" if covered else "UNVERIFIED: no certificate covers this run", flush=True)
        return covered
    covered = certificate.require(precision)
    print(f"certificate {covered.id} ({len(covered.rows)} rows, {covered.precision}, {covered.date})", flush=True)
    return covered


def _warn_of_changes(folder: Path) -> None:
    """A resumed run equals the uninterrupted one only under the versions that it was started with."""
    before = runs.sessions(folder)[-1]
    now = runs.session(None, 0)
    for key in ("versions", "backend", "precision"):
        if before.get(key) != now[key]:
            print(
                f"warning: {key} changed since this run was last started ({before.get(key)} -> {now[key]}); "
                "it continues, but not bit for bit as it would have",
                flush=True,
            )
