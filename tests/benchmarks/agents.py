"""The small agents on small tasks, beside other people's at equal steps: mean return of 100 episodes, three seeds.

    python tests/benchmarks/agents.py --peer-python PATH                     # the whole table
    python tests/benchmarks/agents.py --only dqn td3 --json agents.json      # ours alone, two rows

Ours is `python -m deep train` with the flags of the table below; its runs are left in a temporary folder. The peers are
SBX's DQN, PPO, TD3 and DDPG and, as SBX has none, Stable-Baselines3's A2C, run by `--peer-python` (an interpreter with
sbx-rl) with what both sides call the same set alike: network sizes, learning rate, batch, discount, steps before the
first update, returns of three steps and moving targets (DQN), noise on actions (TD3, DDPG), the shape of a rollout
(PPO, A2C). What only one side has, such as double estimation, stays at its own default, so a difference is one of whole
recipes, not of one line. Both act greedily in 100 episodes after the last step. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

EPISODES = 100
SEEDS = (0, 1, 2)


class Row(NamedTuple):
    """One agent on one task: our flags, and the arguments of the peer's constructor."""

    environment: str
    steps: int
    target: float
    flags: tuple[str, ...]
    peer: str
    arguments: dict[str, Any]


_SMALL = ("--hidden", "64", "64", "--learning-rate", "1e-3", "--batch-size", "128", "--warmup-steps", "1000")
_SMALL_PEER = {"learning_rate": 1e-3, "batch_size": 128, "learning_starts": 1000, "net_arch": [64, 64], "noise": 0.1}
ROWS = {
    "dqn": Row("CartPole-v1", 50_000, 475.0, (), "sbx.DQN",
               {"learning_rate": 5e-4, "batch_size": 128, "learning_starts": 1000, "buffer_size": 100_000,
                "train_freq": 1, "gradient_steps": 1, "n_steps": 3, "tau": 0.005, "target_update_interval": 1,
                "exploration_fraction": 0.2, "net_arch": [128, 128]}),
    "a2c": Row("CartPole-v1", 200_000, 475.0, (), "stable_baselines3.A2C",
               {"learning_rate": 7e-4, "n_steps": 8, "gae_lambda": 1.0, "environments": 8, "net_arch": [64, 64]}),
    "ppo": Row("CartPole-v1", 51_200, 475.0, (), "sbx.PPO",
               {"learning_rate": 3e-4, "n_steps": 128, "batch_size": 256, "n_epochs": 10, "environments": 8,
                "net_arch": [64, 64]}),
    "ddpg": Row("Pendulum-v1", 15_000, -200.0, _SMALL, "sbx.DDPG", _SMALL_PEER),
    "td3": Row("Pendulum-v1", 20_000, -200.0, _SMALL, "sbx.TD3", _SMALL_PEER),
}  # fmt: skip


def ours(agent: str, folder: Path) -> list[float]:
    """The mean returns of three seeds, trained by the command line."""
    row = ROWS[agent]
    command = [
        *(sys.executable, "-m", "deep", "train", row.environment, "--agent", agent, "--unverified", *row.flags),
        *("--steps", str(row.steps), "--evaluate-every", str(row.steps), "--evaluation-episodes", str(EPISODES)),
        *("--seeds", f"{SEEDS[0]}-{SEEDS[-1]}", "--folder", str(folder)),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return [last_return(log) for log in sorted(folder.rglob("metrics.jsonl"))]


def last_return(log: Path) -> float:
    """The mean of the last evaluation in a run's log."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    returns = [line["evaluation/returns"] for line in lines if "evaluation/returns" in line][-1]
    assert len(returns) == EPISODES, f"expected {EPISODES} episodes in {log}, saw {len(returns)}"
    return statistics.fmean(returns)


def theirs(agent: str, python: str) -> list[float]:
    """The same of the peer, each seed in a process of its own interpreter."""
    command = [python, __file__, "--peer", agent]
    found = []
    for seed in SEEDS:
        run = subprocess.run([*command, str(seed)], check=False, capture_output=True, text=True)
        if run.returncode:
            name = ROWS[agent].peer
            sys.exit(f"error: {name} by {python}: expected a return, saw exit status {run.returncode}:\n{run.stderr}")
        found.append(float(run.stdout.splitlines()[-1]))
    return found


def peer(agent: str, seed: int) -> float:
    """Train and evaluate one of the peer's, in this process."""
    import importlib

    import numpy as np
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.noise import NormalActionNoise

    row = ROWS[agent]
    module, _, name = row.peer.rpartition(".")
    arguments = dict(row.arguments)
    environments = make_vec_env(row.environment, n_envs=arguments.pop("environments", 1), seed=seed)
    policy = {"net_arch": arguments.pop("net_arch")}
    if "noise" in arguments:  # on the scale [-1, 1], as here
        scale = np.full(environments.action_space.shape, arguments.pop("noise"))
        arguments["action_noise"] = NormalActionNoise(np.zeros_like(scale), scale)
    algorithm = getattr(importlib.import_module(module), name)
    model = algorithm("MlpPolicy", environments, policy_kwargs=policy, seed=seed, **arguments)
    model.learn(row.steps)
    evaluation = make_vec_env(row.environment, seed=1000 + seed)
    returns, _ = evaluate_policy(model, evaluation, EPISODES, deterministic=True, return_episode_rewards=True)
    return statistics.fmean(returns)


def table(results: dict[str, dict[str, list[float]]]) -> str:
    """Markdown, one line for each agent."""
    lines = ["| agent | task | steps | goal | here, three seeds | peer | peer's, three seeds |", "|" + "---|" * 7]
    for agent, found in results.items():
        row = ROWS[agent]
        numbers = [", ".join(f"{value:.1f}" for value in found.get(side, [])) or "-" for side in ("ours", "peer")]
        task = (f"`{agent}`", row.environment, f"{row.steps:,}", f"{row.target:.0f}")
        lines.append("| " + " | ".join((*task, numbers[0], row.peer, numbers[1])) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="an interpreter with sbx-rl; without it ours alone")
    parser.add_argument("--only", nargs="+", choices=tuple(ROWS), default=tuple(ROWS), help="the rows (default: all)")
    parser.add_argument("--json", type=Path, help="write the numbers there as well, after every row")
    parser.add_argument("--peer", nargs=2, metavar=("AGENT", "SEED"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        print(peer(options.peer[0], int(options.peer[1])))
        return 0
    results: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="agents-") as folder:
        for agent in options.only:
            print(f"{agent} on {ROWS[agent].environment}", file=sys.stderr, flush=True)
            results[agent] = {"ours": ours(agent, Path(folder) / agent)}
            if options.peer_python:
                results[agent]["peer"] = theirs(agent, options.peer_python)
            if options.json:
                options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
