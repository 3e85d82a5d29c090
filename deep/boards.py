"""Where a run's scalars can be watched besides its own log: TensorBoard and Weights & Biases, both on request.

Neither is read by anything here, and neither decides anything: they are options of a start of a run, not settings.
"""

import importlib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from deep.config import Config, to_json
from deep.errors import InvalidSetting

STEP = "environment_step"


class Board(NamedTuple):
    """``write(step, {name: number})`` and ``close()``."""

    write: Callable[[int, dict[str, float]], None]
    close: Callable[[], None]


class Boards(NamedTuple):
    """Which boards a start of runs was asked for; ``wandb`` is the name of a project."""

    tensorboard: bool = False
    wandb: str | None = None


def check(tensorboard: bool, wandb: str | None) -> None:
    """Refuse, before a run folder is made, a board whose package is missing; InvalidSetting names the extra."""
    for asked, flag, module, extra in (
        (tensorboard, "--tensorboard", "tensorboardX", "deep"),
        (wandb is not None, "--wandb", "wandb", "wandb"),
    ):
        if asked:
            try:
                importlib.import_module(module)
            except ModuleNotFoundError as error:
                raise InvalidSetting(
                    f'{flag} needs {module}, which this environment lacks: pip install "roer[{extra}]"'
                ) from error


def requested(folder: Path, config: Config, step: int, tensorboard: bool, wandb: str | None) -> list[Board]:
    """The boards asked for, of a run that starts or continues at ``step``; ``wandb`` is the name of a project."""
    boards = []
    if tensorboard:
        boards.append(tensorboard_board(folder, step))
    if wandb is not None:
        boards.append(wandb_board(folder, config, wandb))
    return boards


def tensorboard_board(folder: Path, step: int) -> Board:
    """Event files in ``folder``/tensorboard."""
    from tensorboardX import SummaryWriter

    # What an interrupted run logged after its last checkpoint is logged again: hide the first copy.
    writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None, flush_secs=10)

    def write(step: int, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)

    return Board(write, writer.close)


def wandb_board(folder: Path, config: Config, project: str) -> Board:
    """A run of the W&B project, the same one whenever this run folder is continued.

    ``WANDB_MODE=offline`` (or no network and ``wandb offline``) keeps it in ``folder``/wandb, for ``wandb sync``. The
    horizontal axis is the environment step; what an interrupted run logged after its last checkpoint appears twice,
    with equal values. InvalidSetting when W&B does not start.
    """
    wandb: Any = importlib.import_module("wandb")
    identifier = folder / "wandb_id"
    if not identifier.exists():
        identifier.write_text(uuid.uuid4().hex, encoding="ascii")
    try:
        run = wandb.init(
            project=project,
            id=identifier.read_text(encoding="ascii"),
            resume="allow",
            reinit="create_new",  # several seeds of one process are several runs
            dir=str(folder),
            name=folder.name,
            group=f"{config.environment} {config.preset}",
            config=to_json(config),
        )
    except wandb.Error as error:
        raise InvalidSetting(
            f"--wandb {project}: W&B does not start ({error}); `wandb login` signs in, WANDB_MODE=offline needs no "
            "network"
        ) from error
    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP)

    def write(step: int, metrics: dict[str, float]) -> None:
        run.log({STEP: step, **metrics})

    return Board(write, run.finish)
