"""Runs that differ in nothing but the seed are one arm; its numbers are means over its runs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from preflab_builtin.report.runs import Measured, RunResult

_SEED = re.compile(r"^\+*(seed|(?!data\.)[A-Za-z_]+\.seed)=")
"""Overrides that give other random numbers and nothing else. data.seed makes another world, and is not one of them."""


@dataclass(frozen=True)
class Arm:
    """One variant. overrides: what its runs were started with, less their seeds."""

    label: str
    overrides: tuple[str, ...]
    runs: tuple[RunResult, ...]
    measures: Mapping[str, Measured]

    @property
    def seeds(self) -> list[int]:
        """Seeds of its runs."""
        return [run.seed for run in self.runs]

    def shared_stages(self) -> list[str]:
        """Stages whose artifact all of its several runs have in common: their variance is not in the intervals."""
        if len(self.runs) < 2:
            return []
        first = {s.stage: s.recipe for s in self.runs[0].stages}
        return [stage for stage, recipe in first.items() if all(_recipe(run, stage) == recipe for run in self.runs[1:])]


def arms(runs: Sequence[RunResult]) -> list[Arm]:
    """The arms, in the order in which their first runs stand."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[RunResult]] = {}
    for run in runs:
        groups.setdefault((run.config_name, run.arm, _variant(run)), []).append(run)
    names = [(config, arm or " ".join(words) or config) for config, arm, words in groups]
    found = []
    for (config, arm, words), group in groups.items():
        label = arm or " ".join(words) or config
        same_name = [key for key, name in zip(groups, names, strict=True) if name[1] == label]
        if len(same_name) > 1:
            label = _told_apart(label, config, words, same_name)
        found.append(Arm(label, words, tuple(group), combined(group)))
    return found


def _told_apart(label: str, config: str, words: tuple[str, ...], others: Sequence[tuple[str, str, tuple[str, ...]]]) -> str:
    """An arm's name with what distinguishes it from others of that name."""
    common = set(others[0][2]).intersection(*(set(key[2]) for key in others))
    own = [word for word in words if word not in common]
    if len({key[0] for key in others}) > 1:
        own.insert(0, config)
    return f"{label} ({' '.join(own) or 'as it is'})"


def combined(runs: Sequence[RunResult]) -> dict[str, Measured]:
    """Means over runs. With one run the interval is its own (over prompts, documents or pairs); with several it is
    Student's t over the runs' values, n their number."""
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
        found[name] = Measured(mean, mean - half, mean + half, count)
    return found


def _variant(run: RunResult) -> tuple[str, ...]:
    """Overrides but for the seeds and the choice of the arm, which has a name."""
    return tuple(w for w in run.overrides if not _SEED.match(w) and not (run.arm and w.lstrip("+").startswith("arm=")))


def _recipe(run: RunResult, stage: str) -> str:
    found = run.stage(stage)
    return found.recipe if found else ""
