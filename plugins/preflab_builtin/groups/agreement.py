"""How far people who ranked the same responses agree, within groups and between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from preflab import intervals
from preflab.errors import UserError
from preflab.interfaces import Context, Evaluation, Subject
from preflab.records import Ranking, pairs
from preflab_builtin.groups.divided import Case, division
from preflab_builtin.groups.evaluators import GroupAgreementConfig

NEVER_TWICE = (
    "evaluators: group_agreement needs responses that two people of known groups ranked, and there "
    "are none. With labeler=simulated: labeler.labelers_per_prompt=2. In files: several rankings "
    "of the same responses, with 'labeler' and 'labeler_group'."
)
Counts = dict[str, tuple[float, float]]
"""By "within" and "between": verdicts of two people that are the same, and all in which both
prefer one response."""


def preflight(config: GroupAgreementConfig, context: Context) -> Iterator[str]:
    """`UserError` if the data has rankings, but none that two people made."""
    if context.has("rankings"):
        GroupAgreement(config, context)
    yield from ()


class GroupAgreement:
    """ranked_agreement/within and /between: of two people who ranked the same responses and both
    prefer one of a pair, the share that prefer the same one: two people of one group, and of two
    groups. ranked_agreement/divided, also by tag: of the pairs on which people of two groups prefer
    one, the share on which the majorities of two groups differ; a group's majority may be one
    person. A unit of the intervals is a prompt. Rankings of training and validation count."""

    def __init__(self, config: GroupAgreementConfig, context: Context) -> None:
        rankings = [*context.rankings("train"), *context.rankings("validation")]
        by_prompt = same_prompt(rankings)
        self.counts = [agreement(together) for together in by_prompt]
        self.cases = [case for together in by_prompt for case in cases(together)]
        if not any(both for counts in self.counts for _, both in counts.values()):
            raise UserError(NEVER_TWICE)

    def evaluate(self, subject: Subject) -> Evaluation:
        """The responses of the run play no part."""
        measures = {}
        for name in ("within", "between"):
            same, both = zip(*(counts[name] for counts in self.counts), strict=True)
            measures[f"ranked_agreement/{name}"] = intervals.bounded_ratio(same, both)
        differ = division("ranked_agreement/divided", self.cases)
        return Evaluation(measures | dict(differ.measures), examples=differ.examples)


def same_prompt(rankings: Iterable[Ranking]) -> list[list[Ranking]]:
    """Rankings of known groups, those of one prompt together."""
    found: dict[str, list[Ranking]] = {}
    for ranking in rankings:
        if ranking.group and ranking.labeler:
            found.setdefault(ranking.prompt.id, []).append(ranking)
    return list(found.values())


def agreement(rankings: Sequence[Ranking]) -> Counts:
    """Counts of one prompt. Two rankings are compared where both prefer one of two texts; ties, and
    pairs that one of them did not judge, do not count. Two rankings of one person do not."""
    counts = {"within": (0.0, 0.0), "between": (0.0, 0.0)}
    for first, second in combinations(rankings, 2):
        if first.labeler == second.labeler:
            continue
        mine, other = _preferred(first), _preferred(second)
        both = [pair for pair in mine if pair in other or pair[::-1] in other]
        same = sum(pair in other for pair in both)
        name = "within" if first.group == second.group else "between"
        counts[name] = (counts[name][0] + same, counts[name][1] + len(both))
    return counts


def cases(rankings: Sequence[Ranking]) -> list[Case]:
    """The pairs of one prompt on which people of two groups or more prefer one, with their numbers.
    A person who ranked it several times counts once for each ranking."""
    votes: dict[tuple[str, str], dict[str, list[int]]] = {}
    for ranking in rankings:
        for better, worse in _preferred(ranking):
            pair = (min(better, worse), max(better, worse))
            own = votes.setdefault(pair, {}).setdefault(ranking.group, [0, 0])
            own[pair.index(better)] += 1
    return [
        Case(rankings[0].prompt, *pair, {group: (a, b) for group, (a, b) in sorted(own.items())})
        for pair, own in sorted(votes.items())
        if len(own) > 1
    ]


def _preferred(ranking: Ranking) -> set[tuple[str, str]]:
    """(better, worse) texts; a pair that has votes for both sides is left out."""
    votes = set(ranking.preferences)
    return {
        (ranking.responses[i], ranking.responses[j])
        for a, b in pairs(len(ranking.responses))
        for i, j in ((a, b), (b, a))
        if (i, j) in votes and (j, i) not in votes
    }
