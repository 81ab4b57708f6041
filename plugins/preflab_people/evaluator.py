"""What people said of a run when they compared runs blindly, as measures of that run."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from preflab.components import Inspection
from preflab.errors import UserError
from preflab.interfaces import Context, Evaluation, Measure, Opinion, Subject
from preflab.records import Prompt, Rollout
from preflab_people.config import ComparedConfig, Judge
from preflab_people.judgments import Task
from preflab_people.matching import (
    BASELINE,
    SUBJECT,
    Matched,
    against,
    arms_of,
    check_versus,
    match,
)
from preflab_people.rounds import folder_of, frozen_of, known, read_round, required_kind
from preflab_people.waiting import counted, waiting

if TYPE_CHECKING:
    from preflab_people.frozen import FrozenRound
    from preflab_people.statistics.judges import Prefers
    from preflab_people.statistics.votes import Answered

HELD_OUT = "held_out"
SMALLEST_GROUP = 3
"""People; smaller groups are not reported: they are no sample, and people could be recognised."""


def inspect(config: ComparedConfig) -> Inspection:
    """The digest of the frozen round; or how far its people are. `UserError` if there is no such
    round: it cannot be made of a run that waits for it."""
    frozen = frozen_of(config.round)
    if frozen is not None:
        required_kind(frozen, config.round, ("compare",), "evaluator=people")
        if config.versus:
            check_versus(config.versus, arms_of(frozen), config.round)
        return Inspection(content=frozen.digest)
    if read_round(folder_of(config.round)) is None:
        raise UserError(
            f"evaluator=people: there is no round {config.round!r} (rounds here: "
            f"{', '.join(known()) or 'none'}). People compare the responses of finished runs: give "
            "this command without the evaluator, then preflab label RUN RUN --task compare --name "
            f"{config.round}, and when it is closed this command again."
        )
    return Inspection(waiting=waiting(config.round, "compare"))


@dataclass
class _Found:
    """Measures and values so far."""

    measures: dict[str, Measure] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)
    against: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    opinions: dict[str, list[Opinion]] = field(default_factory=dict)


class Compared:
    """win_rate/people (and for groups and held-out people win_rate/people_GROUP), likert/people,
    flags/NAME, with an interval about other prompts and other people; bradley_terry/people for
    three runs and more; agreement/labelers and agreement/alpha of the people, about other people
    too where there are enough; agreement/people of a judge with them. Values by prompt are nan
    where nobody was asked. What a win rate is against, and who judged, is said with them."""

    def __init__(self, config: ComparedConfig, context: Context) -> None:
        if importlib.util.find_spec("evalica") is None:
            raise UserError("evaluator=people needs the extra: pip install 'preflab[label]'")
        frozen = frozen_of(config.round)
        if frozen is None:  # the engine asks `inspect` first
            raise UserError(f"The round {config.round!r} is not closed yet.")
        self.config, self.context, self.round = config, context, frozen

    def evaluate(self, subject: Subject) -> Evaluation:
        """Look up what people said of these responses; `UserError` if they judged others."""
        from preflab_people.statistics.votes import Round

        rollout, name = subject.rollout, self.config.round
        if not rollout.prompts:
            return Evaluation({})
        baseline = None if subject.baseline is None else subject.baseline.texts
        matched = match(name, self.round, rollout.prompts, rollout.texts, baseline)
        versus = against(matched, self.config.versus, name, baseline is not None)
        opponent = "" if versus == BASELINE else versus
        asked = Round(matched.tasks, matched.judgments, matched.people)
        held_out = asked.answered(held_out=True)
        usual = asked.answered(held_out=False) or held_out
        found = _Found()
        if versus:
            self._win_rates(found, matched, usual, held_out, versus, rollout)
        self._ratings(found, usual, rollout)
        if len(matched.arms) > 2:
            _strength(found, usual, matched.arm)
        _agreement(found, usual)
        if self.config.judge is not Judge.none:
            self._judge(found, usual, rollout)
        rates = [name for name in found.measures if name.startswith("win_rate/") and opponent]
        found.against.update(dict.fromkeys(rates, opponent))
        notes = (_who_judged(name, self.round, usual), *found.notes)
        return Evaluation(
            *(found.measures, found.values),
            against=found.against,
            notes=notes,
            opinions=found.opinions,
        )

    def _win_rates(
        self,
        found: _Found,
        matched: Matched,
        usual: Sequence[Answered],
        held_out: Sequence[Answered],
        versus: str,
        rollout: Rollout,
    ) -> None:
        from preflab_people.statistics.comparison import verdicts, win_by_prompt, win_rate
        from preflab_people.statistics.votes import Round

        groups = Round(matched.tasks, matched.judgments, matched.people).groups()
        sets: dict[str, Sequence[Answered]] = {"people": usual}
        if held_out and held_out != usual:
            sets[f"people_{HELD_OUT}"] = held_out
        everybody = [*usual, *(one for one in held_out if held_out != usual)]
        for group, members in groups.items():
            some = [one for one in everybody if one.labeler in members]
            if len(groups) > 1 and len({one.labeler for one in some}) >= SMALLEST_GROUP:
                sets[f"people_{group}"] = some
        for label, answered in sets.items():
            name = f"win_rate/{label}"
            rate = win_rate(answered, SUBJECT, versus)
            found.measures[name] = rate.about_people
            found.values[name] = _by_prompt(win_by_prompt(answered, SUBJECT, versus), rollout)
            said = verdicts(answered, SUBJECT, versus)
            found.opinions[name] = _opinions((verdict.one, verdict.value) for verdict in said)
            if label == "people":
                found.measures["length_gap/people"] = rate.length_gap
                if rate.over_labelers is not None:
                    found.measures["over_labelers/people"] = rate.over_labelers

    def _ratings(self, found: _Found, usual: Sequence[Answered], rollout: Rollout) -> None:
        from preflab_people.statistics.comparison import flag_shares, flagged, likert, ratings

        if rated := list(ratings(usual, SUBJECT)):
            found.measures["likert/people"] = likert(usual, SUBJECT)
            found.values["likert/people"] = _by_prompt(_means(rated), rollout)
            found.opinions["likert/people"] = _opinions(rated)
        for flag, share in flag_shares(usual, SUBJECT, self.round.settings.flags).items():
            found.measures[f"flags/{flag}"] = share
            said = list(flagged(usual, SUBJECT, flag))
            found.values[f"flags/{flag}"] = _by_prompt(_means(said), rollout)
            found.opinions[f"flags/{flag}"] = _opinions(said)

    def _judge(self, found: _Found, usual: Sequence[Answered], rollout: Rollout) -> None:
        from preflab_people.statistics.judges import judge_agreement

        asked = {prompt.text: prompt for prompt in rollout.prompts}
        agreement = judge_agreement(usual, self._prefers(asked))
        found.measures["agreement/people"] = agreement.about_people

    def _prefers(self, asked: Mapping[str, Prompt]) -> Prefers:
        """The judge's order of two responses of a task."""
        from preflab_people.statistics.judges import by_scores

        judge = self.config.judge
        if judge is Judge.labelers:
            labeler = self.context.labeler()
            return lambda task, i, j: labeler.preference(
                asked[task.prompt.text], task.responses[i], task.responses[j]
            )
        if judge is Judge.gold:
            from preflab_builtin.evaluation.judges import true_utility

            gold = true_utility(self.context, "evaluators: people with judge=gold")
            return by_scores(
                lambda task: [
                    float(gold.parts(asked[task.prompt.text], text)["gold"])
                    for text in task.responses
                ]
            )
        return by_scores(self._rewards(asked))

    def _rewards(self, asked: Mapping[str, Prompt]) -> Callable[[Task], Sequence[float]]:
        from preflab_builtin.evaluation.forward import scores

        model, tokenizer = self.context.reward_model(), self.context.tokenizer
        runtime = self.context.runtime

        def rewards(task: Task) -> Sequence[float]:
            prompts = [asked[task.prompt.text]] * len(task.responses)
            rollout = Rollout.from_texts(tokenizer, prompts, task.responses, device=runtime.device)
            return scores(model, rollout)

        return rewards


def _means(rows: Iterable[tuple[Answered, float]]) -> dict[str, float]:
    """The mean of some values by the id of their prompt."""
    found: dict[str, list[float]] = {}
    for one, value in rows:
        found.setdefault(one.task.prompt.id, []).append(value)
    return {prompt: sum(some) / len(some) for prompt, some in found.items()}


def _opinions(rows: Iterable[tuple[Answered, float]]) -> list[Opinion]:
    """The same values with who said them, and what was drawn with their prompt."""
    from preflab_people.statistics.votes import cluster_of

    return [
        Opinion(one.task.prompt.id, one.labeler, value, cluster_of(one.task)) for one, value in rows
    ]


def _by_prompt(values: Mapping[str, float], rollout: Rollout) -> list[float]:
    return [values.get(prompt.id, math.nan) for prompt in rollout.prompts]


def _strength(found: _Found, usual: Sequence[Answered], arm: str) -> None:
    """The Bradley-Terry strength of this run among the runs of the round, if there are any."""
    from preflab_people.statistics.strengths import strengths

    result = strengths(usual)
    strength = result.strength.get(arm)
    if strength is not None:
        found.measures["bradley_terry/people"] = strength
    if result.problem:
        found.notes.append(result.problem)


def _agreement(found: _Found, usual: Sequence[Answered]) -> None:
    """How people agree with each other, where several judged the same."""
    from preflab_people.statistics.agreement import ranking
    from preflab_people.statistics.votes import SIDES, pair_votes, table

    sides, _, alpha = ranking(table(list(pair_votes(usual)), SIDES))
    for name, one in (("labelers", sides), ("alpha", alpha)):
        if not math.isfinite(one.measure.value):
            continue
        about_people = math.isfinite(one.with_people.low)
        found.measures[f"agreement/{name}"] = one.with_people if about_people else one.measure
        if not about_people:
            found.notes.append(
                f"The interval of agreement/{name} is about other prompts alone: the people are "
                "too few for one about other people."
            )


def _who_judged(name: str, frozen: FrozenRound, usual: Sequence[Answered]) -> str:
    """Who said what this evaluator measures."""
    shown = {task.id for task in frozen.tasks}
    seen = [one for one in usual if one.task.id in shown]  # others are ties that need no person
    people, prompts = len({one.labeler for one in seen}), len({one.task.prompt.id for one in seen})
    return (
        f"Real people compared responses blindly in the round {name} (digest "
        f"{frozen.digest[:12]}): {counted(people, 'person', 'people')} judged "
        f"{counted(prompts, 'prompt')}."
    )
