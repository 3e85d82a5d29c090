"""Play episodes with the policy of a run's last sound checkpoint."""

import dataclasses
import functools
import json
from pathlib import Path

from deep.errors import InvalidSetting


def run(arguments: list[str]) -> int:
    """Print the returns; status 0."""
    import tyro

    @dataclasses.dataclass(frozen=True)
    class Evaluate:
        """Evaluate the last policy of a run: deterministic actions, fresh environments."""

        run: tyro.conf.Positional[Path]
        """Run folder."""
        episodes: int = 10
        """Number of episodes."""
        seed: int = 0
        """Seed of the episodes' resets; independent of the training's."""
        json: bool = False
        """Print every return and length as JSON."""

    parsed = tyro.cli(Evaluate, prog="python -m deep evaluate", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))
    if parsed.episodes < 1 or not 0 <= parsed.seed < 2**32:
        flag, value = ("--episodes", parsed.episodes) if parsed.episodes < 1 else ("--seed", parsed.seed)
        raise InvalidSetting(f"{flag}: expected a whole number >= {int(flag == '--episodes')}, saw {value}")
    from deep import build, policy
    from deep.evaluate import evaluate, greedy
    from deep.statistics import bootstrap

    trained = policy.load(parsed.run)
    result = evaluate(
        functools.partial(build.environment_of, trained.config),
        greedy(trained.learner),
        trained.actor,
        parsed.episodes,
        parsed.seed,
        trained.step,
    )
    mean = bootstrap(result.returns, statistic=lambda values: values.mean(axis=0))
    if parsed.json:
        numbers = {"returns": result.returns.tolist(), "lengths": result.lengths.tolist(), "mean": mean._asdict()}
        print(json.dumps({"run": str(parsed.run), "step": trained.step, "seed": parsed.seed, **numbers}))
        return 0
    print(f"{parsed.run}: step {trained.step:,}, {parsed.episodes} episodes, seed {parsed.seed}")
    print(f"return  mean {mean.estimate:.2f}  (95 % bootstrap interval {mean.low:.2f} to {mean.high:.2f})")
    print(f"        min {result.returns.min():.2f}  max {result.returns.max():.2f}")
    print(f"length  mean {result.lengths.mean():.1f}")
    return 0
