"""The training loop: steps, log, evaluations, checkpoints, and what happens when it is interrupted.

:func:`start` begins runs in new folders behind the gate, :func:`resume` continues them from their last sound
checkpoint; both end in the same loop. Several seeds are several runs in one program, each with a folder of its own.
Killed at any moment and resumed, a run ends with the log and the parameters of the run that was not killed, bit for bit
(on CPU; on an accelerator as far as its kernels are deterministic).
"""

import contextlib
import dataclasses
import functools
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deep import build, certificate, checkpoint, environments, log, plot, runs
from deep.boards import Boards, check, requested
from deep.cautions import cautions
from deep.certificate import Certificate
from deep.config import ON_POLICY, Config
from deep.errors import CheckpointError, Diverged, InvalidRun
from deep.evaluate import Policy, evaluate, greedy
from deep.rollouts import RolloutSession
from deep.session import Session
from deep.stop import Stop

NO_BOARDS = Boards()
PRETRAIN_AT_ONCE = 1000  # updates in a dispatch, hence between two lines of the log and two checkpoints
TICK = 16  # steps between two looks at the clock for the progress bar


def start(
    configs: Sequence[Config],
    folders: Sequence[Path],
    *,
    unverified: bool = False,
    boards: Boards = NO_BOARDS,
    keep: int = checkpoint.KEPT,
) -> int:
    """Train from the beginning in new folders, one for each configuration; they may differ in their seeds alone.

    Returns the number of the signal that stopped it, or 0. NotCertified without a matching certificate unless
    ``unverified``; InvalidRun if a folder exists; InvalidEnvironment, Diverged, CheckpointError as their names say.
    Nothing is written before all checks have passed.
    """
    for folder in folders:
        if folder.exists():  # said before anything is built; `create` decides it
            raise InvalidRun(runs.taken(folder))
    check(*boards)
    made = _environments(configs)
    build.settings_of(configs[0], made[0].action_size)  # refuses what the divergence refuses, before anything is built
    _caution(configs[0], made[0])
    covered = _gate(unverified)
    session = _session(configs, made)
    for config, folder in zip(configs, folders, strict=True):
        runs.create(folder, config, runs.session(covered, 0))
    with contextlib.ExitStack() as held:
        for folder in folders:
            held.enter_context(runs.claimed(folder))
        return _loop(session, folders, _logs(session, folders, boards, None), keep)


def resume(
    folders: Sequence[Path],
    *,
    steps: int | None = None,
    unverified: bool = False,
    boards: Boards = NO_BOARDS,
    keep: int = checkpoint.KEPT,
) -> int:
    """Continue runs that were started together from their last common checkpoint, or from the beginning without one.

    ``steps`` may extend them. The logs are cut back to where they were at the checkpoint.
    """
    stored = [runs.settings(folder) for folder in folders]
    configs = stored if steps is None else [dataclasses.replace(config, steps=steps) for config in stored]
    check(*boards)
    covered = _gate(unverified)
    with contextlib.ExitStack() as held:
        for folder in folders:
            held.enter_context(runs.claimed(folder))
        saved, refused = checkpoint.common([folder / "checkpoints" for folder in folders])
        for error in refused:
            fallback = saved[0].path.name if saved else "the beginning"
            print(f"warning: {error}; falling back to {fallback}", flush=True)
        made = _environments(configs)
        _caution(configs[0], made[0])
        session = _session(configs, made)
        positions = session.restore(saved) if saved else [0] * len(folders)
        for folder in folders:
            _warn_of_changes(folder)
        print(f"resuming {_named(folders)} at step {session.step:,}", flush=True)
        if session.step >= session.config.steps:
            print(f"the run is complete ({session.config.steps:,} steps); --steps N extends it", flush=True)
            return 0
        for config, folder in zip(configs, folders, strict=True):
            runs.append(folder, config, runs.session(covered, session.step))
        return _loop(session, folders, _logs(session, folders, boards, positions), keep)


def _logs(
    session: Session | RolloutSession, folders: Sequence[Path], boards: Boards, positions: Sequence[int] | None
) -> list[log.Log]:
    """The log of every lane, with the boards asked for; ``positions`` continues logs that are there."""
    return [
        log.Log(
            folder,
            None if positions is None else positions[index],
            session.step,
            requested(folder, session.configs[index], session.step, *boards),
        )
        for index, folder in enumerate(folders)
    ]


def _loop(session: Session | RolloutSession, folders: Sequence[Path], logs: Sequence[log.Log], keep: int) -> int:
    config, stop = session.config, Stop()
    policy = greedy(session.learner)
    shown = log.display(config.steps, session.step)
    checkpoints = [folder / "checkpoints" for folder in folders]

    def save() -> None:
        session.save(checkpoints, [written.position() for written in logs], keep)

    try:
        with stop.listening():
            while session.pretrained < config.pretrain_steps and stop.signal is None:
                session.pretrain(min(PRETRAIN_AT_ONCE, config.pretrain_steps - session.pretrained))
                for written, metrics in zip(logs, session.fetch_metrics(), strict=True):
                    written.write(0, {"pretraining/step": session.pretrained, **metrics})
                if session.pretrained == config.pretrain_steps:
                    _evaluate(session, policy, logs, shown)
                save()
            while session.step < config.steps and stop.signal is None:
                before = session.step
                for written, episodes in zip(logs, session.advance(), strict=True):
                    for ended in episodes:
                        seen = {"charts/episodic_return": ended.episodic_return, "charts/episodic_length": ended.length}
                        written.write(session.step, seen)
                        shown.episode(ended.episodic_return)
                step = session.step
                if _due(config.log_every, before, step):
                    for written, metrics in zip(logs, session.fetch_metrics(), strict=True):
                        if metrics:
                            written.write(step, metrics)
                        written.speed(step)
                if _due(config.evaluate_every, before, step) or step == config.steps:
                    _evaluate(session, policy, logs, shown)
                if _due(config.checkpoint_every, before, step):
                    save()
                if _due(TICK, before, step):
                    shown.tick(step)
            # Inside the handler's reach, so that an impatient scheduler's second signal does not cut the save short.
            if checkpoint.reached(checkpoints[-1]) != session.step or not checkpoint.files(checkpoints[-1]):
                save()
    except (Diverged, CheckpointError) as error:
        kept = checkpoint.files(checkpoints[0])
        last = f"the last good checkpoint is {kept[0]}" if kept else "no checkpoint had been written yet"
        raise type(error)(f"training stopped: {error}; {last}") from error
    finally:
        for written in logs:
            written.close()
        shown.close()
    if stop.signal is not None and session.step < config.steps:
        name = signal.Signals(stop.signal).name
        where = folders[0] if len(folders) == 1 else folders[0].parent
        print(
            f"{name}: saved at step {session.step:,}; continue with: python -m deep train --resume {where}", flush=True
        )
        return stop.signal
    for folder in folders:
        plot.save(plot.curves([folder]), folder / "curve.png")
    shown_at = folders[0] / "curve.png" if len(folders) == 1 else folders[0].parent
    print(f"done: {session.step:,} steps, {shown_at}", flush=True)
    return 0


def _environments(configs: Sequence[Config]) -> list[environments.Environment]:
    """Those of the first run, then those of the second, ..."""
    return [build.environment_of(config) for config in configs for _ in range(config.environments)]


def _session(configs: Sequence[Config], made: Sequence[environments.Environment]) -> Session | RolloutSession:
    """The state machine of the agent, before its first step."""
    return (RolloutSession if configs[0].agent in ON_POLICY else Session)(configs, made)


def _due(every: int, before: int, step: int) -> bool:
    """Whether a multiple of ``every`` was reached since ``before``: environments that step together pass over it."""
    return step // every > before // every


def _evaluate(
    session: Session | RolloutSession, policy: Policy, logs: Sequence[log.Log], shown: log.Lines | log.Bar
) -> None:
    """Evaluate every lane's policy and write it down; the display shows the mean over all episodes."""
    config, step, returns = session.config, session.step, []
    fresh = functools.partial(build.environment_of, config)
    for index, written in enumerate(logs):
        began = time.monotonic()
        result = evaluate(
            fresh, policy, session.policy(index), config.evaluation_episodes, session.configs[index].seed, step
        )
        written.write(
            step,
            {
                "evaluation/return": float(np.mean(result.returns)),
                "evaluation/returns": result.returns.tolist(),
                "evaluation/length": float(np.mean(result.lengths)),
            },
        )
        written.evaluated(step, time.monotonic() - began)
        returns.append(result.returns)
    shown.evaluation(step, float(np.mean(returns)), float(np.std(returns)))


def _named(folders: Sequence[Path]) -> str:
    return str(folders[0]) if len(folders) == 1 else f"{folders[0].parent} ({len(folders)} seeds)"


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


def _caution(config: Config, environment: environments.Environment) -> None:
    for text in cautions(config, environment.time_limit):
        print(f"warning: {text}", flush=True)


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
