"""The learned temperature: its gradient, and the entropy at which it rests."""

import numpy as np
import running_error as re
from contract import shadow
from contract.agents import Rates
from contract.compare import EPS, agree, examples, iterates
from contract.problems import DTYPE, problems, settings, tables
from contract.shadow import exact
from hypothesis import assume, given
from hypothesis import strategies as st

from reference.bellman import boltzmann


@given(log_alpha=st.integers(-24, 8), log_prob=st.integers(-256, 128), target=st.integers(-128, 64))
def test_gradient(log_alpha, log_prob, target, offered, row):
    """d/dlog(alpha) of -alpha (E log pi + H) is alpha (entropy - H): alpha falls while there is too much entropy."""
    a, p, h = (np.asarray(x / 8, DTYPE) for x in (log_alpha, log_prob, target))
    expected = -(re.exp(exact(a)) * (exact(p) + exact(h)))
    agree(row, "SAC-16", "temperature gradient", offered("temperature_gradient")(a, p, h), expected)


@iterates
@examples(0.3)
@given(data=st.data())
def test_stationary_entropy(data, offered, row):
    """With the critic at rest, actor and temperature settle at Boltzmann and at the target's mean entropy.

    At rest alpha |H(pi) - target| is at most the last movement of log alpha over its rate, plus rounding.
    """
    problem, start = data.draw(problems()), data.draw(tables())
    fraction = data.draw(st.sampled_from((0.25, 0.5, 0.75)))
    start = start._replace(log_alpha=np.asarray(0.0, DTYPE))
    q = start.critic.min(axis=0).astype(np.float64)
    law = problem.states
    spread = float((law * np.ptp(q[: problem.n], axis=1)).sum())
    assume(spread > 0.5)
    target = np.asarray(fraction * np.log(3), DTYPE)
    # Feasible only above the entropy that ties in Q leave at alpha = 0.
    assume(
        float(law @ -(lambda p: (p * np.log(np.maximum(p, 1e-300))).sum(-1))(boltzmann(q[: problem.n], 0.05)))
        < 0.8 * target
    )
    scalars = data.draw(settings(problem.discount))._replace(tau=0.0, target_entropy=float(target))
    mass = np.zeros(len(q))
    mass[: problem.n] = law
    rates = Rates(actor=(0.125 / np.where(mass > 0, mass, 1.0))[:, None], log_alpha=0.03125, preconditioned=1.0)
    agent, batch = offered("tabular")(None), problem.batch("data")
    state = agent.state(start, rates)
    before = agent.tables(state)
    for _ in range(60):
        state, _ = agent.iterate(state, batch, scalars, 100)
        now = agent.tables(state)
        moved = abs(float(now.log_alpha) - float(before.log_alpha))
        before = now
        if moved <= 4 * EPS:
            break
    assume(moved <= 1024 * EPS)
    state, _ = agent.update(state, batch, scalars)
    after = agent.tables(state)
    step = shadow.update(shadow.lift(now), batch, exact(batch.weight), scalars, rates, None)
    alpha = float(np.exp(np.float64(now.log_alpha)))
    policy = boltzmann(now.logits[: problem.n].astype(np.float64), 1.0)
    entropy = float(law @ -(policy * np.log(policy)).sum(-1))
    rest = abs(float(after.log_alpha) - float(now.log_alpha)) + float(step.tables.log_alpha.error)
    row(
        "SAC-18",
        "entropy at which the temperature rests",
        abs(entropy - float(target)),
        rest / (rates.log_alpha * alpha),
        "last movement of log alpha over its rate, plus running error",
    )
    # |alpha log pi - Q - c| <= movement of the logits over their rate, so |log pi - log Boltzmann| <= 2 that / alpha.
    drift = (np.abs(after.logits.astype(float) - now.logits) + step.tables.logits.error)[: problem.n].max() / 0.125
    truth = boltzmann(q[: problem.n], alpha)
    row(
        "SAC-01",
        "resting policy is Boltzmann of the critic",
        np.abs(np.log(policy) - np.log(truth)),
        2 * drift / alpha + 16 * EPS,
        "last movement of the logits over their rate, plus running error",
    )
