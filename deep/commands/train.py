"""``train``: begin runs or continue them."""

import dataclasses
import hashlib
import os
import platform
import re
from pathlib import Path
from typing import TypedDict

import tyro

from deep import build, checkpoint, config_file, dry_run, presets, runs, train
from deep.boards import Boards
from deep.config import Config
from deep.errors import InvalidSetting


class Options(TypedDict):
    """What a start of runs is told besides their settings."""

    unverified: bool
    boards: Boards
    keep: int


def run(arguments: list[str]) -> int:
    """Parse a preset's or a stored run's settings with the flags on top, then train."""
    stored = _value_of(arguments, "--resume")
    folders = runs.members(Path(stored)) if stored else []
    named = arguments[0] if arguments and not arguments[0].startswith("-") else None
    preset, file = _value_of(arguments, "--preset"), _value_of(arguments, "--config")
    if stored:
        base = runs.settings(folders[0])
    elif file:
        base = config_file.load(Path(file), preset, named)
    else:
        base = presets.preset(preset or presets.default_of(_value_of(arguments, "--agent")), named)

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Train(Config):
        """Train an agent. Defaults are those of the preset, or of the run with --resume."""

        environment: tyro.conf.Positional[str] = dataclasses.field(
            default=base.environment,
            metadata={
                "help": "Gymnasium id of an environment with the agent's actions, also as package.module:Name-v0."
            },
        )
        seeds: str | None = dataclasses.field(
            default=None,
            metadata={"help": "Several seeds trained in one program, as 0-9 or 0,3,5; each gets a run folder s<seed>."},
        )
        folder: Path | None = dataclasses.field(
            default=None, metadata={"help": "Run folder; none means runs/<environment>__<preset>__s<seed>."}
        )
        resume: Path | None = dataclasses.field(
            default=None,
            metadata={"help": "Continue the run in this folder with its own settings; only --steps may be given too."},
        )
        tensorboard: bool = dataclasses.field(
            default=False, metadata={"help": "Also write TensorBoard events, to the run folder."}
        )
        wandb: str | None = dataclasses.field(
            default=None, metadata={"help": "Also log to this project of Weights & Biases; extra: wandb."}
        )
        config: Path | None = dataclasses.field(
            default=None,
            metadata={"help": "JSON file with settings to start from: the config.json of a run, or any part of one."},
        )
        keep: int = dataclasses.field(default=checkpoint.KEPT, metadata={"help": "Checkpoints kept, the newest ones."})
        dry_run: bool = dataclasses.field(
            default=False, metadata={"help": "Say what the run would be, with its sizes, and train nothing."}
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
    settings = {field.name: getattr(parsed, field.name) for field in dataclasses.fields(Config)}
    if parsed.keep < 1:
        raise InvalidSetting(f"--keep: expected a whole number >= 1, saw {parsed.keep}")
    options: Options = {
        "unverified": parsed.unverified,
        "boards": Boards(parsed.tensorboard, parsed.wandb),
        "keep": parsed.keep,
    }
    _keep_compiled_programs()
    if parsed.resume is None:
        config = Config(**settings)
        configs, places = [config], [parsed.folder or runs.folder_of(config)]
        if parsed.seeds is not None:
            chosen = seed_list(parsed.seeds)
            configs = [dataclasses.replace(config, seed=seed) for seed in chosen]
            root = parsed.folder or runs.folder_of(config, seeds=parsed.seeds)
            places = [root / f"s{seed}" for seed in chosen]
        if parsed.dry_run:
            environment = build.environment_of(config)
            print(dry_run.describe(configs, environment, places))
            environment.close()
            return 0
        return _exit_status(train.start(configs, places, **options))
    changed = [name for name, value in settings.items() if name != "steps" and value != getattr(base, name)]
    if changed or parsed.folder or parsed.seeds:
        flag = f"--{changed[0].replace('_', '-')}" if changed else "--folder" if parsed.folder else "--seeds"
        raise InvalidSetting(f"{flag}: a resumed run keeps its own settings; only --steps may be given, to extend it")
    steps = parsed.steps if parsed.steps != base.steps else None
    return _exit_status(train.resume(folders, steps=steps, **options))


def seed_list(text: str) -> list[int]:
    """``"0-3"`` or ``"0,2,5-7"`` as numbers; InvalidSetting for anything else, for repetitions and for none."""
    chosen: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise InvalidSetting(f"--seeds: expected numbers and ranges such as 0-9 or 0,3,5, saw {text!r}")
        chosen += range(int(match[1]), int(match[2] or match[1]) + 1)
    if len(set(chosen)) < len(chosen):
        raise InvalidSetting(f"--seeds: expected every seed once, saw {text!r}")
    return chosen


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
        # JAX leaves out what compiles in less than a second: a dozen programs that a run begins with.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _processor() -> str:
    """A name for this processor's instruction set."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        features = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        features = platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(features.encode()).hexdigest()[:12]}"
