r"""Values without a discount, where episodes end: what `MDP`, whose discount is below one, leaves out.

Under a policy that reaches a terminal state with probability one from everywhere (a *proper* policy, Bertsekas and
Tsitsiklis 1991) the system (I - P) v = r over the states that are not terminal has one solution. A float64 solution is
certified by a second one: let t > 0 with (I - P) t >= b > 0 entrywise. Then P is a contraction in the norm weighted by
t, (I - P)^{-1} is nonnegative, (I - P)^{-1} 1 <= t / b, and

    |v' - v| <= max |r + P v' - v'| max t / b                                                                     (1)

for every v'. The solution of (I - P) t = 1, the expected number of steps, serves for t; roundings are charged in b and
in the residual.
"""

import numpy as np
from jaxtyping import Float64

from reference.bellman import greedy, policy_chain, policy_rewards
from reference.mdp import MDP
from reference.rounding import gamma_n, outward
from reference.solution import Solution, Status

__all__ = ["undiscounted_optimum", "undiscounted_values"]


def undiscounted_values(mdp: MDP, policy: Float64[np.ndarray, "S A"]) -> Solution:
    """Sums of rewards until the end under `policy`, with a certified bound; the MDP's own discount is ignored (1).

    `ValueError` if `policy` is none of this MDP, or if a state is found from which it may never end (or so rarely that
    float64 cannot tell).
    """
    live = np.flatnonzero(~mdp.terminal)
    chain = policy_chain(mdp, policy)
    whole = chain if isinstance(chain, np.ndarray) else chain.toarray()
    inner, rewards = whole[np.ix_(live, live)], policy_rewards(mdp, policy)[live]
    system = np.eye(len(live)) - inner
    steps, values = _solve(system, np.ones(len(live)), mdp), _solve(system, rewards, mdp)
    values += _solve(system, rewards + inner @ values - values, mdp)
    # Entries of the chain are sums over actions; then come dot products over states.
    roundings = gamma_n(mdp.n_actions + len(live) + 4)
    least = float(np.min(steps - inner @ steps - roundings * (np.abs(steps) + inner @ np.abs(steps))))
    if not (least > 0.0 and (steps > 0.0).all()):
        raise _improper(mdp)
    charged = roundings * (policy * np.abs(mdp.rewards)).sum(axis=1)[live]
    charged += roundings * (inner @ np.abs(values) + np.abs(values))
    residual = np.abs(rewards + inner @ values - values) + charged
    bound = outward(float(residual.max() * steps.max() / least))
    full = np.zeros(mdp.n_states)
    full[live] = values
    q = np.where(mdp.available, mdp.rewards + mdp.expected_next(full), -np.inf)
    return Solution(full, q, policy, bound, Status.DIRECT, 1, "direct linear solve without a discount")


def undiscounted_optimum(mdp: MDP, max_iterations: int = 1000) -> Solution:
    """The largest sums of rewards until the end, by policy iteration from the uniform policy.

    Improvement keeps a proper policy proper if improper ones cost without bound (Bertsekas and Tsitsiklis 1991,
    proposition 3), as where every step costs something. `error_bound` is about the values of the policy found; that
    nothing improves on it by more than that bound is what ended the run. Raises as `undiscounted_values`, when an
    improper policy pays as well.
    """
    found = undiscounted_values(mdp, mdp.available / mdp.available.sum(axis=1, keepdims=True))
    for iteration in range(1, max_iterations + 1):
        kept = (found.policy * np.where(found.policy > 0.0, found.q, 0.0)).sum(axis=1)
        better = found.q.max(axis=1) > kept + 2.0 * found.error_bound
        deterministic = found.policy.max(axis=1) == 1.0
        change = better | ~deterministic
        if not change.any():
            return Solution(found.values, found.q, found.policy, found.error_bound, Status.CONVERGED, iteration,
                            "policy iteration without a discount")  # fmt: skip
        policy = np.where(change[:, None], greedy(found.q), found.policy)
        found = undiscounted_values(mdp, policy)
    return Solution(found.values, found.q, found.policy, found.error_bound, Status.MAX_ITERATIONS, max_iterations,
                    "policy iteration without a discount")  # fmt: skip


def _solve(system: np.ndarray, right: np.ndarray, mdp: MDP) -> np.ndarray:
    try:
        return np.linalg.solve(system, right)
    except np.linalg.LinAlgError as error:
        raise _improper(mdp) from error


def _improper(mdp: MDP) -> ValueError:
    return ValueError(
        f"the policy does not surely end an episode of {mdp!r} from every state: expected a policy that reaches a "
        "terminal state with probability one, or the sums of rewards have no value. Use a discount below 1."
    )
