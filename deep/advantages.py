r"""Returns and advantages of T steps of K environments, with the two ways in which an episode ends kept apart.

With s'_t the true successor of step t (never the observation after a reset) and delta_t of :func:`losses.td_error`:

    n steps        G_t = r_t + gamma G_{t+1}, n rewards deep and V(s') after the last of them            (RL-15)
    Monte Carlo    the same to the end of the episode
    GAE            A_t = delta_t + gamma lambda A_{t+1} = sum_l (gamma lambda)^l delta_{t+l}

``terminated`` cuts the bootstrap: nothing follows. ``ended``, set by termination and by a time limit alike, cuts the
trace: the next row belongs to another episode. After a time limit V(s') of the final observation is therefore kept, and
so it is after the last row, where the rollout stops in the midst of an episode.

GAE is that of Schulman, Moritz, Levine, Jordan & Abbeel (2016, eq. 16): lambda = 0 is delta, lambda = 1 the Monte Carlo
return minus V. It is unbiased for an advantage only as far as V is v_pi (RL-28).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from deep import losses
from deep.types import Scalar

Steps = Float[Array, "T K"]


def generalised(
    reward: Steps,
    terminated: Steps,
    ended: Steps,
    value: Steps,
    next_value: Steps,
    discount: Scalar,
    trace_decay: Scalar,
) -> Steps:
    """A_t of every row; ``next_value`` is V of the true successors, ``trace_decay`` lambda in [0, 1]."""

    def back(ahead, row):
        reward, terminated, ended, value, next_value = row
        error = losses.td_error(reward, terminated, value, next_value, discount)
        ahead = error + discount * trace_decay * (1.0 - ended) * ahead
        return ahead, ahead

    rows = (reward, terminated, ended, value, next_value)
    return jax.lax.scan(back, jnp.zeros_like(reward[0]), rows, reverse=True)[1]


def monte_carlo(reward: Steps, terminated: Steps, ended: Steps, next_value: Steps, discount: Scalar) -> Steps:
    """G_t to the end of the episode or of the rows; ``next_value`` is read at time limits and at the last row."""

    def back(following, row):
        reward, terminated, ended, next_value = row
        following = jnp.where(ended > 0, next_value, following)
        total = losses.critic_target(reward, terminated, following, discount)
        return total, total

    return jax.lax.scan(back, next_value[-1], (reward, terminated, ended, next_value), reverse=True)[1]


def n_step(reward: Steps, terminated: Steps, ended: Steps, next_value: Steps, discount: Scalar, steps: int) -> Steps:
    """G_t of ``steps`` >= 1 rewards, of fewer where the episode or the rows end before."""
    target = jax.vmap(losses.critic_target, in_axes=(0, 0, 0, None))

    def deeper(following, _):
        total = target(reward, terminated, jnp.where(ended > 0, next_value, following), discount)
        return jnp.concatenate([total[1:], next_value[-1:]]), total

    if steps < 1:
        raise ValueError(f"n-step returns: expected at least 1 step, got {steps}")
    return jax.lax.scan(deeper, next_value, length=steps)[1][-1]
