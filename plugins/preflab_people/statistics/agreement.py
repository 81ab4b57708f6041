"""Do people agree? By three definitions, because one set of clicks gives three numbers.

- both sides (InstructGPT, section 3.4): of two people who both take a side, how often the same
- ties half: every pair of people counts; a tie against a side is half an agreement
- alpha (Krippendorff 2018): agreement beyond what the shares of answers alone give

An interval by pairs of responses would be far too narrow: pairs of one ranking depend on each
other, and so do prompts of one debate. Intervals here are by prompt, or by the prompts' group.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from preflab import intervals
from preflab.interfaces import Measure
from preflab_people.statistics import resampling
from preflab_people.statistics.resampling import Finish, Sums, Unit
from preflab_people.statistics.votes import (
    FLAG,
    LIKERT,
    SIDES,
    Answered,
    Floats,
    Round,
    Votes,
    flag_names,
    flag_votes,
    likert_votes,
    pair_votes,
    table,
)

Distance = Literal["nominal", "ordinal"]
"""How far two categories are apart: all alike, or by their places."""


@dataclass(frozen=True)
class Agreement:
    """An agreement with the sentence that says what it is.

    measure: its interval is about other prompts. with_people: about other prompts and other people.
    pairs: pairs of two people's votes behind it, which is not its sample size.
    """

    name: str
    definition: str
    measure: Measure
    with_people: Measure
    pairs: int


BOTH_SIDES = (
    "Of two people who judged the same two responses and both took a side, the share who took the "
    "same one (InstructGPT, section 3.4)."
)
TIES_HALF = (
    "Of two people who judged the same two responses, the share who said the same, where a tie "
    "against a side is half an agreement."
)
ALPHA = (
    "Krippendorff's alpha of verdicts on two responses (first, tie, second; nominal): 1 is perfect "
    "agreement, 0 what the shares of verdicts alone would give."
)
LIKERT_ALPHA = "Krippendorff's alpha of overall ratings from 1 to 7 (ordinal)."
FLAG_ALPHA = (
    "Krippendorff's alpha of the flag '{flag}' (nominal). A rare flag makes it low: read it with "
    "the positive agreement."
)
POSITIVE = "If one of two people sets the flag '{flag}', the probability that the other does too."
UNITS = " Interval: over {n} prompts or groups of prompts; with people: over {people} people too."


@dataclass(frozen=True)
class AgreementReport:
    """Agreement in a round. ranking: of people who are not held out. within: by labeler group.
    between: of two people of different groups. held_out: of held-out people among themselves."""

    ranking: tuple[Agreement, ...]
    held_out: tuple[Agreement, ...]
    within: Mapping[str, tuple[Agreement, ...]]
    between: tuple[Agreement, ...]
    likert: tuple[Agreement, ...]
    flags: Mapping[str, tuple[Agreement, ...]]


def report(asked: Round) -> AgreementReport:
    """All agreements of a round."""
    usual, held_out = asked.answered(held_out=False), asked.answered(held_out=True)
    votes = table(list(pair_votes(usual)), SIDES)
    groups = {
        name: members
        for name, members in asked.groups().items()
        if set(members) & set(votes.people)
    }
    flags = flag_names(usual)
    return AgreementReport(
        ranking=ranking(votes),
        held_out=ranking(table(list(pair_votes(held_out)), SIDES)),
        within={name: ranking(votes.of(members)) for name, members in groups.items()},
        between=between(votes, groups) if len(groups) > 1 else (),
        likert=likert(usual),
        flags={flag: flagged(usual, flag) for flag in flags},
    )


def ranking(votes: Votes) -> tuple[Agreement, Agreement, Agreement]:
    """Agreement on pairs of responses in the three definitions."""
    votes = votes.shared()
    return (
        _share("both_sides", BOTH_SIDES, votes, _sides),
        _share("ties_half", TIES_HALF, votes, _ties_half),
        alpha("alpha", ALPHA, votes, "nominal"),
    )


def between(votes: Votes, groups: Mapping[str, Sequence[str]]) -> tuple[Agreement, Agreement]:
    """Agreement of two people of different groups, in the two definitions that are about pairs of
    people."""
    votes = votes.of([name for members in groups.values() for name in members]).shared()
    member = {name: i for i, members in enumerate(groups.values()) for name in members}
    group = np.array([member[name] for name in votes.people], dtype=np.int64)[votes.person]
    made: list[Agreement] = []
    for name, definition, unit in (
        ("both_sides", BOTH_SIDES, _sides),
        ("ties_half", TIES_HALF, _ties_half),
    ):
        sums = resampling.sums(votes, unit)
        for i in range(len(groups)):  # what two people of one group add is taken off
            sums = _less(sums, votes, group == i, unit)
        sentence = f"Between groups: {definition[0].lower()}{definition[1:]}"
        made.append(_made(name, sentence, votes, sums, resampling.ratio, 0.0, 1.0))
    return made[0], made[1]


def likert(answered: Sequence[Answered]) -> tuple[Agreement, ...]:
    """Agreement of ratings; empty if nobody rated."""
    votes = table(list(likert_votes(answered)), LIKERT)
    return (alpha("alpha", LIKERT_ALPHA, votes.shared(), "ordinal"),) if len(votes.unit) else ()


def flagged(answered: Sequence[Answered], flag: str) -> tuple[Agreement, Agreement]:
    """Agreement about a flag: alpha and positive agreement."""
    votes = table(list(flag_votes(answered, flag)), FLAG).shared()
    return (
        alpha("alpha", FLAG_ALPHA.format(flag=flag), votes, "nominal"),
        _share("positive", POSITIVE.format(flag=flag), votes, _positive),
    )


def alpha(name: str, definition: str, votes: Votes, distance: Distance) -> Agreement:
    """Krippendorff's alpha of votes, from sums of coincidences, which its intervals resample. A
    test holds that it is evalica's."""
    sums = resampling.sums(votes, _coincidences)
    finish = alpha_of(len(votes.categories), distance)
    return _made(name, definition, votes, sums, finish, -1.0, 1.0)


def alpha_of(categories: int, distance: Distance) -> Finish:
    """Coincidences [..., V * V] to alpha [...]; nan where all votes are one category, which says
    nothing about agreement."""

    def finish(totals: Floats) -> Floats:
        table = totals.reshape(*totals.shape[:-1], categories, categories)
        each = table.sum(axis=-1)
        if distance == "nominal":
            far = 1.0 - np.eye(categories)
        else:  # ordinal: squared numbers of votes between the middles of two categories
            middle = each.cumsum(axis=-1) - each / 2
            far = (middle[..., :, None] - middle[..., None, :]) ** 2
        count = each.sum(axis=-1)
        observed = (table * far).sum(axis=(-1, -2))
        expected = (each[..., :, None] * each[..., None, :] * far).sum(axis=(-1, -2))
        with np.errstate(invalid="ignore", divide="ignore"):
            value = 1 - (count - 1) * observed / expected
        return np.asarray(np.where(expected > 0, value, np.nan))

    return finish


def _share(name: str, definition: str, votes: Votes, unit: Unit) -> Agreement:
    sums = resampling.sums(votes, unit)
    return _made(name, definition, votes, sums, resampling.ratio, 0.0, 1.0)


def _made(
    name: str,
    definition: str,
    votes: Votes,
    sums: Sums,
    finish: Finish,
    least: float,
    most: float,
) -> Agreement:
    measure = resampling.by_prompt(sums, finish, least, most)
    with_people = resampling.by_people(sums, finish, least, most)
    measure, with_people = (_honest(one, sums, finish) for one in (measure, with_people))
    sentence = definition + UNITS.format(n=measure.n, people=with_people.n)
    each = votes.counts.sum(axis=1)
    return Agreement(name, sentence, measure, with_people, int((each * (each - 1) / 2).sum()))


def _honest(measure: Measure, sums: Sums, finish: Finish) -> Measure:
    """That nothing varies, because all agree, does not make it certain: a share then has the
    interval of `intervals.bounded_ratio`, and any other statistic none."""
    if math.isnan(measure.low) or not intervals.without_spread(measure):
        return measure
    if finish is not resampling.ratio:
        return replace(measure, low=math.nan, high=math.nan)
    tops, bottoms = sums.by_cluster().T.tolist()
    bounded = intervals.bounded_ratio(tops, bottoms)
    return replace(measure, low=bounded.low, high=bounded.high)


def _sides(counts: Floats) -> Floats:
    """Pairs of people who take the same side, and who both take one."""
    second, first = counts[:, 0], counts[:, 2]
    return np.stack([_pairs(second) + _pairs(first), _pairs(second + first)], axis=1)


def _ties_half(counts: Floats) -> Floats:
    """Pairs of people who say the same, a tie against a side half; and all pairs."""
    second, tie, first = counts[:, 0], counts[:, 1], counts[:, 2]
    same = _pairs(second) + _pairs(tie) + _pairs(first) + tie * (second + first) / 2
    return np.stack([same, _pairs(second + tie + first)], axis=1)


def _positive(counts: Floats) -> Floats:
    """Votes that set a flag paired with such votes, and with any."""
    both, one = 2 * _pairs(counts[:, 1]), counts[:, 0] * counts[:, 1]
    return np.stack([both, both + one], axis=1)


def _coincidences(counts: Floats) -> Floats:
    """Krippendorff's coincidences of each unit [U, V * V]: its pairs of votes, over the number of
    votes less one."""
    size = counts.sum(axis=1)
    weight = np.where(size > 1, 1 / np.maximum(size - 1, 1), 0.0)
    pairs = counts[:, :, None] * counts[:, None, :]
    diagonal = np.arange(counts.shape[1])
    pairs[:, diagonal, diagonal] -= counts
    weighted = pairs * weight[:, None, None]
    return np.asarray(weighted.reshape(len(counts), counts.shape[1] ** 2))


def _pairs(count: Floats) -> Floats:
    return count * (count - 1) / 2


def _less(sums: Sums, votes: Votes, chosen: NDArray[np.bool_], unit: Unit) -> Sums:
    """Sums less those of the chosen votes [N] alone."""
    counts = np.zeros((len(votes.cluster), len(votes.categories)))
    np.add.at(counts, (votes.unit[chosen], votes.value[chosen]), 1.0)
    of_unit = unit(counts)
    less = counts[votes.unit[chosen]]
    less[np.arange(len(less)), votes.value[chosen]] -= 1.0
    of_vote = sums.of_vote.copy()
    of_vote[chosen] -= of_unit[votes.unit[chosen]] - unit(less)
    return Sums(sums.of_unit - of_unit, of_vote, sums.cluster, sums.unit, sums.person)
