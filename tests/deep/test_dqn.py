"""Deep Q-learning in a session: it resumes bit for bit, takes discrete actions alone and stops when it diverges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deep import build, checkpoint, dqn, networks, presets
from deep.config import Config
from deep.errors import InvalidEnvironment, InvalidSetting
from deep.evaluate import evaluate, greedy
from deep.session import Session, lane

SMALL = {"hidden": (4,), "batch_size": 4, "buffer_size": 50, "warmup_steps": 5, "n_step": 2, "target_period": 3}


def config(**changes) -> Config:
    values = {"agent": "dqn", "divergence": "none", "environment": "CartPole-v1", "steps": 30, **SMALL}
    return Config(**{**values, **changes})


def begin(settings: Config) -> Session:
    return Session([settings], [build.environment_of(settings)])


def bits(run: Session) -> dict[str, bytes]:
    arrays = checkpoint.arrays_of(lane(run.state, 0), "agent")
    arrays |= checkpoint.arrays_of_replay(lane(run.replay, 0), "replay")
    return {name: array.tobytes() for name, array in arrays.items()}


def test_a_resumed_run_is_the_run_itself(tmp_path, row):
    run = begin(config())
    for _ in range(15):
        run.advance()
    run.save([tmp_path], [0])
    again = begin(config())
    again.restore([checkpoint.load(checkpoint.files(tmp_path)[0])])
    for _ in range(10):
        run.advance()
        again.advance()
    expected, seen = bits(run), bits(again)
    row.exact("CK04", "a resumed run of dqn", seen == expected, f"{[n for n in expected if seen[n] != expected[n]]}")
    row.exact("EV11", "updates of dqn", int(run.state.step[0]) == 20, f"{run.state.step} after 25 steps, 5 of warm-up")
    actions = np.asarray(run.replay.action[0, :25])
    one_hot = np.isin(actions, (0.0, 1.0)).all() and (actions.sum(axis=1) == 1.0).all()
    row.exact("EV01", "stored actions are one-hot", bool(one_hot), f"{actions}")
    result = evaluate(lambda: build.environment_of(config()), greedy(run.learner), run.policy(0), 2, 0, 25)
    row.exact("EV09", "an evaluation of dqn", bool((result.returns == result.lengths).all()), f"{result}")


def test_the_agent_and_the_actions_must_fit():
    with pytest.raises(InvalidEnvironment, match=r"Pendulum-v1: the action space is Box.*expected a Discrete"):
        build.environment_of(config(environment="Pendulum-v1"))
    with pytest.raises(InvalidEnvironment, match=r"CartPole-v1: the action space is Discrete\(2\).*expected a Box"):
        build.environment_of(Config(environment="CartPole-v1"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"divergence": "kl"}, "--divergence: expected none unless with --agent sac"),
        ({"baseline": "per"}, "--baseline: read with --agent sac alone; .* 'uniform' with --agent dqn, saw 'per'"),
        ({"gradient_penalty": 1.0}, "--gradient-penalty: read with --agent sac alone"),
        ({"agent": "sac"}, "--target-period: read with --agent dqn alone; .* 1 with --agent sac, saw 3"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_an_agent_does_not_read_is_refused(changes, said):
    with pytest.raises(InvalidSetting, match=said):
        config(**changes)


def test_the_preset_of_an_agent():
    assert presets.preset(presets.default_of("dqn"), "CartPole-v1").agent == "dqn"
    assert presets.default_of(None) == presets.default_of("sac") == "roer"


def test_an_action_of_a_network_that_diverged_is_nan():
    learner = dqn.Learner(networks.QTable(2), build.learner_of(config(), 2).optimizer, None, dqn.maximum)
    state = dqn.create(learner, jax.random.key(0), 3, 2)
    for bad in (jnp.nan, jnp.inf):
        table = {"params": {"table": jnp.zeros((3, 2)).at[0, 1].set(bad)}}
        assert np.isnan(dqn.act_greedy(learner, table, jnp.eye(3)[0])).all()
    assert dqn.act_greedy(learner, state.params.critic, jnp.eye(3)[0]).tolist() == [1.0, 0.0]


def test_a_network_of_another_width_is_refused():
    learner = dqn.Learner(networks.QTable(2), build.learner_of(config(), 2).optimizer, None, dqn.maximum)
    with pytest.raises(ValueError, match="each of 5 actions, saw 2 values"):
        dqn.create(learner, jax.random.key(0), 3, 5)
