"""Faults of gradients in the on-policy agents, beside those of `faults.catalogue_on_policy`."""

from __future__ import annotations

from faults.catalogue import Fault

ON_POLICY, ROLLOUTS = "test_on_policy.py", "tests/deep/test_rollouts.py"

FAULTS = (
    Fault(
        "PG06",
        "the policy's loss differentiated in V, through the advantages",
        "on_policy.py",
        "        return value_loss(v, rows), jnp.sum",
        "        policy = networks.actor.apply(params.actor, rows.observation)\n"
        "        log_prob, moving = policy.log_prob(rows.action), rows._replace(advantage=rows.returns - v)\n"
        "        return value_loss(v, rows) + objective(log_prob, moving, settings), jnp.sum",
        f"{ON_POLICY}::test_whole_update[a2c]",
        "value after an update of a2c",
    ),
    Fault(
        "SE15",
        "tanh's correction in the density of a policy without tanh",
        "distributions.py",
        "return jnp.sum(-0.5 * jnp.square(z) - self.log_std - 0.5 * math.log(2.0 * math.pi), axis=-1)",
        "normal = -0.5 * jnp.square(z) - self.log_std - 0.5 * math.log(2.0 * math.pi)\n"
        "        return jnp.sum(normal - log_tanh_slope(action), axis=-1)",
        f"{ON_POLICY}::test_normal",
        "normal log-probability",
    ),
    Fault(
        "TN18",
        "the gradient clipped leaf by leaf and not by its global norm",
        "optimizers.py",
        "optax.clip_by_global_norm(largest)",
        "optax.clip_by_block_rms(largest)",
        f"{ROLLOUTS}::test_gradients_are_clipped_by_their_global_norm",
        "clipped gradient",
    ),
    Fault(
        "TN18b",
        "what Adam made of the gradient clipped, and not the gradient",
        "optimizers.py",
        "optax.chain(optax.clip_by_global_norm(largest), optax.adam(learning_rate))",
        "optax.chain(optax.adam(learning_rate), optax.clip_by_global_norm(largest))",
        f"{ROLLOUTS}::test_gradients_are_clipped_by_their_global_norm",
        "clipped gradient",
    ),
)
