"""Faults of buffers, priorities, weights, numerics, randomness, evaluation and checkpoints; see `faults.catalogue`.

`NOT_APPLICABLE` says of each entry of the fault catalogue's same sections that nothing here could suffer from it, why.
"""

from __future__ import annotations

from faults.catalogue import Fault

SAMPLING, RECURSIONS, TARGETS, VALUE = "test_sampling.py", "test_recursions.py", "test_targets.py", "test_value.py"
REPLAY, PUBLISHED, UPDATE, AXES = "test_replay.py", "test_published.py", "test_update.py", "test_update_axes.py"
SESSION, LANES, TRAIN = "tests/deep/test_session.py", "tests/deep/test_lanes.py", "tests/deep/test_train.py"
ENVIRONMENTS, VECTOR, OFFLINE = (
    "tests/deep/test_environments.py",
    "tests/deep/test_vector.py",
    "tests/deep/test_offline.py",
)
STORED, COMPARE = "tests/deep/test_replay.py", "tests/deep/test_compare.py"
TABLES = f"{UPDATE}::test_tabular_update[kl]"
STEP = f"{AXES}::test_learning_step_of_rows"
SCALE = f"{ENVIRONMENTS}::test_each_dimension_has_its_own_scale"
RESUMED = f"{SESSION}::test_saved_and_restored_is_uninterrupted[learning]"
RESTORED = "self.state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)"

FAULTS = (
    # -- replay buffer -----------------------------------------------------------------------------------------------
    Fault(
        "RB07",
        "the environment's action stored in place of the policy's",
        "session.py",
        "row = np.concatenate([before, action, step.observation,",
        "row = np.concatenate([before, environment.actions.encode(action).ravel(), step.observation,",
        f"{SESSION}::test_the_buffer_holds_what_the_simulator_did",
        "stored actions in the unit box",
    ),
    Fault(
        "RB09",
        "observations of several environments laid out the other way round",
        "spaces.py",
        "parts.append(np.array(stacked, dtype=np.float32).reshape(count, -1))",
        "parts.append(np.array(stacked, dtype=np.float32).reshape(-1, count).T)",
        f"{VECTOR}::test_transitions_are_true_in_every_autoreset_mode",
        "transitions under",
    ),
    Fault(
        "RB12",
        "the same indices for every key",
        "replay.py",
        "jax.random.randint(key, (batch_size,)",
        "jax.random.randint(jax.random.key(0), (batch_size,)",
        f"{REPLAY}::test_indices_depend_on_the_key",
        "agreement of the indices of two keys",
    ),
    Fault(
        "RB13",
        "successor read from the next slot, whatever is there",
        "replay.py",
        "next_observation, terminated = states[:, 1], step[:, -2]",
        "next_observation, terminated = replay.states[(indices + 1) % replay.weight.shape[0], 0], step[:, -2]",
        f"{REPLAY}::test_contents",
        "rows gathered from the replay",
    ),
    Fault(
        "RB17",
        "recorded transitions in another order than their ends",
        "offline.py",
        "return Transitions(observation, action, reward, successor, terminated, truncated, ended)",
        "rows = (observation[::-1], action[::-1], reward[::-1], successor[::-1])\n"
        "    return Transitions(*rows, terminated, truncated, ended)",
        f"{OFFLINE}::test_rows_arrive_in_the_learners_units",
        "observation [RB17]",
    ),
    # -- prioritised replay ------------------------------------------------------------------------------------------
    Fault(
        "PR12",
        "draws on a scale that is not the sum of the weights",
        "sampling.py",
        "2 * node + ((u * (left + right) >= left)",
        "2 * node + ((u * 2.0 * jnp.maximum(left, right) >= left)",
        f"{SAMPLING}::test_frequencies",
        "frequencies of proportional indices",
    ),
    Fault(
        "PR14",
        "importance exponent annealed in the wrong direction",
        "interaction.py",
        "settings.importance_exponent + settings.importance_growth * state.step",
        "settings.importance_exponent - settings.importance_growth * state.step",
        f"{STORED}::test_the_importance_exponent_ends_at_its_final_value",
        "annealed importance exponent",
    ),
    Fault(
        "PR14b",
        "importance exponent that has not arrived when the run ends",
        "build.py",
        "importance_growth=(final - config.importance_exponent) / updates",
        "importance_growth=(final - config.importance_exponent) / (2 * updates)",
        f"{STORED}::test_the_importance_exponent_ends_at_its_final_value",
        "annealed importance exponent",
    ),
    Fault(
        "PR18",
        "every batch of a step drawn before any weight is written back",
        "interaction.py",
        "    def once(carry, _):\n"
        "        state, memory = carry\n"
        "        key, sample_key, select_key, initial_key = jax.random.split(state.key, 4)\n"
        "        indices, batch = draw(learner, plan, settings, state, memory, sample_key, select_key)",
        "    held = memory\n\n"
        "    def once(carry, _):\n"
        "        state, memory = carry\n"
        "        key, sample_key, select_key, initial_key = jax.random.split(state.key, 4)\n"
        "        indices, batch = draw(learner, plan, settings, state, held, sample_key, select_key)",
        f"{STORED}::test_every_update_reads_the_weights_of_the_one_before[3]",
        "weights after the updates of a step",
    ),
    Fault(
        "PR19",
        "a priority that does not vanish where the error does",
        "agent.py",
        "Evidence(td_error, q - target, batch.weight, batch.mass)",
        "Evidence(td_error, 0.0 * q - target, batch.weight, batch.mass)",
        f"{STORED}::test_priorities_vanish_with_the_error",
        "priorities at convergence",
    ),
    # -- experience weights and values -------------------------------------------------------------------------------
    Fault(
        "RO03",
        "ratio of the public code without its upper clip",
        "published.py",
        "jnp.clip(jnp.exp(evidence.td_error / beta), settings.ratio_min, settings.ratio_max)",
        "jnp.maximum(jnp.exp(evidence.td_error / beta), settings.ratio_min)",
        f"{PUBLISHED}::test_weights_of_roer",
        "weights of the public code",
    ),
    Fault(
        "RO05",
        "no ratio below one",
        "weights.py",
        "new = recursion(evidence.weight, ratio, settings.weight_rate, evidence.mass)\n        return new, {",
        "ratio = jnp.maximum(ratio, 1.0)\n"
        "        new = recursion(evidence.weight, ratio, settings.weight_rate, evidence.mass)\n        return new, {",
        f"{RECURSIONS}::test_rule",
        "weights of a rule (relaxed, additive, kl)",
    ),
    Fault(
        "RO11",
        "critic differentiated through its own weights",
        "agent.py",
        "return learner.critic_loss(q, target, batch.loss_weight, batch.mass, settings), q\n",
        "free = jnp.exp(q[0] - jax.lax.stop_gradient(q[0]))\n"
        "            return learner.critic_loss(q, target, batch.loss_weight * free, batch.mass, settings), q\n",
        TABLES,
        "critic after the update",
    ),
    Fault(
        "RO12",
        "value regressed on the policy's actions instead of the data's",
        "agent.py",
        "    action = batch.action\n",
        "    action = networks.actor.apply(state.params.actor, batch.observation).mode()\n",
        TABLES,
        "value after the update",
    ),
    Fault(
        "RO15",
        "Q - V in place of the TD error",
        "agent.py",
        "td_error = losses.td_error(batch.reward, batch.terminated, v, next_v, batch.discount)",
        "td_error = jnp.min(q, axis=0) - v",
        TABLES,
        "experience weights after the update",
    ),
    Fault(
        "RO26",
        "value regressed under another law than the weights are ratios to",
        "agent.py",
        "            mass=batch.mass,\n",
        "            mass=batch.mass * batch.weight,\n",
        TABLES,
        "value after the update",
    ),
    Fault(
        "RO27",
        "a new transition inherits the weight of the one that it overwrites",
        "interaction.py",
        "weight = memory.replay.largest if plan.prioritised else 1.0",
        "weight = memory.replay.largest if plan.prioritised else memory.replay.weight[memory.replay.head]",
        f"{UPDATE}::test_learning_step",
        "after a learning step",
    ),
    Fault(
        "RO35",
        "rows of both twins drawn by the errors of one",
        "baselines.py",
        "jnp.max(jnp.abs(critic_error), axis=0)",
        "jnp.abs(critic_error[0])",
        STEP,
        "after a learning step",
    ),
    # -- numerics ----------------------------------------------------------------------------------------------------
    Fault(
        "NU01",
        "linear extension chosen after the exponential has overflowed",
        "losses.py",
        "return divergence.conjugate(jnp.minimum(z, cap)) + divergence.ratio(jnp.asarray(cap, z.dtype)) * above",
        "edge = jnp.asarray(cap, z.dtype)\n"
        "    line = divergence.conjugate(edge) + divergence.ratio(edge) * above\n"
        "    return jnp.where(z < cap, divergence.conjugate(z), line)",
        f"{VALUE}::test_gradient_far_from_the_cap[kl]",
        "gradient of the value loss is finite far from the cap",
    ),
    Fault(
        "NU04",
        "targets rounded to float32 on the way",
        "losses.py",
        "return reward + discount * (1.0 - terminated) * next_value",
        "return (reward + discount * (1.0 - terminated) * next_value).astype(jnp.float32).astype(reward.dtype)",
        f"{TARGETS}::test_precision_of_the_target",
        "critic target in full precision",
    ),
    Fault(
        "NU05",
        "products of matrices with the ten binary digits of TF32",
        "networks.py",
        "dense = partial(nn.Dense, param_dtype=float, dot_general=products.dot_general)",
        "import jax\n\n\ndef tf32(a, b, *rest, **options):\n"
        "    return jax.lax.dot_general(*(jax.lax.reduce_precision(x, 8, 10) for x in (a, b)), *rest, **options)\n\n\n"
        "dense = partial(nn.Dense, param_dtype=float, dot_general=tf32)",
        f"{UPDATE}::test_continuous_update[kl]",
        "after the continuous update",
    ),
    Fault(
        "NU07",
        "update counter of sixteen bits",
        "agent.py",
        "jnp.zeros((), jnp.int32), beta)",
        "jnp.zeros((), jnp.int16), beta)",
        f"{SESSION}::test_one_update_for_each_step_after_the_warm_up[sac]",
        "counters as long as the longest run",
    ),
    Fault(
        "NU09",
        "several lanes computed more coarsely than one",
        "programs.py",
        "return lambda *args: jax.vmap(function, [0] * mapped + [None] * (len(args) - mapped))(*args)",
        "def coarse(leaf):\n"
        "            real = mapped == 4 and jnp.issubdtype(leaf.dtype, jnp.floating)\n"
        "            return jax.lax.reduce_precision(leaf, 8, 16) if real else leaf\n\n"
        "        return lambda *args: jax.vmap(function, [0] * mapped + [None] * (len(args) - mapped))(\n"
        "            *jax.tree.map(coarse, args[:1]), *args[1:]\n"
        "        )",
        f"{LANES}::test_a_lane_is_the_run_alone[sac]",
        "parameters of a lane against the run alone",
    ),
    # -- randomness --------------------------------------------------------------------------------------------------
    Fault(
        "RN04",
        "one seed for all environments",
        "vector.py",
        "one.reset(seed) for one, seed in zip(environments, seeds, strict=True)",
        "one.reset(seeds[0]) for one, _ in zip(environments, seeds, strict=True)",
        f"{VECTOR}::test_each_environment_is_reset_with_its_own_seed",
        "seeds of environments in step",
    ),
    Fault(
        "RN04b",
        "one seed for all episodes of a run",
        "seeds.py",
        "return _word(seed, _EPISODE, index)",
        "return _word(seed, _EPISODE)",
        f"{SESSION}::test_a_time_limit_does_not_cut_the_bootstrap",
        "each episode its own seed",
    ),
    Fault(
        "RN06",
        "an evaluation draws from the training's key",
        "train.py",
        "config, step, returns = session.config, session.step, []",
        "config, step, returns = session.config, session.step, []\n"
        "    observed = session._observations()\n"
        "    session.state, _ = session._programs.first_action(session.state, observed, session.settings)",
        f"{TRAIN}::test_evaluations_leave_the_run_alone",
        "random key with and without evaluations",
    ),
    Fault(
        "RN07",
        "lanes share the key of the first",
        "programs.py",
        "seeds.learner(config.seed) for config in configs",
        "seeds.learner(configs[0].seed) for config in configs",
        f"{LANES}::test_lanes_share_nothing",
        "[RN07]",
    ),
    # -- environments, scaling, evaluation ---------------------------------------------------------------------------
    Fault(
        "EV01",
        "actions not rescaled",
        "spaces.py",
        "scaled = (self.centre + self.half * action).astype(self.low.dtype)",
        "scaled = np.asarray(action).astype(self.low.dtype)",
        SCALE,
        "rescaled action",
    ),
    Fault(
        "EV01b",
        "actions rescaled twice",
        "spaces.py",
        "scaled = (self.centre + self.half * action).astype(self.low.dtype)",
        "scaled = (self.centre + self.half * (self.centre + self.half * action)).astype(self.low.dtype)",
        SCALE,
        "rescaled action",
    ),
    Fault(
        "EV02",
        "one bound for all dimensions of the action",
        "spaces.py",
        "scaled = (self.centre + self.half * action).astype(self.low.dtype)",
        "scaled = (self.centre + self.half[0] * action).astype(self.low.dtype)",
        SCALE,
        "rescaled action",
    ),
    Fault(
        "EV08",
        "reported returns of shifted rewards",
        "session.py",
        "host.episodic_return += step.reward",
        "host.episodic_return += step.reward + self.config.reward_shift",
        f"{SESSION}::test_reported_returns_are_the_environments_own",
        "reported returns under shifted rewards",
    ),
    Fault(
        "EV09",
        "evaluation in the environment that is trained in",
        "train.py",
        "fresh = functools.partial(build.environment_of, config)",
        "fresh = lambda: session.environments[0]",
        f"{TRAIN}::test_evaluations_leave_the_run_alone",
        "training episodes with and without evaluations",
    ),
    Fault(
        "EV10",
        "best evaluation reported as the final one",
        "compare.py",
        "np.array([run.means[step] for run in group.runs])",
        "np.array([max(run.means.values()) for run in group.runs])",
        f"{COMPARE}::test_the_final_return_is_the_last_and_not_the_best",
        "final returns",
    ),
    Fault(
        "EV11",
        "warm-up one step short",
        "session.py",
        "if self.step > self.config.warmup_steps:",
        "if self.step >= self.config.warmup_steps:",
        f"{SESSION}::test_one_update_for_each_step_after_the_warm_up[sac]",
        "updates after each step",
    ),
    Fault(
        "EV11b",
        "one update fewer in a step than asked for",
        "interaction.py",
        "length=plan.updates)",
        "length=plan.updates - 1)",
        f"{STORED}::test_every_update_reads_the_weights_of_the_one_before[3]",
        "updates in one environment step",
    ),
    Fault(
        "EV13",
        "evaluation reports discounted returns",
        "evaluate.py",
        "returns[episode] += reward",
        "returns[episode] += reward * 0.99 ** lengths[episode]",
        f"{SESSION}::test_evaluation_takes_the_mode_and_undiscounted_returns",
        "evaluation return",
    ),
    # -- checkpoints -------------------------------------------------------------------------------------------------
    Fault(
        "CK01",
        "target network restored from the online one",
        "session.py",
        RESTORED,
        f"{RESTORED}\n"
        "        critic = jax.tree.map(jnp.copy, self.state.params.critic)\n"
        "        self.state = self.state._replace(params=self.state.params._replace(target_critic=critic))",
        RESUMED,
        "target network of a restored run",
    ),
    Fault(
        "CK02",
        "optimisers begin anew",
        "session.py",
        RESTORED,
        f"{RESTORED}._replace(optimizers=self.state.optimizers)",
        RESUMED,
        "optimisers of a restored run",
    ),
    Fault(
        "CK03",
        "temperature begins anew",
        "session.py",
        RESTORED,
        "log_alpha = self.state.params.log_alpha\n"
        f"        {RESTORED}\n"
        "        self.state = self.state._replace(params=self.state.params._replace(log_alpha=log_alpha))",
        RESUMED,
        "temperature of a restored run",
    ),
    Fault(
        "CK04",
        "random key begins anew",
        "session.py",
        RESTORED,
        f"{RESTORED}._replace(key=self.state.key)",
        RESUMED,
        "random key of a restored run",
    ),
    Fault(
        "CK04b",
        "experience weights forgotten",
        "checkpoint.py",
        "            filled[:size] = rows\n",
        '            filled[:size] = 1.0 if name == "weight" else rows\n',
        RESUMED,
        "buffer and weights of a restored run",
    ),
    Fault(
        "CK06",
        "update counter begins anew",
        "session.py",
        RESTORED,
        f"{RESTORED}._replace(step=self.state.step)",
        RESUMED,
        "update counter of a restored run",
    ),
    Fault(
        "CK06b",
        "the host's counter one step ahead",
        "session.py",
        'saved[0].step, saved[0].record["pretrained"]',
        'saved[0].step + 1, saved[0].record["pretrained"]',
        RESUMED,
        "counters of a restored run",
    ),
)

NOT_APPLICABLE: dict[str, str] = {
    "PR17": "priorities are proportional; there is no rank-based variant whose order could be stale",
    "EV04": "observations are not normalised, so an evaluation has no statistics to begin with",
    "EV05": "observations are not normalised; s and s' come from one conversion to float32 rows",
    "EV06": "no running statistics of observations or rewards are kept",
    "EV07": "no running statistics of observations or rewards are kept",
    "CK05": "there are no normaliser statistics to save; all of the policy's inputs are the environment's own numbers",
}
