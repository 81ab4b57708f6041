"""Rows under a header line, with values between commas, semicolons, tabs or bars."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from preflab.errors import UserError
from preflab.rows import streams
from preflab.rows.row import BadRow, Row, shown
from preflab.rows.streams import Line, Watch, lines

_SEPARATORS = {",": "','", ";": "';'", "\t": "a tab", "|": "'|'"}
_LOOKED_AT = 1000
"""Lines from which it is told what separates the values."""


@dataclass(frozen=True)
class _Form:
    """How a file is written. quotes: they enclose values; else they are characters like others.
    before: lines before the header."""

    separator: str
    quotes: bool = True
    before: int = 0

    def records(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """The values of each record, as `csv` gives them."""
        return csv.reader(
            texts,
            delimiter=self.separator,
            quoting=csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE,
            strict=True,
        )


def csv_rows(path: Path, watch: Watch) -> Iterator[Row]:
    """Rows under a header line; every value is a text. A row's place is its last line, because
    quoted values may hold line ends. `UserError` where it cannot be told how the file is written,
    or where rows begin."""
    csv.field_size_limit(max(csv.field_size_limit(), streams.LONGEST_LINE))
    return _Reading(path, _form(path)).rows(watch)


def _form(path: Path) -> _Form:
    """The one form in which the first rows have as many values as the header, or the usual one of
    the ending; Excel's first line ``sep=;`` names it."""
    first = list(islice(_texts(path), _LOOKED_AT))
    excels = first[0].strip().strip('"')
    if excels[:-1].lower() == "sep=":
        return _Form(excels[-1], before=1)
    header = next((text for text in first if text.strip()), "")
    if "\r" in header:
        reason = "the lines end as on old Macs (CR). Save the file with LF or CR LF"
        raise UserError(f"{path}:1: CSV: {reason}.")
    within = [mark for mark in _SEPARATORS if mark in header]
    fitting = [mark for mark in within if _records(_Form(mark), first)]
    if len(fitting) > 1:
        named = " or ".join(_SEPARATORS[mark] for mark in fitting)
        raise UserError(
            f"{path}:1: the columns could be separated by {named}. "
            f"Say which in a line before the header: sep={fitting[0]}"
        )
    if "\t" in within and fitting in ([], ["\t"]):
        return _Form("\t", _quotes_enclose(path, header))
    usual = "\t" if ".tsv" in path.name.lower() else ","
    used = [m for m in within if m == usual or sum(m in text for text in first) > len(first) / 2]
    return _Form((fitting or used or [usual])[0])


def _quotes_enclose(path: Path, header: str) -> bool:
    """Whether quotes around a value between tabs do not belong to it. Many published tables have
    them as ordinary characters: then each line is a row. If the header has them, they enclose."""
    lines_are_rows = _records(_Form("\t", quotes=False), _texts(path))
    enclosed = _records(_Form("\t"), _texts(path))
    if lines_are_rows and enclosed and lines_are_rows != enclosed and not header.startswith('"'):
        raise UserError(
            f"{path}:1: has {enclosed - 1} rows if quotes enclose values, and {lines_are_rows - 1} "
            "if they are characters like others. If they enclose values, write the header in "
            "quotes too; if not, save it as .jsonl."
        )
    return bool(enclosed) or not lines_are_rows


def _records(form: _Form, texts: Iterable[str]) -> int:
    """How many records there are, if all have as many values as the header; else 0."""
    count, columns = 0, 0
    try:
        for cells in form.records(texts):
            columns = columns or len(cells)
            if cells and len(cells) != columns:
                return 0
            count += 1
    except csv.Error as error:  # a quoted value may go on after the lines that are looked at
        return count if "end of data" in str(error) else 0
    return count


def _texts(path: Path) -> Iterator[str]:
    for line in lines(path, lambda count: None):
        yield line.data.decode("utf-8", "replace") + "\n"


class _Reading:
    """The rows of one file. A row that cannot be read is bad alone if it is one line; else nobody
    knows where the next one begins, and the file is refused."""

    def __init__(self, path: Path, form: _Form) -> None:
        self._path, self._form = path, form
        self._last = Line(form.before, b"", False)
        self._problem: BadRow | None = None

    def rows(self, watch: Watch) -> Iterator[Row]:
        reader = self._form.records(self._texts(watch))
        records = self._records(reader)
        names = self._names(next((cells for _, cells in records if cells or self._problem), []))
        # Spreadsheets write several columns without names, pandas one with the row's number.
        nameless = [i for i, name in enumerate(names) if not name]
        nameless = nameless if len(nameless) > 1 else []
        for begins, cells in records:
            ends, problem = self._last.number, self._problem
            self._problem = None
            if problem is None and not cells:
                continue
            if problem is None and len(cells) != len(names):
                number = f"has {len(cells)} values, the header has {len(names)} columns"
                since = f" (the row begins on line {begins})" if begins < ends else ""
                problem = BadRow("row", number + since)
            filled = next((i for i in nameless if problem is None and cells[i].strip()), None)
            if filled is not None:
                problem = BadRow("row", f"has a value in column {filled + 1}, which has no name")
            values = {} if problem else dict(zip(names, cells, strict=True))
            if nameless:
                values.pop("", None)
            yield Row(f"{self._path}:{ends}", values, problem)

    def _texts(self, watch: Watch) -> Iterator[str]:
        for line in islice(lines(self._path, watch), self._form.before, None):
            self._last = line
            self._problem = self._problem or line.problem
            try:
                text = line.data.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = line.data[error.start]
                reason = f"byte 0x{byte:02x} at position {error.start} of the line is not valid"
                self._problem = BadRow("UTF-8", f"{reason} UTF-8. Save the file as UTF-8")
                text = line.data.decode("utf-8", "replace")
            yield text + "\n"

    def _records(self, reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
        """(line on which it begins, values) of each record; none where it cannot be read."""
        while True:
            begins = self._last.number + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                cells, self._problem = [], self._problem or BadRow("CSV", str(error))
            if cells is None:
                return
            unsure = self._problem is not None and not str(self._problem).startswith("UTF-8")
            if unsure and self._last.number > begins:
                raise self._lost(begins, str(self._problem))
            yield begins, cells

    def _lost(self, begins: int, reason: str) -> UserError:
        return UserError(
            f"{self._path}:{begins}: {reason} (by line {self._last.number}). Where the next row "
            "begins is not known: is a quote in this one not closed?"
        )

    def _names(self, names: list[str]) -> list[str]:
        place = f"{self._path}:{self._last.number}"
        if self._problem is not None:
            raise UserError(f"{place}: {self._problem}")
        names = [name if name.strip() else "" for name in names]
        check_column_names([name for name in names if name], place)
        return names


def check_column_names(names: list[str], place: str) -> None:
    """Two columns of one name would be one."""
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise UserError(f"{place}: {shown(repeated)}: two columns have this name.")
