"""Recursions of the weights and what they rest on, the rules composed of them, and the statistics that are logged."""

import numpy as np
import pytest
import running_error as re
import tolerances_beta as bounds
from contract import shadow
from contract.compare import EPS, agree, examples
from contract.problems import DTYPE, grids, laws
from contract.shadow import exact
from hypothesis import given
from hypothesis import strategies as st

B = 64
RATES = st.sampled_from((0.0078125, 0.125, 0.5, 1.0))
CAPS = {"kl": 2.0, "js": 0.5}


def uneven(grid, *shape) -> np.ndarray:
    """Positive numbers, none of them alike for a formula that mixes up rows."""
    return (grid(*shape) + 0.015625).astype(DTYPE)


def stepped(name: str, weight: re.Rounded, ratio: re.Rounded, rate: float, law: np.ndarray) -> re.Rounded:
    """One step of a recursion, on the rows with mass."""
    if name == "immediate":
        return ratio
    if name == "replicator":
        tilted = weight * ratio
        ratio = tilted / ((exact(law) * tilted).sum() / exact(law).sum())
    return (1.0 - rate) * weight + rate * ratio


IDS = {"additive": "PRI-02", "replicator": "PRI-01", "immediate": "PRI-02"}


@pytest.mark.parametrize("name", IDS)
@given(grid=grids(0, 4), law=laws(B), rate=RATES, scale=st.sampled_from((1.0, 0.25)))
def test_step(name, grid, law, rate, scale, offered, row):
    """One step, whatever the total mass, and what it does to the batch's mean."""
    held, mass = law > 0, (law * scale).astype(DTYPE)
    weight, ratio = uneven(grid, B), uneven(grid, B)
    seen = np.asarray(offered("recursion")(name, weight, ratio, rate, mass, np.int32(1)), np.float64)[held]
    expected = stepped(name, exact(weight[held]), exact(ratio[held]), rate, mass[held])
    agree(row, IDS[name], f"one step of the recursion ({name})", seen, expected)
    if name == "replicator":  # ANCHORS A.10.1: for any TD errors at all
        masses = law.astype(np.float64)[held]
        mean = (1.0 - rate) * float(masses @ weight[held].astype(np.float64)) + rate
        bound = float(masses @ expected.error)
        reason = "running error of the rows, averaged"
        row("PRI-03", "mean after a step of the replicator", abs(float(masses @ seen) - mean), bound, reason)


@pytest.mark.parametrize("name", ["additive", "replicator"])
def test_attractor(name, offered, row):
    """From uniform weights the first steps agree; then one goes to the ratio, the other to the best rows alone."""
    classes = np.array([1.0, 2.0, 4.0])
    ratio, mass = np.resize(classes, B - 1), np.full(B - 1, 1.0 / 64)
    ratio, mass = np.append(ratio, 0.0).astype(DTYPE), np.append(mass, 0.0).astype(DTYPE)  # a row of padding
    held, rate, times = slice(0, B - 1), 0.5, 300
    optimal = ratio.astype(np.float64) / classes.mean()
    scaled = optimal.astype(DTYPE)
    start = np.ones(B, DTYPE)
    step = offered("recursion")
    once = np.asarray(step(name, start, scaled, rate, mass, np.int32(1)), np.float64)[held]
    # The masses are equal, so the first step is (1 + w*)/2 for both; a mean of 63 terms and four roundings a row.
    rounding = (2 * B + 16) * EPS
    first = 0.5 + 0.5 * optimal[held]
    row(
        IDS[name], f"first step from uniform weights ({name})", np.abs(once - first), rounding * first, "64 terms' mean"
    )
    rest = np.asarray(step(name, start, scaled, rate, mass, np.int32(times)), np.float64)[held]
    end = optimal[held] if name == "additive" else np.where(ratio[held] == 4.0, 3.0, 0.0)
    # Additive: (1 - rate)^k exactly. Replicator: the runner-up keeps 1 - rate + rate/2 of its weight relative to the
    # winners a step, and what the classes lose goes to the winners, a third of the rows. Each step's rounding is
    # forgotten at the rate 1 - rate.
    left = (1.0 - rate) ** times if name == "additive" else 4.0 * (1.0 - 0.5 * rate) ** times
    bound = 3.0 * (left + rounding / rate)
    row(
        IDS[name],
        f"weights at rest ({name})",
        np.abs(rest - end),
        bound,
        "rate of the slowest row, rounding of each step",
    )


def test_lost_weights(offered, row):
    """A batch in which every row has lost its weight or its ratio starts over at its ratios."""
    weight, ratio = np.zeros(B, DTYPE), np.ones(B, DTYPE)
    weight[: B // 2], ratio[: B // 2] = 2.0, 0.0
    seen = np.asarray(offered("recursion")("replicator", weight, ratio, 0.5, np.full(B, 1 / B, DTYPE), np.int32(1)))
    expected = 0.5 * weight + 0.5 * ratio
    row.exact("PRI-01", "replicator of weights that are all lost", np.array_equal(seen, expected), f"saw {seen}")


RULES = [(rule, "additive", divergence) for rule in ("relaxed", "occupancy") for divergence in ("kl", "js")]
RULES += [("relaxed", "replicator", "kl")]


@pytest.mark.parametrize(("rule", "recursion", "divergence"), RULES)
@examples(0.4)
@given(grid=grids(0, 4), law=laws(B), beta=st.sampled_from((0.5, 2.0, 8.0)), rate=st.sampled_from((0.125, 1.0)))
def test_rule(rule, recursion, divergence, grid, law, beta, rate, offered, row):
    """TD error, beta and stored weights in, new weights and what is logged of them out."""
    td_error, weight = (grid(B) - np.asarray(2.0, DTYPE)), uneven(grid, B)
    settings = {"weight_rate": rate, "value_cap": CAPS[divergence]}
    new, seen = offered("weighting")(
        rule, recursion, divergence, td_error, weight, law, np.asarray(beta, DTYPE), **settings
    )
    held = law > 0
    masses, z = law.astype(np.float64)[held], exact(td_error[held]) / beta
    if rule == "relaxed":
        ratio, nu = shadow.relaxed_ratio(divergence, z, masses)
        agree(row, "JS-04", "multiplier that a rule logs", seen["weights/multiplier"], nu)
    else:
        ratio = shadow.GENERATORS[divergence].ratio(re.minimum(z, CAPS[divergence]))
    expected = stepped(recursion, exact(weight[held]), ratio, rate, law[held])
    id = "OCC-01" if rule == "occupancy" else IDS[recursion]
    agree(row, id, f"weights of a rule ({rule}, {recursion}, {divergence})", np.asarray(new)[held], expected)
    for prefix, weights in (("", expected), ("ratio_", ratio)):
        _statistics(row, {k.removeprefix(f"weights/{prefix}"): v for k, v in seen.items()}, weights, law[held])
    if rule == "occupancy":
        capped = z.value >= CAPS[divergence]
        sure = np.abs(z.value - CAPS[divergence]) > z.error
        share = float(masses @ capped)
        if np.all(sure | capped):
            row("FD-05", "share of capped ratios", abs(float(seen["weights/ratio_at_cap"]) - share), B * EPS, "a sum")


def _statistics(row, seen: dict, weights: re.Rounded, law: np.ndarray) -> None:
    """Mean, extremes, effective sample size and divergence from uniform."""
    mass, u = exact(law), weights
    mean = (mass * u).sum()
    agree(row, "ESS-01", "mean of the weights", seen["mean"], mean)
    for name, end in (("min", weights.value.argmin()), ("max", weights.value.argmax())):
        error = abs(float(seen[name]) - weights.value[end])
        row("ESS-01", f"{name} of the weights", error, weights.error.max(), "running error of the weights")
    agree(row, "ESS-01", "effective sample fraction of the weights", seen["ess"], mean * mean / (mass * (u * u)).sum())
    agree(row, "ESS-01", "KL of the weights to uniform", seen["kl"], bounds.relative_entropy(u, law.astype(np.float64)))


@given(grid=grids(0, 4), law=laws(B), floor=st.sampled_from((0.0, 0.5)), cap=st.sampled_from((2.0, np.inf)))
def test_statistics(grid, law, floor, cap, offered, row):
    """Moments, shares at the ends and quantiles by mass; rows of mass zero do not count."""
    weight = np.maximum(grid(B), np.asarray(floor, DTYPE))
    weight = np.where(law > 0, np.minimum(weight, np.asarray(cap, DTYPE)), np.asarray(-7.0, DTYPE))
    weight[np.flatnonzero(law)[0]] = 1.0  # not all zero
    seen = offered("weight_statistics")(weight, law, floor, cap)
    held = law > 0
    kept, masses = weight[held].astype(np.float64), law[held].astype(np.float64)
    _statistics(row, seen, exact(weight[held]), law[held])
    # Masses are multiples of 1/1024 that sum to one: shares are exact in any order.
    for name, at in (("at_floor", kept <= floor), ("at_cap", kept >= cap)):
        row.exact("PRI-03", f"share {name}", float(seen[name]) == masses[at].sum(), f"{seen[name]}, {masses[at].sum()}")
    _quantiles(row, seen, kept, masses)


def _quantiles(row, seen: dict, kept: np.ndarray, masses: np.ndarray | None) -> None:
    """The inverted distribution function at every percentage that is reported."""
    reported = [name for name in seen if name[0] == "q"]
    row.exact("ESS-01", "percentiles reported", len(reported) == 7, f"expected 7, saw {reported}")
    for name in reported:
        share = int(name[1:])
        true = _quantile(kept, masses, share)
        row.exact("ESS-01", "quantiles of the weights", float(seen[name]) in true, f"{name}: {seen[name]}, not {true}")


def _quantile(kept: np.ndarray, masses: np.ndarray | None, percent: int) -> set[float]:
    """The smallest weight at or below which this percentage of the mass lies; two where rounding decides a tie."""
    counts = np.ones(len(kept), int) if masses is None else np.round(masses * 1024).astype(int)
    order = np.argsort(kept, kind="stable")
    below, total = np.cumsum(counts[order]), counts.sum()
    first = int(np.searchsorted(100 * below, percent * total))
    found = {float(kept[order][min(first, len(kept) - 1)])}
    if masses is not None and 100 * below[first] == percent * total and first + 1 < len(kept):
        found.add(float(kept[order][first + 1]))
    return found


@given(grid=grids(0, 4), size=st.integers(1, B), floor=st.sampled_from((0.0, 0.5)))
def test_stored_statistics(grid, size, floor, offered, row):
    """Of the filled slots alone: empty ones hold weights that nobody gave them."""
    weight = np.maximum(grid(B), np.asarray(floor, DTYPE))
    weight[0] = 1.0
    weight[size:] = -5.0
    seen = offered("stored_statistics")(weight, size, floor, 2.0)
    kept = weight[:size].astype(np.float64)
    mean = kept.mean()
    u = kept / mean
    entropy = np.mean(np.where(u > 0, u * np.log(np.where(u > 0, u, 1.0)), 0.0))
    # float64 throughout, whatever the precision under test: n additions, a logarithm, a handful of operations.
    rounding = (4 * B + 64) * np.finfo(float).eps
    reason = "float64: a sum over the slots and ten operations each"
    row("ESS-01", "mean of the stored weights", abs(seen["mean"] - mean), rounding * mean, reason)
    row(
        "ESS-01",
        "effective sample fraction of the stored weights",
        abs(seen["ess"] - 1 / np.mean(u * u)),
        rounding,
        reason,
    )
    row("ESS-01", "KL of the stored weights", abs(seen["kl"] - entropy), rounding * (1 + np.log(B)) * B, reason)
    for name, at in (("at_floor", kept <= floor), ("at_cap", kept >= 2.0)):
        row("PRI-03", f"share of stored weights {name}", abs(seen[name] - at.mean()), rounding, reason)
    _quantiles(row, seen, kept, None)


@pytest.mark.parametrize("size", [0, B + 1])
def test_nothing_stored(size, offered):
    with pytest.raises(ValueError, match=f"{B} slots, of which {size}"):
        offered("stored_statistics")(np.ones(B, DTYPE), size, 0.0, 2.0)
