r"""Training runs of the on-policy agents: the same state machine as :mod:`deep.session`, without a replay.

A lane is a run with K environments that step together. :meth:`RolloutSession.advance` is one step of all of them: an
action for each from the present policy, and where that completes a rollout an update. A rollout is ``rollout_steps``
steps of each environment; for REINFORCE it is one episode.

Everything that decides the future is the device state and, for each environment, its episode so far and its rows of the
rollout so far; and for the log, the metrics of the last update. Acting is a function of the state, the observations and
the step of the rollout, and consumes nothing (:mod:`deep.on_policy`), so no pending action has to be remembered.
:meth:`RolloutSession.save` writes all of it and :meth:`RolloutSession.restore` brings it back, bit for bit; simulators
are restored by replay, as in :mod:`deep.session`.

Episodes of the K environments are numbered together: environment k plays the episodes k, K + k, 2 K + k, ..., each with
a seed of its own. Steps count every environment's, so a call of ``advance`` makes K of them.
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Key, PyTree

from deep import build, checkpoint, on_policy, seeds, vector, watch
from deep.checkpoint import Checkpoint
from deep.config import Config, to_json
from deep.environments import Environment
from deep.errors import Diverged
from deep.on_policy import Learner, Metrics, Rollout, State
from deep.session import Episode, Host, replay_episode, same_settings
from deep.types import Settings
from deep.watch import Record

SHORTEST = 64  # rows to which whole episodes are padded at least, by powers of two: programs are compiled for lengths


class Programs(NamedTuple):
    """The compiled functions of a lane; the state and the record of an update are donated."""

    create: Callable[..., State]
    act: Callable[..., Array]
    update: Callable[..., tuple[State, Record, Metrics]]


@functools.lru_cache(maxsize=16)
def programs(learner: Learner, observation_size: int, action_size: int) -> Programs:
    """The functions, compiled once for all sessions of a process that share the arguments.

    Rows are laid out as those of :func:`deep.programs.programs`: observation, action, successor, reward, terminated,
    ended; and behind them the row's mass.
    """
    ends = np.cumsum([observation_size, action_size, observation_size])

    def create(key: Key[Array, ""]):
        return learner.method.create(learner, key, observation_size, action_size)

    def act(state, observations: Float[Array, "K O"], time: Int[Array, ""]):
        return on_policy.act_together(learner, state, observations, time)

    def update(state, record, rows: Float[Array, "T K F"], settings: Settings):
        before, action, successor, rest = jnp.split(rows, ends, axis=-1)
        reward, terminated, ended, mass = jnp.moveaxis(rest, -1, 0)
        rollout = Rollout(before, action, reward, successor, terminated, ended, mass)
        state, metrics = learner.method.update(learner, settings, state, rollout)
        return state, watch.watch(record, metrics, state.params._asdict(), state.step), metrics

    return Programs(jax.jit(create), jax.jit(act), jax.jit(update, donate_argnums=(0, 1)))


@functools.lru_cache(maxsize=64)
def watched(learner: Learner, observation_size: int, action_size: int) -> tuple[str, ...]:
    """The names of what an update computes, in its order: what :mod:`deep.watch` looks at."""
    settings = Settings(*[jnp.zeros(())] * len(Settings._fields))
    state = jax.eval_shape(lambda: learner.method.create(learner, jax.random.key(0), observation_size, action_size))
    # As many rows as any minibatch needs: what is looked at are names.
    count = getattr(learner, "minibatches", 1)
    one, of = jnp.zeros((count, 1)), lambda size: jnp.zeros((count, 1, size))
    rollout = Rollout(of(observation_size), of(action_size), one, of(observation_size), one, one, one)
    _, metrics = jax.eval_shape(lambda state: learner.method.update(learner, settings, state, rollout), state)
    return watch.names(metrics, state.params._fields)


class RolloutSession:
    """Runs of an on-policy agent in progress, one for each configuration; they may differ in their seeds alone.

    ``environments`` are those of the first run, then those of the second, ...; ``learner`` may be given, to train
    tables on a decision process.
    """

    def __init__(
        self, configs: Sequence[Config], environments: Sequence[Environment], learner: Learner | None = None
    ) -> None:
        config, environment = configs[0], environments[0]
        self.configs, self.config, self.places = list(configs), config, config.environments
        count = self.places * len(self.configs)
        if len(environments) != count:
            raise ValueError(f"session: expected {count} environments, got {len(environments)}")
        self._environments = [list(environments[first : first + self.places]) for first in range(0, count, self.places)]
        size = environment.action_size
        self.learner = learner or build.rollout_learner_of(config, size, environment.discrete)
        self.settings = build.settings_of(config, size)
        self._sizes = (environment.observation_size, size)
        self._programs = programs(self.learner, *self._sizes)
        names = watched(self.learner, *self._sizes)
        self.states = [self._programs.create(seeds.learner(one.seed)) for one in self.configs]
        self._records = [watch.clean(names) for _ in self.configs]
        self.metrics: list[Metrics] = [{} for _ in self.configs]
        self.hosts: list[list[Host]] = []
        for one, its in zip(self.configs, self._environments, strict=True):
            begun = vector.reset(its, [seeds.episode(one.seed, place) for place in range(self.places)])
            self.hosts.append([Host(place, [], 0.0, observation) for place, observation in enumerate(begun)])
        self._rows: list[list[Float[np.ndarray, "K F"]]] = [[] for _ in self.configs]
        self._dtype = np.dtype(jnp.zeros(0).dtype)
        self.step = self.pretrained = 0

    def advance(self) -> list[list[Episode]]:
        """One step of every environment; the episodes that it ended in each lane, by environment.

        Diverged when an environment or a policy produced a number that is not finite.
        """
        self.step += self.places
        return [self._move(index) for index in range(len(self.configs))]

    def _move(self, index: int) -> list[Episode]:
        """One lane's step: act, store the rows, and learn where they complete a rollout."""
        hosts, rows, seed = self.hosts[index], self._rows[index], self.configs[index].seed
        before = _observations(hosts)
        time = np.int32(len(rows))
        actions = np.asarray(self._programs.act(self.states[index], before, time), np.float32)
        if not np.isfinite(actions).all():
            first = watch.describe(self._records[index]) or "the parameters diverged"
            raise Diverged(f"the policy's actions are {actions.tolist()} at step {self.step}: {first}")
        try:
            made = vector.step(
                self._environments[index],
                actions,
                lambda place: seeds.episode(seed, hosts[place].episode + self.places),
            )
        except Diverged as error:
            raise Diverged(f"{error} (step {self.step})") from error
        reward = made.reward + self.config.reward_shift
        ended = made.terminated | made.truncated
        flags = np.stack([reward, made.terminated, ended], axis=1)
        rows.append(np.concatenate([before, actions, made.observation, flags], axis=1, dtype=self._dtype))
        over = []
        for place, host in enumerate(hosts):
            host.actions.append(actions[place])
            host.episodic_return += float(made.reward[place])
            host.observation = made.now[place]
            if ended[place]:
                over.append(Episode(host.episodic_return, len(host.actions)))
                host.episode += self.places
                host.actions, host.episodic_return = [], 0.0
        complete = bool(over) if self.learner.method.episodic else len(rows) == self.config.rollout_steps
        if complete:
            self.states[index], self._records[index], self.metrics[index] = self._programs.update(
                self.states[index], self._records[index], _padded(rows, self.learner.method.episodic), self.settings
            )
            rows.clear()
        return over

    def pretrain(self, count: int) -> None:
        """There is no data to learn from before the first step."""
        raise ValueError(f"session: expected no updates before the first step of {self.config.agent}, got {count}")

    def policy(self, index: int) -> PyTree:
        """The parameters that the greedy policy of a lane reads."""
        return getattr(self.states[index].params, self.learner.method.policy)

    def fetch_metrics(self) -> list[dict[str, float]]:
        """The last update's metrics of every lane; empty before the first.

        Diverged names what was the first to be no finite number since the run began or was resumed.
        """
        self._check()
        fetched = jax.device_get(self.metrics)
        return [{name: float(value) for name, value in one.items()} for one in fetched]

    def _check(self) -> None:
        for record in self._records:
            if first := watch.describe(record):
                raise Diverged(f"{first} (step {self.step})")

    def save(self, folders: Sequence[Path], log_positions: Sequence[int], keep: int = checkpoint.KEPT) -> None:
        """Write a checkpoint of every lane, the newest ``keep`` stay; Diverged before anything is written."""
        self._check()
        columns = width(*self._sizes)
        for index, (folder, config) in enumerate(zip(folders, self.configs, strict=True)):
            hosts = self.hosts[index]
            arrays = checkpoint.arrays_of(self.states[index], "agent")
            # Of the last update, which the log repeats until the next one.
            arrays |= {f"metrics/{name}": np.asarray(value) for name, value in self.metrics[index].items()}
            arrays["rollout/rows"] = np.array(self._rows[index], self._dtype).reshape(-1, self.places, columns)
            arrays["host/observation"] = _observations(hosts)
            for place, host in enumerate(hosts):
                arrays[f"host/actions/{place}"] = np.array(host.actions, np.float32).reshape(-1, self._sizes[1])
            record = {
                "settings": to_json(config),
                "step": self.step,
                "episodes": [host.episode for host in hosts],
                "episode_seeds": [seeds.episode(config.seed, host.episode) for host in hosts],
                "episodic_returns": [host.episodic_return for host in hosts],
                "log_position": log_positions[index],
                "lanes": len(self.configs),
            }
            checkpoint.save(folder, self.step, arrays, record, keep)

    def restore(self, saved: Sequence[Checkpoint]) -> list[int]:
        """Take over a checkpoint's state for every lane; returns their positions in the logs.

        CheckpointError when one belongs to other settings or when replaying an episode does not reproduce it.
        """
        for index, (one, config) in enumerate(zip(saved, self.configs, strict=True)):
            same_settings(one, config)
            self.states[index] = checkpoint.tree_like(self.states[index], one, "agent")
            self._rows[index] = list(one.arrays["rollout/rows"])
            seen = sorted(name for name in one.arrays if name.startswith("metrics/"))
            self.metrics[index] = {name.removeprefix("metrics/"): jnp.asarray(one.arrays[name]) for name in seen}
            for place, environment in enumerate(self._environments[index]):
                self.hosts[index][place] = host = Host(
                    one.record["episodes"][place],
                    list(one.arrays[f"host/actions/{place}"]),
                    one.record["episodic_returns"][place],
                    one.arrays["host/observation"][place],
                )
                replay_episode(one, one.record["episode_seeds"][place], host, environment)
        self.step = saved[0].step
        return [one.record["log_position"] for one in saved]


def width(observation_size: int, action_size: int) -> int:
    """Numbers in a row: observation, action, successor, reward, terminated, ended."""
    return 2 * observation_size + action_size + 3


def _observations(hosts: Sequence[Host]) -> Float32[np.ndarray, "K O"]:
    """Where the next action of every environment is needed."""
    return np.stack([host.observation for host in hosts])


def _padded(rows: Sequence[Float[np.ndarray, "K F"]], episodic: bool) -> Float[np.ndarray, "T K G"]:
    """The rows with their masses behind them; whole episodes are padded to a power of two with rows of mass zero."""
    count, places, columns = len(rows), *rows[0].shape
    length = max(SHORTEST, 1 << (count - 1).bit_length()) if episodic else count
    padded = np.zeros((length, places, columns + 1), rows[0].dtype)
    padded[:count, :, :-1] = rows
    padded[:count, :, -1] = 1.0 / (count * places)
    return padded
