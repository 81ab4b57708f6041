"""The statistics of a round as its store or its frozen folder holds it."""

from __future__ import annotations

from typing import Any

from preflab_people.statistics.summary import agreement_values
from preflab_people.statistics.votes import Round
from preflab_people.store import Snapshot
from preflab_people.training import canonical


def asked_of(snapshot: Snapshot) -> Round:
    """A snapshot as the statistics take it. The judgments are in canonical order: sums of numbers
    depend on the order in their last digits, and so would the digest of a frozen round."""
    judged = canonical(snapshot.tasks, snapshot.judgments, snapshot.people)
    judgments = [judgment for _, judgment, _ in judged]
    return Round(snapshot.tasks, judgments, sorted(snapshot.people, key=lambda p: p.id))


def agreement_of(snapshot: Snapshot) -> dict[str, Any]:
    """What agreement.json holds: nothing for texts, on which nobody can agree."""
    if snapshot.settings.kind == "demonstrate":
        return {}
    return agreement_values(asked_of(snapshot))
