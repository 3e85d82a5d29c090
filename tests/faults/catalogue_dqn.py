"""Faults of deep Q-learning; see `faults.catalogue`."""

from __future__ import annotations

from faults.catalogue import Fault

DQN = "test_dqn.py"

FAULTS = (
    Fault(
        "RL-18",
        "the online network's maximum in the target",
        "dqn.py",
        "    del online\n    return jnp.max(target, axis=-1)",
        "    return jnp.max(online, axis=-1)",
        f"{DQN}::test_target[maximum]",
        "target",
    ),
    Fault(
        "RL-19",
        "double estimation judged by the network that chose",
        "dqn.py",
        "jnp.take_along_axis(target, chosen",
        "jnp.take_along_axis(online, chosen",
        f"{DQN}::test_target[double]",
        "double target",
    ),
    Fault(
        "BT21",
        "double estimation with the networks' parts exchanged",
        "dqn.py",
        "chosen = jnp.argmax(online, axis=-1)\n    return jnp.take_along_axis(target, chosen",
        "chosen = jnp.argmax(target, axis=-1)\n    return jnp.take_along_axis(online, chosen",
        f"{DQN}::test_target[double]",
        "double target",
    ),
    Fault(
        "DQN-01",
        "loss on the values of all actions",
        "dqn.py",
        "jnp.sum(batch.action * learner.network.apply(critic, batch.observation), axis=-1)",
        "jnp.sum(learner.network.apply(critic, batch.observation), axis=-1)",
        f"{DQN}::test_gradient[squared]",
        "gradient",
    ),
    Fault(
        "DQN-02",
        "target network moved towards the online one before its step",
        "dqn.py",
        "agent.polyak(critic, target_critic, settings.tau)",
        "agent.polyak(state.params.critic, target_critic, settings.tau)",
        f"{DQN}::test_whole_update",
        "target table after the update",
    ),
    Fault(
        "DQN-02b",
        "target network moved at the first update of a period",
        "dqn.py",
        "due = step %",
        "due = state.step %",
        f"{DQN}::test_target_period",
        "target network after each update",
    ),
    Fault(
        "DQN-03",
        "greedy and random actions exchanged",
        "dqn.py",
        "jnp.where(explores, anything, jnp.argmax(q))",
        "jnp.where(explores, jnp.argmax(q), anything)",
        f"{DQN}::test_exploration",
        "frequencies of actions",
    ),
    Fault(
        "DQN-03b",
        "exploration ends above its final probability",
        "dqn.py",
        "left = jnp.maximum(1.0 - step / settings.epsilon_updates, 0.0)",
        "left = 1.0 / (1.0 + step / settings.epsilon_updates)",
        f"{DQN}::test_schedule",
        "probability of exploring",
    ),
    Fault(
        "DQN-03c",
        "actions taken for the target network",
        "dqn.py",
        "learner.network.apply(state.params.critic, observation[None])",
        "learner.network.apply(state.params.target_critic, observation[None])",
        f"{DQN}::test_greedy",
        "greedy actions in training",
    ),
)
