r"""One pure function per equation of the learner.

Every loss is ``sum_b mass_b * loss_b``: a mean over a sampled batch, an exact expectation over
an enumerated one. Targets enter as arguments, so nothing here needs a stopped gradient.

Value objectives, of which a learner has one (``conditional`` and ``occupancy`` return functions of one signature):

    conditional   beta E_D[f*(z) - z],  z = (q - V(s)) / beta                                 (FD-03, GUM-01)
    occupancy     (1 - gamma) E_{mu0}[V(s0)] + beta E_D[f*(delta / beta)],
                  delta = r + gamma (1 - terminated) V(s') - V(s)                             (OCC-01)
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from deep.divergence import Divergence
from deep.types import Scalar, Settings, ValueTerms

ValueObjective = Callable[[ValueTerms, Scalar, Settings], Float[Array, ""]]


def soft_value(q: Float[Array, "2 B"], log_prob: Float[Array, " B"], alpha: Scalar) -> Float[Array, " B"]:
    """min_i Q_i(s, a) - alpha log pi(a|s), whose expectation over a is the soft value (SAC-03, SAC-15)."""
    return jnp.min(q, axis=0) - alpha * log_prob


def critic_target(
    reward: Float[Array, " B"],
    terminated: Float[Array, " B"],
    next_value: Float[Array, " B"],
    discount: Scalar | Float[Array, " B"],
) -> Float[Array, " B"]:
    """y = r + gamma (1 - terminated) V(s'): termination cuts the bootstrap and its entropy, truncation cuts neither.

    ``discount`` is one gamma, or gamma^k of each row with n-step returns.
    """
    return reward + discount * (1.0 - terminated) * next_value


def td_error(
    reward: Float[Array, " B"],
    terminated: Float[Array, " B"],
    value: Float[Array, " B"],
    next_value: Float[Array, " B"],
    discount: Scalar | Float[Array, " B"],
) -> Float[Array, " B"]:
    """delta = r + gamma (1 - terminated) V(s') - V(s), this sign everywhere (RL-15)."""
    return critic_target(reward, terminated, next_value, discount) - value


def critic_loss(
    q: Float[Array, "N B"], target: Float[Array, " B"], weight: Float[Array, " B"], mass: Float[Array, " B"]
) -> Float[Array, ""]:
    """sum_i sum_b mass_b w_b (Q_i - y)^2 / 2: all N critics, mostly twins, regress on the same target."""
    return jnp.sum(mass * weight * 0.5 * jnp.square(q - target))


def squared_error(
    q: Float[Array, "N B"],
    target: Float[Array, " B"],
    loss_weight: Float[Array, " B"],
    mass: Float[Array, " B"],
    settings: Settings,
) -> Float[Array, ""]:
    """``critic_loss`` as a choice of the learner; no setting enters."""
    del settings
    return critic_loss(q, target, loss_weight, mass)


def huber_error(
    q: Float[Array, "N B"],
    target: Float[Array, " B"],
    loss_weight: Float[Array, " B"],
    mass: Float[Array, " B"],
    settings: Settings,
) -> Float[Array, ""]:
    """sum_i sum_b mass_b w_b h(Q_i - y), h(x) = x^2/2 for |x| <= width and width (|x| - width/2) beyond.

    The derivative is mass w clip(Q_i - y, -width, width): beyond ``huber_width`` (in units of return) an error counts
    by its sign alone, and the fixed point is no longer the weighted mean of the targets.
    """
    size = jnp.abs(q - target)
    # max(size - width, 0), not size - min(size, width), for the reason given in ``capped_conjugate``.
    beyond = jnp.maximum(size - settings.huber_width, 0.0)
    huber = 0.5 * jnp.square(jnp.minimum(size, settings.huber_width)) + settings.huber_width * beyond
    return jnp.sum(mass * loss_weight * huber)


def capped_conjugate(divergence: Divergence, z: Float[Array, " B"], cap: Scalar) -> Float[Array, " B"]:
    """f*(z), continued linearly and C1 above ``cap``: the conjugate of f restricted to w <= (f*)'(cap) (FD-05)."""
    # max(z - cap, 0), not z - min(z, cap): the latter's gradient below the cap is ratio(cap) - ratio(cap), which only
    # rounds to zero and in float32 would blur every ratio by the last digits of e^7.
    above = jnp.maximum(z - cap, 0.0)
    return divergence.conjugate(jnp.minimum(z, cap)) + divergence.ratio(jnp.asarray(cap, z.dtype)) * above


def value_loss(
    value: Float[Array, " B"],
    q: Float[Array, " B"],
    beta: Scalar,
    divergence: Divergence,
    cap: Scalar,
    mass: Float[Array, " B"],
) -> Float[Array, ""]:
    """beta sum_b mass_b (f*(z) - z), z = (q - v)/beta (FD-03; for KL the Gumbel loss e^z - z - 1, GUM-01, GUM-04).

    In units of reward. Stationary where E[min((f*)'(z), W)] = 1; no 1/beta in the extension (GUM-03).
    """
    z = (q - value) / beta
    return beta * jnp.sum(mass * (capped_conjugate(divergence, z, cap) - z))


def occupancy_loss(
    td_error: Float[Array, " B"],
    initial_value: Float[Array, " I"],
    beta: Scalar,
    divergence: Divergence,
    cap: Scalar,
    discount: Scalar,
    mass: Float[Array, " B"],
    initial_mass: Float[Array, " I"],
) -> Float[Array, ""]:
    """(1 - gamma) sum_i mu0_i V(s0_i) + beta sum_b mass_b f*(delta_b / beta), in units of reward (OCC-01, FD-05)."""
    start = (1.0 - discount) * jnp.sum(initial_mass * initial_value)
    return start + beta * jnp.sum(mass * capped_conjugate(divergence, td_error / beta, cap))


def conditional(divergence: Divergence) -> ValueObjective:
    """The objective whose V is the generalised Gumbel value of the data's actions, state by state (FD-03, OCC-06).

    It reads ``value``, ``q`` and ``mass``. Its exp(delta / beta) is the ratio of policies: it has mean one in every
    state and corrects no state marginal.
    """

    def objective(terms: ValueTerms, beta: Scalar, settings: Settings) -> Float[Array, ""]:
        return value_loss(terms.value, terms.q, beta, divergence, settings.value_cap, terms.mass)

    return objective


def occupancy(divergence: Divergence) -> ValueObjective:
    r"""The objective whose V is the multiplier of the Bellman flow, so that (f*)'(delta / beta) = d*/d_D (OCC-01).

    It reads V at s, at s' and at initial states (of law mu0, ``initial_mass`` summing to one) and is differentiated
    through all three: the derivative in a table of V is the flow residual

        (1 - gamma) mu0(s) + gamma sum_b D_b w_b 1[s'_b = s, not terminated] - sum_b D_b w_b 1[s_b = s],  w = (f*)'.

    It is a plain mean over rows, so a mini-batch's gradient is unbiased (the log-sum-exp form of OCC-02 is not).

    * Terminations. The end is a state of value zero that costs nothing to be in and needs no data: flow into it leaves
      the sum, and weights have the mean (1 - gamma) sum_t gamma^t P(not terminated before t) <= 1 instead of one.
    * Time limits bootstrap: the flow goes on from s' as if the episode did. A state that is seen only as the last of
      cut episodes has flow in and no row that carries it out; a table's V there falls without end (OCC-03), and a
      network's V is what it generalises from other states.
    * Stochastic dynamics. A row's delta holds its own s', not the mean over s', so f* is averaged outside instead of
      inside: the optimum is that of an agent which also chooses its luck, P tilted to P exp(gamma V(s') / beta) under
      KL, optimistic by Jensen (OCC-07). Exact where (s, a) determines s', as a MuJoCo simulation's full state does.
    * The cap restricts ratios to w <= (f*)'(cap) (FD-05). Where no occupancy keeps it - the data are no occupancy, or
      the cap is close to one - the objective has no minimum and V runs away (OCC-04).
    * One-step rows only. Rows of k steps have the flow of a process observed every k-th step, whose mass is
      (1 - gamma) / (1 - gamma^k), and the data's actions in between.
    """

    def objective(terms: ValueTerms, beta: Scalar, settings: Settings) -> Float[Array, ""]:
        delta = td_error(terms.reward, terms.terminated, terms.value, terms.next_value, terms.discount)
        return occupancy_loss(
            delta,
            terms.initial_value,
            beta,
            divergence,
            settings.value_cap,
            settings.discount,
            terms.mass,
            terms.initial_mass,
        )

    return objective


def actor_loss(soft_values: Float[Array, " B"], mass: Float[Array, " B"]) -> Float[Array, ""]:
    """E[alpha log pi - min_i Q_i], to be minimised (SAC-11): minus the expected soft value."""
    return -jnp.sum(mass * soft_values)


def temperature_loss(log_alpha: Float[Array, ""], log_prob: Scalar, target_entropy: Scalar) -> Float[Array, ""]:
    """-alpha (E log pi + H-bar): its gradient in log alpha is alpha (H - H-bar) (SAC-16), a stable servo (SAC-18)."""
    return -jnp.exp(log_alpha) * (log_prob + target_entropy)
