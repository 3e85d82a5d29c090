"""The command line: ``python -m deep COMMAND`` (installed: ``roer-train``)."""

import importlib
import sys

from deep.errors import DeepError

COMMANDS = {
    "train": "train an agent, or several seeds in one program; --resume continues",
    "sweep": "a grid of tasks, presets and seeds, by local processes or a Ray cluster",
    "evaluate": "play episodes with a run's last policy",
    "plot": "learning curves, one line for each preset; diagnostics of a run",
    "compare": "presets side by side: scores with intervals, profiles, probabilities of improvement",
    "video": "film an episode, without a screen",
    "export": "the policy as files that act without this package",
    "presets": "the named presets and what they are",
    "certificate": "what covers this environment, or how to get it",
}

EXAMPLES = """\
  train HalfCheetah-v5 --preset roer --steps 1000000 --seed 0     train; Ctrl-C saves and stops
  train HalfCheetah-v5 --seeds 0-4                                five runs in one program
  train CartPole-v1 --agent dqn                                   deep Q-learning, for discrete actions
  train CartPole-v1 --agent ppo                                   on-policy, for discrete and continuous actions
  train Pendulum-v1 --agent td3                                   a deterministic policy; also --agent ddpg
  train --resume RUN_FOLDER                                       continue exactly where the run stopped
  plot RUN_FOLDER [RUN_FOLDER ...] --output FILE.png"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status. Errors that the user can act on are one line on stderr and status 1."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else 2
    if arguments[0] not in COMMANDS:
        print(f"error: unknown command {arguments[0]!r}; expected one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        return importlib.import_module(f"deep.commands.{arguments[0]}").run(arguments[1:])
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


def usage() -> str:
    """The commands and a few examples."""
    listed = "\n".join(f"  {name:12s} {summary}" for name, summary in COMMANDS.items())
    return (
        f"usage: python -m deep COMMAND [OPTIONS]\n\n{listed}\n\nexamples:\n{EXAMPLES}\n\n"
        "python -m deep COMMAND --help explains every setting with its default."
    )


if __name__ == "__main__":
    sys.exit(main())
