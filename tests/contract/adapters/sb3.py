"""Stable-Baselines3's SAC and its buffers.

`SAC.train` is one method that samples, differentiates and descends. It is called as it stands, on a model whose replay
buffer hands out the rows in question. For one formula, actor and critics are stand-ins that return known numbers, and
the optimisers keep the gradients that they are handed; for the whole update, they are the model's own networks with
given parameters. `train` averages over the batch and knows no weights, so rows have weight one and mass 1/B.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple
from unittest import mock

import gymnasium
import numpy as np
import torch
from contract.adapters import numbered
from contract.agents import Batch, Layers, NotOffered, Rates, Settings
from contract.protocol import Implementation
from stable_baselines3 import SAC
from stable_baselines3.common import buffers, distributions, logger, utils

NAME = "Stable-Baselines3"

# Reproductions of what a test forms from many calls: a mean of 2, a standard deviation of e^(1/2), one dimension.
DRAWN = """
import numpy as np, torch
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution
torch.manual_seed(0)
policy = SquashedDiagGaussianDistribution(1)
policy.proba_distribution(torch.full((4096, 1), 2.0), torch.full((4096, 1), 0.5))
action = policy.sample()
u = policy.gaussian_actions
theirs = policy.log_prob(action, u).numpy()
"""
ON_A_GRID = """
import numpy as np, torch
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution
u = torch.linspace(-16.0, 20.0, 4001)[:, None]
policy = SquashedDiagGaussianDistribution(1)
policy.proba_distribution(torch.full_like(u, 2.0), torch.full_like(u, 0.5))
theirs = policy.log_prob(torch.tanh(u), u).numpy()
"""
OF_A_DRAW = """
x = u.numpy()[:, 0].astype(float)
log_slope = 2 * (np.log(2) - x - np.logaddexp(0, -2 * x))  # log(1 - tanh^2 u)
exact = -0.5 * ((x - 2) / np.exp(0.5)) ** 2 - 0.5 - 0.5 * np.log(2 * np.pi) - log_slope
worst = np.argmax(abs(theirs - exact))
print("at u", x[worst], "theirs", theirs[worst], "exact", exact[worst])
"""
INTEGRAL = """
x = u.numpy()[:, 0].astype(float)
slope = 1 / np.cosh(x) ** 2  # da = (1 - tanh^2 u) du
print("theirs", (np.exp(theirs.astype(float)) * slope * np.gradient(x)).sum(), "exact", 1.0)
"""


class Nowhere(gymnasium.Env):
    """Three numbers to see, two to choose in [-1, 1]; nobody takes a step."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}


class Keeping(torch.optim.SGD):
    """Plain descent that keeps the gradient of its last step: `train` lets others flow into the same place later."""

    kept: list[torch.Tensor]

    def step(self, closure=None):
        self.kept = [parameter.grad.clone() for group in self.param_groups for parameter in group["params"]]
        return super().step(closure)


class _Rows(NamedTuple):
    """A replay buffer that always samples the same batch."""

    batch: buffers.ReplayBufferSamples

    def sample(self, batch_size, env=None):
        return self.batch


class KnownActor:
    """Returns actions and log-probabilities of `draw()`, and has one parameter for the optimiser's sake."""

    def __init__(self, draw) -> None:
        self.draw = draw
        self.nothing = torch.zeros((), requires_grad=True)
        self.optimizer = Keeping([self.nothing], lr=0.0)

    def action_log_prob(self, observations):
        actions, log_prob = self.draw()
        return actions, log_prob + 0.0 * self.nothing


class KnownCritic:
    """Twins whose parameters (2, B) are their values, plus a function of the action."""

    def __init__(self, values: np.ndarray, of_action=None) -> None:
        self.values = [torch.tensor(row[:, None], requires_grad=True) for row in values]
        self.of_action = of_action or (lambda action: 0.0)
        self.optimizer = Keeping(self.values, lr=0.0)

    def parameters(self):
        return self.values

    def __call__(self, observations, actions):
        return tuple(value + self.of_action(actions) for value in self.values)


def model(seed: int = 0, **options: Any) -> SAC:
    """A small model that logs nothing, whose optimisers keep the rates that they are given."""
    made = SAC(
        "MlpPolicy", Nowhere(), seed=seed, buffer_size=1, device="cpu", policy_kwargs={"net_arch": [5]}, **options
    )
    made.set_logger(logger.Logger(None, []))
    made._update_learning_rate = lambda optimizers: None
    return made


_formulas = functools.lru_cache(model)


def _train(
    batch: dict[str, np.ndarray], actor: KnownActor, critic: KnownCritic, target: KnownCritic, **settings
) -> SAC:
    """`SAC.train`, once, with the networks given."""
    rows = len(batch["reward"])
    made = _formulas()
    made.actor, made.critic, made.critic_target = actor, critic, target
    made.gamma, made.tau, made.target_entropy = settings.get("discount", 1.0), 0.0, settings.get("target_entropy", 0.0)
    made.log_ent_coef = torch.tensor([settings.get("log_alpha", 0.0)], requires_grad=True)
    made.ent_coef_optimizer = None if "alpha" in settings else Keeping([made.log_ent_coef], lr=0.0)
    made.ent_coef_tensor = torch.tensor(float(settings.get("alpha", 1.0)))
    columns = [torch.tensor(np.asarray(batch[name], np.float32)[:, None]) for name in ("terminated", "reward")]
    states, actions = torch.zeros(rows, 3), torch.zeros(rows, 2)
    made.replay_buffer = _Rows(buffers.ReplayBufferSamples(states, actions, states, *columns))
    made.train(1, rows)
    return made


def _still(rows: int, log_prob: np.ndarray | None = None) -> KnownActor:
    given = torch.zeros(rows) if log_prob is None else torch.tensor(log_prob)
    return KnownActor(lambda: (torch.zeros(rows, 2), given))


def _target(reward, terminated, q, log_prob, **settings) -> np.ndarray:
    """The target y, read off the gradient (0 - y)/B of critics that return zero; B is a power of two."""
    rows = len(reward)
    critic = KnownCritic(np.zeros_like(q))
    _train({"reward": reward, "terminated": terminated}, _still(rows, log_prob), critic, KnownCritic(q), **settings)
    return -rows * critic.optimizer.kept[0][:, 0].numpy()


def soft_value(q, log_prob, alpha):
    zero = np.zeros_like(log_prob)
    return _target(zero, zero, q, log_prob, alpha=alpha)


def critic_target(reward, terminated, next_value, discount):
    return _target(reward, terminated, np.stack([next_value] * 2), np.zeros_like(reward), discount=discount, alpha=1.0)


def critic_gradient(q, target, weight, mass):
    critic, ends = KnownCritic(q), np.ones_like(target)
    _train(
        {"reward": target, "terminated": ends}, _still(len(target)), critic, KnownCritic(np.zeros_like(q)), alpha=1.0
    )
    return np.stack([gradient[:, 0].numpy() for gradient in critic.optimizer.kept])


def temperature_gradient(log_alpha, log_prob, target_entropy):
    zero, none = np.zeros(1, np.float32), np.zeros((2, 1), np.float32)
    made = _train(
        {"reward": zero, "terminated": zero},
        _still(1, np.asarray(log_prob).reshape(1)),
        KnownCritic(none),
        KnownCritic(none),
        log_alpha=float(log_alpha),
        target_entropy=float(target_entropy),
    )
    return made.ent_coef_optimizer.kept[0].numpy()[0]


def actor_gradient(mean, log_std, noise, alpha, critic, mass):
    """The rows' derivatives of the mean are B mass times those of the weighted sum."""
    rows, zero = len(mean), np.zeros(len(mean), np.float32)
    m, s = (torch.tensor(array[:, None], requires_grad=True) for array in (mean, log_std))
    kept = Keeping([m, s], lr=0.0)
    given = torch.tensor(noise[:, None])

    def draw():
        return distributions.SquashedDiagGaussianDistribution(1).log_prob_from_params(m, s)

    actor = KnownActor(draw)
    actor.optimizer = kept
    values = KnownCritic(np.zeros((2, rows), np.float32), lambda action: critic(action[:, :1]))
    with mock.patch.object(torch.distributions.normal, "_standard_normal", return_value=given):
        _train(
            {"reward": zero, "terminated": zero},
            actor,
            values,
            KnownCritic(np.zeros((2, rows), np.float32)),
            alpha=alpha,
        )
    return [rows * mass * gradient[:, 0].numpy() for gradient in kept.kept]


def polyak(online, target, tau):
    moved = torch.tensor(target)
    utils.polyak_update([torch.tensor(online)], [moved], tau)
    return moved.numpy()


def _squashed(mean, log_std) -> distributions.SquashedDiagGaussianDistribution:
    made = distributions.SquashedDiagGaussianDistribution(mean.shape[1])
    return made.proba_distribution(torch.tensor(mean), torch.tensor(log_std))


def squashed_log_prob(mean, log_std, pre_tanh):
    u = torch.tensor(pre_tanh)
    return _squashed(mean, log_std).log_prob(torch.tanh(u), u).numpy()


def squashed_draw(mean, log_std, seed):
    torch.manual_seed(seed)
    made = _squashed(mean, log_std)
    action = made.sample()
    return action.numpy(), made.log_prob(action, made.gaussian_actions).numpy(), made.gaussian_actions.numpy()


def squashed_mode(mean, log_std):
    return _squashed(mean, log_std).mode().numpy()


# -- the whole update -------------------------------------------------------------------------------------------------


class State(NamedTuple):
    """What an update starts from."""

    layers: Layers
    rates: Rates
    seed: int


def _linear(module: torch.nn.Linear, layer) -> None:
    module.weight.data = torch.tensor(np.asarray(layer[0]).T.copy())
    module.bias.data = torch.tensor(np.asarray(layer[1]))


def _layer(module: torch.nn.Linear):
    return module.weight.detach().numpy().T.copy(), module.bias.detach().numpy().copy()


def _twins(critic) -> list[list[torch.nn.Linear]]:
    return [[part for part in twin if isinstance(part, torch.nn.Linear)] for twin in critic.q_networks]


def _read(made: SAC) -> Layers:
    return Layers(
        [[_layer(part) for part in twin] for twin in _twins(made.critic)],
        [[_layer(part) for part in twin] for twin in _twins(made.critic_target)],
        [_layer(made.actor.latent_pi[0])],
        _layer(made.actor.mu),
        _layer(made.actor.log_std),
        [],
        made.log_ent_coef.detach().numpy()[0].copy(),
        Continuous.log_std_range,
    )


class Continuous:
    """The model's own networks, one hidden layer of width 5, ReLU."""

    log_std_range = (-20.0, 2.0)  # LOG_STD_MIN and LOG_STD_MAX of stable_baselines3.sac.policies

    def state(self, layers: Layers, rates: Rates, seed: int) -> State:
        return State(layers, rates, seed)

    def initial(self, seed: int, alpha: float) -> State:
        return State(_read(model(seed, ent_coef=f"auto_{alpha}")), Rates(), seed)

    def noise(self, state: State, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """`train` draws the actor's noise before that of the target."""
        torch.manual_seed(state.seed)
        normal = torch.distributions.Normal(torch.zeros(rows, 2), torch.ones(rows, 2))
        actor, target = normal.rsample().numpy(), normal.rsample().numpy()
        return target, actor

    def update(self, state: State, batch: Batch, settings: Settings):
        layers, rates = state.layers, state.rates
        made = model()
        for critic, given in ((made.critic, layers.critic), (made.critic_target, layers.target)):
            for twin, twin_layers in zip(_twins(critic), given, strict=True):
                for part, layer in zip(twin, twin_layers, strict=True):
                    _linear(part, layer)
        heads = (made.actor.latent_pi[0], made.actor.mu, made.actor.log_std)
        for part, layer in zip(heads, (*layers.actor, layers.mean, layers.log_std), strict=True):
            _linear(part, layer)
        made.log_ent_coef = torch.tensor([float(layers.log_alpha)], requires_grad=True)
        made.critic.optimizer = Keeping(made.critic.parameters(), lr=rates.critic)
        made.actor.optimizer = Keeping(made.actor.parameters(), lr=rates.actor)
        made.ent_coef_optimizer = Keeping([made.log_ent_coef], lr=rates.log_alpha)
        made.gamma, made.tau, made.target_entropy = settings.discount, settings.tau, float(settings.target_entropy)
        fields = (batch.observation, batch.action, batch.next_observation, batch.terminated[:, None])
        rows = buffers.ReplayBufferSamples(*(torch.tensor(field) for field in (*fields, batch.reward[:, None])))
        made.replay_buffer = _Rows(rows)
        torch.manual_seed(state.seed)
        made.train(1, len(batch.reward))
        return State(_read(made), rates, state.seed + 1), None

    def layers(self, state: State) -> Layers:
        return state.layers


def continuous(divergence: str | None, penalised: bool = False) -> Continuous:
    if penalised:
        raise NotOffered(f"{NAME}: a gradient penalty is not offered")
    if divergence is not None:
        raise NotOffered(f"{NAME}: divergence {divergence} is not offered")
    return Continuous()


# -- buffers ----------------------------------------------------------------------------------------------------------

_STATES = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
_ACTIONS = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)


def _add(buffer: buffers.ReplayBuffer, number: float, reward=None, terminated=None, ended=None) -> buffers.ReplayBuffer:
    state, action, own_reward, following, own_end = numbered.fields(number)
    reward = own_reward if reward is None else reward
    terminated = own_end if terminated is None else terminated
    done = max(terminated, ended or 0.0)
    infos = [{"TimeLimit.truncated": bool(done and not terminated)}]
    buffer.add(*map(np.asarray, (state, following, action, reward, done)), infos)
    return buffer


class Replay:
    """`ReplayBuffer`; transition k as `numbered` says."""

    row = staticmethod(numbered.row)

    def create(self, capacity):
        return buffers.ReplayBuffer(capacity, _STATES, _ACTIONS, device="cpu")

    def insert(self, buffer, number):
        return _add(buffer, number)

    @staticmethod
    def _columns(samples) -> np.ndarray:
        columns = (samples.observations, samples.actions, samples.rewards, samples.next_observations, samples.dones)
        return np.concatenate([column.numpy() for column in columns], axis=1)

    def contents(self, buffer):
        return self._columns(buffer._get_samples(np.arange(buffer.size()))), None

    def sample(self, buffer, seed, count):
        np.random.seed(seed)  # noqa: NPY002 (what the buffer draws from)
        return buffer.sample(count).observations[:, 0].numpy().astype(int) % buffer.buffer_size

    def gather(self, buffer, indices):
        return self._columns(buffer._get_samples(np.asarray(indices))), None, None

    def set_weights(self, buffer, indices, weights):
        raise NotOffered(f"{NAME}: stored weights are not offered")


class Store:
    """`NStepReplayBuffer`: n-step rows, and no sampling in proportion."""

    def create(self, capacity):
        return buffers.NStepReplayBuffer(capacity, _STATES, _ACTIONS, device="cpu")

    def row(self, number):
        state, action, _, following, _ = numbered.fields(number)
        return state, action, following

    def insert(self, buffer, number, reward, terminated, ended, weight=1.0):
        return _add(buffer, number, reward, terminated, ended)

    def windows(self, buffer, indices, discount, n):
        buffer.n_steps, buffer.gamma = n, discount
        samples = buffer._get_samples(np.asarray(indices))
        flat = (samples.rewards, samples.dones, samples.discounts)
        states = (samples.observations, samples.actions, samples.next_observations)
        return *(column.numpy() for column in states), *(column.numpy()[:, 0] for column in flat)

    def weights(self, buffer):
        raise NotOffered(f"{NAME}: sampling in proportion is not offered")

    def set_weights(self, buffer, indices, weights):
        return self.weights(buffer)

    def weighing(self, weights):
        return self.weights(None)

    def draw(self, buffer, seed, count, exponent):
        return self.weights(buffer)

    def probabilities(self, buffer, seed, count):
        return self.weights(buffer)


def _rollout(reward, discount, values, lambda_) -> buffers.RolloutBuffer:
    """`RolloutBuffer` after `compute_returns_and_advantage`; a task ends where its next step begins an episode."""
    steps, ends = len(reward), discount == 0
    made = buffers.RolloutBuffer(
        steps, _STATES, _ACTIONS, device="cpu", gae_lambda=float(lambda_), gamma=float(discount.max(initial=0.0))
    )
    for t in range(steps):
        begins = np.array([t > 0 and ends[t - 1]])
        nothing, value = torch.zeros(1), torch.tensor(values[t : t + 1])
        made.add(np.zeros((1, 2)), np.zeros((1, 1)), reward[t : t + 1], begins, value, nothing)
    made.compute_returns_and_advantage(torch.tensor(values[-1:]), ends[-1:])
    return made


def advantage(reward, discount, values, lambda_):
    return _rollout(reward, discount, values, lambda_).advantages[:, 0]


def lambda_return(reward, discount, values, lambda_):
    return _rollout(reward, discount, values, lambda_).returns[:, 0]


implementation = Implementation(
    name=NAME,
    soft_value=soft_value,
    critic_target=critic_target,
    critic_gradient=critic_gradient,
    temperature_gradient=temperature_gradient,
    actor_gradient=actor_gradient,
    polyak=polyak,
    squashed_log_prob=squashed_log_prob,
    squashed_draw=squashed_draw,
    squashed_mode=squashed_mode,
    continuous=continuous,
    replay=Replay,
    store=Store,
    advantage=advantage,
    lambda_return=lambda_return,
    divergences=(),
    weighted=False,
    snippets={
        "squashed_log_prob": """
import torch
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution
distribution = SquashedDiagGaussianDistribution(mean.shape[1])
distribution.proba_distribution(torch.tensor(mean), torch.tensor(log_std))
u = torch.tensor(pre_tanh)
theirs = distribution.log_prob(torch.tanh(u), u)
""",
        "SAC-14 log-probability of a sampled action": DRAWN + OF_A_DRAW.strip(),
        "SAC-14 tanh-Normal density integrates to one": ON_A_GRID + INTEGRAL.strip(),
    },
)
