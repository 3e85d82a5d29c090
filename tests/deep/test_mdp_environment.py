"""A decision process as an environment: steps have the law of `P`, rewards are `r`, ends are the terminals."""

import gymnasium
import numpy as np
import pytest
import tolerances
from gymnasium.utils.env_checker import check_env
from scipy import sparse

from deep.environments import Environment
from deep.errors import InvalidEnvironment
from deep.mdp_environment import MDPEnvironment
from reference import library
from reference.mdp import MDP

DRAWS = 4000


def process(dense: bool) -> MDP:
    """Three states; action 1 is not available in state 1; state 2 is terminal."""
    transitions = np.zeros((3, 2, 3))
    transitions[0, 0], transitions[0, 1] = [0.5, 0.25, 0.25], [0.0, 0.125, 0.875]
    transitions[1, 0], transitions[2, 0] = [0.75, 0.0, 0.25], [0.0, 0.0, 1.0]
    available = np.array([[True, True], [True, False], [True, False]])
    rewards = np.array([[1.0, -2.0], [0.5, 0.0], [0.0, 0.0]])
    kernel = transitions if dense else sparse.csr_array(transitions.reshape(6, 3))
    return MDP(kernel, rewards, 0.9, np.array([0.625, 0.375, 0.0]), available)


@pytest.mark.parametrize("dense", [True, False], ids=["dense", "sparse"])
def test_successors_have_the_law_of_the_process(row, dense):
    mdp, environment = process(dense), MDPEnvironment(process(dense))
    kernel = process(True).transitions
    environment.reset(seed=1)
    for state, action in [(0, 0), (0, 1), (1, 0)]:
        steps = []
        for _ in range(DRAWS):
            environment.state = state
            steps.append(environment.step(action))
        counts = sum(observation for observation, *_ in steps)
        rewards = {reward for _, reward, *_ in steps}
        ends = {(info["state"], *ended, int(np.argmax(observation))) for observation, _, *ended, info in steps}
        row.exact("MDP-R", "reward", rewards == {mdp.rewards[state, action]}, f"r({state}, {action}) came as {rewards}")
        right = all(ended == (at, at == 2, False, at) for ended in ends for at in ended[:1])
        row.exact("BT02", "termination", right, f"(state, terminated, truncated, observed): {ends}")
        for successor in range(3):
            low, high, reason = tolerances.binomial_counts(DRAWS, kernel[state, action, successor], counts=9)
            middle = (low + high) / 2
            row("MDP-P", "successor counts", abs(counts[successor] - middle), (high - low) / 2, reason)


def test_episodes_begin_with_the_initial_law(row):
    environment = MDPEnvironment(process(True))
    environment.reset(seed=2)
    counts = sum(environment.reset()[0] for _ in range(DRAWS))
    for state, probability in enumerate(environment.mdp.initial):
        low, high, reason = tolerances.binomial_counts(DRAWS, probability, counts=3)
        row("MDP-MU0", "initial counts", abs(counts[state] - (low + high) / 2), (high - low) / 2, reason)


def test_gymnasium_accepts_it():
    mdp = library.garnet(5, 3, 2, 0, 0.9)
    check_env(MDPEnvironment(mdp).unwrapped, skip_render_check=True)


def test_the_seed_fixes_the_episode(row):
    def episode(seed):
        environment = MDPEnvironment(library.garnet(5, 3, 2, 0, 0.9))
        environment.reset(seed=seed)
        return [int(np.argmax(environment.step(n % 3)[0])) for n in range(50)]

    row.exact("RN04", "equal seeds, equal episodes", episode(4) == episode(4), "two episodes of seed 4 differ")
    row.exact("RN04", "other seeds, other episodes", episode(4) != episode(5), "seeds 4 and 5 give one episode")


def test_an_episode_that_starts_at_the_end_ends():
    environment = MDPEnvironment(process(True))
    environment.reset(seed=0, options={"state": 2})
    observation, reward, terminated, truncated, _ = environment.step(1)
    assert (observation.tolist(), reward, terminated, truncated) == ([0, 0, 1], 0.0, True, False)


def test_unavailable_actions_are_refused():
    environment = MDPEnvironment(process(True))
    _, info = environment.reset(seed=0, options={"state": 1})
    assert info["action_mask"].tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"action 1 is not available in state 1; expected one of \[0\]"):
        environment.step(1)


def test_a_step_needs_a_reset():
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset"):
        MDPEnvironment(process(True)).step(0)


def test_actions_are_one_hot_for_the_learner(row):
    environment = Environment(MDPEnvironment(process(True)), discrete=True)
    actions = environment.actions.random(np.random.default_rng(0), 50)
    rows = set(map(tuple, actions.tolist()))
    row.exact("EV01", "random actions", rows == {(1.0, 0.0), (0.0, 1.0)}, f"{rows}")
    row.exact("EV01", "action number", int(environment.actions.encode(np.float32([0, 1]))) == 1, "row 1 is action 1")
    with pytest.raises(InvalidEnvironment, match="expected a Box"):
        Environment(MDPEnvironment(process(True)))
