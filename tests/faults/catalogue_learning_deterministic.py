"""Faults of targets in the agents with deterministic policies, beside those of `faults.catalogue_deterministic`."""

from __future__ import annotations

from faults.catalogue import Fault

DETERMINISTIC = "test_deterministic.py"
OPERAND = "params._replace(critic=critic), optimizers.actor"

FAULTS = (
    Fault(
        "BT28",
        "target noise of deviation one, whatever the setting",
        "deterministic.py",
        "jnp.clip(std * noise, -bound, bound)",
        "jnp.clip(noise, -bound, bound)",
        f"{DETERMINISTIC}::test_target[one critic]",
        "smoothed target",
    ),
    Fault(
        "BT28b",
        "target noise cut before it is scaled",
        "deterministic.py",
        "jnp.clip(std * noise, -bound, bound)",
        "std * jnp.clip(noise, -bound, bound)",
        f"{DETERMINISTIC}::test_target[one critic]",
        "smoothed target",
    ),
    Fault(
        "TN12b",
        "the target of a delayed actor moved in every update",
        "deterministic.py",
        OPERAND,
        "params._replace(critic=critic, target_actor=agent.polyak(params.actor, params.target_actor, settings.tau)), "
        "optimizers.actor",
        f"{DETERMINISTIC}::test_period",
        "when the target actor moves",
    ),
    Fault(
        "TN12c",
        "the target of a delayed actor moved in every update, and again with its actor",
        "deterministic.py",
        "    step = state.step + 1\n    due",
        "    params = params._replace(target_actor=agent.polyak(params.actor, params.target_actor, settings.tau))\n"
        "    step = state.step + 1\n    due",
        f"{DETERMINISTIC}::test_whole_update[1-twins]",
        "target actor after the deterministic update",
    ),
    Fault(
        "BT20c",
        "the deterministic agents' critic loss differentiated through a target from the online critic",
        "deterministic.py",
        "        return learner.critic_loss(q, y, batch.loss_weight",
        "        mixed = state._replace(params=params._replace(target_critic=critic))\n"
        "        live = critic_target(learner, settings, mixed, batch, noise_key)\n"
        "        moving = y + live - jax.lax.stop_gradient(live)\n"
        "        return learner.critic_loss(q, moving, batch.loss_weight",
        f"{DETERMINISTIC}::test_whole_update[1-twins]",
        "critic after the deterministic update",
    ),
    Fault(
        "TN02c",
        "the target actor is the actor",
        "deterministic.py",
        "agent.polyak(actor, params.target_actor, settings.tau)), optimizer",
        "actor), optimizer",
        f"{DETERMINISTIC}::test_whole_update[1-twins]",
        "target actor after the deterministic update",
    ),
    Fault(
        "TN04c",
        "a periodic copy of the actor beside the moving average",
        "deterministic.py",
        "agent.polyak(actor, params.target_actor, settings.tau)), optimizer",
        "jax.tree.map(lambda new, old: jnp.where(step % 2 == 0, new, old), actor,"
        " agent.polyak(actor, params.target_actor, settings.tau))), optimizer",
        f"{DETERMINISTIC}::test_whole_update[1-twins]",
        "target actor after the deterministic update",
    ),
)
