"""How far people who ranked the same responses agree, within groups and between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, combinations
from typing import NamedTuple

from preflab import intervals
from preflab.errors import UserError
from preflab.interfaces import Context, Evaluation, Subject
from preflab.records import Prompt, Ranking
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


class Vote(NamedTuple):
    """A person prefers one of two responses: the first one of their pair, or not."""

    labeler: str
    group: str
    first: bool


Votes = dict[tuple[str, str], list[Vote]]
"""By two responses: who prefers which; ties, and pairs that nobody judged, are not in it."""


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
        prompts, votes = votes_of([*context.rankings("train"), *context.rankings("validation")])
        self.counts = [agreement(own) for own in votes]
        self.cases = [case for of in zip(prompts, votes, strict=True) for case in cases(*of)]
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


def votes_of(rankings: Iterable[Ranking]) -> tuple[list[Prompt], list[Votes]]:
    """The prompts that known people of known groups ranked, each once whatever ids its rows have,
    and what these people prefer there. A person who ranked it several times has several votes."""
    prompts: dict[str, Prompt] = {}
    votes: dict[str, Votes] = {}
    for ranking in rankings:
        if not (ranking.group and ranking.labeler):
            continue
        prompts.setdefault(ranking.prompt.text, ranking.prompt)
        own = votes.setdefault(ranking.prompt.text, {})
        for better, worse in _preferred(ranking):
            pair = (min(better, worse), max(better, worse))
            vote = Vote(ranking.labeler, ranking.group, first=better == pair[0])
            own.setdefault(pair, []).append(vote)
    return list(prompts.values()), list(votes.values())


def agreement(votes: Votes) -> Counts:
    """Counts of one prompt. Two votes of one person are not compared."""
    counts = {"within": (0.0, 0.0), "between": (0.0, 0.0)}
    for one, other in chain.from_iterable(combinations(own, 2) for own in votes.values()):
        if one.labeler != other.labeler:
            name = "within" if one.group == other.group else "between"
            same, both = counts[name]
            counts[name] = (same + (one.first == other.first), both + 1)
    return counts


def cases(prompt: Prompt, votes: Votes) -> Iterator[Case]:
    """The pairs of one prompt on which people of two groups or more prefer one, with their
    numbers."""
    for pair, own in sorted(votes.items()):
        counts = {
            group: (float(sides.count(True)), float(sides.count(False)))
            for group in sorted({vote.group for vote in own})
            if (sides := [vote.first for vote in own if vote.group == group])
        }
        if len(counts) > 1:
            yield Case(prompt, *pair, counts)


def _preferred(ranking: Ranking) -> set[tuple[str, str]]:
    """(better, worse) texts; a pair that has votes for both sides is left out."""
    found = {(ranking.responses[i], ranking.responses[j]) for i, j in ranking.preferences}
    return {pair for pair in found if pair[::-1] not in found}
