"""Where every random number of a run comes from: one seed, split into streams by name and index.

Streams are functions of (seed, stream, index), so nothing is consumed: the seventh episode has its seed whether or not
an evaluation came between, and a resumed run needs no generator's state from the host (RN06, CK04).
"""

import jax
import numpy as np
from jaxtyping import Array, Key

_LEARNER, _WARMUP, _EPISODE, _EVALUATION = range(4)


def learner(seed: int) -> Key[Array, ""]:
    """The key from which the learner's networks, batches and noise are drawn."""
    return jax.random.key(_word(seed, _LEARNER))


def warmup(seed: int) -> np.random.Generator:
    """The generator of the warm-up's actions."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(_WARMUP,))))


def episode(seed: int, index: int) -> int:
    """The reset seed of training episode ``index``."""
    return _word(seed, _EPISODE, index)


def evaluation(seed: int, step: int, index: int) -> int:
    """The reset seed of episode ``index`` of the evaluation after ``step`` training steps."""
    return _word(seed, _EVALUATION, step, index)


def _word(seed: int, *path: int) -> int:
    """31 bits: Gymnasium takes no negative seed, and a signed 32-bit number everywhere."""
    return int(np.random.SeedSequence(seed, spawn_key=path).generate_state(1)[0] >> 1)
