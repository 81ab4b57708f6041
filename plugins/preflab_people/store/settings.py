"""What a round asks for, fixed when its store is made. No database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from preflab_people.judgments import TaskKind


@dataclass(frozen=True, slots=True)
class Screening:
    """How a new person is tried out before their judgments count.

    tasks: screening tasks a try. cut: least share of the researcher's pairs, and of the flags,
    that they must share. tries: how many, each with other tasks, so that a store makes do with as
    many as it has tasks for; after the last one a person of the research team decides.
    """

    tasks: int = 10
    cut: float = 0.75
    tries: int = 2


SKIP_REASONS = ("not my language", "unclear", "too sensitive", "broken")


@dataclass(frozen=True, slots=True)
class RoundSettings:
    """The settings of a round.

    pool: digest of the samples that people are asked about. flags: names of the flags of a
    response. likert: ask for a rating from 1 to 7 as well. lease_seconds: how long a task is kept
    for a person whose page is silent. gold_share, retest_share: shares of a person's tasks that are
    gold or shown once more. retest_after: own answers that lie between a task and its retest.
    skip_limit: a task that so many people skipped is given to nobody else. consent: the first text
    that a person agrees to before the first task ("" for none); `preflab_people.store.consents` has
    later ones. languages: of the pages, the first one is the default.
    """

    name: str
    kind: TaskKind
    pool: str = ""
    flags: tuple[str, ...] = ()
    likert: bool = False
    lease_seconds: float = 1800.0
    gold_share: float = 0.05
    retest_share: float = 0.03
    retest_after: int = 20
    screening: Screening | None = None
    skip_reasons: tuple[str, ...] = SKIP_REASONS
    skip_limit: int = 3
    consent: str = ""
    languages: tuple[str, ...] = ("en",)


def settings_to_json(settings: RoundSettings) -> dict[str, Any]:
    """JSON values of the settings of a round."""
    return asdict(settings)


def settings_from_json(row: Mapping[str, Any]) -> RoundSettings:
    """The settings that `settings_to_json` wrote."""
    lists = {key: tuple(row[key]) for key in ("flags", "skip_reasons", "languages")}
    screening = None if row["screening"] is None else Screening(**row["screening"])
    known = {key: value for key, value in row.items() if key != "consent_version"}  # once there
    return RoundSettings(**{**known, **lists, "screening": screening})
