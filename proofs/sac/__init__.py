"""Chapter SAC: what source 003 states about the soft actor-critic.

The soft optimum of one state is the Boltzmann policy pi = e^{Q/alpha}/Z with the value alpha log Z. What the source
derives from it is right up to signs, brackets and conditions that it leaves out; each is a claim.

Where a claim is::

    boltzmann    SAC-01, SAC-02, SAC-22, SAC-24    the Boltzmann policy, its limits, its sign, its robustness
    value        SAC-03, SAC-07, SAC-10            the soft value, unrolled and rescaled
    lagrangian   SAC-04, SAC-09, SAC-11            the variational derivation and the sign of the actor's loss
    iteration    SAC-05, SAC-06                    soft policy iteration: a step, not the answer at once
    gradient     SAC-08, SAC-12                    the policy gradient and the law of its states
    pathwise     SAC-13, SAC-26                    gradients through the reparameterised Gaussian
    squashing    SAC-14, SAC-25                    tanh, its density, and how many modes a Gaussian actor has
    critic       SAC-15, SAC-19, SAC-23            the twin critics, the summary's losses, the target network
    servo        SAC-16, SAC-17, SAC-18            the temperature's loss and its update, printed and right
    multiplier   SAC-20, SAC-21                    the temperature as the multiplier of the entropy constraint

Importing the package enters them all; `soft` and `gaussian` hold what they share.
"""

from __future__ import annotations

from proofs.sac import (
    boltzmann,
    critic,
    gradient,
    iteration,
    lagrangian,
    multiplier,
    pathwise,
    servo,
    squashing,
    value,
)

__all__ = [
    "boltzmann",
    "critic",
    "gradient",
    "iteration",
    "lagrangian",
    "multiplier",
    "pathwise",
    "servo",
    "squashing",
    "value",
]
