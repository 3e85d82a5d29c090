"""N-step rows of the replay, by brute force over every slot, and the ring of initial states."""

import numpy as np
import pytest
import tolerances
from contract.compare import EPS, examples
from contract.problems import DTYPE
from hypothesis import given
from hypothesis import strategies as st

CAPACITY = 5
DISCOUNT = 0.5


def window(stored: dict[int, tuple[float, float, float]], first: int, n: int) -> list[int]:
    """Transitions of the row that begins at `first`; `stored` maps numbers to (reward, terminated, ended)."""
    numbers = [first]
    while len(numbers) < n and not stored[numbers[-1]][2] and numbers[-1] + 1 in stored:
        numbers.append(numbers[-1] + 1)
    return numbers


@pytest.mark.parametrize("n", [1, 2, 3, CAPACITY, CAPACITY + 2])
@examples(0.6)
@given(
    steps=st.lists(
        st.tuples(st.integers(-8, 8), st.sampled_from(("on", "on", "terminated", "truncated"))),
        min_size=1,
        max_size=3 * CAPACITY,
    )
)
def test_windows(n, steps, offered, row):
    """Every slot of every ring: full or not, with its head anywhere, cut by terminations, time limits and the head.

    Rewards are small integers and the discount is 1/2, so every number is exact.
    """
    buffers = offered("store")()
    buffer, stored = buffers.create(CAPACITY), {}
    for number, (reward, how) in enumerate(steps):
        stored[number] = (float(reward), float(how == "terminated"), float(how != "on"))
        buffer = buffers.insert(buffer, number, *stored[number])
    stored = {number: stored[number] for number in sorted(stored)[-CAPACITY:]}
    slots = np.array([number % CAPACITY for number in stored])
    indices = np.resize(slots, CAPACITY)  # one shape, one compilation
    seen = [column[: len(slots)] for column in buffers.windows(buffer, indices, DISCOUNT, n)]
    rows = [window(stored, number, n) for number in stored]
    expected = {
        "states": [buffers.row(numbers[0])[0] for numbers in rows],
        "actions": [buffers.row(numbers[0])[1] for numbers in rows],
        "successors": [buffers.row(numbers[-1])[2] for numbers in rows],
        "rewards": [sum(DISCOUNT**k * stored[m][0] for k, m in enumerate(numbers)) for numbers in rows],
        "terminations": [stored[numbers[-1]][1] for numbers in rows],
        "discounts": [DISCOUNT ** len(numbers) for numbers in rows],
    }
    for column, (name, values) in zip(seen, expected.items(), strict=True):
        row.exact(
            "NS-01",
            f"{name} of n-step rows",
            np.array_equal(column, values),
            f"n = {n}, {len(steps)} steps in {CAPACITY} slots, slots {slots.tolist()}, windows {rows}: expected\n"
            f"{np.asarray(values)}\nsaw\n{column}",
        )


def test_one_step_discount(offered, row):
    """One step is discounted by gamma itself, to the last bit."""
    buffers = offered("store")()
    gamma = DTYPE.type(0.99)
    buffer = buffers.insert(buffers.create(CAPACITY), 0, 1.0, 0.0, 0.0)
    *_, discounts = buffers.windows(buffer, np.zeros(CAPACITY, int), gamma, 1)
    row.exact("NS-01", "discount of one step", bool((discounts == gamma).all()), f"expected {gamma!r}, saw {discounts}")


@pytest.mark.parametrize("stored", [2, 4, 7])
def test_initial_states(stored, offered, row):
    """Only states that begin an episode are kept, the latest ones, and each is as likely, with mass 1/B."""
    rings = offered("starts")()
    ring, capacity, draws = rings.create(4), 4, 2**14
    kept = []
    for number in range(2 * stored):
        begins = float(number % 2 == 0)
        ring = rings.insert(ring, number, begins)
        kept += [number] if begins else []
    kept = kept[-capacity:]
    states, masses = rings.sample(ring, stored, draws)
    numbers = np.asarray(states)[:, 0]
    expected = np.array([rings.row(number) for number in numbers])
    row.exact(
        "IN-01",
        "initial states are those that were stored",
        bool(set(numbers.tolist()) <= set(kept) and np.array_equal(states, expected)),
        f"expected states of {kept}, saw {sorted(set(numbers.tolist()))}",
    )
    low, high, reason = tolerances.binomial_counts(draws, 1 / len(kept), len(kept))
    seen = np.array([(numbers == number).sum() for number in kept])
    row("IN-01", "frequencies of initial states", np.abs(seen - (low + high) / 2), (high - low) / 2, reason)
    row("IN-01", "masses of initial states are 1/B", np.abs(masses - 1 / draws), EPS, "one rounding of 1/B")
