"""Tasks, judgments and people as they are exchanged, and answers that are checked on the way in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from preflab.records import Message, Prompt
from preflab.rows import BadRow, fields, shown, type_name
from preflab_builtin.files.conversations import ROLES, asked
from preflab_builtin.files.labelers import COLUMN as GROUP
from preflab_builtin.files.values import blank
from preflab_people.judgments import Answer, Judgment, Person, Task

MOST_LIKERT = 7
LEFT_OUT = "discarded"
"""The reason of a skip where another tool gives none."""


@dataclass(frozen=True)
class Asks:
    """What a round asks for beside ranks and texts. instructions: Markdown, the newest."""

    flags: tuple[str, ...] = ()
    likert: bool = False
    skip_reasons: tuple[str, ...] = ()
    instructions: str = ""


@dataclass(frozen=True)
class Labels:
    """What is exchanged: tasks, what people said of them, and who they are (under pseudonyms).
    asks: what the round asked for; None if nobody knows more than the answers say."""

    tasks: Sequence[Task]
    judgments: Sequence[Judgment]
    people: Sequence[Person]
    asks: Asks | None = None


@dataclass(frozen=True)
class Imported:
    """What was read. remarks: sentences about what the file could not say, or what was left out.
    names: by pseudonym, what the other tool called the person; for the owner's eyes alone."""

    labels: Labels
    remarks: tuple[str, ...]
    names: Mapping[str, str]


@dataclass
class Gathering:
    """What is gathered while the rows of a file are read. Equal tasks are one."""

    pseudonym: Callable[[str], str]
    tasks: dict[str, Task] = field(default_factory=dict)
    judgments: dict[tuple[str, str], Judgment] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)

    def person(self, name: str, group: str = "") -> str:
        """The pseudonym of a person of the other tool; "" is nobody in particular, one for each
        group. group: of the person, as far as the row says; `BadRow` if an earlier one says
        another."""
        labeler = self.pseudonym(name or group)
        known = self.people.setdefault(labeler, Person(labeler, group))
        if group and known.group and group != known.group:
            problem = f"is '{shown(group)}', but '{shown(known.group)}' for one person above"
            raise BadRow(GROUP, f"{problem}. A person is of one group: write it alike")
        if group and not known.group:
            self.people[labeler] = replace(known, group=group)
        if labeler != name:
            self.names[labeler] = name
        return labeler

    def task(self, task: Task) -> Task:
        """Add a task; `BadRow` if its id is that of another one."""
        known = self.tasks.setdefault(task.id, task)
        if known.digest != task.digest or known.kind != task.kind:
            raise BadRow("id", f"'{shown(task.id)}' is the id of another task above")
        return known

    def judge(self, judgment: Judgment, field: str) -> None:
        """Add a judgment; `BadRow` if the person has judged the task before, or if the answer does
        not fit the task. field: where it stands, for messages."""
        check_answer(self.tasks[judgment.task], judgment.answer, field)
        place = judgment.task, judgment.labeler
        if place in self.judgments:
            raise BadRow(field, "is a second judgment of one task by one person: leave one out")
        self.judgments[place] = judgment

    def remark(self, sentence: str) -> None:
        """Count a remark. ``{n}`` in the sentence becomes how often it was made."""
        self.counted[sentence] += 1

    def not_read(self, values: Mapping[str, Any], read: Collection[str], where: str = "") -> None:
        """Count what a row has beside what is read of it. where: its place in the row, a dot at the
        end."""
        for name, value in values.items():
            if name not in read and not blank(value):
                self.unread[shown(f"{where}{name}".rstrip("."))] += 1

    def imported(self) -> Imported:
        """All of it."""
        remarks = [sentence.format(n=count) for sentence, count in self.counted.items()]
        if self.unread:
            parts = (f"{name} (in {count} rows)" for name, count in sorted(self.unread.items()))
            remarks.append(f"Not read: {', '.join(parts)}.")
        return Imported(
            Labels(
                tuple(self.tasks.values()),
                tuple(self.judgments.values()),
                tuple(self.people.values()),
            ),
            tuple(remarks),
            dict(self.names),
        )


def check_answer(task: Task, answer: Answer, field: str) -> None:
    """`BadRow` for an answer that does not fit its task."""
    count = len(task.responses)
    for name, values in (
        ("ranks", answer.ranks),
        ("likert", answer.likert),
        ("flags", answer.flags),
    ):
        if values and len(values) != count:
            raise BadRow(f"{field}.{name}", f"has {len(values)} entries for {count} responses")
    for rank in answer.ranks:
        if rank is not None and (type(rank) is not int or rank < 1):
            raise BadRow(f"{field}.ranks", f"holds {shown(repr(rank))}. Allowed: 1, 2, ... or null")
    for rating in answer.likert:
        allowed = type(rating) is int and 1 <= rating <= MOST_LIKERT
        if rating is not None and not allowed:
            problem = f"holds {shown(repr(rating))}. Allowed: 1 to {MOST_LIKERT}, or null"
            raise BadRow(f"{field}.likert", problem)
    if not any((answer.ranks, answer.likert, answer.flags, answer.written, answer.skipped)):
        raise BadRow(field, "says nothing: no ranks, ratings, flags, text, or reason of a skip")


def whole_ranks(ranks: Sequence[float | None]) -> tuple[int | None, ...]:
    """Ranks in any of the usual ways as 1, 2, ... without gaps.

    >>> whole_ranks([1, 2.5, None, 2.5, 4])
    (1, 2, None, 2, 3)
    """
    place = {rank: i for i, rank in enumerate(sorted({r for r in ranks if r is not None}), 1)}
    return tuple(None if rank is None else place[rank] for rank in ranks)


TEXT, RENDERED, CONVERSATION = "a text", "a rendered text", "a conversation"
"""What a prompt of an export of ours is, under ``prompt_is``."""


def about_prompt(prompt: Prompt) -> dict[str, Any]:
    """What other tools must keep of a prompt beside what they show, so that it comes back whole."""
    is_text = RENDERED if prompt.rendered else TEXT
    about: dict[str, Any] = {
        "prompt_id": prompt.id,
        "prompt_is": CONVERSATION if prompt.messages else is_text,
    }
    if prompt.messages and prompt.text != asked(prompt.messages, "prompt").text:
        about["prompt_text"] = prompt.text
    about |= {k: v for k, v in (("group", prompt.group), ("split", prompt.split)) if v}
    return about | ({"tags": list(prompt.tags)} if prompt.tags else {})


def prompt_of(value: Any, field: str, name: str, about: Mapping[str, Any]) -> Prompt:
    """What was asked, in another tool: a list of messages, or a text, which a user said unless an
    export of ours says otherwise. name: its id where nothing says one. about: see
    `about_prompt`."""
    name = fields.identifier(about, "prompt_id") or name
    group, split = fields.identifier(about, "group"), fields.split(about)
    tags, kind = fields.tags(about), about.get("prompt_is")
    if kind in (TEXT, RENDERED):
        text = fields.checked_text(value, field)
        return Prompt(name, text, "", tags, group, split, rendered=kind == RENDERED)
    if isinstance(value, str):
        value = [{"role": "user", "content": fields.checked_text(value, field)}]
    found = asked(messages_of(value, field), field)
    text = fields.identifier(about, "prompt_text") or found.text
    return Prompt(name, text, "", tags, group, split, messages=found.messages)


def messages_of(value: Any, field: str) -> tuple[Message, ...]:
    """A list of {role, content}, checked."""
    if not isinstance(value, (list, tuple)) or not value:
        raise BadRow(field, f"is {type_name(value)} but must be a list of messages, not empty")
    found: list[Message] = []
    for i, item in enumerate(value):
        place = f"{field}[{i}]"
        if not isinstance(item, Mapping):
            raise BadRow(place, f"is {type_name(item)} but must be a message {{role, content}}")
        role = ROLES.get(str(item.get("role")).strip().lower())
        if role is None:
            known = "system, user, assistant"
            raise BadRow(f"{place}.role", f"is '{shown(str(item.get('role')))}'. Allowed: {known}")
        content = fields.checked_text(item.get("content"), f"{place}.content", blank=True)
        found.append(Message(role, content))
    return tuple(found)


def shown_prompt(prompt: Prompt) -> str | list[dict[str, str]]:
    """A prompt as other tools show it: its text, or its messages."""
    if not prompt.messages:
        return prompt.text
    return [{"role": m.role, "content": m.content} for m in prompt.messages]
