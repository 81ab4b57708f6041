"""The store of a labeling round: a history that is only added to, on SQLite or PostgreSQL.

`Store` is the door; servers and commands use nothing else. It needs the extra ``label``; the
records and settings beside it need nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from preflab_people.store.records import (
    REFUSALS,
    Added,
    Assignment,
    Event,
    Instructions,
    Invitation,
    Member,
    Progress,
    Receipt,
    Snapshot,
    StoreRefusal,
    Try,
    event_to_json,
)
from preflab_people.store.settings import (
    RoundSettings,
    Screening,
    settings_from_json,
    settings_to_json,
)

if TYPE_CHECKING:
    from preflab_people.store.store import Store

__all__ = [
    "REFUSALS",
    "Added",
    "Assignment",
    "Event",
    "Instructions",
    "Invitation",
    "Member",
    "Progress",
    "Receipt",
    "RoundSettings",
    "Screening",
    "Snapshot",
    "Store",
    "StoreRefusal",
    "Try",
    "event_to_json",
    "settings_from_json",
    "settings_to_json",
]


def __getattr__(name: str) -> Any:
    """`Store`, which imports SQLAlchemy when it is asked for."""
    if name == "Store":
        from preflab_people.store.store import Store

        return Store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
