"""Rows that say something only together: the messages of one tree, the scored answers to one
prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from preflab.rows import Row
from preflab_builtin.files import shapes
from preflab_builtin.files.columns import Reading


def gathered(
    rows: Iterable[Row], sizes: Mapping[int, int], key: Callable[[Row], int | None]
) -> Iterator[list[Row]]:
    """Rows of one key together wherever they stand, once all of them have come. sizes: their
    number by key. Those that wait are in memory."""
    waiting: dict[int, list[Row]] = {}
    for row in rows:
        name = key(row)
        if name is None:
            yield [row]
            continue
        waiting.setdefault(name, []).append(row)
        if len(waiting[name]) >= sizes.get(name, 1):
            yield waiting.pop(name)
    yield from waiting.values()


def grouped(rows: Iterable[Row], reading: Reading) -> Iterator[list[Row]]:
    """Consecutive rows with one `preflab_builtin.files.shapes.key` together, others alone."""
    group: list[Row] = []
    current: tuple[str, ...] | None = None
    for row in rows:
        key = None if row.problem else shapes.key(row.values, reading)
        if key is not None and key == current:
            group.append(row)
            continue
        if group:
            yield group
        group, current = [row], key
    if group:
        yield group
