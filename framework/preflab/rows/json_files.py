"""JSON in the forms that people save: an object per line, a list of objects, or an object that
holds the list. What a file holds decides, not what its ending promises."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from preflab.errors import UserError
from preflab.rows.fields import SPLIT_ALIASES
from preflab.rows.row import BadRow, Row, shown, type_name
from preflab.rows.streams import (
    BLOCK,
    BOM,
    LONGEST_LINE,
    UNPACKING_ERRORS,
    Watch,
    damaged,
    lines,
    opened,
)
from preflab.rows.strict_json import LENIENT, STRICT, parse_json

ROWS_UNDER = ("data", "rows", "examples", "records", "instances", "items", "samples")
"""Keys under which an object holds its rows."""
_ALLOWED = (
    "a list of objects, one object per line, or an object with its rows under "
    f"{', '.join(ROWS_UNDER)} or under the names of splits"
)


def json_rows(path: Path, watch: Watch) -> Iterator[Row]:
    """The rows of a .json file. Lines and lists are read one row at a time."""
    first, more = _beginning(path)
    if first.startswith(b"{") and not (more and _complete(first)):
        return _object(path, watch)
    return _list_or_lines(path, watch, first, more)


def json_lines(path: Path, watch: Watch) -> Iterator[Row]:
    """The rows of a file with an object per line, unless it turns out to be written as .json."""
    first, more = _beginning(path)
    if first.strip() == b"{":
        return _object(path, watch)
    return _list_or_lines(path, watch, first, more)


def _list_or_lines(path: Path, watch: Watch, first: bytes, more: bool) -> Iterator[Row]:
    is_list = first.startswith(b"[") and not (more and _complete(first))
    return _list(path, watch) if is_list else _lines(path, watch)


def _beginning(path: Path) -> tuple[bytes, bool]:
    """The first line that is not blank, as far as a block goes, and whether others follow it."""
    try:
        with opened(path, lambda count: None) as stream:
            head = stream.read(BLOCK).removeprefix(BOM).lstrip()
    except UNPACKING_ERRORS as error:
        raise damaged(path, 1, error) from None
    first, _, rest = head.partition(b"\n")
    return first, bool(rest.strip())


def _complete(text: bytes) -> bool:
    try:
        LENIENT.decode(text.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


def named(place: str, read: Callable[..., Any], *arguments: Any, **options: Any) -> Row:
    """What ``read`` gives as a row; a problem if it raises `BadRow` or gives no named columns."""
    try:
        values = read(*arguments, **options)
        if not isinstance(values, dict):
            raise BadRow("row", f"is {type_name(values)} but must be an object with named columns")
    except BadRow as bad:
        return Row(place, {}, bad)
    return Row(place, values)


def _lines(path: Path, watch: Watch) -> Iterator[Row]:
    file = str(path)
    for number, line, last, problem in lines(path, watch):
        place = f"{file}:{number}"
        if problem is not None:
            yield Row(place, {}, problem)
        elif line.strip(b" \t"):
            try:
                values = parse_json(line, ends_file=last)
            except BadRow as bad:
                yield Row(place, {}, bad)
                continue
            yield Row(place, values) if type(values) is dict else named(place, lambda v: v, values)


class _Text:
    """The text of a file, of which the part is in memory that is being parsed. at: where the next
    value begins. A value may be as long as a line."""

    def __init__(self, path: Path, stream: io.TextIOBase) -> None:
        self._path, self._stream = path, stream
        self._text, self._at, self._ended = "", 0, False
        self._line, self._column = 1, 0
        """The line on which the text in memory begins, and characters before it on that line."""

    def next(self) -> str:
        """The next character that is not white space; "" at the end of the file."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in " \t\r\n":
                    return self._text[self._at]
                self._at += 1
            if self._ended:
                return ""
            self._more()

    def skip(self) -> None:
        """Past this character."""
        self._at += 1

    def value(self) -> Any:
        """The value that begins here; `BadRow` if it is JSON to Python only."""
        while True:
            problem, found, end = None, None, -1
            try:
                try:
                    found, end = STRICT.raw_decode(self._text, self._at)
                except BadRow as bad:
                    problem = bad
                    _, end = LENIENT.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._ended or len(self._text) - self._at > LONGEST_LINE:
                    raise self.error(error.msg, error.pos) from None
            except RecursionError:
                raise self.error("is nested too deeply", self._at) from None
            if end >= 0 and (end < len(self._text) or self._ended):
                self._at = end
                if problem is not None:
                    raise problem
                return found
            self._more()

    def error(self, reason: str, at: int | None = None) -> UserError:
        """An error at a position, or at the next character."""
        at = self._at if at is None else at
        line = self._line + self._text.count("\n", 0, at)
        begins = self._text.rfind("\n", 0, at)
        column = at - begins if begins >= 0 else self._column + at + 1
        cut = "; the file ends here: was it cut off?" if self._ended else ""
        return UserError(f"{self._path}:{line}: JSON: {reason} (column {column}){cut}")

    def _more(self) -> None:
        try:
            piece = self._stream.read(max(BLOCK, len(self._text) - self._at))
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise UserError(f"{self._path}: UTF-8: byte 0x{byte:02x} is not valid UTF-8.") from None
        begins = self._text.rfind("\n", 0, self._at)
        self._column = self._at - begins - 1 if begins >= 0 else self._column + self._at
        self._line += self._text.count("\n", 0, self._at)
        self._text, self._at, self._ended = self._text[self._at :] + piece, 0, not piece


def _list(path: Path, watch: Watch) -> Iterator[Row]:
    """The items of a list, one at a time. A row's place is its number: a list may be one line."""
    number = 0
    try:
        with opened(path, watch) as stream:
            text = _Text(path, io.TextIOWrapper(stream, encoding="utf-8-sig", newline=""))
            text.next()
            text.skip()
            closed = text.next() == "]"
            while not closed:
                number += 1
                yield named(f"{path}:row {number}", text.value)
                character = text.next()
                closed = character == "]"
                if character == ",":
                    text.skip()
                    text.next()
                elif not closed:
                    raise text.error("Expecting ',' delimiter")
            text.skip()
            if text.next():
                raise text.error("the list ends before the file does")
    except UNPACKING_ERRORS as error:
        raise damaged(path, number + 1, error) from None
    if not number:
        raise UserError(f"{path}: the list is empty.")


def _object(path: Path, watch: Watch) -> Iterator[Row]:
    """The rows that an object holds under a key, or under one key a split."""
    try:
        with opened(path, watch) as stream:
            data = stream.read().removeprefix(BOM)
    except UNPACKING_ERRORS as error:
        raise damaged(path, 1, error) from None
    try:
        whole = parse_json(data, ends_file=not data.endswith(b"\n"))
    except BadRow as bad:
        cure = "\nIf it holds an object per row: jq -c . FILE > ROWS.jsonl" * ("Extra" in str(bad))
        raise UserError(f"{path}: {bad}{cure}") from None
    lists = {
        key: value
        for key, value in whole.items()
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
    }
    if lists and all(key in SPLIT_ALIASES for key in whole) and len(lists) == len(whole):
        for split, items in lists.items():
            for number, item in enumerate(items, 1):
                yield with_columns(Row(f"{path}:{split}:row {number}", item), {"split": split})
    elif len(lists) == 1 and (key := next(iter(lists))) in ROWS_UNDER:
        for number, item in enumerate(lists[key], 1):
            yield Row(f"{path}:{key}:row {number}", item)
    else:
        raise _no_rows(path, whole, list(lists))


def _no_rows(path: Path, whole: Mapping[str, Any], lists: list[str]) -> UserError:
    names = ", ".join(map(shown, list(whole)[:6])) + ", ..." * (len(whole) > 6)
    if lists:
        cure = f"If the rows are under {shown(lists[0])}: jq '.[\"{lists[0]}\"]' FILE > ROWS.json"
    elif whole and all(isinstance(value, dict) for value in whole.values()):
        cure = "If each of them is a row: jq '[.[]]' FILE > ROWS.json"
        cure += "; if each is a column of pandas: to_json(FILE, orient='records')"
    else:
        cure = "If it is one row: put it into a list, or name the file .jsonl"
    return UserError(
        f"{path}: holds one object ({names or 'empty'}) but must hold {_ALLOWED}. {cure}."
    )


def with_columns(row: Row, columns: Mapping[str, str]) -> Row:
    """A row with what its place says of it: the split of a file, or of a part of it. A row that
    says something else is bad."""
    if not columns or row.problem is not None:
        return row
    own = {name: row.values.get(name) for name in columns}
    for name, value in columns.items():
        if own[name] not in (None, "") and _split(own[name]) != _split(value):
            reason = f"is {shown(str(own[name]))} in the row, but its place says {shown(value)}"
            return Row(row.place, {}, BadRow(name, reason))
    return Row(row.place, {**row.values, **columns})


def _split(name: Any) -> Any:
    return SPLIT_ALIASES.get(name, name) if isinstance(name, str) else name
