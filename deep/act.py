"""A trained policy that acts with NumPy alone. This file and the policy.npz beside it need nothing else:

    from act import load

    policy = load()
    action = policy(observation)      # the observation flat or as the environment's box has it; the action in its units

``python act.py 5`` plays five episodes, where Gymnasium and the environment's simulator are installed.
"""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Policy(NamedTuple):
    """The mode of a tanh-Normal policy: layers of (kernel, bias) with ReLU between them, tanh, then the action box."""

    layers: tuple[tuple[Any, Any], ...]
    low: Any
    high: Any
    about: dict[str, Any]
    """Environment, preset, seed, training steps, versions and certificate of the run that the policy comes from."""

    def unscaled(self, observation: Any) -> Any:
        """The action in [-1, 1]^U for O numbers; a block (E, O) gives (E, U). ValueError for another number."""
        x = np.asarray(observation, np.float32)
        if x.shape[-1:] != self.layers[0][0].shape[:1]:
            raise ValueError(f"expected {self.layers[0][0].shape[0]} numbers in an observation, saw {x.shape}")
        for kernel, bias in self.layers[:-1]:
            x = np.maximum(x @ kernel + bias, 0)
        kernel, bias = self.layers[-1]
        return np.tanh(x @ kernel + bias)

    def __call__(self, observation: Any) -> Any:
        """The action for one observation, within the environment's bounds and of the shape of its action space."""
        action = self.unscaled(np.asarray(observation, np.float32).reshape(-1)).reshape(self.low.shape)
        low, high = self.low.astype(np.float64), self.high.astype(np.float64)
        return np.clip((0.5 * (low + high) + 0.5 * (high - low) * action).astype(self.low.dtype), self.low, self.high)


def load(path: str | Path | None = None) -> Policy:
    """The policy in ``path``, or in the policy.npz beside this file."""
    with np.load(path or Path(__file__).with_name("policy.npz"), allow_pickle=False) as stored:
        layers = tuple((stored[f"kernel_{at}"], stored[f"bias_{at}"]) for at in range(int(stored["layers"])))
        return Policy(layers, stored["low"], stored["high"], json.loads(str(stored["about"])))


def play(policy: Policy, episodes: int) -> None:
    """Print the return of each episode."""
    import gymnasium

    environment = gymnasium.make(policy.about["environment"])
    for episode in range(episodes):
        observation, _ = environment.reset(seed=episode)
        total, over = 0.0, False
        while not over:
            flat = gymnasium.spaces.flatten(environment.observation_space, observation)
            observation, reward, terminated, truncated, _ = environment.step(policy(flat))
            total, over = total + float(reward), terminated or truncated
        print(f"episode {episode}: return {total:.2f}")
    environment.close()


if __name__ == "__main__":
    play(load(), int(sys.argv[1]) if len(sys.argv) > 1 else 1)
