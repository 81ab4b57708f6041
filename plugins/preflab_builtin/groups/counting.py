"""How much the groups of labelers have said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from preflab.records import Ranking


def counted(rankings: Iterable[Ranking]) -> dict[str, int]:
    """Rankings of each group, by its name in alphabetical order."""
    counts = Counter(ranking.group for ranking in rankings if ranking.group)
    return {name: counts[name] for name in sorted(counts)}


def pairs(rankings: Iterable[Ranking]) -> dict[str, int]:
    """Preferences of each group, by its name in alphabetical order."""
    counts: Counter[str] = Counter()
    for ranking in rankings:
        if ranking.group:
            counts[ranking.group] += len(ranking.preferences)
    return {name: counts[name] for name in sorted(counts)}
