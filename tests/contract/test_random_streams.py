"""Random streams of whole learning steps: no key serves two purposes, and the noise is uncorrelated."""

import itertools

import numpy as np
import tolerances

STEPS = 16


def test_keys(offered, row, stream):
    """Every key is used once: for one draw or for one derivation, over many steps of insert, sample, update, act."""
    steps = offered("learning_stream")(STEPS, stream + 3)
    used = [(draw.key, draw.function) for draw in (*steps.draws, *steps.derivations)]
    first: dict[bytes, str] = {}
    for position, (key, function) in enumerate(used):
        row.exact(
            "RN-01",
            "no two draws share a key",
            key not in first,
            f"use {position} ({function}) takes the key that {first.get(key)} took before",
        )
        first[key] = f"use {position} ({function})"
    expected = STEPS * steps.noise_per_step
    row.exact(
        "RN-01",
        "draws per learning step",
        len(steps.draws) == expected,
        f"expected {expected} draws in {STEPS} steps, saw {[d.function for d in steps.draws]}",
    )


def test_noise_is_uncorrelated(offered, row, stream):
    """The normal draws of all steps, pairwise: correlations as of independent normals, and none repeats."""
    steps = offered("learning_stream")(STEPS, stream + 3)
    noise = [np.ravel(d.result).astype(float) for d in steps.draws if d.function == "normal" and d.result.size > 2]
    pairs = list(itertools.combinations(noise, 2))
    row.exact(
        "RN-02",
        "normal draws seen",
        len(noise) == 2 * STEPS,
        f"expected the noise of two action samples in each of {STEPS} updates, saw {len(noise)} such draws",
    )
    bound, reason = tolerances.normal_correlation(len(noise[0]), len(pairs))
    row("RN-02", "correlation between draws of noise", [abs(np.corrcoef(a, b)[0, 1]) for a, b in pairs], bound, reason)


def test_seeds_differ(offered, row, stream):
    """Another seed gives other noise: no draw of one run appears in the other."""
    first, second = (
        {d.key for d in offered("learning_stream")(STEPS, seed).draws} for seed in (stream + 3, stream + 4)
    )
    row.exact("RN-01", "runs of two seeds share no key", not first & second, f"{len(first & second)} keys are shared")
