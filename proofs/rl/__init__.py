"""Chapter RL: what the course notes (source 004) state about reinforcement learning.

Finite processes throughout, in exact rationals (`chains` has the operators, `gradients` the exact policy gradients);
‖·‖ is the sup norm unless said otherwise.

Where a claim is::

    returns          RL-01, RL-02         returns and the Bellman equation
    evaluation       RL-03, RL-04         its two solutions
    optimality       RL-05, RL-06, RL-07  optimal policies and their equation
    iteration        RL-08, RL-09, RL-34  value iteration, policy iteration and what lies between
    monte_carlo      RL-10, RL-11         sampled returns and ε-greedy policies
    approximation    RL-12, RL-13         stochastic approximation
    descent          RL-14                gradient descent as stochastic approximation
    td               RL-15, RL-17         temporal differences for evaluation
    control          RL-16, RL-18         learning action values
    targets          RL-19, RL-22         the maximum in a target, and targets that move
    features         RL-20, RL-21         value functions with parameters
    metrics          RL-23                stationary laws, average rewards, discounted values
    policy_gradient  RL-24, RL-25, RL-26  the policy-gradient theorem and REINFORCE
    baselines        RL-27, RL-28         baselines, and the TD error as an advantage
    off_policy       RL-29, RL-30, RL-31  importance ratios and deterministic policies
    improvement      RL-32, RL-33         what state values alone can improve; softmax heads
    efficiency       RL-35                temporal differences beside Monte Carlo

Importing the package enters them all.
"""

from __future__ import annotations

from proofs.rl import (
    approximation,
    baselines,
    control,
    descent,
    efficiency,
    evaluation,
    features,
    improvement,
    iteration,
    metrics,
    monte_carlo,
    off_policy,
    optimality,
    policy_gradient,
    returns,
    targets,
    td,
)

__all__ = [
    "approximation",
    "baselines",
    "control",
    "descent",
    "efficiency",
    "evaluation",
    "features",
    "improvement",
    "iteration",
    "metrics",
    "monte_carlo",
    "off_policy",
    "optimality",
    "policy_gradient",
    "returns",
    "targets",
    "td",
]
