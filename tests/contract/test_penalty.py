"""The gradient penalty on ReLU networks: its value and its derivative, differentiated by hand in reverse mode.

The expected derivative is written from the slope as a product of matrices and masks,

    s_L = 1,   s_k = m_k o (s_{k+1} W_{k+1}^T),   dQ/da = s_1 W_1[actions]^T,

walked backwards factor by factor; nothing of how an implementation may organise the passes enters.
"""

import itertools

import numpy as np
import pytest
import running_error as re
from contract import shadow
from contract.compare import agree, examples
from contract.networks import ACTION_SIZE, BATCH, OBSERVATIONS, penalty_by_hand
from contract.problems import DTYPE
from contract.shadow import exact
from hypothesis import example, given
from hypothesis import strategies as st
from running_error import Rounded

NETWORKS = {"no hidden layer": (), "one hidden layer": (5,), "three hidden layers": (5, 4, 3)}


def twins(seed: int, hidden: tuple[int, ...], size: float) -> list:
    """Two unlike networks on (observation, action), kernels scaled so that slopes are on either side of one."""
    rng = np.random.default_rng(seed)
    widths = (OBSERVATIONS + ACTION_SIZE, *hidden, 1)

    def layer(inputs: int, outputs: int):
        kernel = rng.normal(size=(inputs, outputs)) * size / np.sqrt(inputs)
        return kernel.astype(DTYPE), (rng.normal(size=outputs) / 4).astype(DTYPE)

    return [[layer(*pair) for pair in itertools.pairwise(widths)] for _ in range(2)]


def rows(seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed + 1)
    observation, target = rng.normal(size=(BATCH, OBSERVATIONS)), rng.normal(size=BATCH)
    action = np.tanh(rng.normal(size=(BATCH, ACTION_SIZE)))
    weight, mass = rng.integers(1, 33, BATCH) / 16, rng.integers(1, 9, BATCH) / 64
    return tuple(x.astype(DTYPE) for x in (observation, action, target, weight, mass))


def expected(layers: list, observation, action, target, weight, mass, coefficient: float) -> tuple[Rounded, list]:
    """The penalty of both twins, and the derivative of critic loss + coefficient * penalty."""
    joint = re.concatenate([exact(observation), exact(action)])
    total, gradients = None, []
    for twin in layers:
        twin = [(exact(kernel), exact(bias)) for kernel, bias in twin]
        q, tape = shadow.forward(twin, joint)
        error = (exact(mass) * exact(weight) * (q[:, 0] - exact(target))).reshape(-1, 1)
        critic, _ = shadow.backward(twin, tape, error)
        value, steep = penalty_by_hand(twin, tape, exact(mass))
        total = value if total is None else total + value
        gradients.append([(dw + coefficient * g, db) for (dw, db), g in zip(critic, steep, strict=True)])
    return total, gradients


@pytest.mark.parametrize("network", NETWORKS)
@examples(0.5)
@given(seed=st.integers(0, 2**31 - 1), size=st.sampled_from((0.25, 1.0, 3.0)), coefficient=st.sampled_from((1.0, 0.25)))
@example(seed=206, size=3.0, coefficient=1.0)  # three layers, float32: rounding decides whether a unit is active
def test_gradient_penalty(network, seed, size, coefficient, offered, row):
    """max(||dQ_i/da|| - 1, 0)^2 row by row and twin by twin, and the whole critic's derivative with it."""
    layers, batch = twins(seed, NETWORKS[network], size), rows(seed)
    value, gradients = offered("penalised_gradient")(layers, *batch, coefficient)
    total, by_hand = expected(layers, *batch, coefficient)
    agree(row, "GP-01", "gradient penalty", value, total)
    for seen, theirs in zip(gradients, by_hand, strict=True):
        for (kernel, bias), (dw, db) in zip(seen, theirs, strict=True):
            agree(row, "GP-01", f"derivative of the penalised critic loss in kernels ({network})", kernel, dw)
            agree(row, "GP-01", f"derivative of the penalised critic loss in biases ({network})", bias, db)


def test_no_slope(offered, row):
    """Where Q does not depend on the action the penalty is zero, and so is its derivative: no 0/0 at a norm of zero."""
    layers = twins(1, (5,), 1.0)
    for twin in layers:
        twin[0][0][OBSERVATIONS:] = 0.0
    observation, action, _, _, mass = rows(1)
    nothing = np.zeros(BATCH, DTYPE)
    value, gradients = offered("penalised_gradient")(layers, observation, action, nothing, nothing, mass, 1.0)
    flat = [np.asarray(x) for twin in gradients for layer in twin for x in layer]
    row.exact(
        "GP-01",
        "a critic that ignores the action costs no penalty",
        float(value) == 0.0 and all(np.array_equal(x, np.zeros_like(x)) for x in flat),
        f"expected penalty 0 and zero derivatives, saw {float(value)} and {max(float(np.abs(x).max()) for x in flat)}",
    )
