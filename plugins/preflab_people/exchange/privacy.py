"""What never leaves in an export: names, addresses, groups so small that they name somebody.

Judgments come under pseudonyms already; names and addresses are in a file of the round that no
exporter reads. Here the rest is taken care of.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from preflab.errors import UserError
from preflab.rows import shown
from preflab_builtin.filters.emails import has_email
from preflab_builtin.filters.phones import has_phone
from preflab_people.exchange.labels import Labels
from preflab_people.judgments import Judgment, Person, Task
from preflab_people.training import trains

SMALLEST_GROUP = 3
"""A group of fewer people is merged with others."""
OTHERS = "others"
"""The group that small groups become."""
_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
_OURS = re.compile(rf"labeler-[{_LETTERS}]{{4,8}}")
"""Pseudonyms as rounds and imports make them."""
_ALLOWED = re.compile(r"(?!\d+(\.\d+){3}$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a labeler may be called in an export: no address, no number of a machine, no full name."""
HIDDEN = "(left out: it held an address or a phone number)"


@dataclass
class Pseudonyms:
    """Names to pseudonyms, the same name to the same one as long as the secret is the same. Without
    the secret nobody can try out whether a name belongs to a pseudonym."""

    secret: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)
    prefix: str = "labeler"

    def __call__(self, name: str) -> str:
        """The pseudonym of a name; a pseudonym of preflab's stays as it is."""
        if self.prefix == "labeler" and _OURS.fullmatch(name):
            return name
        digest = hmac.new(self.secret, name.encode("utf8", "surrogatepass"), hashlib.sha256)
        number = int.from_bytes(digest.digest(), "big")
        letters = ""
        for _ in range(8):
            number, place = divmod(number, len(_LETTERS))
            letters += _LETTERS[place]
        return f"{self.prefix}-{letters}"


def public(labels: Labels, secret: bytes | None = None) -> Labels:
    """The same without what must not leave: people who were forgotten and what they said, small
    groups, users of prompts by name, notes to judges, addresses and phone numbers in remarks.
    `UserError` for a labeler who is not under a pseudonym."""
    people = [person for person in labels.people if person.state != "forgotten"]
    kept = {person.id for person in people}
    for person in people:
        _check_pseudonym(person.id)
    user = Pseudonyms(secret or secrets.token_bytes(16), "user")
    return Labels(
        tuple(_task(task, user) for task in labels.tasks),
        tuple(_judgment(one) for one in labels.judgments if one.labeler in kept),
        tuple(merged(people)),
        labels.asks,
    )


def for_training(labels: Labels) -> Labels:
    """Normal tasks, and judgments of them by people who are neither held out nor removed: what
    other tools are given, because what they hold is trained on sooner or later."""
    tasks = {task.id: task for task in labels.tasks if task.origin == "normal"}
    people = {person.id: person for person in labels.people if trains(person)}
    return Labels(
        tuple(tasks.values()),
        tuple(j for j in labels.judgments if j.task in tasks and j.labeler in people),
        tuple(people.values()),
        labels.asks,
    )


def merged(people: Sequence[Person]) -> list[Person]:
    """The people, those of groups of fewer than three in one group ``others``. If even they are
    fewer than three together, the next smallest group joins them; nobody has a group if all are
    fewer than three."""
    sizes: dict[str, int] = {}
    for person in people:
        if person.group:
            sizes[person.group] = sizes.get(person.group, 0) + 1
    small: list[str] = []
    for name in sorted(sizes, key=lambda name: (sizes[name], name)):
        together = sum(sizes[other] for other in small)
        if sizes[name] < SMALLEST_GROUP or 0 < together < SMALLEST_GROUP:
            small.append(name)
    enough = sum(sizes[name] for name in small) >= SMALLEST_GROUP
    return [
        replace(person, group=OTHERS if enough else "") if person.group in small else person
        for person in people
    ]


def _check_pseudonym(labeler: str) -> None:
    if not _ALLOWED.fullmatch(labeler):
        raise UserError(
            f"The labeler '{shown(labeler)}' is not under a pseudonym, so nothing is exported. "
            "Allowed: letters, digits, '.', '-' and '_', as in labeler-k3f9."
        )


def _task(task: Task, user: Pseudonyms) -> Task:
    prompt = task.prompt
    named = user(prompt.user) if prompt.user else ""
    return replace(task, prompt=replace(prompt, user=named, notes={}, place=""))


def _judgment(judgment: Judgment) -> Judgment:
    notes = judgment.answer.notes
    if not has_email(notes, reserved=True) and not has_phone(notes):
        return judgment
    return replace(judgment, answer=replace(judgment.answer, notes=HIDDEN))
