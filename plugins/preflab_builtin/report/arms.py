"""Runs that differ in nothing but the seed are one arm; its numbers are means over its runs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from preflab_builtin.report.runs import Draw, Measured, RunResult

_SEED = re.compile(r"((pretrain|sft|comparisons|reward_model|select|algorithm|evaluation)\.)?seed")
"""Keys that give other random numbers and nothing else. data.seed makes another world, labeler.seed other people."""

SHARES = (
    "win_rate/",
    "families/",
    "reward_accuracy/",
    "length/terminated",
    "gold/win",
    "flags/",
    "labeler_groups/",
)
"""Measures between 0 and 1: no interval goes beyond, except that of a difference of two."""
_DIFFERENCES = ("difference", "gap")
_Key = tuple[str, str, tuple[str, ...]]
"""What makes runs one arm: config name, arm name, overrides."""


@dataclass(frozen=True)
class Arm:
    """One variant. overrides: what its runs were started with, less their seeds."""

    label: str
    overrides: tuple[str, ...]
    runs: tuple[RunResult, ...]
    measures: Mapping[str, Measured]

    @property
    def seeds(self) -> list[int | str]:
        """Seeds of its runs, with those of stages that differ: "1 (algorithm 2)"."""
        return [run.draw.label for run in self.runs]

    @property
    def config_name(self) -> str:
        """The config, or study, that its runs were made with."""
        return self.runs[0].config_name if self.runs else ""

    def shared_stages(self) -> list[str]:
        """Stages whose artifact all of its several runs have in common: their variance is not in the intervals."""
        if len(self.runs) < 2:
            return []
        first = {s.stage: s.recipe for s in self.runs[0].stages}
        return [
            stage
            for stage, recipe in first.items()
            if all(_recipe(run, stage) == recipe for run in self.runs[1:])
        ]


def arms(runs: Sequence[RunResult]) -> list[Arm]:
    """The arms, in the order in which their first runs stand. A run counts once, and so does a draw: of several runs that
    differ in neither overrides nor seeds (two versions of the code, say) the last that was made counts."""
    groups: dict[_Key, dict[Draw, RunResult]] = {}
    for run in runs:
        group = groups.setdefault(_key(run), {})
        known = group.get(run.draw)
        same = (
            any(_result(run) == _result(other) for other in group.values())
            if _result(run)
            else False
        )
        if same or (known is not None and known.made > run.made):
            continue
        group[run.draw] = run
    found = {key: tuple(group.values()) for key, group in groups.items()}
    return [
        Arm(_label(key, list(found)), key[2], group, combined(group))
        for key, group in found.items()
    ]


def doubles(runs: Sequence[RunResult], found: Sequence[Arm]) -> list[tuple[RunResult, RunResult]]:
    """(run that does not count, run that counts instead) where the same overrides and seeds gave different results."""
    counted = {(_key(run), run.draw): run for arm in found for run in arm.runs}
    pairs = [
        (run, counted[_key(run), run.draw]) for run in runs if (_key(run), run.draw) in counted
    ]
    return [
        (run, other) for run, other in pairs if run is not other and _result(run) != _result(other)
    ]


def _label(key: _Key, everybody: Sequence[_Key]) -> str:
    """An arm's name; where it has none, or shares it with others, the overrides that tell it apart; else the config's name."""
    config, name, words = key
    others = [other for other in everybody if other[1] == name]
    common = set(words).intersection(*(set(other[2]) for other in others))
    own = [word for word in words if word not in common]
    if len({other[0] for other in others}) > 1:
        own.insert(0, config)
    if not name:
        return " ".join(own) or config
    return f"{name} ({' '.join(own) or 'as it is'})" if len(others) > 1 else name


def is_seed(key: str) -> bool:
    """Whether a key of the config is the seed of the run or of a stage.

    >>> is_seed("seed"), is_seed("algorithm.seed"), is_seed("data.seed"), is_seed("labeler.seed")
    (True, True, False, False)
    """
    return _SEED.fullmatch(key) is not None


def in_order(label: str) -> str:
    """An arm's name with its words in order: one that is made of overrides may be written in whatever order.

    >>> in_order("policy.width=64 algorithm=ppo") == in_order("algorithm=ppo policy.width=64")
    True
    """
    return " ".join(sorted(label.split()))


def combined(runs: Sequence[RunResult]) -> dict[str, Measured]:
    """Means over runs. With one run the interval is its own (over prompts, documents or pairs); with several it is
    Student's t over the runs' values, n their number. Runs that all have the same value, such as 0 or 1, say nothing of their
    spread: then the interval is that of one of them, the mean of their bounds."""
    found: dict[str, Measured] = {}
    for name in dict.fromkeys(name for run in runs for name in run.measures):
        measured = [run.measures[name] for run in runs if name in run.measures]
        if len(measured) == 1:
            found[name] = measured[0]
            continue
        values = [m.value for m in measured]
        mean, count = sum(values) / len(values), len(values)
        spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (count - 1))
        half = float(stats.t.ppf(0.975, count - 1)) * spread / math.sqrt(count)
        low, high = mean - half, mean + half
        bounds = [(m.low, m.high) for m in measured if m.low is not None and m.high is not None]
        if len(set(values)) == 1 and len(bounds) == count:
            low, high = (sum(ends) / count for ends in zip(*bounds, strict=True))
        if name.startswith(SHARES) and not name.endswith(_DIFFERENCES):
            low, high = max(0.0, low), min(1.0, high)
        found[name] = Measured(mean, low, high, count)
    return found


def _key(run: RunResult) -> _Key:
    return run.config_name, run.arm, _variant(run)


def _result(run: RunResult) -> str:
    """What tells its measures from another run's: the recipe of the last stage, which contains all others."""
    return run.stages[-1].recipe if run.stages else ""


def _variant(run: RunResult) -> tuple[str, ...]:
    """Overrides but for the seeds and the choice of the arm, which has a name."""
    keys = {word: word.lstrip("+").partition("=")[0] for word in run.overrides}
    return tuple(
        word
        for word in run.overrides
        if not is_seed(keys[word]) and not (run.arm and keys[word] == "arm")
    )


def _recipe(run: RunResult, stage: str) -> str:
    found = run.stage(stage)
    return found.recipe if found else ""
