"""One training run as a state machine: the device's state, the host's state, and the step from one to the next.

:meth:`Session.advance` is one environment step and one dispatch. Everything that decides the future is either in the
device state (parameters, optimisers, key, replay) or in :class:`Host`; :meth:`Session.save` writes both and
:meth:`Session.restore` brings both back, bit for bit.

The simulator itself is restored by replay, which works for every deterministic environment: an episode is a function of
its reset seed and its actions, so the checkpoint stores these, and the restored episode must end in the stored
observation and return, bit for bit, or the run is refused.

Counting (EV11): the first ``warmup_steps`` actions are random; every later step is followed by exactly one update, so a
run of n steps makes n - warmup_steps updates.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float32

from deep import agent, checkpoint, divergence, networks, presets, replay, seeds
from deep.checkpoint import Checkpoint
from deep.environments import Environment
from deep.errors import CheckpointError, Diverged
from deep.presets import Config
from deep.replay import Replay, Transition
from deep.types import AgentState, Settings


class Episode(NamedTuple):
    """A training episode that ended: undiscounted return and length."""

    episodic_return: float
    length: int


@dataclasses.dataclass
class Host:
    """What the host must remember between two steps."""

    step: int
    episode: int
    actions: list[Float32[np.ndarray, " U"]]
    episodic_return: float
    observation: Float32[np.ndarray, " O"]


class Programs(NamedTuple):
    """The compiled functions of a run. State and replay are donated: updated in place, the buffer is never copied."""

    create: Callable[..., AgentState]
    insert: Callable[..., Replay]
    interact: Callable[..., tuple[AgentState, Replay, Array, agent.Metrics]]
    first_action: Callable[..., tuple[AgentState, Array]]


def learner_of(config: Config, action_size: int) -> agent.Learner:
    """Networks, optimisers and divergence of a configuration; equal arguments give the same object."""
    return _learner(action_size, config.hidden, config.learning_rate, config.divergence, config.fermi_dirac_cap)


def settings_of(config: Config, action_size: int) -> Settings:
    """The traced scalars of a configuration, as device arrays so that no step converts them again."""
    entropy = -float(action_size) if config.target_entropy is None else config.target_entropy
    values = Settings(config.discount, config.tau, config.beta, config.weight_rate, entropy, config.value_cap)
    return Settings(*(jnp.asarray(value, float) for value in values))


def initial_state(config: Config, learner: agent.Learner, environment: Environment) -> AgentState:
    """The learner's state before the first update."""
    create = programs(learner, config.batch_size, environment.observation_size, environment.action_size).create
    return create(seeds.learner(config.seed), float(config.initial_alpha))


@functools.lru_cache(maxsize=16)
def programs(learner: agent.Learner, batch_size: int, observation_size: int, action_size: int) -> Programs:
    """The functions, compiled once for all sessions of a process that share the arguments.

    The host hands over one array for each step (observation, action, successor, observation to act on, reward,
    terminated): every separate argument from the host costs as much as all of these numbers.
    """
    ends = np.cumsum([observation_size, action_size, observation_size, observation_size])

    def unpack(row):
        before, action, successor, now, (reward, terminated) = jnp.split(row, ends)
        return Transition(before, action, reward, successor, terminated), now

    def create(key, initial_alpha):
        return agent.create(learner, key, observation_size, action_size, initial_alpha)

    def insert(stored, row):
        return replay.insert(stored, unpack(row)[0])

    def interact(settings, state, stored, row):
        return agent.interact(learner, settings, batch_size, state, stored, *unpack(row))

    def first_action(state, observation):
        key, act_key = jax.random.split(state.key)
        return state._replace(key=key), agent.act(learner, state.params.actor, observation, act_key)

    return Programs(
        jax.jit(create, static_argnums=1),
        jax.jit(insert, donate_argnums=0),
        jax.jit(interact, donate_argnums=(1, 2)),
        jax.jit(first_action, donate_argnums=0),
    )


@functools.lru_cache(maxsize=16)
def _learner(
    action_size: int, hidden: tuple[int, ...], learning_rate: float, divergence_name: str, fermi_dirac_cap: float
) -> agent.Learner:
    chosen = {
        "none": lambda: None,
        "kl": lambda: divergence.KL,
        "js": lambda: divergence.JENSEN_SHANNON,
        "fermi-dirac": lambda: divergence.fermi_dirac(fermi_dirac_cap),
    }[divergence_name]()
    adam = optax.adam(learning_rate)
    return agent.Learner(networks.continuous(action_size, hidden), agent.Optimizers(*(adam,) * 4), chosen)


class Session:
    """A run in progress. ``learner`` may be given, to train the tabular networks on a decision process."""

    def __init__(self, config: Config, environment: Environment, learner: agent.Learner | None = None) -> None:
        self.config, self.environment = config, environment
        self.learner = learner or learner_of(config, environment.action_size)
        self.settings = settings_of(config, environment.action_size)
        self.capacity = min(config.buffer_size, config.steps)  # slots that no step would reach cost memory only
        self.metrics: dict[str, Array] = {}
        sizes = (environment.observation_size, environment.action_size)
        self._programs = programs(self.learner, config.batch_size, *sizes)
        self._warmup = environment.actions.random(seeds.warmup(config.seed), config.warmup_steps)
        self.state = initial_state(config, self.learner, environment)
        self.replay = replay.create(self.capacity, *sizes)
        self._dtype = self.replay.reward.dtype
        self.host = Host(0, 0, [], 0.0, environment.reset(seeds.episode(config.seed, 0)))
        self._action: Any = self._warmup[0]

    def advance(self) -> Episode | None:
        """One environment step and one dispatch; the episode that it ended, if any.

        Diverged when the environment or the policy produced a number that is not finite.
        """
        host = self.host
        action = np.asarray(self._action, dtype=np.float32)
        if not np.isfinite(action).all():
            raise Diverged(f"the policy's action is {action.tolist()} at step {host.step + 1}: the parameters diverged")
        try:
            step = self.environment.step(action)
        except Diverged as error:
            raise Diverged(f"{error} (step {host.step + 1}, episode {host.episode})") from error
        host.step += 1
        host.actions.append(action)
        host.episodic_return += step.reward
        before, ended = host.observation, None
        if step.terminated or step.truncated:
            ended = Episode(host.episodic_return, len(host.actions))
            host.episode += 1
            host.actions, host.episodic_return = [], 0.0
            host.observation = self.environment.reset(seeds.episode(self.config.seed, host.episode))
        else:
            host.observation = step.observation
        row = np.concatenate(
            [before, action, step.observation, host.observation, [step.reward, step.terminated]],
            dtype=self._dtype,
        )
        if host.step > self.config.warmup_steps:
            self.state, self.replay, self._action, self.metrics = self._programs.interact(
                self.settings, self.state, self.replay, row
            )
            return ended
        self.replay = self._programs.insert(self.replay, row)
        if host.step < self.config.warmup_steps:
            self._action = self._warmup[host.step]
        else:
            self.state, self._action = self._programs.first_action(self.state, host.observation)
        return ended

    def fetch_metrics(self) -> dict[str, float]:
        """The last update's metrics, brought to the host; empty during the warm-up."""
        return {name: float(value) for name, value in jax.device_get(self.metrics).items()}

    def save(self, folder: Path, log_position: int) -> Path:
        """Write a checkpoint; Diverged names the first array that is not finite, and then nothing is written."""
        host = self.host
        arrays = checkpoint.arrays_of(self.state, "agent") | checkpoint.arrays_of_replay(self.replay, "replay")
        for name, array in arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise Diverged(f"{name} holds {array[~np.isfinite(array)].flat[0]} at step {host.step}")
        arrays["host/action"] = np.asarray(self._action, dtype=np.float32)
        arrays["host/observation"] = host.observation
        arrays["host/actions"] = np.array(host.actions, np.float32).reshape(-1, self.environment.action_size)
        record = {
            "settings": presets.to_json(self.config),
            "step": host.step,
            "episode": host.episode,
            "episode_seed": seeds.episode(self.config.seed, host.episode),
            "episodic_return": host.episodic_return,
            "log_position": log_position,
        }
        return checkpoint.save(folder, host.step, arrays, record)

    def restore(self, saved: Checkpoint) -> int:
        """Take over a checkpoint's state; returns its position in the log.

        CheckpointError when it belongs to other settings or when replaying the episode does not reproduce it.
        """
        record, arrays = saved.record, saved.arrays
        ours, theirs = presets.to_json(self.config), record["settings"]
        differing = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
        if set(differing) - {"steps"}:
            listed = ", ".join(f"{key} {theirs.get(key)!r} -> {ours.get(key)!r}" for key in differing if key != "steps")
            raise CheckpointError(
                f"{saved.path}: written with other settings ({listed}); resume with those of its own run"
            )
        if record["step"] > self.config.steps:
            raise CheckpointError(
                f"{saved.path}: at step {record['step']}, past the {self.config.steps} steps asked for; "
                "give --steps a larger number"
            )
        sizes = (self.environment.observation_size, self.environment.action_size)
        self.state = checkpoint.tree_like(self.state, saved, "agent")
        self.replay = checkpoint.replay_like(self.capacity, *sizes, saved, "replay")
        self.host = Host(
            record["step"],
            record["episode"],
            list(arrays["host/actions"]),
            record["episodic_return"],
            arrays["host/observation"],
        )
        self._action = arrays["host/action"]
        self._replay_episode(saved)
        return record["log_position"]

    def _replay_episode(self, saved: Checkpoint) -> None:
        """Bring the simulator to where it was, and prove it."""
        observation, episodic_return = self.environment.reset(saved.record["episode_seed"]), 0.0
        for action in self.host.actions:
            observation, reward, terminated, truncated = self.environment.step(action)
            episodic_return += reward
            if terminated or truncated:
                break
        same = observation.tobytes() == self.host.observation.tobytes()
        if not same or episodic_return != self.host.episodic_return:
            at = np.flatnonzero(observation != self.host.observation)
            seen = (
                f"observation[{at[0]}] is {observation[at[0]]!r}, expected {self.host.observation[at[0]]!r}"
                if at.size
                else f"the return is {episodic_return!r}, expected {self.host.episodic_return!r}"
            )
            raise CheckpointError(
                f"{saved.path}: replaying the {len(self.host.actions)} steps of episode {self.host.episode} from its "
                f"seed did not reproduce it ({seen}). {self.environment.name} is not deterministic, or its version "
                "changed since; the run cannot be continued exactly"
            )
