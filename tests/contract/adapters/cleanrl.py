"""The SAC of CleanRL's `sac_continuous_action.py`.

CleanRL publishes scripts: the update stands in the script's main block and cannot be imported. So its text is read from
the installed package, and the classes of the networks and the body of the training step are executed as they stand,
with stand-ins for the networks, the replay and the optimisers. Not one formula is written here. Batches are averaged
and know no weights, so rows have weight one and mass 1/B. The whole update is not offered: the actor squashes log std
by a tanh where the contract's networks clip it.
"""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import types
from typing import Any
from unittest import mock

import numpy as np
import torch
from contract.adapters.sb3 import INTEGRAL, OF_A_DRAW, Keeping
from contract.protocol import Implementation

FILE = "cleanrl/sac_continuous_action.py"
DRAWN = """
import numpy as np, torch
from contract.adapters.cleanrl import squashed_draw  # Actor.get_action, executed from the installed script
mean, log_std = np.full((4096, 1), 2.0, np.float32), np.full((4096, 1), 0.5, np.float32)
_, theirs, u = squashed_draw(mean, log_std, 0)
u = torch.tensor(u)
"""
ONE_ROW = """
import numpy as np
from contract.protocol import load  # with tests/ on the path
one = np.ones(1, np.float32)
q = np.full((2, 1), {q!r}, np.float32)
theirs = load("contract.adapters.cleanrl:implementation").critic_gradient(q, 0 * one, one, one)
print("theirs", float(theirs[0, 0]), "exact", {q!r})
"""
ON_A_GRID = """
import numpy as np, torch
from contract.adapters.cleanrl import squashed_log_prob  # Actor.get_action, executed from the installed script
u = torch.linspace(-16.0, 20.0, 4001)[:, None]
theirs = squashed_log_prob(np.full(u.shape, 2.0, np.float32), np.full(u.shape, 0.5, np.float32), u.numpy())
"""


@functools.lru_cache
def _script() -> tuple[types.CodeType, types.CodeType]:
    """(the classes, the training step) of the script. ValueError where it is not written as expected."""
    path = importlib.metadata.distribution("cleanrl").locate_file(FILE)
    tree = ast.parse(open(path, encoding="utf-8").read())  # noqa: SIM115
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef | ast.Assign)]
    steps = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "global_step > args.learning_starts"
    ]
    if len(steps) != 1:
        raise ValueError(f"{path}: expected one `if global_step > args.learning_starts`, saw {len(steps)}")
    parts = (ast.Module(body, []) for body in (classes, steps[0].body))
    return tuple(compile(part, str(path), "exec") for part in parts)


@functools.lru_cache
def _names() -> dict[str, Any]:
    """The script's names after its classes were executed."""
    names = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "np": np}
    exec(_script()[0], names)
    return names


def _policy(mean, log_std):
    """CleanRL's Actor, its networks replaced by given means and log-stds; actions in [-1, 1]."""
    size = mean.shape[1]
    box = types.SimpleNamespace(low=-np.ones(size, np.float32), high=np.ones(size, np.float32), shape=(size,))
    spaces = {"single_observation_space": types.SimpleNamespace(shape=(1,)), "single_action_space": box}
    actor = _names()["Actor"](types.SimpleNamespace(**spaces, action_space=box))
    actor.forward = lambda observations: (mean, log_std)
    return actor


class _Values:
    """A critic whose parameters (B,) are its values, plus a function of the action."""

    def __init__(self, values: np.ndarray, of_action=None) -> None:
        self.values = torch.tensor(values, requires_grad=True)
        self.of_action = of_action or (lambda action: 0.0)

    def parameters(self):
        return [self.values]

    def __call__(self, observations, actions):
        return self.values[:, None] + self.of_action(actions)


class _KnownActor:
    """Returns zeros and given log-probabilities."""

    def __init__(self, log_prob: np.ndarray) -> None:
        self.log_prob = torch.tensor(log_prob)[:, None]

    def get_action(self, observations):
        actions = torch.zeros(len(self.log_prob), 1)
        return actions, self.log_prob, actions


def _step(q, next_q, actor, reward, terminated, *, discount=1.0, alpha=1.0, actor_parameters=None, **options):
    """The names of the training step after it was executed once."""
    rows = len(reward)
    twins, targets = ([_Values(row, options.get("of_action")) for row in pair] for pair in (q, next_q))
    log_alpha = torch.tensor([options.get("log_alpha", 0.0)], requires_grad=True)
    columns = {"rewards": reward, "dones": terminated}
    data = {name: torch.tensor(np.asarray(column, np.float32)[:, None]) for name, column in columns.items()}
    states = torch.zeros(rows, 1)
    data |= {"observations": states, "next_observations": states, "actions": torch.zeros(rows, 1)}
    names = _names() | {
        "args": types.SimpleNamespace(
            batch_size=rows,
            gamma=discount,
            policy_frequency=1,
            target_network_frequency=1,
            tau=options.get("tau", 0.0),
            autotune="log_alpha" in options,
        ),
        "rb": types.SimpleNamespace(sample=lambda count: types.SimpleNamespace(**data)),
        "actor": actor,
        "alpha": alpha,
        "global_step": 1,
        "log_alpha": log_alpha,
        "target_entropy": options.get("target_entropy", 0.0),
        "q_optimizer": Keeping([twin.values for twin in twins], lr=0.0),
        "actor_optimizer": Keeping(actor_parameters or [torch.zeros((), requires_grad=True)], lr=0.0),
        "a_optimizer": Keeping([log_alpha], lr=0.0),
        **dict(zip(("qf1", "qf2"), twins, strict=True)),
        **dict(zip(("qf1_target", "qf2_target"), targets, strict=True)),
    }
    if actor_parameters is None:  # an actor without parameters: nothing to keep of its gradient
        names["actor_optimizer"] = types.SimpleNamespace(zero_grad=lambda: None, step=lambda: None)
    exec(_script()[1], names)
    return names


def soft_value(q, log_prob, alpha):
    zero = np.zeros_like(log_prob)
    names = _step(np.zeros_like(q), q, _KnownActor(log_prob), zero, zero, alpha=alpha)
    return names["next_q_value"].numpy()


def critic_target(reward, terminated, next_value, discount):
    q = np.stack([next_value] * 2)
    names = _step(np.zeros_like(q), q, _KnownActor(np.zeros_like(reward)), reward, terminated, discount=discount)
    return names["next_q_value"].numpy()


def critic_gradient(q, target, weight, mass):
    still = _KnownActor(np.zeros_like(target))
    names = _step(q, np.zeros_like(q), still, target, np.ones_like(target))
    return np.stack([gradient.numpy() for gradient in names["q_optimizer"].kept])


def temperature_gradient(log_alpha, log_prob, target_entropy):
    none, zero = np.zeros((2, 1), np.float32), np.zeros(1, np.float32)
    actor = _KnownActor(np.asarray(log_prob).reshape(1))
    options = {"log_alpha": float(log_alpha), "target_entropy": float(target_entropy)}
    return _step(none, none, actor, zero, zero, **options)["a_optimizer"].kept[0].numpy()[0]


def actor_gradient(mean, log_std, noise, alpha, critic, mass):
    """The rows' derivatives of the mean are B mass times those of the weighted sum."""
    rows, zero = len(mean), np.zeros(len(mean), np.float32)
    m, s = (torch.tensor(array[:, None], requires_grad=True) for array in (mean, log_std))
    none, given = np.zeros((2, rows), np.float32), torch.tensor(noise[:, None])
    with mock.patch.object(torch.distributions.normal, "_standard_normal", return_value=given):
        names = _step(none, none, _policy(m, s), zero, zero, alpha=alpha, actor_parameters=[m, s], of_action=critic)
    return [rows * mass * gradient[:, 0].numpy() for gradient in names["actor_optimizer"].kept]


def polyak(online, target, tau):
    zero = np.zeros(online.size, np.float32)
    q, next_q = (np.stack([table.ravel()] * 2) for table in (online, target))
    names = _step(q, next_q, _KnownActor(zero), zero, zero, tau=tau)
    return names["qf1_target"].values.detach().numpy().reshape(online.shape)


def squashed_log_prob(mean, log_std, pre_tanh):
    """`get_action`, its draw replaced by the given point."""
    u = torch.tensor(pre_tanh)
    with mock.patch.object(torch.distributions.Normal, "rsample", return_value=u):
        return _policy(torch.tensor(mean), torch.tensor(log_std)).get_action(None)[1].numpy()[:, 0]


def squashed_draw(mean, log_std, seed):
    m, s = torch.tensor(mean), torch.tensor(log_std)
    policy = _policy(m, s)  # which draws the initial parameters of networks that nobody will use
    torch.manual_seed(seed)
    action, log_prob, _ = policy.get_action(None)
    torch.manual_seed(seed)
    return action.numpy(), log_prob.numpy()[:, 0], torch.distributions.Normal(m, s.exp()).rsample().numpy()


def squashed_mode(mean, log_std):
    return _policy(torch.tensor(mean), torch.tensor(log_std)).get_action(None)[2].numpy()


implementation = Implementation(
    name="CleanRL",
    soft_value=soft_value,
    critic_target=critic_target,
    critic_gradient=critic_gradient,
    temperature_gradient=temperature_gradient,
    actor_gradient=actor_gradient,
    polyak=polyak,
    squashed_log_prob=squashed_log_prob,
    squashed_draw=squashed_draw,
    squashed_mode=squashed_mode,
    divergences=(),
    weighted=False,
    snippets={
        "SAC-14 log-probability of a sampled action": DRAWN + OF_A_DRAW.strip(),
        "SAC-14 tanh-Normal density integrates to one": ON_A_GRID + INTEGRAL.strip(),
        "UP-01 gradient of the critic loss, over a sweep": ONE_ROW.format(q=1.0),
        "UP-01 gradient of the critic loss, over a sweep, next to zero": ONE_ROW.format(q=2.0**-100),
    },
)
