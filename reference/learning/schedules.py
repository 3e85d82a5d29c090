"""Step sizes of stochastic approximation (C6).

One family serves: `a_k = scale / (k + offset) ** power` for the `k`-th update of an entry, `k = 1, 2, ...`. The
conditions of Robbins and Monro (1951), `sum a_k = inf` and `sum a_k^2 < inf`, hold exactly for `1/2 < power <= 1`.
Both are needed: with summable steps a part of the first error stays for ever, and steps that do not shrink leave noise
(RL-13).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

__all__ = ["StepSizes", "constant", "noise_weights", "rescaled_linear"]


@dataclass(frozen=True)
class StepSizes:
    """`a_k = scale / (k + offset) ** power`; the defaults average: `1 / k`.

    `ValueError` unless all of them are finite, `scale > 0`, `offset >= 0` and `power >= 0`.
    """

    scale: float = 1.0
    power: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        given = (self.scale, self.power, self.offset)
        if not (np.isfinite(given).all() and self.scale > 0.0 and self.power >= 0.0 and self.offset >= 0.0):
            raise ValueError(
                f"scale, power, offset are {given}: expected finite numbers, scale > 0, power >= 0 and offset >= 0."
            )

    def __call__(self, counts: np.ndarray | int) -> Float64[np.ndarray, "..."]:
        """The step sizes of the updates numbered `counts`, from 1."""
        return np.asarray(self.scale / (np.asarray(counts, dtype=np.float64) + self.offset) ** self.power)

    @property
    def robbins_monro(self) -> bool:
        """Whether `sum a_k = inf` and `sum a_k^2 < inf`."""
        return 0.5 < self.power <= 1.0


def constant(step_size: float) -> StepSizes:
    """The same step size for ever: forgets the start geometrically, and never the noise."""
    return StepSizes(step_size, 0.0)


def rescaled_linear(modulus: float) -> StepSizes:
    """`1 / (1 + (1 - modulus) k)`: what the modulus of a contraction asks for (Wainwright 2019, arXiv:1905.06265).

    With `1 / k` the first error would decay like `k ** (modulus - 1)`, which is no rate at all for a modulus near one.
    """
    if not 0.0 <= modulus < 1.0:
        raise ValueError(f"modulus is {modulus!r}: expected 0 <= modulus < 1.")
    return StepSizes(1.0 / (1.0 - modulus), 1.0, 1.0 / (1.0 - modulus))


def noise_weights(step_sizes: StepSizes, updates: int) -> tuple[Float64[np.ndarray, " N"], Float64[np.ndarray, " N"]]:
    """What `updates` steps make of independent noises `W_k`: `P_k = (1 - a_k) P_{k-1} + a_k W_k`, `P_0 = 0`.

    Returns, for `k = 0 .. updates`, the sum of the squares of the weights of `W_1 .. W_k` in `P_k`, so that the
    variance of `P_k` is that times the variance of `W`, and the largest of the weights.
    """
    squares, largest = np.zeros(updates + 1), np.zeros(updates + 1)
    for k, size in enumerate(step_sizes(np.arange(1, updates + 1)), start=1):
        squares[k] = (1.0 - size) ** 2 * squares[k - 1] + size**2
        largest[k] = max(abs(1.0 - size) * largest[k - 1], size)
    return squares, largest
