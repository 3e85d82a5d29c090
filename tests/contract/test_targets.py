"""Soft Bellman target, TD error and critic regression, as formulas and as one exact backup of a decision process."""

import numpy as np
import running_error as re
from contract import shadow
from contract.agents import Rates
from contract.compare import agree, examples
from contract.problems import DTYPE, STATES, grids, problems, settings, stored_weights, tables
from contract.shadow import exact
from hypothesis import given
from hypothesis import strategies as st

from reference.bellman import backup, soft_maximum

B = 64
DISCOUNTS = st.sampled_from((0.0, 0.5, 0.9375))


@given(grid=grids(-8, 8), log_prob=grids(-6, 3), alpha=st.sampled_from((0.125, 0.5, 2.0)))
def test_soft_value(grid, log_prob, alpha, offered, row):
    """min_i Q_i - alpha log pi: the smaller twin, and entropy as a bonus."""
    q, log_pi = grid(2, B), log_prob(B)
    seen = np.asarray(offered("soft_value")(q, log_pi, alpha), np.float64)
    expected = re.minimum(exact(q[0]), exact(q[1])) - alpha * exact(log_pi)
    agree(row, "SAC-15", "soft value: minimum of the twins and entropy bonus", seen, expected)
    # The entropy term by itself: what is left when the minimum, an exact selection, is taken away.
    left = exact(np.zeros(B)) + expected - exact(q.min(0))
    agree(row, "SAC-07", "entropy bonus -alpha log pi in the target", seen - q.min(0), left)


@given(grid=grids(-8, 8), discount=DISCOUNTS)
def test_critic_target(grid, discount, offered, row):
    """r + gamma (1 - terminated) V(s'): a terminal row keeps its reward and loses the rest."""
    reward, following, terminated = grid(B), grid(B), (np.arange(B) % 3 == 0).astype(DTYPE)
    seen = np.asarray(offered("critic_target")(reward, terminated, following, discount), np.float64)
    expected = exact(reward) + discount * (exact(1 - terminated) * exact(following))
    ends = terminated == 1
    agree(row, "SAC-15", "critic target at terminal rows", seen, expected, where=ends)
    agree(row, "SAC-15", "critic target", seen, expected)


def test_precision_of_the_target(offered, row):
    """Numbers that need all digits of the tested precision: nothing on the way is narrower (NU04)."""
    reward, following = (np.arange(1, B + 1) / 3).astype(DTYPE), (np.arange(B) / 7 - 4).astype(DTYPE)
    seen = np.asarray(offered("critic_target")(reward, np.zeros(B, DTYPE), following, 0.9375), np.float64)
    agree(row, "SAC-15", "critic target in full precision", seen, exact(reward) + 0.9375 * exact(following))


@given(grid=grids(-8, 8), discount=DISCOUNTS)
def test_td_error(grid, discount, offered, row):
    """delta = r + gamma (1 - terminated) V(s') - V(s)."""
    reward, value, following = grid(B), grid(B), grid(B)
    terminated = (np.arange(B) % 3 == 0).astype(DTYPE)
    seen = offered("td_error")(reward, terminated, value, following, discount)
    expected = exact(reward) + discount * (exact(1 - terminated) * exact(following)) - exact(value)
    agree(row, "RL-15", "TD error", seen, expected)


@given(grid=grids(-8, 8), weight=grids(0, 3), mass=grids(0, 1, 256))
def test_critic_gradient(grid, weight, mass, implementation, offered, row):
    """mass w (Q_i - y) for each twin by itself: half squares, summed and not averaged over rows or twins."""
    q, y, (w, m) = grid(2, B), grid(B), implementation.rows(weight(B), mass(B))
    seen = offered("critic_gradient")(q, y, w, m)
    agree(row, "UP-01", "gradient of the critic loss", seen, exact(m) * exact(w) * (exact(q) - exact(y)))


def one_backup(agent, problem, start, scalars):
    """Tables after one exhaustive critic step of rate one, and the rounding of that step."""
    batch, rates = problem.batch("unit"), Rates(critic=1.0)
    state, _ = agent.update(agent.state(start, rates), batch, scalars)
    step = shadow.update(shadow.lift(start), batch, exact(batch.weight), scalars, rates, None)
    return agent.tables(state), step.tables.critic.error[:, : problem.n]


@given(data=st.data())
def test_exact_backup(data, offered, row):
    """One step of rate one over all (s, a, s') with their exact probabilities is one soft Bellman backup."""
    problem, start = data.draw(problems()), data.draw(tables())
    scalars = data.draw(settings(problem.discount))._replace(tau=0.0)
    after, rounding = one_backup(offered("tabular")(None), problem, start, scalars)
    n = problem.n
    value = shadow.next_value(shadow.lift(start), np.arange(STATES))[:n]
    # r + gamma P V in the exact numbers of the problem; where the episode ends the value is zero
    expected = exact(problem.rewards) + problem.discount * (exact(problem.transitions[:, :, :n]) @ value)
    reason = "running error analysis of the backup and of the step"
    seen = after.critic[:, :n].astype(np.float64)
    quantity = "one exhaustive step is the exact soft Bellman backup"
    row("SAC-06", quantity, np.abs(seen - expected.value), expected.error + rounding, reason)
    theirs = backup(problem.mdp(), np.append(value.value, 0.0))[:n]
    quantity = "exact soft Bellman backup against reference.bellman"
    row("SAC-06", quantity, np.abs(seen - theirs), expected.error + rounding, reason)
    others = ("target", "logits", "value", "log_alpha")
    moved = [name for name in others if not np.array_equal(getattr(start, name), getattr(after, name))]
    row.exact(
        "UP-01", "a critic step leaves every other parameter alone", not moved, f"rates are zero, yet {moved} moved"
    )
    still = np.array_equal(after.critic[:, n:], start.critic[:, n:])
    row.exact("UP-05", "states without data keep their critic", still, "rows of mass zero moved the critic")


@given(data=st.data())
def test_backup_with_the_boltzmann_policy(data, offered, row):
    """With pi = softmax(Qbar/alpha) the backup is the soft optimality operator (SAC-06)."""
    problem, start = data.draw(problems()), data.draw(tables())
    table = start.target[0]
    start = start._replace(target=np.stack([table, table]), logits=table, log_alpha=np.asarray(0.0, DTYPE))
    scalars = data.draw(settings(problem.discount))._replace(tau=0.0)
    after, rounding = one_backup(offered("tabular")(None), problem, start, scalars)
    soft = soft_maximum(table[: problem.n].astype(np.float64), 1.0)
    expected = backup(problem.mdp(), np.append(soft, 0.0))[: problem.n]
    quantity = "backup with the Boltzmann policy is the soft optimality backup"
    reason = "running error analysis of the step"
    row("SAC-06", quantity, np.abs(after.critic[:, : problem.n] - expected), rounding, reason)


@examples(0.5)
@given(data=st.data())
def test_stored_weights(data, offered, row):
    """The stored weight multiplies its own row, for both twins alike."""
    problem = data.draw(problems())
    start, weights = data.draw(tables()), data.draw(stored_weights())
    scalars = data.draw(settings(problem.discount))
    rates = Rates(critic=0.5)
    agent = offered("tabular")(None)
    batch = problem.batch("data", weights)
    state, kept = agent.update(agent.state(start, rates), batch, scalars)
    expected = shadow.update(shadow.lift(start), batch, exact(batch.weight), scalars, rates, None)
    agree(row, "UP-01", "weighted critic step", agent.tables(state).critic, expected.tables.critic)
    row.exact(
        "UP-01",
        "without a divergence weights stay as they are",
        np.array_equal(kept, batch.weight),
        "expected plain SAC to hand back the stored weights bit for bit",
    )


@given(grid=grids(-8, 8), tau=st.sampled_from((0.0, 0.0078125, 0.125, 1.0)))
def test_polyak(grid, tau, offered, row):
    """tau new + (1 - tau) old."""
    online, target = grid(4, 8), grid(4, 8)
    agree(
        row,
        "SAC-23",
        "Polyak average",
        offered("polyak")(online, target, tau),
        tau * exact(online) + (1.0 - tau) * exact(target),
    )


@examples(0.2)
@given(data=st.data(), steps=st.integers(1, 40))
def test_polyak_after_k_steps(data, steps, offered, row):
    """With the online critic at rest the targets have closed their gap by (1 - tau)^k, each twin its own."""
    problem, start = data.draw(problems()), data.draw(tables())
    scalars = data.draw(settings(problem.discount))
    agent, batch = offered("tabular")(None), problem.batch("data")
    state = agent.state(start, Rates())
    expected = exact(start.target)
    state, _ = agent.iterate(state, batch, scalars, steps)
    for _ in range(steps):
        expected = scalars.tau * exact(start.critic) + (1.0 - scalars.tau) * expected
    closed = start.critic + (1.0 - scalars.tau) ** steps * (start.target.astype(np.float64) - start.critic)
    row(
        "SAC-23",
        "targets after k steps: the gap shrinks by (1 - tau)^k",
        np.abs(agent.tables(state).target - closed),
        expected.error + 8 * steps * np.finfo(float).eps * np.abs(closed),
        "running error analysis of k Polyak steps",
    )
