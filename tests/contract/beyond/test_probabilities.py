"""The probability that a prioritised buffer states for each index, from which its users form importance weights."""

import numpy as np
from contract.agents import NotOffered
from contract.compare import agree, examples
from contract.problems import DTYPE
from contract.shadow import exact
from hypothesis import given
from hypothesis import strategies as st


@examples(0.4)
@given(
    sixteenths=st.lists(st.integers(1, 256), min_size=4, max_size=4),
    inserted=st.integers(4, 9),
    seed=st.integers(0, 2**16),
)
def test_stated_probabilities(sixteenths, inserted, seed, offered, row):
    """The stored weight over the sum of all of them, also after slots were overwritten."""
    buffers = offered("store")()
    if not hasattr(buffers, "probabilities"):
        raise NotOffered("stated probabilities are not offered")
    buffer = buffers.create(4)
    for number in range(inserted):
        buffer = buffers.insert(buffer, number, 0.0, 0.0, 0.0)
    weights = (np.array(sixteenths) / 16).astype(DTYPE)
    buffer = buffers.set_weights(buffer, np.arange(4), weights)
    indices, seen = buffers.probabilities(buffer, seed, 32)
    expected = exact(weights[np.asarray(indices)]) / exact(weights).sum()
    agree(row, "RB-06", "stated probabilities of what was drawn", seen, expected)
