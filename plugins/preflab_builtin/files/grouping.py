"""Rows that say something only together: the messages of one tree, the scored answers to one
prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from preflab.rows import Row
from preflab_builtin.files import shapes
from preflab_builtin.files.columns import Reading


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
