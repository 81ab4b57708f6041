"""Files of one known shape, where any bad row is an error; and shares of records that depend on their ids alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from preflab import UserError
from preflab.randomness import derive_seed
from preflab_builtin.files.reading import read_rows
from preflab_builtin.files.rows import BadRow
from preflab_builtin.files.strict_json import shown

T = TypeVar("T")


def read_table(path: Path, read: Callable[[Mapping[str, Any]], T]) -> Iterator[T]:
    """Every row through ``read``; `UserError` with ``file:line: field: reason`` at the first bad one."""
    for row in read_rows(path):
        try:
            if row.problem is not None:
                raise row.problem
            value = read(row.values)
        except BadRow as bad:
            raise UserError(f"{row.place}: {bad}") from None
        yield value


def only(value: Any, field: str, allowed: tuple[Any, ...]) -> Any:
    """The value, which must be one of a few."""
    if value not in allowed:
        raise BadRow(field, f"is {shown(repr(value))}. Allowed: {', '.join(map(str, allowed))}")
    return value


def share_split(unit: str, validation: float, test: float, seed: int) -> str:
    """The split of a unit from its hash: the same whatever else is in the file, and in whatever order.

    >>> share_split("a", 0.0, 0.0, 1)
    'train'
    """
    position = derive_seed(seed, "split", unit) / 2**63
    if position < test:
        return "test"
    return "validation" if position < test + validation else "train"
