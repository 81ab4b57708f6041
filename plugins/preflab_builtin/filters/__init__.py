"""Data preparation, InstructGPT section 3.2 and appendix A: splits by user, deduplication, caps, privacy, length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, Inspection, hookimpl

if TYPE_CHECKING:
    from preflab.interfaces import Context
    from preflab_builtin.filters.config import (
        CapConfig,
        DeduplicateConfig,
        LengthConfig,
        PrivateConfig,
        SplitConfig,
    )
    from preflab_builtin.filters.privacy import DropPrivate
    from preflab_builtin.filters.repetition import CapPerUser, Deduplicate
    from preflab_builtin.filters.size import Length
    from preflab_builtin.filters.splits import Split


@hookimpl
def preflab_components() -> list[Component]:
    """The six filters."""
    from preflab_builtin.filters.config import (
        CapConfig,
        DeduplicateConfig,
        LengthConfig,
        PrivateConfig,
        SplitByGroupConfig,
        SplitByUserConfig,
    )

    return [
        Component("filter", "split_by_user", SplitByUserConfig, build=_by_user, inspect=_seeded),
        Component("filter", "split_by_group", SplitByGroupConfig, build=_by_group, inspect=_seeded),
        Component("filter", "deduplicate", DeduplicateConfig, build=_deduplicate),
        Component("filter", "cap_per_user", CapConfig, build=_cap, inspect=_seeded),
        Component("filter", "drop_private", PrivateConfig, build=_private),
        Component("filter", "length", LengthConfig, build=_length),
    ]


def _seeded(config: SplitConfig | CapConfig) -> Inspection:
    """A filter's seed decides its result, and is part of the recipe as such: a config's 'seed' is left out of it as a
    stage's is, whose resolved seed the recipe holds."""
    return Inspection(content=f"seed {config.seed}")


def _by_user(config: SplitConfig, context: Context) -> Split:
    from preflab_builtin.filters.splits import Split, user_of

    return Split(config, user_of)


def _by_group(config: SplitConfig, context: Context) -> Split:
    from preflab_builtin.filters.splits import Split, group_of

    return Split(config, group_of)


def _deduplicate(config: DeduplicateConfig, context: Context) -> Deduplicate:
    from preflab_builtin.filters.repetition import Deduplicate

    return Deduplicate(config)


def _cap(config: CapConfig, context: Context) -> CapPerUser:
    from preflab_builtin.filters.repetition import CapPerUser

    return CapPerUser(config)


def _private(config: PrivateConfig, context: Context) -> DropPrivate:
    from preflab_builtin.filters.privacy import DropPrivate

    return DropPrivate(config)


def _length(config: LengthConfig, context: Context) -> Length:
    from preflab_builtin.filters.size import Length

    return Length(config)
