"""Chapter RL: what the course notes (source 004) state about reinforcement learning.

Finite processes throughout, in exact rationals (`chains` has the operators, `gradients` the exact policy gradients);
‖·‖ is the sup norm unless said otherwise.

Where a claim is::

    returns          RL-01, RL-02, RL-03, RL-04    returns, the Bellman equation and its solutions
    optimality       RL-05, RL-06, RL-07           optimal policies and their equation
    iteration        RL-08, RL-09, RL-34           value iteration, policy iteration and what lies between
    monte_carlo      RL-10, RL-11                  sampled returns and ε-greedy policies
    approximation    RL-12, RL-13, RL-14           stochastic approximation and gradient descent
    td               RL-15, RL-17, RL-35           temporal differences for evaluation
    control          RL-16, RL-18, RL-19           learning action values
    improvement      RL-32, RL-33                  what state values alone can improve; softmax heads
    features         RL-20, RL-21, RL-22           value functions with parameters
    metrics          RL-23                         stationary laws, average rewards, discounted values
    policy_gradient  RL-24, RL-25, RL-26           the policy-gradient theorem and REINFORCE
    baselines        RL-27, RL-28                  baselines and the TD error as advantage
    off_policy       RL-29, RL-30, RL-31           importance ratios and deterministic policies

Importing the package enters them all.
"""

from __future__ import annotations

from proofs.rl import (
    approximation,
    baselines,
    control,
    features,
    improvement,
    iteration,
    metrics,
    monte_carlo,
    off_policy,
    optimality,
    policy_gradient,
    returns,
    td,
)

__all__ = [
    "approximation",
    "baselines",
    "control",
    "features",
    "improvement",
    "iteration",
    "metrics",
    "monte_carlo",
    "off_policy",
    "optimality",
    "policy_gradient",
    "returns",
    "td",
]
