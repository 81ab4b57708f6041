"""What a store hands out and why it refuses: frozen records. No database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from preflab.errors import UserError
from preflab_people.judgments import Answer, Judgment, Person, Task, canonical_digest
from preflab_people.store.settings import RoundSettings

REFUSALS = {
    "closed": "This round is closed: it takes no more answers.",
    "unknown_person": "There is no such person in this round.",
    "not_active": "You are not working on this round at the moment: ask those who invited you.",
    "consent_needed": "Please read and accept the consent text first.",
    "not_yours": "This task was not given to you.",
    "task_full": "Others have given all judgments that this task wanted while you were away. "
    "Your answer was not taken; the next task is waiting.",
    "key_reused": "This submission's key belongs to another submission.",
    "bad_answer": "The answer does not fit the task.",
    "screened": "Your screening is over: its answers can no longer be changed.",
    "nothing_to_undo": "There is no answer of yours to take back.",
    "forgotten": "This person was forgotten: nothing can be done under this name any more.",
}
"""By code: what a person reads."""


class StoreRefusal(UserError):
    """The store did not do what was asked, and nothing has changed. code: one of `REFUSALS`."""

    def __init__(self, code: str, sentence: str = "") -> None:
        super().__init__(sentence or REFUSALS[code])
        self.code = code


@dataclass(frozen=True, slots=True)
class Invitation:
    """A new person. token: 128 random bits, shown this once; the store keeps its sha256."""

    labeler: str
    token: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """A task that a person holds.

    order: index of the response to show at each place. draft: what the page saved last. until:
    when the task is given to others if the page stays silent. answer: the person's own answer, if
    they took it back or correct it.
    """

    task: Task
    order: tuple[int, ...]
    draft: Mapping[str, Any] | None
    until: float
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A submission that is on disk. repeated: it was there already, under the same key."""

    event: int
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Added:
    """Judgments from elsewhere. new, changed: added, the latter in the place of another one of the
    same person; known: there already; left_out: of people who were forgotten in this round."""

    new: int
    changed: int
    known: int
    left_out: int


@dataclass(frozen=True, slots=True)
class Instructions:
    """A version of the researcher's instructions, in Markdown. version: from 1; 0 if there are
    none."""

    version: int
    markdown: str
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Consent:
    """A version of the text that people agree to, in Markdown. version: from 1 in each round;
    digest: tells the text from every other, in any round."""

    version: int
    markdown: str

    @property
    def digest(self) -> str:
        """sha256 (hex) of the text."""
        return canonical_digest(self.markdown)


@dataclass(frozen=True, slots=True)
class Try:
    """One try of a person's screening: the shares of the researcher's strict pairs and of the flags
    on which they agree; None where the researcher said nothing."""

    pairs: float | None
    flags: float | None
    passed: bool


@dataclass(frozen=True, slots=True)
class Member:
    """A person and what the store knows about their work.

    consent: the version they accepted, 0 for none. submitted, skipped: valid answers, gold and
    retests included. waits: their screening is over and somebody must decide. since, last: when
    they were invited, and when they answered last.
    """

    person: Person
    consent: int = 0
    submitted: int = 0
    skipped: int = 0
    tries: tuple[Try, ...] = ()
    waits: bool = False
    since: float = 0.0
    last: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a round is. Counts are of normal tasks unless they say otherwise.

    tasks: of all; begun: tasks with a judgment; wanted: judgments wanted of all tasks; done:
    judgments there are; double_tasks and double_done: tasks that want two or more, and how many of
    these have all; skipped: skips; open: judgments yet to come, those that people work on included;
    aside: tasks that too many people skipped, and aside_wanted: judgments that nobody will give for
    that reason. fewest_partners: of the people who judged, the least number of others with whom one
    shares tasks. parts: of people who share no task with those of another part; more than one
    cannot be compared.
    """

    tasks: int
    begun: int
    wanted: int
    done: int
    double_tasks: int
    double_done: int
    skipped: int
    open: int
    aside: int
    aside_wanted: int
    people: tuple[Member, ...]
    fewest_partners: int
    parts: int
    closed: bool

    @property
    def asked(self) -> int:
        """Requests made and to be made: a skipped one is made again to somebody else."""
        return self.done + self.skipped + self.open

    @property
    def active(self) -> int:
        """People who may work: neither paused, removed nor waiting for a decision."""
        return sum(m.person.state in ("active", "screening") and not m.waits for m in self.people)

    @property
    def connected(self) -> bool:
        """Whether everybody who judged can be compared with everybody else, by way of others."""
        return self.parts <= 1


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a round's history.

    n: from 1, without gaps. at: seconds since 1970, UTC. seconds: time of active work.
    body: sha256 of what it says, kept apart so that a person can be forgotten. chain: sha256 over
    the line and the chain of the line before. supersedes: the event that this one replaces.
    """

    n: int
    kind: str
    at: float
    body: str
    chain: str
    task: str | None = None
    labeler: str | None = None
    key: str | None = None
    seconds: float | None = None
    instructions: int | None = None
    supersedes: int | None = None


def event_to_json(event: Event) -> dict[str, Any]:
    """JSON values of an event, without what is empty."""
    return {key: value for key, value in asdict(event).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of a round at one moment, for freezing. judgments: the valid ones, skips included, of
    people who were not forgotten, in the order of their events. tasks: in the order of the pool,
    then the retests that were made. consents: all texts that people were asked to agree to; agreed:
    by event of a judgment, the version that its person had agreed to."""

    settings: RoundSettings
    tasks: tuple[Task, ...]
    judgments: tuple[Judgment, ...]
    people: tuple[Person, ...]
    events: tuple[Event, ...]
    instructions: tuple[Instructions, ...] = ()
    closed: bool = False
    consents: tuple[Consent, ...] = ()
    agreed: Mapping[int, int] = field(default_factory=dict)
