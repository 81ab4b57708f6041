"""People as the labelers of a run: what they said in a frozen round, looked up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from preflab.components import Inspection
from preflab.errors import UserError, nearest
from preflab.interfaces import Context
from preflab.records import Prompt, Ranking
from preflab_people.config import PeopleConfig
from preflab_people.frozen import FrozenRound
from preflab_people.judgments import GONE, Person, texts_digest
from preflab_people.rounds import frozen_of, required_kind
from preflab_people.training import Judged, counts_for_training, ranking, rankings
from preflab_people.waiting import made_by, waiting

HELD_OUT = "held_out"
"""People who label no training data, as a group."""


def inspect(config: PeopleConfig) -> Inspection:
    """The digest of the frozen round; or what its people have yet to do."""
    frozen = frozen_of(config.round)
    if frozen is None:
        return Inspection(waiting=waiting(config.round, "rank"), on_record=True)
    required_kind(frozen, config.round, ("rank",), "labeler=people")
    rated = any(any(judgment.answer.likert) for _, judgment, _ in frozen.judged)
    unrated = "" if rated else "have them asked for ratings too, with preflab label RUN --likert"
    who = [one.labeler for one in rankings(frozen.judged)]
    said = f"labeler=people: {made_by(frozen, who, 'ranking')}"
    return Inspection(content=frozen.digest, on_record=True, unrated=unrated, notices=(said,))


class People:
    """`preflab.interfaces.Labeler`: nobody is asked anything, what was said is looked up by the
    prompt and the exact texts."""

    def __init__(self, config: PeopleConfig, context: Context) -> None:
        frozen = frozen_of(config.round)
        if frozen is None:  # the engine asks `inspect` first
            raise UserError(f"The round {config.round!r} is not closed yet.")
        self.name, self.round = config.round, frozen
        self._asked: dict[str, list[Judged]] = {}
        self._about: dict[str, list[Judged]] = defaultdict(list)
        """By the id of the prompt: what was said of its responses."""
        for task in frozen.tasks:
            if task.kind == "rank" and task.origin == "normal":
                self._asked.setdefault(task.digest, [])
        for row in frozen.judged:
            task, judgment, person = row
            if task.digest not in self._asked or task.origin != "normal":
                continue
            if judgment.answer.ranks and not judgment.answer.skipped and person.state not in GONE:
                self._about[task.prompt.id].append(row)
                if counts_for_training(task, person):
                    self._asked[task.digest].append(row)

    def rank(
        self, prompt: Prompt, responses: Sequence[str], seed: Sequence[int | str]
    ) -> Sequence[Ranking]:
        """One ranking of each person who ranked exactly these responses, in canonical order; none
        if nobody did. `UserError` if the round was not asked about them."""
        found = self._asked.get(texts_digest(prompt, responses))
        if found is None and len(set(responses)) < 2:  # nobody is shown what cannot differ
            return []
        if found is None:
            raise UserError(_not_asked(self.name, self.round, prompt))
        return [replace(ranking(*row), prompt=prompt) for row in found]

    def preference(
        self, prompt: Prompt, first: str, second: str, group: str | None = None
    ) -> float:
        """Share of the people who judged exactly these two responses that prefer the first, ties
        counted half. `UserError` if nobody did: no one can be asked now."""
        people = self._members(group)
        if first == second:
            return 0.5
        said = list(self._verdicts(prompt, first, second, people))
        if not said:
            who = "its people" if group is None else f"its group {group!r}"
            raise UserError(
                f"labeler=people: of the round {self.name!r}, {who} did not compare these two "
                f"responses to prompt {prompt.id!r}, and nobody can be asked during a run. Leave "
                "out the evaluators that ask people, and let people compare finished runs: preflab "
                "label RUN RUN --task compare."
            )
        return sum(said) / len(said)

    def _verdicts(
        self, prompt: Prompt, first: str, second: str, people: frozenset[str]
    ) -> Iterable[float]:
        for task, judgment, person in self._about[prompt.id]:
            texts = task.responses
            if person.id in people and first in texts and second in texts:
                verdict = judgment.answer.verdict(texts.index(first), texts.index(second))
                if verdict is not None:
                    yield verdict

    def _members(self, group: str | None) -> frozenset[str]:
        """Ids of the people whose opinion is meant; `UserError` for a group that there is not."""
        present = [p for p in self.round.people if p.state not in GONE]
        members = [p.id for p in present if _is_in(p, group)]
        if group is not None and not members:
            groups = {p.group for p in present if p.group} | {
                HELD_OUT for p in present if p.held_out
            }
            raise UserError(
                f"The round {self.name!r} has no people in the group {group!r}. "
                f"{nearest(group, groups)}"
            )
        return frozenset(members)


def _is_in(person: Person, group: str | None) -> bool:
    if group is None:
        return not person.held_out
    return person.held_out if group == HELD_OUT else person.group == group


def _not_asked(name: str, frozen: FrozenRound, prompt: Prompt) -> str:
    """Why a prompt cannot be looked up, with the cure."""
    same = [task for task in frozen.tasks if task.prompt.id == prompt.id]
    what = (
        "other responses to it (this run's samples differ)" if same else "other prompts than this"
    )
    return (
        f"labeler=people: the round {name!r} was not asked about these responses to prompt "
        f"{prompt.id!r}: it was asked about {what}. Its pool has the digest "
        f"{frozen.pool[:12] or 'unknown'}. Give the seed and settings with which that pool was "
        "sampled, or let people rank this run's: preflab label RUN --name NAME, then "
        "labeler.round=NAME."
    )
