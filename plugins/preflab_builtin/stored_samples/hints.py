"""What a person should know of the samples that were read: each hint says what was seen and what
changes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from preflab_builtin.stored_samples import cells

FAR = 5
"""Scores are outside the rest if the gap is more times as wide as the rest."""
FEW = 3
"""Scores that are outside are at most one in so many."""
_MISSING = frozenset({-1.0, -9.0, -99.0, -999.0, -9999.0})
"""What programs write for a score that is missing."""


def about_scores(column: str, scores: Sequence[float]) -> Iterator[str]:
    """A sentence for each score far outside the rest: it moves the mean of all."""
    left = Counter(scores)
    while odd := _outside(left):
        rest = Counter({score: n for score, n in left.items() if score not in odd})
        held = ", ".join(f"{score:g}" for score in odd[:3]) + ", ..." * (len(odd) > 3)
        number = sum(left[score] for score in odd)
        yield (
            f"{column}: {number} {'rows hold' if number > 1 else 'row holds'} {held}, far outside "
            f"the rest ({min(rest):g} to {max(rest):g}), and counts as it is. If that stands for "
            "a missing score, empty these cells and add --skip-bad-rows; if it is on another "
            "scale, convert it."
        )
        left = rest


def _outside(counts: Counter[float]) -> list[float]:
    """The scores beyond the widest gap, if they are few and the gap is wide; else a single code
    for missing scores among scores that are not negative. Shares (0, 0.5, 1) have none."""
    values = sorted(counts)
    if len(values) < 2 or set(values) <= {0.0, 0.5, 1.0}:
        return []
    total = counts.total()
    at = max(range(1, len(values)), key=lambda i: values[i] - values[i - 1])
    for odd, rest in ((values[:at], values[at:]), (values[at:], values[:at])):
        few = FEW * sum(counts[value] for value in odd) <= total
        spread = rest[-1] - rest[0] or 2 * max(map(abs, rest))
        if few and values[at] - values[at - 1] > FAR * spread:
            return odd
        # A share among percentages
        if few and 0 < odd[-1] <= 1 and odd[0] >= 0 and rest[0] > 20:
            return odd
    missing = values[0] in _MISSING and values[1] >= 0 and values[-1] > 1
    return values[:1] if missing and FEW * counts[values[0]] <= total else []


def about_groups(columns: Sequence[str], groups: Sequence[Sequence[str]]) -> Iterator[str]:
    """A sentence on names of groups that differ by case alone. groups: the values of each row."""
    for column, names in zip(columns, zip(*groups, strict=True), strict=True):
        alike: dict[str, list[str]] = {}
        for name in dict.fromkeys(names):
            alike.setdefault(name.casefold(), []).append(name)
        for several in alike.values():
            if len(several) > 1:
                yield (
                    f"{column}: {', '.join(several)} differ by case alone and are groups of their "
                    "own. If they are one, write them alike."
                )


def about_reasoning(predictions: Sequence[str], dropped: bool) -> Iterator[str]:
    """A sentence on outputs in which a model thinks aloud before it answers."""
    answers = [cells.without_reasoning(text) for text in predictions]
    number = sum(answer != text for answer, text in zip(answers, predictions, strict=True))
    if not number:
        return
    begun = sum(not answer for answer in answers)
    ends = "ends" if begun == 1 else "end"
    unfinished = f" Of these {begun} {ends} before an answer." if begun else ""
    done = "is left out" if dropped else "is measured too: --drop-reasoning leaves it out"
    yield (
        f"{number} of {len(predictions)} outputs hold a reasoning block (up to </think>), which "
        f"{done}.{unfinished}"
    )
