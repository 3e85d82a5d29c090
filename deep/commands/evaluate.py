"""``evaluate``."""

import dataclasses
import sys
from pathlib import Path

import tyro

from deep.errors import InvalidSetting


def run(arguments: list[str]) -> int:
    """Play episodes with the policy of the last sound checkpoint."""

    @dataclasses.dataclass(frozen=True)
    class Evaluate:
        """Evaluate the last policy of a run: deterministic actions, fresh environments."""

        run: tyro.conf.Positional[Path]
        """Run folder."""
        episodes: int = 10
        """Number of episodes."""
        seed: int = 0
        """Seed of the episodes' resets; independent of the training's."""

    parsed = tyro.cli(Evaluate, prog="python -m deep evaluate", args=arguments)
    if parsed.episodes < 1 or not 0 <= parsed.seed < 2**32:
        flag, value = ("--episodes", parsed.episodes) if parsed.episodes < 1 else ("--seed", parsed.seed)
        raise InvalidSetting(f"{flag}: expected a whole number >= {int(flag == '--episodes')}, saw {value}")
    from deep import build, checkpoint, environments, programs, runs
    from deep.evaluate import evaluate, greedy
    from deep.statistics import bootstrap

    config = runs.settings(parsed.run)
    saved, refused = checkpoint.latest(parsed.run / "checkpoints")
    for error in refused:
        print(f"warning: {error}; falling back to {saved.path.name}", file=sys.stderr)
    environment = environments.make(config.environment)
    learner = build.learner_of(config, environment.action_size)
    state = checkpoint.tree_like(programs.initial_state(config, learner, environment), saved, "agent")
    environment.close()
    result = evaluate(
        lambda: environments.make(config.environment),
        greedy(learner),
        state.params.actor,
        parsed.episodes,
        parsed.seed,
        saved.step,
    )
    interval = bootstrap(result.returns, statistic=lambda values: values.mean(axis=0))
    print(f"{parsed.run}: step {saved.step:,}, {parsed.episodes} episodes, seed {parsed.seed}")
    print(f"return  mean {interval.estimate:.2f}  (95 % bootstrap interval {interval.low:.2f} to {interval.high:.2f})")
    print(f"        min {result.returns.min():.2f}  max {result.returns.max():.2f}")
    print(f"length  mean {result.lengths.mean():.1f}")
    return 0
