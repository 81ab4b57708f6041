"""The statistics of a round as its store or its frozen folder holds it."""

from __future__ import annotations

from typing import Any

from preflab_people.statistics.summary import agreement_values
from preflab_people.statistics.votes import Round
from preflab_people.store import Snapshot


def asked_of(snapshot: Snapshot) -> Round:
    """A snapshot as the statistics take it."""
    return Round(snapshot.tasks, snapshot.judgments, snapshot.people)


def agreement_of(snapshot: Snapshot) -> dict[str, Any]:
    """What agreement.json holds: nothing for texts, on which nobody can agree."""
    if snapshot.settings.kind == "demonstrate":
        return {}
    return agreement_values(asked_of(snapshot))
