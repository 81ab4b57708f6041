"""Paths to rows, one at a time: files by their ending, folders of them, sets on the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from preflab.errors import UserError, nearest
from preflab.rows.arrow_files import is_saved_dataset, parquet_rows, saved_dataset
from preflab.rows.csv_files import csv_rows
from preflab.rows.folders import Part, parts_of, refuse_missing_shards
from preflab.rows.hub import hub_rows, on_hub
from preflab.rows.json_files import json_lines, json_rows, with_columns
from preflab.rows.paths import files_of
from preflab.rows.progress import watching
from preflab.rows.row import BadRow, Row
from preflab.rows.streams import COMPRESSIONS, Watch, lines

T = TypeVar("T")


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file by its ending (`READERS`, each but Parquet also with .gz, .bz2, .xz or
    .zst after it), of the files in a folder, of a folder that ``datasets`` saved, or of a set on
    the hub. A row that cannot be read comes with its problem; `UserError` if none can."""
    if on_hub(path):
        return hub_rows(path)
    if path.is_dir():
        if is_saved_dataset(path):
            return saved_dataset(path)
        return _rows(path, parts_of(path, ending_of, READERS))
    files_of(path)
    if not ending_of(path):
        raise UserError(
            f"{path}: the ending {path.suffix!r} is not known. {nearest(path.suffix, READERS)} "
            f"Compressed: {', '.join(COMPRESSIONS)} after it. Or a folder of such files."
        )
    refuse_missing_shards([path])
    return _rows(path, [Part(path, {})])


def read_table(path: Path, read: Callable[[Mapping[str, Any]], T]) -> Iterator[T]:
    """``read`` of the values of every row; `UserError` with ``file:line: field: reason`` at the
    first row that cannot be read, or of which ``read`` raises `BadRow`."""
    for row in read_rows(path):
        try:
            if row.problem is not None:
                raise row.problem
            value = read(row.values)
        except BadRow as bad:
            raise UserError(f"{row.place}: {bad}") from None
        yield value


def ending_of(path: Path) -> str:
    """The ending in `READERS` by which a file is read; "" if there is none.

    >>> ending_of(Path("a.JSONL.gz")), ending_of(Path("a.csv")), ending_of(Path("a.gz"))
    ('.jsonl', '.csv', '')
    """
    *_, before, last = ["", "", *(f".{part}" for part in path.name.lower().split(".")[1:])]
    packed = last in COMPRESSIONS and before != ".parquet"
    ending = before if packed else last
    return ending if ending in READERS else ""


def _rows(path: Path, parts: list[Part]) -> Iterator[Row]:
    with watching(path, sum(part.path.stat().st_size for part in parts)) as watch:
        for file, columns in parts:
            if not columns:
                yield from READERS[ending_of(file)](file, watch)
                continue
            for row in READERS[ending_of(file)](file, watch):
                yield with_columns(row, columns)


def _paragraphs(path: Path, watch: Watch) -> Iterator[Row]:
    """A row is the lines between two blank lines; its place is its first line."""
    start, paragraph = 0, list[bytes]()
    for number, line, _, problem in lines(path, watch):
        if problem is not None:
            yield Row(f"{path}:{number}", {}, problem)
        elif line.strip():
            start = start if paragraph else number
            paragraph.append(line)
        elif paragraph:
            yield _text_row(path, start, paragraph)
            paragraph = []
    if paragraph:
        yield _text_row(path, start, paragraph)


def _text_row(path: Path, start: int, paragraph: list[bytes]) -> Row:
    for number, line in enumerate(paragraph, start):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            position, byte = error.start, line[error.start]
            reason = f"byte 0x{byte:02x} at position {position} of the line is not valid UTF-8"
            return Row(f"{path}:{number}", {}, BadRow("UTF-8", reason))
    return Row(f"{path}:{start}", {"text": b"\n".join(paragraph).decode("utf-8")})


READERS: dict[str, Callable[[Path, Watch], Iterator[Row]]] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".jl": json_lines,
    ".json": json_rows,
    ".txt": _paragraphs,
    ".parquet": parquet_rows,
    ".csv": csv_rows,
    ".tsv": csv_rows,
}
"""The readers by file ending."""
