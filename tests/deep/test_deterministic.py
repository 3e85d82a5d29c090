"""Deterministic policies in a session: resumed bit for bit, alone or in lanes, with the options of DDPG and TD3."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import running_error
from running_error import Rounded

from deep import act, build, checkpoint, deterministic, export, networks, presets
from deep.config import Config
from deep.errors import InvalidEnvironment, InvalidSetting
from deep.evaluate import evaluate, greedy
from deep.session import Session, lane

SMALL = {"hidden": (16,), "batch_size": 4, "buffer_size": 50, "warmup_steps": 5, "n_step": 2, "actor_period": 3}


def config(**changes) -> Config:
    values = {"agent": "td3", "divergence": "none", "environment": "Pendulum-v1", "steps": 30, **SMALL}
    return Config(**{**values, **changes})


def begin(*seeds: int) -> Session:
    settings = [config(seed=seed) for seed in seeds]
    return Session(settings, [build.environment_of(one) for one in settings])


def bits(run: Session, index: int = 0) -> dict[str, bytes]:
    arrays = checkpoint.arrays_of(lane(run.state, index), "agent")
    arrays |= checkpoint.arrays_of_replay(lane(run.replay, index), "replay")
    return {name: array.tobytes() for name, array in arrays.items()}


def test_a_resumed_run_is_the_run_itself(tmp_path, row):
    run = begin(0)
    for _ in range(15):
        run.advance()
    run.save([tmp_path], [0])
    again = begin(0)
    again.restore([checkpoint.load(checkpoint.files(tmp_path)[0])])
    for _ in range(10):
        run.advance()
        again.advance()
    expected, seen = bits(run), bits(again)
    row.exact("CK04", "a resumed run of td3", seen == expected, f"{[n for n in expected if seen[n] != expected[n]]}")
    row.exact("EV11", "updates of td3", int(run.state.step[0]) == 20, f"{run.state.step} after 25 steps, 5 of warm-up")
    actions = np.asarray(run.replay.action[0, 5:25])
    row.exact("EV01", "stored actions are those taken", len(np.unique(actions)) > 10, f"{actions}")
    result = evaluate(lambda: build.environment_of(config()), greedy(run.learner), run.policy(0), 1, 0, 25)
    row.exact("EV09", "an evaluation of td3", result.lengths.tolist() == [200], f"{result}")


def test_lanes_wait_for_the_period_alike(row):
    """Lanes share the branch of the delayed actor: both are at rest in the same steps, each with actors of its own."""
    run, moved = begin(0, 1), []
    for _ in range(12):
        before = [bits(run, index) for index in (0, 1)]
        run.advance()
        after = [bits(run, index) for index in (0, 1)]
        names = [name for name in after[0] if name.startswith("agent/params/actor")]
        moved.append([any(new[n] != old[n] for n in names) for new, old in zip(after, before, strict=True)])
    due = [[step > 5 and (step - 5) % 3 == 0] * 2 for step in range(1, 13)]
    row.exact("EV11", "steps of the actors in two lanes", moved == due, f"expected {due}, saw {moved}")
    apart = bits(run, 0) != bits(run, 1)
    row.exact("RN-01", "two lanes of td3 differ", apart, "both lanes have the same parameters and replay")


def test_the_actor_is_exported_layer_by_layer(row):
    learner = build.learner_of(config(), 2)
    state = jax.jit(lambda key: deterministic.create(learner, key, 3, 2))(jax.random.key(0))
    observations = np.random.default_rng(0).normal(scale=2.0, size=(16, 3)).astype(np.float32)
    layers = export.mode_layers(state.params.actor)
    dtype = layers[0][0].dtype
    (kernel, bias), (last, shift) = ([Rounded.exact(x, dtype) for x in layer] for layer in layers)
    hidden = running_error.maximum(Rounded.exact(observations, dtype) @ kernel + bias, 0.0)
    true = running_error.tanh(hidden @ last + shift)
    exported = act.Policy(tuple(layers), -np.ones(2), np.ones(2), {}).unscaled(observations)
    ours = greedy(learner)(state.params.actor, jnp.asarray(observations))
    for name, seen in (("exported action of td3", exported), ("action of td3", ours)):
        row("EXPORT-01", name, np.abs(np.asarray(seen) - true.value), true.error, "running error of the network")


def test_the_presets_are_the_published_agents():
    for name, critics, noise, period in (("ddpg", 1, 0.0, 1), ("td3", 2, 0.2, 2)):
        chosen = presets.preset(presets.default_of(name), "Pendulum-v1")
        learner = build.learner_of(chosen, 1)
        assert isinstance(learner, deterministic.Learner)
        assert isinstance(learner.critic, networks.TwinCritic if critics == 2 else networks.SingleCritic)
        settings = build.settings_of(chosen, 1)
        assert (float(settings.target_noise), int(settings.actor_period)) == (np.float32(noise), period)
        state = jax.eval_shape(lambda key, learner=learner: deterministic.create(learner, key, 3, 1), jax.random.key(0))
        assert len(state.params.critic["params"]) == critics


def test_the_agent_and_the_actions_must_fit():
    with pytest.raises(InvalidEnvironment, match=r"CartPole-v1: the action space is Discrete\(2\).*expected a Box"):
        build.environment_of(config(environment="CartPole-v1"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"divergence": "kl"}, "--divergence: expected none unless with --agent sac"),
        ({"epsilon_final": 0.1}, "--epsilon-final: read with --agent dqn alone"),
        ({"agent": "sac"}, "--actor-period: read with --agent ddpg or td3 alone; .* 2 with --agent sac, saw 3"),
        ({"critics": 3}, "--critics: expected 1 or 2, saw 3"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_an_agent_does_not_read_is_refused(changes, said):
    with pytest.raises(InvalidSetting, match=said):
        config(**changes)
