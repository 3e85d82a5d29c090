"""Training runs as a state machine: the device's state, the hosts' states, and the step from one to the next.

A session trains L lanes: runs that differ in nothing but the seed, in one program (L = 1 for a single run). Lanes share
no randomness and no data: each has its own key, batches, buffer and environment, and is saved as a run of its own.

:meth:`Session.advance` is one environment step of every lane and one dispatch. Everything that decides the future is
either in the device state (parameters, optimisers, keys, replay) or in a :class:`Host`; :meth:`Session.save` writes
both and :meth:`Session.restore` brings both back, bit for bit.

The simulator itself is restored by replay, which works for every deterministic environment: an episode is a function of
its reset seed and its actions, so the checkpoint stores these, and the restored episode must end in the stored
observation and return, bit for bit, or the run is refused.

Counting (EV11): the first ``warmup_steps`` actions are random; every later step is followed by ``updates_per_step``
updates, so a run of n steps makes (n - warmup_steps) * updates_per_step updates.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, PyTree

from deep import build, checkpoint, interaction, offline, pretraining, programs, seeds, watch, weights
from deep.checkpoint import Checkpoint
from deep.config import Config, to_json
from deep.environments import Environment
from deep.errors import CheckpointError, Diverged
from deep.interaction import Learner, Memory
from deep.programs import lane
from deep.replay import Replay


class Episode(NamedTuple):
    """A training episode that ended: undiscounted return and length."""

    episodic_return: float
    length: int


@dataclasses.dataclass
class Host:
    """What the host must remember of a lane between two steps."""

    episode: int
    actions: list[Float32[np.ndarray, " U"]]
    episodic_return: float
    observation: Float32[np.ndarray, " O"]


class Session:
    """Runs in progress, one for each configuration; they may differ in their seeds alone.

    ``learner`` may be given, to train the tabular networks on a decision process.
    """

    def __init__(
        self, configs: Sequence[Config], environments: Sequence[Environment], learner: Learner | None = None
    ) -> None:
        config, environment = configs[0], environments[0]
        self.configs, self.environments, self.config = list(configs), list(environments), config
        self.learner = learner or build.learner_of(config, environment.action_size)
        self.settings = programs.packed(build.settings_of(config, environment.action_size))
        data = None
        if config.dataset is not None:
            data = offline.read(config.dataset, environment, config.reward_shift)
        # Slots that no step would reach cost memory only.
        self.capacity = min(config.buffer_size, config.steps + (0 if data is None else len(data.reward)))
        self.metrics: dict[str, Array] = {}
        self._sizes = (environment.observation_size, environment.action_size)
        self._plan = plan = build.plan_of(config)
        self._programs = programs.programs(self.learner, plan, *self._sizes, len(self.configs))
        names = programs.watched(self.learner, plan, *self._sizes)
        self._record = watch.clean(names, (len(self.configs),))
        self._warmups = np.stack(
            [one.actions.random(seeds.warmup(its.seed), its.warmup_steps) for its, one in self._lanes()]
        )
        self.state = programs.initial_states(self.learner, plan, self._sizes, self.configs)
        empty = interaction.create(plan, self.capacity, config.initial_states, *self._sizes)
        if data is not None:
            begun = None if empty.initials is None else pretraining.begun(empty.initials, data)
            empty = Memory(pretraining.fill(empty.replay, data), begun)
        self.memory = jax.tree.map(lambda leaf: jnp.stack([leaf] * len(self.configs)), empty)
        self._dtype = empty.replay.steps.dtype
        self.hosts = [Host(0, [], 0.0, one.reset(seeds.episode(its.seed, 0))) for its, one in self._lanes()]
        self.memory = self._programs.begin(self.memory, self._observations())
        self.step = self.pretrained = 0
        self._actions: Any = self._warmups[:, 0]

    @property
    def replay(self) -> Replay:
        """The buffers of all lanes."""
        return self.memory.replay

    def _lanes(self) -> Iterator[tuple[Config, Environment]]:
        return zip(self.configs, self.environments, strict=True)

    def pretrain(self, count: int) -> None:
        """``count`` updates of every lane on what the memory holds, in one dispatch; no environment moves."""
        self.state, self.memory, self._record, self.metrics = self._programs.learn(
            self.state, self.memory, self._record, self.settings, count
        )
        self.pretrained += count

    def advance(self) -> list[list[Episode]]:
        """One environment step of every lane and one dispatch; the episode that it ended in each lane, if any.

        Diverged when an environment or a policy produced a number that is not finite.
        """
        actions = np.asarray(self._actions, dtype=np.float32)
        if not np.isfinite(actions).all():
            first = watch.describe(self._record) or "the parameters diverged"
            raise Diverged(f"the policy's action is {actions.tolist()} at step {self.step + 1}: {first}")
        self.step += 1
        moved = [self._move(index, action) for index, action in enumerate(actions)]
        rows = np.stack([row for row, _ in moved])
        if self.step > self.config.warmup_steps:
            self.state, self.memory, self._record, self._actions, self.metrics = self._programs.interact(
                self.state, self.memory, self._record, rows, self.settings
            )
        else:
            self.memory = self._programs.insert(self.memory, rows)
            if self.step < self.config.warmup_steps:
                self._actions = self._warmups[:, self.step]
            else:
                self.state, self._actions = self._programs.first_action(self.state, self._observations(), self.settings)
        return [[] if ended is None else [ended] for _, ended in moved]

    def _move(self, index: int, action: Float32[np.ndarray, " U"]) -> tuple[np.ndarray, Episode | None]:
        """One lane's environment step: the row for the device and the episode that ended."""
        host, environment = self.hosts[index], self.environments[index]
        try:
            step = environment.step(action)
        except Diverged as error:
            raise Diverged(f"{error} (step {self.step}, episode {host.episode})") from error
        host.actions.append(action)
        host.episodic_return += step.reward
        before, ended = host.observation, None
        if step.terminated or step.truncated:
            ended = Episode(host.episodic_return, len(host.actions))
            host.episode += 1
            host.actions, host.episodic_return = [], 0.0
            host.observation = environment.reset(seeds.episode(self.configs[index].seed, host.episode))
        else:
            host.observation = step.observation
        flags = [step.reward + self.config.reward_shift, step.terminated, ended is not None]
        row = np.concatenate([before, action, step.observation, host.observation, flags], dtype=self._dtype)
        return row, ended

    def _observations(self) -> Float32[np.ndarray, "L O"]:
        """Where the next action of every lane is needed."""
        return np.stack([host.observation for host in self.hosts])

    def policy(self, index: int) -> PyTree:
        """The parameters that the greedy policy of a lane reads."""
        return lane(getattr(self.state.params, self.learner.method.policy), index)

    def fetch_metrics(self) -> list[dict[str, float]]:
        """The last update's metrics of every lane, and what its buffer's weights are; empty during the warm-up.

        Diverged names what was the first to be no finite number since the run began or was resumed.
        """
        if not self.metrics:
            return [{}] * len(self.hosts)
        self._check()
        fetched, seen = jax.device_get(self.metrics), []
        for index in range(len(self.hosts)):
            metrics = {name: float(value[index]) for name, value in fetched.items()}
            if self.learner.weighting is not None:
                size = int(self.replay.size[index])
                stored = weights.stored_statistics(self.replay.weight[index], size, *build.weight_limits(self.config))
                metrics |= {f"stored/{name}": value for name, value in stored.items()}
            seen.append(metrics)
        return seen

    def _check(self) -> None:
        if first := watch.describe(self._record):
            raise Diverged(f"{first} (step {self.step})")

    def save(self, folders: Sequence[Path], log_positions: Sequence[int], keep: int = checkpoint.KEPT) -> None:
        """Write a checkpoint of every lane, the newest ``keep`` stay; Diverged before anything is written."""
        self._check()
        actions = np.asarray(self._actions, dtype=np.float32)
        saved = []
        for index, (host, config) in enumerate(zip(self.hosts, self.configs, strict=True)):
            arrays = checkpoint.arrays_of(lane(self.state, index), "agent")
            memory = lane(self.memory, index)
            arrays |= checkpoint.arrays_of_replay(memory.replay, "replay")
            arrays |= checkpoint.arrays_of(memory.initials, "initials")
            for name, array in arrays.items():
                if array.dtype.kind == "f" and not np.isfinite(array).all():
                    seed = f" (seed {config.seed})" if len(self.hosts) > 1 else ""
                    raise Diverged(f"{name} holds {array[~np.isfinite(array)].flat[0]} at step {self.step}{seed}")
            arrays["host/action"] = actions[index]
            arrays["host/observation"] = host.observation
            arrays["host/actions"] = np.array(host.actions, np.float32).reshape(-1, self._sizes[1])
            record = {
                "settings": to_json(config),
                "step": self.step,
                "episode": host.episode,
                "episode_seed": seeds.episode(config.seed, host.episode),
                "episodic_return": host.episodic_return,
                "log_position": log_positions[index],
                "lanes": len(self.hosts),
                "pretrained": self.pretrained,
            }
            saved.append((arrays, record))
        for folder, (arrays, record) in zip(folders, saved, strict=True):
            checkpoint.save(folder, self.step, arrays, record, keep)

    def restore(self, saved: Sequence[Checkpoint]) -> list[int]:
        """Take over a checkpoint's state for every lane; returns their positions in the logs.

        CheckpointError when one belongs to other settings or when replaying its episode does not reproduce it.
        """
        states, memories = [], []
        for index, (one, config) in enumerate(zip(saved, self.configs, strict=True)):
            same_settings(one, config)
            record, arrays = one.record, one.arrays
            states.append(checkpoint.tree_like(lane(self.state, index), one, "agent"))
            stored = checkpoint.replay_like(self.capacity, *self._sizes, one, "replay", self._plan.proportional)
            begun = checkpoint.tree_like(lane(self.memory.initials, index), one, "initials")
            memories.append(Memory(stored, begun))
            self.hosts[index] = Host(
                record["episode"], list(arrays["host/actions"]), record["episodic_return"], arrays["host/observation"]
            )
            replay_episode(one, record["episode_seed"], self.hosts[index], self.environments[index])
        self.step, self.pretrained = saved[0].step, saved[0].record["pretrained"]
        self.state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
        self.memory = jax.tree.map(lambda *leaves: jnp.stack(leaves), *memories)
        self._actions = np.stack([one.arrays["host/action"] for one in saved])
        return [one.record["log_position"] for one in saved]


def same_settings(saved: Checkpoint, config: Config) -> None:
    """CheckpointError unless the checkpoint was written with these settings, but perhaps for fewer steps."""
    ours, theirs = to_json(config), saved.record["settings"]
    differing = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    if set(differing) - {"steps"}:
        listed = ", ".join(f"{key} {theirs.get(key)!r} -> {ours.get(key)!r}" for key in differing if key != "steps")
        raise CheckpointError(f"{saved.path}: written with other settings ({listed}); resume with those of its own run")
    if saved.step > config.steps:
        raise CheckpointError(
            f"{saved.path}: at step {saved.step}, past the {config.steps} steps asked for; give --steps a larger number"
        )


def replay_episode(saved: Checkpoint, seed: int, host: Host, environment: Environment) -> None:
    """Bring the simulator to where it was from its episode's seed, and prove it; CheckpointError where it is not."""
    observation, episodic_return = environment.reset(seed), 0.0
    for action in host.actions:
        observation, reward, terminated, truncated = environment.step(action)
        episodic_return += reward
        if terminated or truncated:
            break
    same = observation.tobytes() == host.observation.tobytes()
    if not same or episodic_return != host.episodic_return:
        at = np.flatnonzero(observation != host.observation)
        seen = (
            f"observation[{at[0]}] is {observation[at[0]]!r}, expected {host.observation[at[0]]!r}"
            if at.size
            else f"the return is {episodic_return!r}, expected {host.episodic_return!r}"
        )
        raise CheckpointError(
            f"{saved.path}: replaying the {len(host.actions)} steps of episode {host.episode} from its "
            f"seed did not reproduce it ({seen}). {environment.name} is not deterministic, or its version "
            "changed since; the run cannot be continued exactly"
        )
