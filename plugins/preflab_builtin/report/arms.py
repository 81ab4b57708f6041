"""Runs that differ only in the seed are one arm; an arm's numbers are means over its runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from preflab.interfaces import Measure
from preflab.intervals import t_interval, within, without_spread
from preflab.settings import LABELS
from preflab_builtin.report.differences import by_seed
from preflab_builtin.report.opinions import difference_of_people
from preflab_builtin.report.runs import Draw, RunResult
from preflab_builtin.report.wording import titled

_Key = tuple[str, str, tuple[str, ...]]
"""What makes runs one arm: config name, arm name, overrides."""
MOST_NUMBERED = 16
"""Of more arms than this, only `HIGHLIGHTED` have a colour and a mark of their own."""
HIGHLIGHTED = 8


@dataclass(frozen=True)
class Arm:
    """One variant.

    overrides: what its runs were started with, without their seeds. number: of its colour and mark
    in pictures and tables; None: it is one of many that have none of their own. short: its label
    where there is little room, "" if that is the label itself.
    """

    label: str
    overrides: tuple[str, ...]
    runs: tuple[RunResult, ...]
    measures: Mapping[str, Measure]
    number: int | None = None
    short: str = ""

    @property
    def brief(self) -> str:
        """Its label where there is little room."""
        return self.short or self.label

    @property
    def seeds(self) -> list[int | str]:
        """Seeds of its runs, with those of stages that differ: "1 (algorithm 2)"."""
        return [run.draw.label for run in self.runs]

    @property
    def config_name(self) -> str:
        """The config, or study, that its runs were made with."""
        return self.runs[0].config_name if self.runs else ""

    def shared_stages(self) -> list[str]:
        """Stages whose artifact all of its runs (at least two) have in common: the intervals do not
        contain the variance of these stages."""
        if len(self.runs) < 2:
            return []
        recipes = [{row.stage: row.recipe for row in run.stages} for run in self.runs]
        first, *others = recipes
        return [
            stage
            for stage, recipe in first.items()
            if all(other.get(stage, "") == recipe for other in others)
        ]


def arms(runs: Sequence[RunResult]) -> list[Arm]:
    """The arms, in the order of their first runs.

    A run counts once. Of several runs with the same overrides and seeds (made by two versions of
    the code, for example) the last counts.
    """
    groups: dict[_Key, dict[Draw, RunResult]] = {}
    for run in runs:
        group = groups.setdefault(_key(run), {})
        known = group.get(run.draw)
        again = _result(run) and _result(run) in map(_result, group.values())
        if again or (known is not None and known.ended > run.ended):
            continue
        group[run.draw] = run
    members = {key: tuple(group.values()) for key, group in groups.items()}
    labels = _called({key: _label(key, list(members)) for key in members}, members)
    return [Arm(labels[key], key[2], group, combined(group)) for key, group in members.items()]


def opponent(arms: Sequence[Arm], measure: str) -> str:
    """What a win rate of these arms is against, as headings name it."""
    runs = [run for arm in arms for run in arm.runs if measure in run.measures]
    found = {run.against.get(measure) or titled(run.baseline) for run in runs}
    found.discard("")
    if len(found) == 1:
        return found.pop()
    return "an opponent of each" if any(measure in run.against for run in runs) else "the baseline"


def doubles(runs: Sequence[RunResult], arms: Sequence[Arm]) -> list[tuple[RunResult, RunResult]]:
    """(run that does not count, run that counts instead) where the same overrides and seeds gave
    different results."""
    counted = {(_key(run), run.draw): run for arm in arms for run in arm.runs}
    pairs = [(run, counted.get((_key(run), run.draw))) for run in runs]
    return [
        (run, other)
        for run, other in pairs
        if other is not None and run is not other and _result(run) != _result(other)
    ]


def presented(arms: Sequence[Arm], named: Sequence[str] = ()) -> list[Arm]:
    """The arms as pictures and tables show them: with short labels, and with numbers for their
    colours and marks. If they are too many to be told apart, those with the labels ``named`` have
    numbers, and evenly distant ones of the others."""
    labels = [arm.label for arm in arms]
    first, others = labels, list[str]()
    if len(arms) > MOST_NUMBERED:
        first = [label for label in dict.fromkeys(named) if label in labels][:HIGHLIGHTED]
        others = [label for label in labels if label not in first]
    free = HIGHLIGHTED - len(first) if others else 0
    spread = [others[i * (len(others) - 1) // max(1, free - 1)] for i in range(free)]
    numbers = {label: i for i, label in enumerate([*first, *spread])}
    shorts = [" ".join(map(_last_key, label.split(" "))) for label in labels]
    if len(set(shorts)) < len(set(labels)):
        shorts = labels
    return [
        replace(arm, number=numbers.get(arm.label), short=short)
        for arm, short in zip(arms, shorts, strict=True)
    ]


def _last_key(word: str) -> str:
    """An override with the last part of its key; the choice of a component without its key.

    >>> _last_key("algorithm.kl.coef=0.1"), _last_key("algorithm=ppo"), _last_key("seed=1")
    ('coef=0.1', 'ppo', 'seed=1')
    """
    key, equals, value = word.partition("=")
    if not equals or not value:
        return word
    is_choice = "." not in key and not re.match(r"[-+.\d]", value)
    return value if is_choice else f"{key.rpartition('.')[2]}={value}"


def _label(key: _Key, keys: Sequence[_Key]) -> str:
    """An arm's name. If it has none, or shares it with others: the overrides in which it differs
    from them. If there are none: the name of the config."""
    config, name, words = key
    others = [other for other in keys if other[1] == name]
    common = set(words).intersection(*(set(other[2]) for other in others))
    own = [word for word in words if word not in common]
    if len({other[0] for other in others}) > 1:
        own.insert(0, config)
    if not name:
        return " ".join(own) or config
    return f"{name} ({' '.join(own) or 'as it is'})" if len(others) > 1 else name


def _called(
    labels: dict[_Key, str], members: Mapping[_Key, Sequence[RunResult]]
) -> dict[_Key, str]:
    """The labels, but for an arm without a name whose runs have one that no other arm's have."""
    names = {key: {run.name for run in group} for key, group in members.items()}
    own = {key: min(found) for key, found in names.items() if len(found) == 1 and not key[1]}
    return {
        key: own[key]
        if own.get(key) and sum(own[key] in found for found in names.values()) == 1
        else label
        for key, label in labels.items()
    }


def in_order(label: str) -> str:
    """An arm's name with its words sorted: a name that consists of overrides may have any order.

    >>> in_order("policy.width=64 algorithm=ppo") == in_order("algorithm=ppo policy.width=64")
    True
    """
    return " ".join(sorted(label.split()))


def combined(runs: Sequence[RunResult]) -> dict[str, Measure]:
    """Means over seeds.

    With one run, a measure keeps its own interval (over prompts, documents or pairs). With several,
    the interval is Student's t over the seeds, and n is their number; several runs of one seed
    count as their mean (`by_seed`). Of what people said it is about other prompts and people too,
    as that of a claim is. Seeds that all have the same value, such as 0 or 1, do not show
    how much it varies: the interval is then the mean of the runs' own intervals, or none where a
    run has none. No interval leaves the measure's range.
    """
    combined_measures: dict[str, Measure] = {}
    for name in dict.fromkeys(name for run in runs for name in run.measures):
        having = [run for run in runs if name in run.measures]
        measures = [run.measures[name] for run in having]
        if len(measures) == 1:
            combined_measures[name] = measures[0]
            continue
        of_people = difference_of_people(name, [((run,), ()) for run in having])
        if of_people is not None:
            seeds = len({run.seed for run in having})
            combined_measures[name] = replace(of_people.measure(), n=seeds)
            continue
        mean = t_interval(
            by_seed([m.value for m in measures], [run.seed for run in having]).tolist()
        )
        if without_spread(mean):
            ends = [sum(e) / len(e) for e in zip(*((m.low, m.high) for m in measures), strict=True)]
            mean = replace(mean, low=ends[0], high=ends[1])
        combined_measures[name] = within(mean, measures[0].least, measures[0].most)
    return combined_measures


def _key(run: RunResult) -> _Key:
    return run.config_name, run.arm, _variant(run)


def _result(run: RunResult) -> str:
    """The recipe of the last stage, which contains all others: it identifies the run's measures."""
    return run.stages[-1].recipe if run.stages else ""


def _variant(run: RunResult) -> tuple[str, ...]:
    """Overrides without the seeds, without what the study declares, which changes no result, and
    without the choice of the arm if the arm has a name."""
    left_out = run.seed_keys.union(LABELS, ["arm"] if run.arm else [])
    keys = [(word, word.lstrip("+~").partition("=")[0]) for word in run.overrides]
    return tuple(w for w, key in keys if key not in left_out and key.partition(".")[0] != "study")
