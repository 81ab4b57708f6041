"""Single answers that people liked or not (KTO), as rankings: those to one question are compared,
where the whole file has liked and disliked ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from preflab import UserError
from preflab.rows import BadRow, Row, read_rows
from preflab_builtin.files.catalogue import KTO, fitting
from preflab_builtin.files.columns import Reading
from preflab_builtin.files.grouping import gathered
from preflab_builtin.files.ranked import is_liked

LIKED, DISLIKED = 1, 2


def groups(
    path: Path, head: Sequence[Sequence[Row]], reading: Reading
) -> Iterator[list[Row]] | None:
    """All rows of the file, those with one question together; None if they are no such answers.
    `UserError` if some question has no two answers to compare and nobody asked to leave these
    out."""
    settings = reading.settings
    asked = settings.format == KTO.name
    if settings.record_type != "rankings" or (settings.format and not asked):
        return None
    key = _key(reading)
    ours = sum(key(row) is not None for group in head for row in group)
    if ours <= sum(map(len, head)) / 2:
        return None
    sizes, seen = _survey(path, key, reading)
    one_sided = sum(said != LIKED | DISLIKED for said in seen.values())
    if one_sided and not asked:
        option = settings.option
        cure = f"{option('format=kto')} {option('on_bad_row=skip')}"
        others = "" if one_sided == len(seen) else f" To leave those out, counted: {cure}."
        raise UserError(
            f"{head[0][0].place}: label: says whether people liked a single answer (KTO), and "
            f"{one_sided} of {len(seen)} prompts have only liked or only disliked answers, which "
            "compare no two answers. Give them as demonstrations, which leaves out what people "
            f"disliked.{others}"
        )
    reading.likes = True
    return gathered(read_rows(path), sizes, key)


def _key(reading: Reading) -> Callable[[Row], int | None]:
    """What rows with one question have in common; None for a row that is no such answer."""

    def key(row: Row) -> int | None:
        try:
            view = reading.view(row.values) if row.problem is None else {}
        except BadRow:
            return None
        filled = frozenset(name for name, value in view.items() if value is not None)
        if not KTO.fits(filled) or fitting(filled, reading.settings.record_type, None):
            return None
        return hash(tuple(repr(view.get(name)) for name in KTO.joins))

    return key


def _survey(
    path: Path, key: Callable[[Row], int | None], reading: Reading
) -> tuple[Counter[int], dict[int, int]]:
    """By question: its rows in the whole file, and what people said of its answers."""
    sizes: Counter[int] = Counter()
    seen: dict[int, int] = {}
    for row in read_rows(path):
        name = key(row)
        if name is None:
            continue
        sizes[name] += 1
        try:
            liked = is_liked(reading.view(row.values))
        except BadRow:  # refused when it is read
            continue
        seen[name] = seen.get(name, 0) | (LIKED if liked else DISLIKED)
    return sizes, seen
