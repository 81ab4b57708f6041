"""Where records come from, what is done to them before training, and the people who rank responses:
authors import these from `preflab.interfaces`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from preflab.records import Prompt, Ranking, Record, RecordType


class DataSource(Protocol):
    """A source of records. One that leaves out some of what it reads says so: see `LeavesOut`. One
    whose words and true utility are known is a `World`."""

    def records(self, record_type: RecordType) -> Iterable[Record]:
        """All records of a type, of all splits, always in the same order."""


@runtime_checkable
class LeavesOut(DataSource, Protocol):
    """A `DataSource` that leaves out some of what it reads: the run reports how much."""

    def left_out(self, record_type: RecordType) -> Mapping[str, int]:
        """Number of rows left out, by reason."""


@runtime_checkable
class World(DataSource, Protocol):
    """A `DataSource` that is a simulated world."""

    @property
    def vocabulary(self) -> Sequence[str] | None:
        """The words of a closed world; None if any text can occur."""

    @property
    def gold(self) -> Gold | None:
        """What people really want, never shown to training; None if it is not known."""


class Gold(Protocol):
    """The true utility of a response, in named parts."""

    def parts(self, prompt: Prompt, response: str) -> Mapping[str, float]:
        """At least {"gold": total}, and the parts that add up to it."""


class Filter(Protocol):
    """A step of data preparation. One that judges each record alone, or by those before it, says
    so: see `preflab.filtering.RowByRow`."""

    def __call__(self, records: Sequence[Record]) -> tuple[Sequence[Record], Mapping[str, int]]:
        """The records kept (possibly reassigned to splits), and how many were dropped for which
        reason."""


class Transform(Protocol):
    """A change of the texts that are trained on, after all filters: a prefix by a score, for
    example. Records for validation and testing are never changed, so that every run is measured on
    the same ones."""

    def __call__(self, records: Sequence[Record]) -> Sequence[Record]:
        """One record for each of the training split, all of one type, in their order, with the same
        ids; ``records`` itself where nothing is changed. The records alone decide, not the run's
        seed."""


class Labeler(Protocol):
    """A person, or a population of them, who compares responses."""

    def rank(
        self, prompt: Prompt, responses: Sequence[str], seed: Sequence[int | str]
    ) -> Sequence[Ranking]:
        """The rankings that people give to these responses: one per labeler who was asked."""

    def preference(
        self, prompt: Prompt, first: str, second: str, group: str | None = None
    ) -> float:
        """Share of people who prefer ``first``, ties counted half: in [0, 1]. group: whose opinion,
        "held_out" for people who label no training data; None: of those who do. `UserError` for an
        unknown group."""
