"""Whether an answer fits its task: the last look before it becomes part of the history."""

from __future__ import annotations

from preflab_people.judgments import Answer, Task
from preflab_people.store.records import StoreRefusal
from preflab_people.store.settings import RoundSettings

LIKERT = range(1, 8)


def check(answer: Answer, task: Task, settings: RoundSettings) -> None:
    """`StoreRefusal` "bad_answer" that says what does not fit."""
    if problem := _problem(answer, task, settings):
        raise StoreRefusal("bad_answer", f"The answer does not fit the task: {problem}.")


def _problem(answer: Answer, task: Task, settings: RoundSettings) -> str:
    if answer.skipped:
        allowed = ", ".join(settings.skip_reasons)
        known = answer.skipped in settings.skip_reasons
        return "" if known else f"the reason for skipping must be one of: {allowed}"
    responses = len(task.responses)
    for name in ("ranks", "likert", "flags"):
        given = len(getattr(answer, name))
        if given not in (0, responses):
            return f"{name} must be given for each of the {responses} responses, not for {given}"
    if any(rank is not None and not 1 <= rank <= responses for rank in answer.ranks):
        return f"a rank is a number from 1 to {responses}"
    if any(rating is not None and rating not in LIKERT for rating in answer.likert):
        return "a rating is a number from 1 to 7"
    unknown = {flag for flags in answer.flags for flag in flags} - set(settings.flags)
    if unknown:
        return f"there is no flag {sorted(unknown)[0]!r}"
    if task.kind == "demonstrate":
        return "" if answer.written.strip() else "nothing was written"
    judged = any(rank is not None for rank in answer.ranks)
    return "" if judged or answer.written.strip() else "no response was ranked"
