"""Small networks and batches for the contract's continuous agents, and the gradient penalty differentiated by hand."""

from __future__ import annotations

import numpy as np
import running_error as re
from contract.agents import Batch, Layers
from contract.problems import DTYPE
from contract.shadow import exact
from running_error import Rounded

OBSERVATIONS, ACTION_SIZE, WIDTH, BATCH = 3, 2, 5, 12


def random_layers(seed: int, log_std_range: tuple[float, float], spread: float) -> Layers:
    """Small networks with all parameters different; `spread` scales the log-std head so that it meets its clip."""
    rng = np.random.default_rng(seed)

    def layer(inputs: int, outputs: int, scale: float = 1.0):
        kernel = rng.normal(size=(inputs, outputs)) * scale / np.sqrt(inputs)
        return kernel.astype(DTYPE), (rng.normal(size=outputs) / 4).astype(DTYPE)

    def stack(inputs: int):
        return [layer(inputs, WIDTH), layer(WIDTH, 1)]

    joint = OBSERVATIONS + ACTION_SIZE
    return Layers(
        [stack(joint), stack(joint)],
        [stack(joint), stack(joint)],
        [layer(OBSERVATIONS, WIDTH)],
        layer(WIDTH, ACTION_SIZE),
        layer(WIDTH, ACTION_SIZE, spread),
        stack(OBSERVATIONS),
        np.asarray(-0.5, DTYPE),
        log_std_range,
    )


def random_batch(seed: int) -> Batch:
    rng = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(DTYPE)

    terminated = (np.arange(BATCH) % 4 == 0).astype(DTYPE)
    mass = (rng.integers(1, 9, BATCH) / 64).astype(DTYPE)
    weight = (rng.integers(1, 33, BATCH) / 16).astype(DTYPE)
    action = np.tanh(numbers(BATCH, ACTION_SIZE))
    return Batch(
        numbers(BATCH, OBSERVATIONS), action, numbers(BATCH), numbers(BATCH, OBSERVATIONS), terminated, weight, mass
    )


def flat(layers: Layers) -> dict[str, list]:
    """The arrays of each group, in order."""
    return {
        "critic": [x for twin in layers.critic for layer in twin for x in layer],
        "target critic": [x for twin in layers.target for layer in twin for x in layer],
        "actor's hidden layers": [x for layer in layers.actor for x in layer],
        "mean head": list(layers.mean),
        "log-std head": list(layers.log_std),
        "value": [x for layer in layers.value for x in layer],
        "temperature": [layers.log_alpha],
    }


def root(x: Rounded) -> Rounded:
    """The square root of numbers that are one or more however they were rounded: |x - x'| = (n + n') |n - n'|.

    Charged as exp(log(x) / 2), more than any square root costs.
    """
    value = np.sqrt(x.value)
    roundings = 2 * re.ULPS["exp"] + (re.ULPS["log"] + re.ROUNDINGS) * np.log(x.value)
    return x._new(value, x.error / (value + 1.0), roundings)


def pull(norm: Rounded) -> Rounded:
    """(n - 1)/n of norms that are one or more however they were rounded: |1/n - 1/n'| <= |n - n'|/n."""
    return norm._new((norm.value - 1.0) / norm.value, norm.error / norm.value, 2 * re.ROUNDINGS)


def penalty_by_hand(layers: list, tape: list, mass: Rounded) -> tuple[Rounded, list]:
    """One twin's penalty and its derivative in the layers."""
    kernels = [kernel for kernel, _ in layers]
    masks = [active for _, active in tape[:-1]]
    kernels[0] = kernels[0][OBSERVATIONS:]
    slopes = [mass.ones().reshape(-1, 1)]
    for kernel, mask in zip(reversed(kernels[1:]), reversed(masks), strict=True):
        slopes.append(mask * (slopes[-1] @ kernel.T))
    slopes = slopes[::-1]
    slope = slopes[0] @ kernels[0].T
    norm = root(re.maximum((slope * slope).sum(axis=-1), 1.0))
    excess = norm - 1.0
    back = (2.0 * mass * pull(norm)).reshape(-1, 1) * slope
    gradients = [(back.T @ slopes[0])]
    back = back @ kernels[0]
    for kernel, mask, after in zip(kernels[1:], masks, slopes[1:], strict=True):
        back = mask * back
        gradients.append(back.T @ after)
        back = back @ kernel
    still = exact(np.zeros((OBSERVATIONS, gradients[0].shape[1])))
    gradients[0] = re.concatenate([still, gradients[0]], axis=0)
    return (mass * excess * excess).sum(), gradients
