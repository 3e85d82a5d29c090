"""Evaluation: the policy's mode, in environments of its own, from seeds of its own.

The episodes of an evaluation depend on the parameters, the run's seed and the step at which it is made alone. They draw
nothing from the training's generators and touch none of its environments, so a run with evaluations and one without
learn the same thing (RN06, EV09).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float64, PyTree

from deep import seeds
from deep.build import Learner
from deep.environments import Environment
from deep.errors import Diverged, InvalidEnvironment

LONGEST = 100_000

Policy = Callable[[PyTree, np.ndarray], Any]


class Evaluation(NamedTuple):
    """Undiscounted returns and lengths of E complete episodes."""

    returns: Float64[np.ndarray, " E"]
    lengths: np.ndarray


def greedy(learner: Learner) -> Policy:
    """The compiled deterministic policy for a block of observations: (actor, (E, O)) -> (E, U)."""

    @jax.jit
    def policy(actor: PyTree, observations):
        return jax.vmap(lambda observation: learner.method.act_greedy(learner, actor, observation))(observations)

    return policy


def evaluate(
    make: Callable[[], Environment], policy: Policy, actor: PyTree, episodes: int, seed: int, step: int
) -> Evaluation:
    """Play ``episodes`` episodes side by side, each in a fresh environment, until the last has ended.

    One policy call serves all of them; the rows of episodes that have ended are still computed and not used, so that
    every call has the same shape and an action depends on its own observation only. Diverged if an action is not
    finite; InvalidEnvironment if an episode does not end within ``LONGEST`` steps.
    """
    environments = [make() for _ in range(episodes)]
    try:
        observations = np.stack(
            [one.reset(seeds.evaluation(seed, step, episode)) for episode, one in enumerate(environments)]
        )
        returns, lengths = np.zeros(episodes), np.zeros(episodes, np.int64)
        running = list(range(episodes))
        while running:
            actions = np.asarray(policy(actor, observations.copy()), dtype=np.float32)
            if not np.isfinite(actions[running]).all():
                raise Diverged(
                    f"the policy's action in the evaluation at step {step} is not finite: the parameters diverged"
                )
            for episode in tuple(running):
                observation, reward, terminated, truncated = environments[episode].step(actions[episode])
                observations[episode] = observation
                returns[episode] += reward
                lengths[episode] += 1
                if terminated or truncated:
                    running.remove(episode)
                elif lengths[episode] >= LONGEST:
                    raise InvalidEnvironment(
                        f"{environments[episode].name}: an evaluation episode went on for {LONGEST} steps; register "
                        "the environment with max_episode_steps, so that its episodes end"
                    )
    finally:
        for one in environments:
            one.close()
    return Evaluation(returns, lengths)
