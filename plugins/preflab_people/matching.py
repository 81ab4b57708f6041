"""A comparison and a run: does the round judge this run's responses, and which of them are whose?

People judged texts. A run's response is found by the text of its prompt and its own, and then bears
the name `SUBJECT`, what it is compared with `BASELINE`, beside the names of the runs that the round
was made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from preflab.errors import UserError, nearest
from preflab.records import Prompt
from preflab_people.frozen import FrozenRound
from preflab_people.judgments import GONE, Answer, Judgment, Person, Task, canonical_digest, task_id

SUBJECT, BASELINE = "this run", "its baseline"
Marked = tuple[tuple[Task, ...], tuple[Judgment, ...]]


@dataclass(frozen=True)
class Matched:
    """tasks, judgments: of the round, with the marks, and with the ties that need no person. arm:
    the name that the round has for this run. arms: all names. prompts: ids of the prompts that the
    round is about."""

    tasks: tuple[Task, ...]
    judgments: tuple[Judgment, ...]
    people: tuple[Person, ...]
    arm: str
    arms: tuple[str, ...]
    prompts: frozenset[str]


def match(
    name: str,
    found: FrozenRound,
    prompts: Sequence[Prompt],
    responses: Sequence[str],
    baseline: Sequence[str] | None,
) -> Matched:
    """The round as one about this run. name: of the round, for messages. `UserError` if it judged
    other prompts or other responses."""
    own = {p.text: text for p, text in zip(prompts, responses, strict=True)}
    other = {p.text: text for p, text in zip(prompts, baseline or (), strict=False)}
    asked = [task for task in found.tasks if task.origin == "normal"]
    _check(name, found, asked, own)
    here = {prompt.text: prompt for prompt in prompts}
    tasks = tuple(_marked(task, here, own, other) for task in found.tasks)
    arms = arms_of(found)
    everywhere = [_names_of(t, SUBJECT) for t in tasks if t.origin == "normal"]
    mine = [names for names in everywhere if names]
    ours = [arm for arm in arms if all(arm in names for names in mine)]
    if not ours:
        raise UserError(
            f"The round {name!r} judged other responses than this run's: on some prompts this run "
            f"gave what one of its runs gave, on some what another one did. It compared "
            f"{', '.join(arms)}."
        )
    ties, judged = _ties(found, arms, here)
    return Matched(
        (*tasks, *ties),
        (*found.judgments, *judged),
        found.people,
        ours[0],
        arms,
        frozenset(p.id for p in (t.prompt for t in (*asked, *ties))),
    )


def against(matched: Matched, versus: str | None, name: str, has_baseline: bool) -> str:
    """The name of what the run is compared with; "" for nothing. versus None: the evaluation's
    baseline; where people did not judge that, the other run of a round of two. `UserError` if the
    round did not judge it."""
    if versus is not None:
        if versus:
            check_versus(versus, matched.arms, name)
        return versus
    others = [arm for arm in matched.arms if arm != matched.arm]
    the_other = others[0] if len(others) == 1 else ""
    if not has_baseline:
        return the_other
    lacking = [
        task.prompt.id
        for task in matched.tasks
        if task.origin == "normal" and not _names_of(task, BASELINE)
    ]
    if lacking and the_other:
        return the_other
    if lacking:
        raise UserError(
            f"The round {name!r} did not judge what this run is compared with "
            f"(evaluation.baseline) on {len(lacking)} prompts, for example {lacking[0]!r}. Set "
            "versus to a run of the round, or let people judge the baseline too: preflab label RUN "
            f"RUN --task compare --baseline. Runs of the round: {', '.join(matched.arms)}."
        )
    return BASELINE


def arms_of(found: FrozenRound) -> tuple[str, ...]:
    """The names of all runs that a round compared."""
    return tuple(
        dict.fromkeys(a for t in found.tasks if t.origin == "normal" for n in t.arms for a in n)
    )


def check_versus(versus: str, arms: Sequence[str], name: str) -> None:
    """`UserError` unless the round compared this run. name: of the round."""
    if versus not in arms:
        raise UserError(
            f"versus: the round {name!r} compared no {versus!r}. {nearest(versus, [*arms, ''])}"
        )


def _check(
    name: str,
    found: FrozenRound,
    asked: Sequence[Task],
    own: Mapping[str, str],
) -> None:
    """`UserError` unless every prompt of the round is one of this run's, with its response."""
    texts: dict[str, list[str]] = {}
    for task in asked:
        texts.setdefault(task.prompt.text, []).extend(task.responses)
    other = [text for text in texts if text not in own]
    wrong = [text for text in texts if text in own and own[text] not in texts[text]]
    other += [text for text in found.equal if text not in own]
    wrong += [
        t for t, digest in found.equal.items() if t in own and canonical_digest(own[t]) != digest
    ]
    if other or wrong:
        what = (
            "prompts that this run did not answer" if other else "other responses than this run's"
        )
        number, example = len(other or wrong), (other or wrong)[0]
        raise UserError(
            f"The round {name!r} judged {what}: {number} of {len(texts) + len(found.equal)} "
            f"prompts, for example {example!r:.80}. It compared {', '.join(arms_of(found))}. "
            "Evaluate one of these runs, with the same evaluation.prompts, evaluation.split and "
            "seed; or compare this run: preflab label RUN RUN --task compare --name OTHER."
        )


def _marked(
    task: Task, here: Mapping[str, Prompt], own: Mapping[str, str], other: Mapping[str, str]
) -> Task:
    """The task about this run's prompt, with the marks beside the names of the arms."""
    text = task.prompt.text
    if text not in here:  # gold and screening tasks
        return task
    arms = tuple(
        (
            *names,
            *((SUBJECT,) if response == own[text] else ()),
            *((BASELINE,) if response == other.get(text) else ()),
        )
        for names, response in zip(task.arms, task.responses, strict=False)
    )
    return replace(task, prompt=here[text], arms=arms)


def _names_of(task: Task, mark: str) -> tuple[str, ...]:
    return next((names for names in task.arms if mark in names), ())


def _ties(found: FrozenRound, arms: Sequence[str], here: Mapping[str, Prompt]) -> Marked:
    """Prompts to which all arms gave the same text, as ties of the people who judged the others, in
    turn: that is what they would have said, and nobody was asked."""
    judges = sorted({j.labeler for t, j, p in found.judged if t.origin == "normal"})
    present = [p.id for p in found.people if p.state not in GONE and p.id in judges]
    tasks, judgments = [], []
    for number, text in enumerate(found.equal if present else ()):
        prompt = here[text]
        name = task_id("compare", prompt, ())
        everybody = (*arms, SUBJECT, BASELINE)
        tasks.append(Task(name, "compare", prompt, ("",), (everybody,)))
        judgments.append(Judgment(name, present[number % len(present)], Answer(ranks=(1,))))
    return tuple(tasks), tuple(judgments)
