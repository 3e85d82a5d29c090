"""Whole updates of `deep` with any divergence, value objective and law of beta, behind the contract's protocol."""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
from contract.adapters import deep as adapter
from contract.protocol import ACTIONS

from deep import agent, build, networks, types

LAWS = {
    "fixed": "fixed",
    "effective-sample-fraction": "ess",
    "kl-ball": "kl",
    "feedback": "feedback",
    "feedback-as-printed": "feedback-as-printed",
}


@functools.lru_cache
def _step(divergence, objective, law):
    learner = build.compose(
        networks.tabular(ACTIONS),
        adapter.plain_descent(),
        adapter.DIVERGENCES[divergence],
        objective=objective,
        law=LAWS[law],
    )
    return adapter.compiled(
        lambda settings, state, batch, initial: agent.update(learner, settings, state, batch, initial)[:2]
    )


def whole_update(divergence, objective, law, tables, rates, batch, settings, initial, beta, fraction, /, **others):
    state = adapter.TabularDeep.state(tables, rates)
    state = state._replace(beta=types.BetaState(jnp.asarray(beta, float), jnp.asarray(fraction, float)))
    begun = types.Initial(np.eye(len(initial), dtype=initial.dtype), initial)
    state, weights = _step(divergence, objective, law)(
        types.Settings(*settings, **others), state, adapter.rows(batch, settings), begun
    )
    return adapter.TabularDeep.tables(state), np.asarray(weights), *(np.asarray(x) for x in state.beta)
