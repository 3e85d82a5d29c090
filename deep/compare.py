"""Presets held against each other: final returns with intervals, performance profiles, probability of improvement.

The final return of a run is the mean of its last evaluation's episodes (or of the evaluation at a step asked for). On
each task its interquartile mean over seeds has a bootstrap interval; so has its difference to that of a baseline, and
the probability that a run does better than a run of the baseline. Across tasks returns have no common unit, so they
become *scores* first: 0 is the mean return of uniformly random actions, measured in the warm-up of the very runs that
are compared, and 1 the baseline's mean. These two numbers are taken as they are; intervals do not contain their spread.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from deep import results, statistics
from deep.errors import InvalidRun, InvalidSetting
from deep.results import Group, Result
from deep.statistics import Band, Interval, Strata

THRESHOLDS = 101
MANY = 10


class Entry(NamedTuple):
    """One group on its task: final returns of its N runs, and how it stands to the baseline (None for itself)."""

    environment: str
    label: str
    step: int
    seeds: tuple[int, ...]
    returns: Float64[np.ndarray, " N"]
    iqm: Interval
    median: float
    difference: Interval | None
    improvement: Interval | None


class Overall(NamedTuple):
    """One label over all tasks, in scores; ``profile`` at the comparison's thresholds."""

    label: str
    iqm: Interval
    mean: Interval
    median: Interval
    optimality_gap: Interval
    improvement: Interval | None
    profile: Band


class Comparison(NamedTuple):
    """Entries by task with the baseline first; ``overall`` over ``tasks``, those on which scores exist for everyone."""

    baseline: str
    entries: tuple[Entry, ...]
    tasks: tuple[str, ...]
    thresholds: Float64[np.ndarray, " T"]
    overall: tuple[Overall, ...]
    notes: tuple[str, ...]


def compare(found: Sequence[Result], baseline: str | None = None, at: int | None = None) -> Comparison:
    """Compare groups of runs with the one labelled ``baseline`` (None: sac if there is one, else the first).

    InvalidRun when runs of one task end at different steps, unless ``at`` names a step that all of them evaluated;
    InvalidSetting for a baseline that is not among them.
    """
    groups = results.groups(found)
    labels = list(dict.fromkeys(group.label for group in groups))
    baseline = baseline or ("sac" if "sac" in labels else labels[0])
    if baseline not in labels:
        raise InvalidSetting(f"--baseline: expected one of {', '.join(labels)}, saw {baseline!r}")
    labels = [baseline, *(label for label in labels if label != baseline)]
    entries: list[Entry] = []
    scores: dict[str, dict[str, np.ndarray]] = {label: {} for label in labels}
    notes: list[str] = []
    for environment, together in itertools.groupby(groups, key=lambda group: group.environment):
        members = sorted(together, key=lambda group: labels.index(group.label))
        step = _common_step(members, at)
        returns = {group.label: np.array([run.means[step] for run in group.runs]) for group in members}
        reference = returns.get(baseline)
        for group in members:
            other = None if group.label == baseline else reference
            entries.append(_entry(group, step, returns[group.label], other))
        zero, why_not = _zero(environment, members, reference, baseline)
        if zero is None or reference is None:
            notes.append(why_not)
            continue
        for group in members:
            scores[group.label][environment] = (returns[group.label] - zero) / (np.mean(reference) - zero)
    compared = [label for label in labels if scores[label]]
    tasks = sorted(set.intersection(*(set(scores[label]) for label in compared))) if compared else []
    strata = {label: [scores[label][task] for task in tasks] for label in compared}
    thresholds = _thresholds(strata) if tasks else np.empty(0)
    overall = [_overall(label, strata, baseline, thresholds) for label in compared] if tasks else []
    notes += _remarks(entries, sorted({task for label in compared for task in scores[label]} - set(tasks)))
    return Comparison(baseline, tuple(entries), tuple(tasks), thresholds, tuple(overall), tuple(notes))


def _common_step(groups: Sequence[Group], at: int | None) -> int:
    """The step at which all runs of a task are compared."""
    runs = [run for group in groups for run in group.runs]
    common = set.intersection(*(set(run.means) for run in runs))
    if at is not None:
        if at in common:
            return at
        without = next(run for run in runs if at not in run.means)
        near = min(without.means, key=lambda step: abs(step - at))
        raise InvalidRun(f"--at {at}: {without.folder} has no evaluation at this step; its nearest is {near}")
    last = {int(run.steps[-1]): run for run in runs}
    if len(last) == 1:
        return next(iter(last))
    (few, short), (many, long) = min(last.items()), max(last.items())
    advice = f"compare them at --at {max(common)}" if common else "they share no evaluation step to compare them at"
    raise InvalidRun(
        f"runs on {groups[0].environment} end at different steps ({short.folder} at {few:,}, {long.folder} at "
        f"{many:,}), and the longer ones would look better for it: {advice}"
    )


def _entry(group: Group, step: int, returns: np.ndarray, reference: np.ndarray | None) -> Entry:
    difference = improvement = None
    if reference is not None:
        pair = [returns, reference]
        difference = statistics.stratified_bootstrap(
            pair, lambda s: statistics.interquartile_mean(s[0]) - statistics.interquartile_mean(s[1])
        )
        improvement = _improvement([returns], [reference])
    iqm = statistics.bootstrap(returns)
    median = float(np.median(returns))
    return Entry(group.environment, group.label, step, group.seeds, returns, iqm, median, difference, improvement)


def _improvement(scores: Strata, others: Strata) -> Interval:
    count = len(scores)
    return statistics.stratified_bootstrap(
        [*scores, *others], lambda s: statistics.probability_of_improvement(s[:count], s[count:])
    )


def _zero(
    environment: str, groups: Sequence[Group], reference: np.ndarray | None, baseline: str
) -> tuple[float | None, str]:
    """The mean return of random actions on this task; or None and the reason why it has no scores."""
    random = np.concatenate([run.random for group in groups for run in group.runs])
    if reference is None:
        return None, f"{environment} has no scores: {baseline} was not run there"
    if random.size == 0:
        return None, f"{environment} has no scores: no episode of random actions ended during any warm-up"
    zero = float(random.mean())
    if not np.mean(reference) > zero:
        return None, (
            f"{environment} has no scores: {baseline} returns {np.mean(reference):.4g} on average, "
            f"no more than random actions ({zero:.4g})"
        )
    return zero, ""


def _thresholds(strata: dict[str, list[np.ndarray]]) -> np.ndarray:
    """From where every run is above to where none is, with 0 and 1 among what is shown."""
    pooled = np.concatenate([task for tasks in strata.values() for task in tasks])
    low, high = min(0.0, float(pooled.min())), max(1.0, float(pooled.max()))
    room = 0.02 * (high - low)
    return np.linspace(low - room, high + room, THRESHOLDS)


def _overall(label: str, strata: dict[str, list[np.ndarray]], baseline: str, thresholds: np.ndarray) -> Overall:
    own = strata[label]
    return Overall(
        label,
        iqm=statistics.stratified_bootstrap(own, statistics.aggregate_iqm),
        mean=statistics.stratified_bootstrap(own, statistics.aggregate_mean),
        median=statistics.stratified_bootstrap(own, statistics.aggregate_median),
        optimality_gap=statistics.stratified_bootstrap(own, statistics.optimality_gap),
        improvement=None if label == baseline else _improvement(own, strata[baseline]),
        profile=statistics.stratified_band(own, lambda s: statistics.performance_profile(s, thresholds)),
    )


def _remarks(entries: Sequence[Entry], left_out: Sequence[str]) -> list[str]:
    """What a reader must know about the numbers."""
    remarks = [f"{task} is left out of the scores over all tasks: not every preset was run there" for task in left_out]
    alike: dict[str, list[str]] = {}
    for environment, together in itertools.groupby(entries, key=lambda entry: entry.environment):
        members = list(together)
        if len(members) > 1 and len({entry.seeds for entry in members}) == 1:
            alike.setdefault(_listed(members[0].seeds), []).append(environment)
        elif len(members) > 1:
            said = ", ".join(f"{entry.label} {_listed(entry.seeds)}" for entry in members)
            remarks.append(f"{environment}: not paired, the presets have different seeds ({said})")
    for seeds, environments in alike.items():
        remarks.append(
            f"{', '.join(environments)}: paired, every preset with the seeds {seeds} (same initial networks, warm-up "
            "and resets); the intervals treat runs as independent all the same"
        )
    fewest = min(len(entry.seeds) for entry in entries)
    if fewest < MANY:
        remarks.append(
            f"as few as {fewest} run{'s' * (fewest > 1)} of a preset on a task: bootstrap intervals from few runs are "
            "too narrow (they cover about 75 % for 3 runs, 85 % for 5, 90 % for 10), and one run has none"
        )
    return remarks


def _listed(seeds: Sequence[int]) -> str:
    """0-4, 7."""
    spans = []
    for _, pairs in itertools.groupby(enumerate(seeds), key=lambda pair: pair[1] - pair[0]):
        span = [seed for _, seed in pairs]
        spans.append(str(span[0]) if len(span) == 1 else f"{span[0]}-{span[-1]}")
    return ", ".join(spans)
