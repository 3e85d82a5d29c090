"""Faults of targets, policies, temperatures and target networks in the agents with a replay; see `faults.catalogue`.

`NOT_APPLICABLE` says of each entry of the fault catalogue's same sections that nothing here could suffer from it, why.
"""

from __future__ import annotations

from faults.catalogue import DISTRIBUTION, TARGETS, UPDATE, WINDOWS, Fault

DQN, PENALTY = "test_dqn.py", "test_penalty.py"
SESSION, ENVIRONMENTS = "tests/deep/test_session.py", "tests/deep/test_environments.py"
VECTOR, PRESETS = "tests/deep/test_vector.py", "tests/deep/test_presets.py"
LIMIT = f"{SESSION}::test_a_time_limit_does_not_cut_the_bootstrap"
BACKUP = "exact soft Bellman backup"

BOOTSTRAP = """    next_value, _ = policy.expect(key, soft_values)
    return losses.critic_target(batch.reward, batch.terminated, next_value, batch.discount)
"""
CRITIC_LOSS = "return learner.critic_loss(q, target, batch.loss_weight, batch.mass, settings), q"
ACTOR_LOSS = "return losses.actor_loss(soft_values, batch.mass), jnp.sum(batch.mass * log_prob) / jnp.sum(batch.mass)"
TEMPERATURE_LOSS = "lambda log_alpha: losses.temperature_loss(log_alpha, log_prob, settings.target_entropy)"
NEW_TARGETS = "polyak(critic, params.target_critic, settings.tau)"
DESCENT = ")(getattr(params, name))\n"

FAULTS = (
    # -- where the target comes from ---------------------------------------------------------------------------------
    Fault(
        "BT05",
        "a time limit stored as a termination",
        "session.py",
        "flags = [step.reward + self.config.reward_shift, step.terminated, ended is not None]",
        "flags = [step.reward + self.config.reward_shift, ended is not None, ended is not None]",
        LIMIT,
        "terminated at a time limit",
    ),
    Fault(
        "BT07",
        "no termination wherever the time limit is met",
        "environments.py",
        "return Step(flat, reward, bool(terminated), bool(truncated))",
        "return Step(flat, reward, bool(terminated) and not truncated, bool(truncated))",
        f"{ENVIRONMENTS}::test_terminated_and_truncated_stay_apart",
        "flags at the limit",
    ),
    Fault(
        "BT08",
        "the observation after the reset stored as the successor",
        "session.py",
        "np.concatenate([before, action, step.observation, host.observation, flags]",
        "np.concatenate([before, action, host.observation, host.observation, flags]",
        LIMIT,
        "successor at the limit",
    ),
    Fault(
        "BT08b",
        "the observation after a vector's own reset handed out as the successor",
        "vector.py",
        "            successor[over] = self._final(info, over)\n",
        "            self._final(info, over)\n",
        f"{VECTOR}::test_transitions_are_true_in_every_autoreset_mode",
        "transitions under SAME_STEP",
    ),
    Fault(
        "BT08c",
        "a vector's reset taken for a transition",
        "vector.py",
        "valid, self._waiting = ~self._waiting, over",
        "self._waiting = over",
        f"{VECTOR}::test_transitions_are_true_in_every_autoreset_mode",
        "transitions under NEXT_STEP",
    ),
    Fault(
        "BT19",
        "every value compared with every target",
        "losses.py",
        "return jnp.sum(mass * weight * 0.5 * jnp.square(q - target))",
        "return jnp.sum(mass * weight * 0.5 * jnp.square(q[..., None] - target))",
        f"{TARGETS}::test_critic_gradient",
        "gradient of the critic loss",
    ),
    Fault(
        "BT19b",
        "every value of deep Q-learning compared with every target",
        "dqn.py",
        "learner.critic_loss(q[None], y,",
        "learner.critic_loss(q[:, None], y,",
        f"{DQN}::test_whole_update",
        "online table after the update",
    ),
    Fault(
        "BT20",
        "the critic's loss differentiated through a target from the online critic",
        "agent.py",
        CRITIC_LOSS,
        "live = critic_target(learner, state._replace(params=params._replace(target_critic=critic)), batch, target_key)"
        "\n            y = target + live - jax.lax.stop_gradient(live)\n"
        "            return learner.critic_loss(q, y, batch.loss_weight, batch.mass, settings), q",
        f"{TARGETS}::test_exact_backup",
        BACKUP,
    ),
    Fault(
        "BT20b",
        "deep Q-learning's loss differentiated through a target from the online network",
        "dqn.py",
        "        return learner.critic_loss(q[None], y, batch.loss_weight",
        "        live = critic_target(learner, state._replace(params=Params(critic, critic)), batch)\n"
        "        moving = y + live - jax.lax.stop_gradient(live)\n"
        "        return learner.critic_loss(q[None], moving, batch.loss_weight",
        f"{DQN}::test_whole_update",
        "online table after the update",
    ),
    Fault(
        "BT22",
        "the maximum over the batch as well as over the actions",
        "dqn.py",
        "    return jnp.max(target, axis=-1)\n",
        "    return jnp.broadcast_to(jnp.max(target), target.shape[:1])\n",
        f"{DQN}::test_target[maximum]",
        "target",
    ),
    Fault(
        "BT27",
        "the stored action in the target instead of the policy's",
        "agent.py",
        "    next_value, _ = policy.expect(key, soft_values)\n",
        "    _, log_prob = policy.expect(key, soft_values)\n    next_value, _ = soft_values(batch.action, log_prob)\n",
        f"{TARGETS}::test_exact_backup",
        BACKUP,
    ),
    Fault(
        "NS09",
        "n-step rows that run on into the next episode",
        "replay.py",
        "goes_on &= (step[:, -1] == 0.0) & ((last + 1) % capacity != replay.head)",
        "goes_on &= (last + 1) % capacity != replay.head",
        f"{WINDOWS}::test_windows[3]",
        "of n-step rows",
    ),
    Fault(
        "NS12",
        "n-step rows, which hold actions of older policies, let into the flow dual",
        "config.py",
        "lambda config: config.n_step > 1 and",
        "lambda config: config.n_step < 1 and",
        f"{PRESETS}::test_rows_of_several_steps_are_kept_from_the_flow_dual",
        "n-step rows with the flow dual",
    ),
    # -- entropy, policy, temperature --------------------------------------------------------------------------------
    Fault(
        "SE02",
        "the entropy of the successor kept where the episode ended",
        "agent.py",
        BOOTSTRAP,
        """    next_value, log_prob = policy.expect(key, soft_values)
    entropy = -jnp.exp(params.log_alpha) * log_prob
    y = losses.critic_target(batch.reward, batch.terminated, next_value - entropy, batch.discount)
    return y + batch.discount * entropy
""",
        f"{TARGETS}::test_exact_backup",
        BACKUP,
    ),
    Fault(
        "SE03",
        "the entropy of the successor not discounted",
        "agent.py",
        BOOTSTRAP,
        """    next_value, log_prob = policy.expect(key, soft_values)
    entropy = -jnp.exp(params.log_alpha) * log_prob
    y = losses.critic_target(batch.reward, batch.terminated, next_value - entropy, batch.discount)
    return y + (1.0 - batch.terminated) * entropy
""",
        f"{TARGETS}::test_exact_backup",
        BACKUP,
    ),
    Fault(
        "SE08",
        "the temperature's loss differentiated in the policy",
        "agent.py",
        ACTOR_LOSS,
        "mean = jnp.sum(batch.mass * log_prob) / jnp.sum(batch.mass)\n"
        "        other = losses.temperature_loss(params.log_alpha, mean, settings.target_entropy)\n"
        "        return losses.actor_loss(soft_values, batch.mass) + other, mean",
        f"{UPDATE}::test_tabular_update",
        "policy after the update",
    ),
    Fault(
        "SE09",
        "the actor's loss differentiated in the temperature",
        "agent.py",
        TEMPERATURE_LOSS,
        f"{TEMPERATURE_LOSS}\n        + jnp.exp(log_alpha) * log_prob",
        f"{UPDATE}::test_tabular_update",
        "temperature after the update",
    ),
    Fault(
        "SE09b",
        "the critic's loss differentiated in the temperature",
        "agent.py",
        TEMPERATURE_LOSS,
        "lambda log_alpha: losses.temperature_loss(log_alpha, log_prob, settings.target_entropy)\n"
        "        + learner.critic_loss(\n"
        "            q,\n"
        "            critic_target(\n"
        "                learner, state._replace(params=params._replace(log_alpha=log_alpha)), batch, target_key\n"
        "            ),\n"
        "            batch.loss_weight,\n"
        "            batch.mass,\n"
        "            settings,\n"
        "        )",
        f"{UPDATE}::test_tabular_update",
        "temperature after the update",
    ),
    Fault(
        "SE14",
        "the density at the arctanh of the clipped action",
        "distributions.py",
        "        z = (pre_tanh - self.mean) * jnp.exp(-self.log_std)\n",
        "        pre_tanh = jnp.arctanh(jnp.clip(jnp.tanh(pre_tanh), -1.0 + 1e-6, 1.0 - 1e-6))\n"
        "        z = (pre_tanh - self.mean) * jnp.exp(-self.log_std)\n",
        f"{DISTRIBUTION}::test_log_density_far_out",
        "log-density to |u| = 20",
    ),
    Fault(
        "SE22",
        "the actor's gradient also updates the critic",
        "agent.py",
        CRITIC_LOSS,
        "policy = networks.actor.apply(params.actor, batch.observation)\n"
        "            value, _ = policy.expect(actor_key, _soft_values(learner, critic, alpha, batch.observation))\n"
        "            loss = learner.critic_loss(q, target, batch.loss_weight, batch.mass, settings)\n"
        "            return loss + losses.actor_loss(value, batch.mass), q",
        f"{UPDATE}::test_tabular_update",
        "critic after the update",
    ),
    Fault(
        "SE26",
        "the temperature driven by the entropy of one row",
        "agent.py",
        ACTOR_LOSS,
        "return losses.actor_loss(soft_values, batch.mass), log_prob[0]",
        f"{UPDATE}::test_tabular_update",
        "temperature after the update",
    ),
    # -- target networks, optimisers, penalty ------------------------------------------------------------------------
    Fault(
        "TN02",
        "the target critic is the critic",
        "agent.py",
        NEW_TARGETS,
        "critic",
        f"{UPDATE}::test_tabular_update",
        "target critic after the update",
    ),
    Fault(
        "TN02b",
        "deep Q-learning's target network is the online one",
        "dqn.py",
        "return State(Params(critic, target_critic), optimizer, state.key, step)",
        "return State(Params(critic, critic), optimizer, state.key, step)",
        f"{DQN}::test_target_period",
        "target network after each update",
    ),
    Fault(
        "TN04",
        "a periodic copy beside the moving average",
        "agent.py",
        NEW_TARGETS,
        "polyak(critic, jax.tree.map(lambda new, old: jnp.where(state.step % 8 == 7, new, old), critic, "
        "params.target_critic), settings.tau)",
        f"{TARGETS}::test_polyak_after_k_steps",
        "targets after k steps",
    ),
    Fault(
        "TN04b",
        "a moving average beside deep Q-learning's periodic copy",
        "dqn.py",
        "jax.tree.map(lambda new, old: jnp.where(due, new, old), moved, target_critic)",
        "jax.tree.map(lambda new, old: jnp.where(due, new, old), critic, moved)",
        f"{DQN}::test_target_period",
        "target network after each update",
    ),
    Fault(
        "TN07",
        "the second twin's target never moves",
        "agent.py",
        NEW_TARGETS,
        "jax.tree_util.tree_map_with_path(\n"
        "            lambda path, new, old: old if 'second' in str(path) else new,\n"
        "            polyak(critic, params.target_critic, settings.tau),\n"
        "            params.target_critic,\n"
        "        )",
        f"{UPDATE}::test_continuous_update",
        "target critic after the continuous update",
    ),
    Fault(
        "TN09",
        "the first twin's gradient applied to both",
        "agent.py",
        DESCENT,
        f"{DESCENT}        if name == 'critic':\n"
        "            gradient = {'params': {twin: gradient['params']['first'] for twin in gradient['params']}}\n",
        f"{UPDATE}::test_continuous_update",
        "critic after the continuous update",
    ),
    Fault(
        "TN11",
        "weight decay reaches the target critic",
        "agent.py",
        NEW_TARGETS,
        "polyak(critic, jax.tree.map(lambda leaf: (1.0 - 1e-4) * leaf, params.target_critic), settings.tau)",
        f"{UPDATE}::test_tabular_update",
        "target critic after the update",
    ),
    Fault(
        "TN12",
        "a target that waits for its period moved at every update",
        "dqn.py",
        "jnp.where(due, new, old), moved, target_critic)",
        "new, moved, target_critic)",
        f"{DQN}::test_target_period",
        "target network after each update",
    ),
    Fault(
        "TN17",
        "the norm of the slopes taken over the batch",
        "penalty.py",
        "jnp.sum(jnp.square(slope), axis=-1)",
        "jnp.sum(jnp.square(slope), axis=(-2, -1))[:, None]",
        f"{PENALTY}::test_gradient_penalty",
        "gradient penalty",
    ),
)

NOT_APPLICABLE: dict[str, str] = {
    "BT33": "No agent has a categorical distribution of returns: nothing projects onto atoms.",
    "BT34": "No agent learns quantiles of the return; the quantiles that the log shows are of stored weights.",
    "TN08": "No network normalises by batch statistics, so nothing but parameters has to reach a target network.",
}
