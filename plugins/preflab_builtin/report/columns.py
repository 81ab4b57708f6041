"""Which measures are columns of the ladder table, in which order, and how their numbers are
written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from preflab.interfaces import Measure
from preflab.intervals import decimals
from preflab_builtin.report.arms import Arm, opponent
from preflab_builtin.report.costs import TRAINING
from preflab_builtin.report.wording import NOTHING, short

_LEFT_OUT = ("gold/gain", "gold/win")
"""Measures that the table has in another form."""
GROUPED = (
    "group_utility",
    "group_gain",
    "group_win_rate",
    "group_head_reward",
    "group_head_gain",
    "group_head_win_rate",
)
"""Beginnings of measures that each group of people has."""
_SHARES = {
    "win_rate",
    "families",
    "reward_accuracy",
    "flags",
    "guard",
    "refusal",
    "xstest",
    "labeler_groups",
    "group_win_rate",
    "group_head_win_rate",
    "group_accuracy",
    "group_agreement",
    "ranked_agreement",
}
PLACED = {
    "reward",
    "gold",
    "win_rate",
    "likert",
    "flags",
    "kl",
    "length",
    "families",
    "document_loss",
    "reward_accuracy",
    "best_of",
    "cost",
}
"""First words of the measures whose columns are chosen here, or that a picture shows. All others
are columns under their own names."""


def is_share(measure: str) -> bool:
    """Whether a measure is a share of something: written in percent, differences in points."""
    first, _, rest = measure.partition("/")
    whole = first in _SHARES or measure == "length/terminated"
    return whole or (first == "gold" and rest.endswith("_any"))


@dataclass(frozen=True)
class Column:
    """A measure as a column. group: the heading above several; interval: shown in narrow places
    too."""

    measure: str
    heading: str
    group: str
    digits: int = 2
    interval: bool = False

    def of(self, arm: Arm) -> Measure | None:
        """The arm's measure."""
        return arm.measures.get(self.measure)

    def value(self, arm: Arm) -> str:
        """The number as text."""
        measure = self.of(arm)
        if measure is None:
            return NOTHING
        number = f"{self._scale * measure.value:.{self._decimals(measure)}f}"
        return f"{number} %" if self.percent else number

    def bounds(self, arm: Arm) -> str:
        """The interval as text, "" if there is none."""
        measure = self.of(arm)
        if measure is None or math.isnan(measure.low):
            return ""
        scale, digits = self._scale, self._decimals(measure)
        return f"[{scale * measure.low:.{digits}f}, {scale * measure.high:.{digits}f}]"

    @property
    def percent(self) -> bool:
        """Whether the number is written in percent."""
        return is_share(self.measure)

    @property
    def _scale(self) -> int:
        return 100 if self.percent else 1

    def _decimals(self, measure: Measure) -> int:
        """As many that rounding hides no interval."""
        least = 1 if self.percent else self.digits
        return decimals(self._scale * measure.low, self._scale * measure.high, least)


class KLColumn(Column):
    """KL to the reference; for best-of-n its analytic bound, with the sign of a bound."""

    def of(self, arm: Arm) -> Measure | None:
        return arm.measures.get("kl/reference") or arm.measures.get("kl/bound")

    def value(self, arm: Arm) -> str:
        known = "kl/reference" in arm.measures or not self.of(arm)
        return super().value(arm) if known else f"≤ {super().value(arm)}"

    def bounds(self, arm: Arm) -> str:
        return super().bounds(arm) if "kl/reference" in arm.measures else ""


class CostColumn(Column):
    """What training the algorithm took: large numbers, with a prefix."""

    def value(self, arm: Arm) -> str:
        measure = self.of(arm)
        return NOTHING if measure is None else short(measure.value)

    def bounds(self, arm: Arm) -> str:
        measure = self.of(arm)
        if measure is None or math.isnan(measure.low):
            return ""
        return f"[{short(measure.low)}, {short(measure.high)}]"


def columns(arms: Sequence[Arm]) -> list[Column]:
    """Columns for what the arms have measured: reward, gold, win rate, drift, alignment tax, reward
    model, cost of training, and all others."""
    measured = dict.fromkeys(name for arm in arms for name in arm.measures)
    names = [name for name in measured if name not in _LEFT_OUT]
    return [
        *_preferences(names, arms),
        *_drift(names),
        *_tax(names),
        *_reward_model(names, arms),
        *_training(arms),
        *_groups(names, arms),
        *_others(names),
    ]


def _preferences(names: Sequence[str], arms: Sequence[Arm]) -> Iterator[Column]:
    for name, part in _parts(names, "reward/"):
        heading = "proxy reward" if part == "proxy" else part
        yield Column(name, heading, "Reward model says", interval=part == "proxy")
    for name, part in sorted(_parts(names, "gold/"), key=lambda pair: pair[1] != "gold"):
        heading = part.replace("_", " ")
        yield Column(name, heading, "True utility (simulated)", interval=part == "gold")
    for name, part in _parts(names, "win_rate/"):
        group = f"Win rate against {opponent(arms, name)}"
        yield Column(name, f"judge: {part}", group, interval=True)
    for name, part in _parts(names, "likert/"):
        yield Column(name, part, "Likert, 1 to 7")
    for name, part in _parts(names, "flags/"):
        yield Column(name, part.replace("_", " "), "Flags")


def _drift(names: Sequence[str]) -> Iterator[Column]:
    if {"kl/reference", "kl/bound"} & set(names):
        yield KLColumn("kl/reference", "KL, nats", "Drift", interval=True)
    if "length/tokens" in names:
        yield Column("length/tokens", "length", "Drift", digits=1)
    if "length/terminated" in names:
        yield Column("length/terminated", "ended", "Drift")


def _tax(names: Sequence[str]) -> Iterator[Column]:
    for name, part in sorted(
        _parts(names, "families/"), key=lambda pair: (pair[1] != "mean", pair)
    ):
        heading = "Accuracy on pretraining tasks"
        yield Column(name, part, heading, interval=part == "mean")
    if "document_loss/all" in names:
        yield Column("document_loss/all", "loss", "Held-out text", digits=3)


def _reward_model(names: Sequence[str], arms: Sequence[Arm]) -> Iterator[Column]:
    """Of all pairs, and then of those of each group of people, the worst first."""
    above = "Pairs ordered right"
    parts = _parts(names, "reward_accuracy/")
    for name, rest in parts:
        label, _, part = rest.partition("/")
        if part in ("all", "length"):
            yield Column(name, label if part == "all" else "longer wins", above)
    of_groups = {
        name: rest.replace("/group/", ", ", 1) for name, rest in parts if "/group/" in rest
    }
    for name in _worst_first(of_groups, arms):
        yield Column(name, of_groups[name], above)


def _training(arms: Sequence[Arm]) -> Iterator[Column]:
    """Nothing where no arm trained an algorithm."""
    name = f"{TRAINING}flops"
    if any(arm.measures[name].value for arm in arms if name in arm.measures):
        yield CostColumn(name, "operations", "Training the algorithm")


def _groups(names: Sequence[str], arms: Sequence[Arm]) -> Iterator[Column]:
    """What each group of people gets, the worst first: by its lowest value of any arm."""
    for first in GROUPED:
        own = dict(_parts(names, f"{first}/"))
        for name in _worst_first(own, arms):
            heading = first.replace("_", " ").capitalize()
            yield Column(name, own[name], heading, interval=True, digits=3)


def _worst_first(names: Iterable[str], arms: Sequence[Arm]) -> list[str]:
    """The measures by their lowest value of any arm."""

    def least(name: str) -> float:
        return min(arm.measures[name].value for arm in arms if name in arm.measures)

    return sorted(names, key=least)


def _others(names: Sequence[str]) -> Iterator[Column]:
    for name in names:
        first, _, rest = name.partition("/")
        # LABEL/PREFIX/METRIC/GROUP of a test set: its groups are in the table of all measures.
        if first not in (*PLACED, *GROUPED) and rest.count("/") <= 1:
            group = first.replace("_", " ").capitalize()
            yield Column(name, rest.replace("_", " "), group, digits=3)


def _parts(names: Sequence[str], prefix: str) -> list[tuple[str, str]]:
    """The names with a prefix, and the rest of each."""
    return [(name, name.removeprefix(prefix)) for name in names if name.startswith(prefix)]
