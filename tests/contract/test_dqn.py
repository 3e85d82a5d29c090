"""Deep Q-learning: target, loss, one whole update of tables, the target network, exploration.

Rows of k steps enter as their discounts gamma^k; how such rows come about is in test_windows.py. No two values of a
state are equal, so that nothing hangs on how ties are broken.
"""

import numpy as np
import pytest
import running_error as re
import tolerances
from contract.agents import Batch
from contract.compare import agree, examples
from contract.problems import DTYPE, STATES, grids, problems, stored_weights
from contract.protocol import ACTIONS
from contract.shadow import exact
from hypothesis import given
from hypothesis import strategies as st
from running_error import Rounded

from reference.learning import operators
from reference.learning.task import Task

B = 64
NEVER = 2**20
"""A period of the target network that no test reaches."""
DRAWS = 2**14
both = pytest.mark.parametrize("double", [False, True], ids=["maximum", "double"])


@st.composite
def values(draw: st.DrawFn) -> np.ndarray:
    """A table (S, A) of eighths without ties."""
    row = st.lists(st.integers(-16, 16), min_size=ACTIONS, max_size=ACTIONS, unique=True)
    return np.array([draw(row) for _ in range(STATES)]).astype(DTYPE) / 8


@st.composite
def discounts(draw: st.DrawFn, rows: int) -> np.ndarray:
    """gamma^k of rows of k = 1, 2, 3 steps, exact in float32."""
    gamma = draw(st.sampled_from((0.0, 0.5, 0.75, 0.9375)))
    return (gamma ** (1 + np.arange(rows) % 3)).astype(DTYPE)


def bootstrap(table: np.ndarray, target: np.ndarray, double: bool) -> np.ndarray:
    """V of each row of tables: the target network's value of its own best action, or of the online network's."""
    chosen = (table if double else target).argmax(-1)
    return target[np.arange(len(target)), chosen]


def updated(table, target, batch: Batch, discount, rate: float, width: float | None, double: bool) -> Rounded:
    """The online table after one plain gradient step, differentiated by hand."""
    s, a, after = batch.observation.argmax(-1), batch.action.argmax(-1), batch.next_observation.argmax(-1)
    value = exact(bootstrap(table, target, double)[after])
    y = exact(batch.reward) + exact(discount) * (exact(1.0 - batch.terminated) * value)
    error = exact(table)[s, a] - y
    if width is not None:
        error = re.minimum(re.maximum(error, -width), width)
    rows = exact(batch.mass) * exact(batch.weight) * error
    return exact(table) - rate * re.scatter_add(rows, (s, a), table.shape)


@both
@given(grid=grids(-8, 8), discount=discounts(B))
def test_target(double, grid, discount, offered, row):
    """r + gamma^k (1 - terminated) V(s'): a terminal row keeps its reward alone."""
    apart = np.arange(ACTIONS, dtype=DTYPE) / 256  # less than the grid's spacing
    online, judge = grid(B, ACTIONS) + apart, grid(B, ACTIONS) + apart
    reward, terminated = grid(B), (np.arange(B) % 4 == 0).astype(DTYPE)
    seen = offered("q_target")(double, online, judge, reward, terminated, discount)
    value = exact(bootstrap(online, judge, double))
    expected = exact(reward) + exact(discount) * (exact(1 - terminated) * value)
    name = "double target" if double else "target"
    agree(row, "DQN-01", f"{name} at terminal rows", seen, expected, where=terminated == 1)
    agree(row, "DQN-01", name, seen, expected)


@pytest.mark.parametrize("loss", ["squared", "huber"])
@given(grid=grids(-8, 8), weight=grids(0, 3), mass=grids(0, 1, 256), width=st.sampled_from((0.25, 1.0, 4.0)))
def test_gradient(loss, grid, weight, mass, width, implementation, offered, row):
    """mass w (Q - y) at the action taken, bounded by the width for Huber's loss, and zero at all others."""
    q, y, taken = grid(B, ACTIONS), grid(B), np.arange(B) % ACTIONS
    w, m = implementation.rows(weight(B), mass(B))
    seen = np.asarray(offered("q_gradient")(loss, q, np.eye(ACTIONS, dtype=DTYPE)[taken], y, w, m, width))
    error = exact(q)[np.arange(B), taken] - exact(y)
    if loss == "huber":
        error = re.minimum(re.maximum(error, -width), width)
    agree(row, "DQN-01", f"gradient of the {loss} loss", seen[np.arange(B), taken], exact(m) * exact(w) * error)
    others = np.arange(ACTIONS) != taken[:, None]
    row.exact("DQN-01", "gradient at other actions", not seen[others].any(), f"expected zeros, saw {seen[others]}")


@both
@pytest.mark.parametrize("width", [None, 1.0], ids=["squared", "huber"])
@examples(0.5)
@given(data=st.data())
def test_whole_update(double, width, data, offered, row):
    """The target from the old networks, one step, and then the target network with the new one."""
    problem, table, target = data.draw(problems()), data.draw(values()), data.draw(values())
    batch = problem.batch("data", data.draw(stored_weights()))
    discount, tau = data.draw(discounts(len(batch.reward))), data.draw(st.sampled_from((0.0078125, 0.125, 1.0)))
    agent = offered("deep_q")(double, "squared" if width is None else "huber")
    state = agent.update(agent.state(table, target, 0.5), batch, discount, tau, 1, width or 0.0)
    online, judge = agent.tables(state)
    expected = updated(table, target, batch, discount, 0.5, width, double)
    agree(row, "DQN-02", "online table after the update", online, expected)
    moved = tau * expected + (1.0 - tau) * exact(target)
    agree(row, "DQN-02", "target table after the update follows the new online one", judge, moved)
    still = np.array_equal(online[problem.n :], table[problem.n :])
    row.exact("DQN-02", "states without data keep their values", still, "rows of mass zero moved the table")


@both
@pytest.mark.parametrize("law", ["unit", "data"])
@examples(0.5)
@given(data=st.data())
def test_expected_update(double, law, data, offered, row):
    """Over all (s, a, s') with their exact probabilities a step of rate one is D (T q - q), T of `reference`."""
    problem, table, target = data.draw(problems()), data.draw(values()), data.draw(values())
    task, n = Task(problem.mdp()), problem.n
    batch = problem.batch(law)
    discount = np.full(len(batch.reward), problem.discount, DTYPE)
    agent = offered("deep_q")(double, "squared")
    online, _ = agent.tables(agent.update(agent.state(table, target, 1.0), batch, discount, 1.0, NEVER, 0.0))
    ended = np.where(task.mdp.available[n], 0.0, -np.inf)
    whole, judge = (np.vstack([one[:n].astype(np.float64), ended]) for one in (table, target))
    backup = operators.double_q_operator(task, whole, judge) if double else operators.q_operator(task, judge)
    probability = problem.law(law)
    theirs = table[:n] + probability * (backup[:n] - table[:n])
    # What both sides may be off by: the step's rounding, and that of T q evaluated on its own.
    step = updated(table, target, batch, discount, 1.0, None, double)[:n]
    value = exact(bootstrap(table, target, double)[:n])
    image = exact(problem.rewards) + problem.discount * (exact(problem.transitions[:, :, :n]) @ value)
    mixed = exact(table[:n]) + exact(probability) * (image - exact(table[:n]))
    id, quantity = ("RL-19", "double Q-learning's") if double else ("RL-18", "Q-learning's")
    row(
        id,
        f"one exhaustive step is {quantity} exact expected update",
        np.abs(online[:n] - theirs),
        step.error + mixed.error,
        "running error analysis of the step and of the operator",
        (online[:n], theirs),
    )


@examples(0.3)
@given(table=values(), target=values(), period=st.integers(1, 4), steps=st.integers(1, 9))
def test_target_period(table, target, period, steps, offered, row):
    """With tau = 1 the target network becomes the online one after every period, and does not move in between."""
    agent, rows = offered("deep_q")(False, "squared"), B
    one = np.eye(STATES, dtype=DTYPE)[np.zeros(rows, int)]
    number = np.ones(rows, DTYPE)
    batch = Batch(one, np.eye(ACTIONS, dtype=DTYPE)[np.zeros(rows, int)], number, one, number, number, number / rows)
    state, expected = agent.state(table, target, 0.5), target
    for count in range(1, steps + 1):
        state = agent.update(state, batch, number, 1.0, period, 0.0)
        online, judge = agent.tables(state)
        expected = online if count % period == 0 else expected
        row.exact(
            "DQN-02",
            "target network after each update of a period",
            np.array_equal(judge, expected),
            f"after update {count} of period {period}: expected\n{expected}\nsaw\n{judge}",
        )


@given(
    start=st.integers(0, 8),
    final=st.integers(0, 8),
    updates=st.sampled_from((1, 2, 7, 1000, 2**20)),
    step=st.integers(0, 2**21),
)
def test_schedule(start, final, updates, step, offered, row):
    """A straight line from `start` to `final`, and `final` from there on."""
    first, last = exact(start / 8), exact(final / 8)
    left = re.maximum(1.0 - exact(float(min(step, updates))) / float(updates), 0.0)
    for at, rest in ((step, left), (0, first.ones()), (updates, 0.0 * first)):
        expected = last + (first - last) * rest
        seen = np.asarray(offered("exploration")(start / 8, final / 8, updates, at))
        agree(row, "DQN-03", "probability of exploring", seen, expected)


@pytest.mark.parametrize("epsilon", [0.25, 1.0])
def test_exploration(epsilon, offered, row, stream):
    """P(a) = (1 - epsilon) 1[a greedy] + epsilon / A, for the online network and not the target."""
    agent = offered("deep_q")(False, "squared")
    table = np.tile(np.arange(ACTIONS) / 8, (STATES, 1)).astype(DTYPE)
    observations = np.eye(STATES, dtype=DTYPE)[np.zeros(DRAWS, int)]
    taken, _ = agent.actions(agent.state(table, -table, 0.0), observations, epsilon, 7 + stream)
    for action in range(ACTIONS):
        probability = (1.0 - epsilon) * (action == ACTIONS - 1) + epsilon / ACTIONS
        low, high, reason = tolerances.binomial_counts(DRAWS, probability, ACTIONS)
        seen = float((taken == action).sum())
        row("DQN-03", "frequencies of actions", abs(seen - (low + high) / 2), (high - low) / 2, reason)


@given(table=values(), target=values())
def test_greedy(table, target, offered, row):
    """Without exploration, in training and in evaluation, the online network's best action."""
    agent = offered("deep_q")(True, "squared")
    observations = np.eye(STATES, dtype=DTYPE)
    found = agent.actions(agent.state(table, target, 0.0), observations, 0.0, 3)
    for name, seen in zip(("training", "evaluation"), found, strict=True):
        row.exact(
            "DQN-03",
            f"greedy actions in {name}",
            np.array_equal(seen, table.argmax(-1)),
            f"expected {table.argmax(-1)}, saw {seen} for\n{table}",
        )
