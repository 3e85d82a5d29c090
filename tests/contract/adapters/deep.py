"""`deep` behind the contract's adapter protocol.

Every function is jitted once per shape; step sizes are carried in the optimisers' states, so that one compilation of
the update serves every test.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
from contract.adapters import (
    deep_beta,
    deep_deterministic,
    deep_divergences,
    deep_dqn,
    deep_losses,
    deep_on_policy,
    deep_replay,
    deep_update,
)
from contract.agents import Batch, Draw, Layers, LearningStep, LearningStream, Rates, Settings, Tables
from contract.protocol import FAR_CAP, FERMI_DIRAC_CAP, POWER_EXPONENT, RATIO_CAP, STEEP_EXPONENT, Implementation

from deep import (
    agent,
    baselines,
    build,
    distributions,
    interaction,
    losses,
    networks,
    penalty,
    replay,
    sampling,
    types,
    weights,
)
from deep import divergence as generators

DIVERGENCES = {
    "kl": generators.KL,
    "js": generators.JENSEN_SHANNON,
    "fermi-dirac": generators.fermi_dirac(FERMI_DIRAC_CAP),
    "chi2": generators.CHI2,
    "hellinger": generators.HELLINGER,
    "reverse-kl": generators.REVERSE_KL,
    "power": generators.power(POWER_EXPONENT),
    "capped": generators.capped(generators.REVERSE_KL, RATIO_CAP),
    "power-steep": generators.power(STEEP_EXPONENT),
    "capped-far": generators.capped(generators.REVERSE_KL, FAR_CAP),
    None: None,
}


def compiled(function, **options):
    """`jax.jit`, with NumPy arguments made JAX arrays first, as the signatures ask even where jit is off."""
    run = jax.jit(function, **options)

    def arrays(tree):
        return jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray | np.generic) else leaf, tree)

    @functools.wraps(function)
    def call(*arguments, **named):
        return run(*arrays(arguments), **arrays(named))

    return call


# -- formulas --------------------------------------------------------------------------------------------------------


@compiled
def critic_gradient(q, target, weight, mass):
    return jax.grad(losses.critic_loss)(q, target, weight, mass)


@functools.partial(compiled, static_argnums=0)
def value_gradient(divergence, value, q, beta, cap, mass):
    return jax.grad(losses.value_loss)(value, q, beta, DIVERGENCES[divergence], cap, mass)


@compiled
def temperature_gradient(log_alpha, log_prob, target_entropy):
    return jax.grad(losses.temperature_loss)(log_alpha, log_prob, target_entropy)


@functools.partial(compiled, static_argnums=0)
def ratio(divergence, z, mass):
    return weights.relaxed_ratio(DIVERGENCES[divergence], z, mass)


@compiled
def squashed_log_prob(mean, log_std, pre_tanh):
    return distributions.TanhNormal(mean, log_std).log_prob(pre_tanh)


@compiled
def _draw(mean, log_std, key):
    distribution = distributions.TanhNormal(mean, log_std)
    *columns, log_prob = distribution.expect(key, lambda action, log_prob: (*action.T, log_prob))
    return jnp.stack(columns, axis=-1), log_prob, distribution.sample_pre_tanh(key)


def squashed_draw(mean, log_std, seed):
    return _draw(mean, log_std, jax.random.key(seed))


@compiled
def squashed_mode(mean, log_std):
    return distributions.TanhNormal(mean, log_std).mode()


@functools.partial(compiled, static_argnames="critic")
def actor_gradient(mean, log_std, noise, alpha, critic, mass):
    """The gradient of the actor's loss with the given noise in place of the generator's."""

    def loss(mean, log_std):
        policy = distributions.TanhNormal(mean[:, None], log_std[:, None])

        def integrand(action, log_prob):
            return losses.soft_value(jnp.stack([critic(action[:, 0])] * 2), log_prob, alpha)

        return losses.actor_loss(policy.expect(jax.random.key(0), integrand), mass)

    with mock.patch.object(jax.random, "normal", lambda key, shape, dtype: noise.astype(dtype).reshape(shape)):
        return jax.grad(loss, argnums=(0, 1))(mean, log_std)


# -- agents ----------------------------------------------------------------------------------------------------------


def plain_descent() -> optax.GradientTransformation:
    """Gradient descent whose rate and preconditioning are state, not code: -rate g, or -rate g / softmax(p)."""

    def init(params):
        del params
        return jnp.zeros(()), jnp.zeros(())

    def update(gradients, state, params=None):
        rate, preconditioned = state

        def step(g, p):
            soft = jax.nn.softmax(p, axis=-1) if jnp.ndim(p) else jnp.ones(())
            return -rate * jnp.where(preconditioned > 0, g / soft, g)

        return jax.tree.map(step, gradients, params), state

    return optax.GradientTransformation(init, update)


OPTIMIZERS = agent.Optimizers(plain_descent(), plain_descent(), plain_descent(), plain_descent())


def _optimizer_states(rates: Rates, shapes: Tables | None = None) -> types.OptimizerStates:
    """Rates as optimiser states; given tables, a rate for each entry, so that the compiled shapes never change."""

    def pair(rate, preconditioned=0.0):
        return jnp.asarray(rate, float), jnp.asarray(preconditioned, float)

    if shapes is not None:
        rates = rates._replace(
            critic=np.broadcast_to(rates.critic, shapes.critic.shape),
            actor=np.broadcast_to(rates.actor, shapes.logits.shape),
            value=np.broadcast_to(rates.value, shapes.value.shape),
        )

    return types.OptimizerStates(
        pair(rates.critic), pair(rates.actor, rates.preconditioned), pair(rates.value), pair(rates.log_alpha)
    )


def rows(batch: Batch, settings: Settings) -> types.Batch:
    """One-step rows whose stored weight is the factor of the critic's loss."""
    return types.Batch(
        **batch._asdict(), discount=np.full_like(batch.reward, settings.discount), loss_weight=batch.weight
    )


def at(state: types.AgentState, settings: Settings) -> types.AgentState:
    """The state with the beta of these settings: the contract varies it from call to call."""
    return state._replace(beta=types.BetaState(jnp.asarray(settings.beta, float), jnp.ones((), float)))


def _state(params: types.Params, optimizers: types.OptimizerStates, seed: int) -> types.AgentState:
    beta = types.BetaState(jnp.ones((), float), jnp.ones((), float))
    return types.AgentState(params, optimizers, jax.random.key(seed), jnp.zeros((), jnp.int32), beta)


class TabularDeep:
    """The agent on tables."""

    def __init__(self, divergence: str | None, n_actions: int = 3) -> None:
        learner = agent.Learner(networks.tabular(n_actions), OPTIMIZERS, **build.roer(DIVERGENCES[divergence]))

        def iterate(settings, state, batch, steps):
            def once(_, carry):
                state, weight = carry
                return agent.update(learner, settings, state, batch._replace(weight=weight, loss_weight=weight))[:2]

            return jax.lax.fori_loop(0, steps, once, (state, batch.weight))

        self._iterate = compiled(iterate)  # one compilation for single updates and for long runs

    @staticmethod
    def state(tables: Tables, rates: Rates) -> types.AgentState:
        def wrapped(table):
            return {"params": {"table": jnp.asarray(table)}}

        params = types.Params(
            wrapped(tables.critic),
            wrapped(tables.target),
            wrapped(tables.logits),
            wrapped(tables.value),
            jnp.asarray(tables.log_alpha),
        )
        return _state(params, _optimizer_states(rates, tables), 0)

    def update(self, state: types.AgentState, batch: Batch, settings: Settings):
        return self.iterate(state, batch, settings, 1)

    def iterate(self, state: types.AgentState, batch: Batch, settings: Settings, steps: int):
        return self._iterate(types.Settings(*settings), at(state, settings), rows(batch, settings), np.int32(steps))

    @staticmethod
    def tables(state: types.AgentState) -> Tables:
        params = state.params
        names = (params.critic, params.target_critic, params.actor, params.value)
        return Tables(*(np.asarray(p["params"]["table"]) for p in names), np.asarray(params.log_alpha))


def pair(leaf: dict) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(leaf["kernel"]), np.asarray(leaf["bias"])


def dense(layer) -> dict:
    return {"kernel": jnp.asarray(layer[0]), "bias": jnp.asarray(layer[1])}


class ContinuousDeep:
    """The agent on small ReLU networks."""

    log_std_range = networks.LOG_STD_RANGE

    def __init__(
        self, divergence: str | None, penalised: bool = False, hidden: tuple[int, ...] = (5,), action_size: int = 2
    ) -> None:
        self.action_size = action_size
        functions = build.roer(DIVERGENCES[divergence])
        if penalised:
            functions["penalty"] = penalty.penalised_values
        learner = agent.Learner(networks.continuous(action_size, hidden), OPTIMIZERS, **functions)
        self.learner = learner
        self._interact = compiled(
            lambda plan, *arguments: interaction.interact(learner, plan, *arguments), static_argnums=0
        )
        self._select = compiled(self._select, static_argnums=0)
        self._two_results = lambda settings, state, batch: agent.update(learner, settings, state, batch)[:2]
        self._jitted = compiled(self._two_results)

    @staticmethod
    def plan(rows: int, n_step: int = 1, candidates: int = 1) -> interaction.Plan:
        return interaction.Plan(sampling.weighted, rows, n_step=n_step, candidates=candidates)

    def state(self, layers: Layers, rates: Rates, seed: int) -> types.AgentState:
        def stack(net):
            return {f"Dense_{k}": dense(layer) for k, layer in enumerate(net)}

        def twins(nets):
            return {"params": {"first": stack(nets[0]), "second": stack(nets[1])}}

        actor = stack(layers.actor) | {"mean": dense(layers.mean), "log_std": dense(layers.log_std)}
        params = types.Params(
            twins(layers.critic),
            twins(layers.target),
            {"params": actor},
            {"params": {"value": stack(layers.value)}},
            jnp.asarray(layers.log_alpha),
        )
        return _state(params, _optimizer_states(rates), seed)

    def initial(self, seed: int, alpha: float) -> types.AgentState:
        create = jax.jit(functools.partial(agent.create, self.learner), static_argnums=(1, 2, 3))
        return create(jax.random.key(seed), 3, self.action_size, alpha)

    def noise(self, state: types.AgentState, rows: int) -> tuple[np.ndarray, np.ndarray]:
        _, target_key, actor_key, _ = jax.random.split(state.key, 4)
        shape, dtype = (rows, self.action_size), jnp.zeros(0).dtype
        return tuple(np.asarray(jax.random.normal(key, shape, dtype)) for key in (target_key, actor_key))

    def update(self, state: types.AgentState, batch: Batch, settings: Settings):
        return self._jitted(types.Settings(*settings), at(state, settings), rows(batch, settings))

    def run(self, variant, state: types.AgentState, batch: Batch, settings: Settings):
        """One update run as `variant` says: eager, jit, vmap or scan."""
        run = variant(self._two_results)
        batch = jax.tree.map(jnp.asarray, rows(batch, settings))
        return run(types.Settings(*settings), at(state, settings), batch)

    def learning_step(
        self, state, stored: Batch, new: Batch, observation, settings: Settings, rows: int, n_step=1, candidates=1
    ) -> LearningStep:
        plan = self.plan(rows, n_step, candidates)
        buffer = replay.create(len(stored.reward), stored.observation.shape[1], self.action_size)
        for row in range(len(stored.reward)):
            buffer = replay.insert(buffer, self._transition(stored, row))
        buffer = replay.set_weights(buffer, jnp.arange(len(stored.reward)), jnp.asarray(stored.weight))
        key, sample_key, select_key, _ = jax.random.split(state.key, 4)
        drawn = np.asarray(replay.sample_indices(sample_key, buffer, candidates * rows))
        positions, select_noise = np.arange(rows), None
        if candidates > 1:
            new_row = self._transition(new, 0)
            kept, noise = self._select(plan, settings.discount, state, buffer, new_row, jnp.asarray(drawn), select_key)
            positions, select_noise = np.asarray(kept), np.asarray(noise)
        target_noise, actor_noise = self.noise(state._replace(key=key), rows)
        act_key = jax.random.split(jax.random.split(key, 4)[0])[1]
        action_noise = jax.random.normal(act_key, (1, self.action_size), jnp.zeros(0).dtype)[0]
        state, memory, action, _ = self._interact(
            plan,
            types.Settings(*settings),
            at(state, settings),
            interaction.Memory(buffer, None),
            self._transition(new, 0),
            jnp.asarray(observation),
        )
        buffer = memory.replay
        return LearningStep(
            state,
            np.asarray(buffer.weight),
            action,
            drawn[positions],
            target_noise,
            actor_noise,
            np.asarray(action_noise),
            drawn,
            positions,
            select_noise,
        )

    def _select(self, plan, discount, state, buffer, new, drawn, key):
        """The positions that LaBER keeps of the slots drawn, and the noise with which their errors are measured."""
        batch = replay.gather(replay.insert(buffer, new), drawn, discount, plan.n_step)
        noise_key, position_key = jax.random.split(key)
        q = self.learner.networks.critic.apply(state.params.critic, batch.observation, batch.action)
        errors = q - agent.critic_target(self.learner, state, batch, noise_key)
        positions, _ = baselines.laber_select(position_key, baselines.error_size(errors), plan.batch_size)
        return positions, jax.random.normal(noise_key, (len(drawn), self.action_size), jnp.zeros(0).dtype)

    @staticmethod
    def _transition(batch: Batch, row: int) -> replay.Transition:
        fields = [jnp.asarray(getattr(batch, name)[row]) for name in replay.Transition._fields[:-1]]
        return replay.Transition(*fields, ended=fields[-1])

    def layers(self, state: types.AgentState) -> Layers:
        def stack(tree):
            return [pair(tree[f"Dense_{k}"]) for k in range(sum(name.startswith("Dense_") for name in tree))]

        params = state.params
        actor = params.actor["params"]
        return Layers(
            [stack(params.critic["params"][twin]) for twin in ("first", "second")],
            [stack(params.target_critic["params"][twin]) for twin in ("first", "second")],
            stack(actor),
            pair(actor["mean"]),
            pair(actor["log_std"]),
            stack(params.value["params"]["value"]),
            np.asarray(params.log_alpha),
            self.log_std_range,
        )


# -- replay and random streams ---------------------------------------------------------------------------------------


class ReplayDeep:
    """The ring buffer; transition k stores k, k + 1/4, -k, k + 1/2 and its parity, no field passing for another."""

    create = staticmethod(lambda capacity: replay.create(capacity, 2, 1))
    _insert = staticmethod(compiled(replay.insert))
    _sample = staticmethod(compiled(replay.sample_indices, static_argnums=2))
    _gather = staticmethod(compiled(replay.gather))
    _set = staticmethod(compiled(replay.set_weights))

    def insert(self, buffer, number: int):
        fields = self.fields(number)
        return self._insert(buffer, replay.Transition(*(jnp.asarray(field, float) for field in fields)))

    @staticmethod
    def fields(number: int) -> tuple[Any, ...]:
        return (
            [number, number + 0.25],
            [-float(number)],
            number + 0.5,
            [number + 1.0, number + 1.25],
            float(number % 2),
            float(number % 3 == 0),
        )

    @staticmethod
    def _rows(source) -> np.ndarray:
        columns = (source.observation, source.action, source.reward, source.next_observation, source.terminated)
        return np.concatenate([np.asarray(c).reshape(len(np.asarray(c)), -1) for c in columns], axis=1)

    def row(self, number: int) -> np.ndarray:
        """What `contents` and `gather` return for transition `number`."""
        # a batch does not say where episodes end
        return np.concatenate([np.ravel(field) for field in self.fields(number)[:-1]])

    def contents(self, buffer):
        size = int(buffer.size)
        return self._rows(buffer)[:size], np.asarray(buffer.weight)[:size]

    def sample(self, buffer, seed: int, count: int):
        return np.asarray(self._sample(jax.random.key(seed), buffer, count))

    def gather(self, buffer, indices):
        batch = self._gather(buffer, jnp.asarray(indices), 0.5)
        return self._rows(batch), np.asarray(batch.weight), np.asarray(batch.mass)

    def set_weights(self, buffer, indices, new):
        return self._set(buffer, jnp.asarray(indices), jnp.asarray(new, float))


_DERIVE = ("split", "fold_in", "clone")
_NO_KEY = ("key", "PRNGKey", "key_data", "wrap_key_data", "key_impl")  # they make or read a key and draw nothing


class _Spies:
    """Whole jitted learning steps in which every use of a key reports the key and the result while the step runs."""

    def __init__(self) -> None:
        self.draws: list[Draw] = []
        self.derivations: list[Draw] = []
        self.depth = 0
        self.agent = ContinuousDeep("kl")
        settings = types.Settings(0.5, 0.125, 2.0, 0.125, -1.0, 7.0)
        self.step = jax.jit(functools.partial(interaction.interact, self.agent.learner, self.agent.plan(512), settings))

    def report(self, name, raw, result):
        kept = self.derivations if name in _DERIVE else self.draws
        kept.append(Draw(name, np.asarray(raw).tobytes(), None if result is None else np.asarray(result)))

    def on(self, name, function):
        @functools.wraps(function)
        def reporting(key, *arguments, **options):
            self.depth += 1
            try:
                result = function(key, *arguments, **options)
            finally:
                self.depth -= 1
            if self.depth == 0:  # a draw made by JAX's own implementation of another draw is not a second use
                shown = None if name in _DERIVE else result
                jax.debug.callback(functools.partial(self.report, name), jax.random.key_data(key), shown)
            return result

        return reporting

    def run(self, steps: int, seed: int) -> LearningStream:
        self.draws, self.derivations = [], []
        public = {name: getattr(jax.random, name) for name in dir(jax.random) if not name.startswith("_")}
        patches = {name: self.on(name, f) for name, f in public.items() if inspect.isroutine(f) and name not in _NO_KEY}
        state = self.agent.state(_constant_layers(), Rates(), seed)
        memory = interaction.Memory(replay.create(64, 3, 2), None)
        with mock.patch.multiple(jax.random, **patches):
            for k in range(steps):
                numbers = (np.full(3, k / 8), np.zeros(2), np.asarray(float(k)), np.full(3, (k + 1) / 8), np.zeros(()))
                transition = replay.Transition(*(jnp.asarray(x, float) for x in numbers), ended=jnp.zeros(()))
                state, memory, _, _ = self.step(state, memory, transition, jnp.zeros(3))
            jax.effects_barrier()
        return LearningStream(self.draws, self.derivations, 4)


def _constant_layers() -> Layers:
    """Networks of the continuous agent's shape; what they compute does not matter where only keys are watched."""

    def layer(inputs, outputs):
        return np.full((inputs, outputs), 0.125, jnp.zeros(0).dtype), np.zeros(outputs, jnp.zeros(0).dtype)

    critic = [[layer(5, 5), layer(5, 1)] for _ in range(2)]
    value = [layer(3, 5), layer(5, 1)]
    zero = np.zeros((), jnp.zeros(0).dtype)
    return Layers(critic, critic, [layer(3, 5)], layer(5, 2), layer(5, 2), value, zero, networks.LOG_STD_RANGE)


@functools.lru_cache
def _spies() -> _Spies:
    return _Spies()


@functools.lru_cache
def learning_stream(steps: int, seed: int) -> LearningStream:
    return _spies().run(steps, seed)


implementation = Implementation(
    name="deep",
    **deep_divergences.functions(DIVERGENCES, compiled)._asdict(),
    soft_value=compiled(losses.soft_value),
    critic_target=compiled(losses.critic_target),
    td_error=compiled(losses.td_error),
    critic_gradient=critic_gradient,
    value_gradient=value_gradient,
    huber_gradient=deep_losses.huber_gradient,
    flow_gradient=deep_losses.flow_gradient,
    flow_ratio=deep_losses.flow_ratio,
    penalised_gradient=deep_losses.penalised_gradient,
    published_value=deep_losses.published_value,
    published_weights=deep_losses.published_weights,
    published_noise=deep_losses.published_noise,
    temperature_gradient=temperature_gradient,
    ratio=ratio,
    blend=compiled(weights.additive),
    beta_law=deep_beta.beta_law,
    beta_law_jacobian=deep_beta.beta_law_jacobian,
    beta_bracket=deep_beta.beta_bracket,
    largest_stable_gain=deep_beta.largest_stable_gain,
    recursion=deep_beta.recursion,
    weighting=deep_beta.weighting,
    weight_statistics=deep_beta.weight_statistics,
    stored_statistics=deep_beta.stored_statistics,
    polyak=compiled(agent.polyak),
    squashed_log_prob=squashed_log_prob,
    squashed_draw=squashed_draw,
    squashed_mode=squashed_mode,
    actor_gradient=actor_gradient,
    tabular=functools.lru_cache(TabularDeep),
    continuous=functools.lru_cache(ContinuousDeep),
    replay=ReplayDeep,
    store=deep_replay.StoreDeep,
    starts=deep_replay.StartsDeep,
    per_priority=deep_replay.per_priority,
    lap_priority=deep_replay.lap_priority,
    lap_gradient=deep_replay.lap_gradient,
    pal_gradient=deep_replay.pal_gradient,
    laber_select=deep_replay.laber_select,
    laber_gradient=deep_replay.laber_gradient,
    whole_update=deep_update.whole_update,
    learning_stream=learning_stream,
    q_target=deep_dqn.q_target,
    q_gradient=deep_dqn.q_gradient,
    exploration=deep_dqn.exploration,
    deep_q=deep_dqn.deep_q,
    gae=deep_on_policy.gae,
    returns=deep_on_policy.returns,
    categorical=deep_on_policy.categorical,
    normal=deep_on_policy.normal,
    policy_loss=deep_on_policy.policy_loss,
    surrogate=deep_on_policy.surrogate,
    regression=deep_on_policy.regression,
    normalised=deep_on_policy.normalised,
    minibatches=deep_on_policy.minibatches,
    on_policy=deep_on_policy.on_policy,
    policy_gradient=deep_deterministic.policy_gradient,
    deterministic=deep_deterministic.deterministic_agent,
)
