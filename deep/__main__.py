"""The command line: ``python -m deep train | evaluate | plot | presets | certificate`` (installed: ``roer-train``)."""

import dataclasses
import hashlib
import os
import platform
import sys
from pathlib import Path

from deep.errors import DeepError, InvalidSetting

USAGE = """\
usage: python -m deep COMMAND [OPTIONS]

  train HalfCheetah-v5 --preset roer --steps 1000000 --seed 0     train; Ctrl-C saves and stops
  train --resume RUN_FOLDER                                       continue exactly where the run stopped
  evaluate RUN_FOLDER                                             play episodes with the run's last policy
  plot RUN_FOLDER [RUN_FOLDER ...] --output FILE.png              learning curves, one line for each preset
  presets                                                         the named presets and what they are
  certificate                                                     what covers this environment, or how to get it

python -m deep COMMAND --help explains every setting with its default."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status. Errors that the user can act on are one line on stderr and status 1."""
    arguments = sys.argv[1:] if arguments is None else arguments
    commands = {"train": _train, "evaluate": _evaluate, "plot": _plot, "presets": _presets, "certificate": _certificate}
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE)
        return 0 if arguments else 2
    if arguments[0] not in commands:
        print(f"error: unknown command {arguments[0]!r}; expected one of {', '.join(commands)}", file=sys.stderr)
        return 2
    try:
        return commands[arguments[0]](arguments[1:])
    except DeepError as error:
        message = str(error)
    except ModuleNotFoundError as error:
        message = f'deep needs {error.name}, which this environment lacks: pip install "roer[deep]"'
    except OSError as error:
        message = str(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print(f"error: {message}", file=sys.stderr)
    return 1


def _train(arguments: list[str]) -> int:
    """Parse a preset's or a stored run's settings with the flags on top, then train."""
    import tyro

    from deep import presets, runs, train

    stored = _value_of(arguments, "--resume")
    named = _value_of(arguments, "--preset")
    base = runs.settings(Path(stored)) if stored else presets.preset(named or "roer")

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Train(presets.Config):
        """Train an agent. Defaults are those of the preset, or of the run with --resume."""

        environment: tyro.conf.Positional[str] = dataclasses.field(
            default=base.environment,
            metadata={
                "help": "Gymnasium id of an environment with a Box action space, also as package.module:Name-v0."
            },
        )
        folder: Path | None = dataclasses.field(
            default=None, metadata={"help": "Run folder; none means runs/<environment>__<preset>__s<seed>."}
        )
        resume: Path | None = dataclasses.field(
            default=None,
            metadata={"help": "Continue the run in this folder with its own settings; only --steps may be given too."},
        )
        unverified: bool = dataclasses.field(
            default=False,
            metadata={"help": "Train even if no certificate covers this environment; recorded in config.json."},
        )

    parsed = tyro.cli(
        Train,
        prog="python -m deep train",
        args=arguments,
        default=Train(**dataclasses.asdict(base)),
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    settings = {field.name: getattr(parsed, field.name) for field in dataclasses.fields(presets.Config)}
    _keep_compiled_programs()
    if parsed.resume is None:
        config = presets.Config(**settings)
        return _exit_status(train.start(config, parsed.folder or runs.folder_of(config), unverified=parsed.unverified))
    changed = [name for name, value in settings.items() if name != "steps" and value != getattr(base, name)]
    if changed or parsed.folder:
        flag = "--folder" if not changed else f"--{changed[0].replace('_', '-')}"
        raise InvalidSetting(f"{flag}: a resumed run keeps its own settings; only --steps may be given, to extend it")
    steps = parsed.steps if parsed.steps != base.steps else None
    return _exit_status(train.resume(parsed.resume, steps=steps, unverified=parsed.unverified))


def _evaluate(arguments: list[str]) -> int:
    """Play episodes with the policy of the last sound checkpoint."""
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

    parsed = tyro.cli(Evaluate, prog="python -m deep evaluate", args=arguments)
    if parsed.episodes < 1 or not 0 <= parsed.seed < 2**32:
        flag, value = ("--episodes", parsed.episodes) if parsed.episodes < 1 else ("--seed", parsed.seed)
        raise InvalidSetting(f"{flag}: expected a whole number >= {int(flag == '--episodes')}, saw {value}")
    from deep import checkpoint, environments, runs, session
    from deep.evaluate import evaluate, greedy
    from deep.statistics import bootstrap

    config = runs.settings(parsed.run)
    saved, refused = checkpoint.latest(parsed.run / "checkpoints")
    for error in refused:
        print(f"warning: {error}; falling back to {saved.path.name}", file=sys.stderr)
    environment = environments.make(config.environment)
    learner = session.learner_of(config, environment.action_size)
    state = checkpoint.tree_like(session.initial_state(config, learner, environment), saved, "agent")
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


def _plot(arguments: list[str]) -> int:
    """Learning curves of one or more runs."""
    import tyro

    @dataclasses.dataclass(frozen=True)
    class Plot:
        """Plot learning curves: seeds of the same environment and preset become one line with its interval."""

        runs: tyro.conf.Positional[tuple[Path, ...]]
        """Run folders."""
        output: Path = Path("curves.png")
        """Figure to write; the ending chooses the format (png, svg, pdf)."""

    parsed = tyro.cli(Plot, prog="python -m deep plot", args=arguments)
    if not parsed.runs:
        raise InvalidSetting("plot: expected at least one run folder")
    from deep import plot

    plot.save(plot.curves(list(parsed.runs)), parsed.output)
    print(parsed.output)
    return 0


def _presets(arguments: list[str]) -> int:
    """Print every preset."""
    from deep import presets

    _no_arguments("presets", arguments)
    print(presets.describe())
    return 0


def _certificate(arguments: list[str]) -> int:
    """Print the certificate that covers this process; status 1 and the way to one if there is none."""
    from deep import certificate

    _no_arguments("certificate", arguments)
    found = certificate.require(certificate.precision())
    print(f"certificate {found.id} of {found.date} covers this environment ({found.backend}, {found.precision})")
    print("versions    " + ", ".join(f"{name} {version}" for name, version in found.versions.items()))
    print(f"sources     {found.source_hash}")
    print(f"folder      {certificate.directory()}")
    for identifier, row in sorted(found.rows.items()):
        print(f"  {identifier:10s} {row['quantity']:48s} largest error {row['error']:.3e}  bound {row['bound']:.3e}")
    return 0


def _no_arguments(command: str, arguments: list[str]) -> None:
    if arguments in (["-h"], ["--help"]):
        print(f"usage: python -m deep {command}        (it takes no options)")
        raise SystemExit(0)
    if arguments:
        raise InvalidSetting(f"{command} takes no arguments, saw {' '.join(arguments)}")


def _value_of(arguments: list[str], flag: str) -> str | None:
    """The value of a flag that decides the defaults of the others, and so is needed before they are parsed."""
    for position, argument in enumerate(arguments):
        if argument == flag and position + 1 < len(arguments):
            return arguments[position + 1]
        if argument.startswith(f"{flag}="):
            return argument.partition("=")[2]
    return None


def _exit_status(stopped_by: int) -> int:
    """0, or 128 + the signal's number, as shells and schedulers expect of an incomplete run."""
    return 128 + stopped_by if stopped_by else 0


def _keep_compiled_programs() -> None:
    """Keep compiled programs between processes, unless the user has said where or that they are not to be kept.

    The folder is private to this kind of processor: compiled CPU code may use instructions that another lacks.
    """
    import jax
    import platformdirs

    if not {"JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE"} & os.environ.keys():
        folder = Path(platformdirs.user_cache_dir("roer")) / "compiled" / _processor()
        jax.config.update("jax_compilation_cache_dir", str(folder))


def _processor() -> str:
    """A name for this processor's instruction set."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        features = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        features = platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(features.encode()).hexdigest()[:12]}"


if __name__ == "__main__":
    sys.exit(main())
