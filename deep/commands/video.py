"""Film an episode of a run's policy."""

import dataclasses
from pathlib import Path

from deep.errors import InvalidSetting


def run(arguments: list[str]) -> int:
    """Write the film and print the episode's return; status 0."""
    import tyro

    @dataclasses.dataclass(frozen=True)
    class Video:
        """Film one episode of the last policy of a run: deterministic actions, drawn without a screen."""

        run: tyro.conf.Positional[Path]
        """Run folder."""
        output: Path | None = None
        """Film to write, .mp4 (needs the extra video) or .gif; none means video.mp4 in the run folder."""
        seed: int = 0
        """Seed of the episode's reset; independent of the training's."""

    parsed = tyro.cli(Video, prog="python -m deep video", args=arguments)
    if not 0 <= parsed.seed < 2**32:
        raise InvalidSetting(f"--seed: expected a whole number from 0 to 2^32 - 1, saw {parsed.seed}")
    from deep import build, policy, seeds, video
    from deep.evaluate import greedy

    output = parsed.output or parsed.run / "video.mp4"
    video.check(output)
    no_backend = video.choose_backend()
    trained = policy.load(parsed.run)
    act = greedy(trained.learner)
    environment = build.environment_of(trained.config, render_mode="rgb_array")
    try:
        film = video.record(
            environment,
            lambda observation: act(trained.actor, observation[None])[0],
            seeds.evaluation(parsed.seed, trained.step, 0),
            output,
            no_backend,
        )
    finally:
        environment.close()
    print(f"{output}: step {trained.step:,}, return {film.episodic_return:.2f}, {film.length} steps")
    return 0
