"""Files to rows, one at a time. Lines end at newlines only, not at U+2028 as in str.splitlines."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

from preflab.errors import UserError, nearest
from preflab.rows.hub import hub_rows, on_hub
from preflab.rows.paths import files_of
from preflab.rows.row import BadRow, Row, type_name
from preflab.rows.strict_json import parse_json

T = TypeVar("T")
_BOM = b"\xef\xbb\xbf"
LONGEST_LINE = 64 << 20
"""Bytes (decompressed) that a line may have: a gzip bomb is one endless line."""


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file by its ending (`READERS`), of a folder that ``datasets`` saved, or of a
    set on the hub. A row that cannot be read comes with its problem; `UserError` if none can."""
    if on_hub(path):
        return hub_rows(path)
    if path.is_dir():
        return _dataset_folder(path)
    files_of(path)
    ending = next(
        (e for e in sorted(READERS, key=len, reverse=True) if path.name.lower().endswith(e)), None
    )
    if ending is None:
        hint = nearest(path.suffix, READERS)
        raise UserError(
            f"{path}: the ending {path.suffix!r} is not known. {hint} Or a datasets folder."
        )
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty.")
    return READERS[ending](path)


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


def _opened(path: Path, opener: Callable[..., Any]) -> IO[bytes]:
    try:
        stream: IO[bytes] = opener(path, "rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}.") from None
    return stream


def _lines(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """(number from 1, bytes without the line end, whether the file ends without a newline)."""
    number = 0
    with _opened(path, gzip.open if path.name.lower().endswith(".gz") else open) as stream:
        try:
            while raw := stream.readline(LONGEST_LINE + 1):
                number += 1
                if len(raw) > LONGEST_LINE:
                    most = f"{LONGEST_LINE >> 20} MiB"
                    raise UserError(
                        f"{path}:{number}: row: is longer than {most}, which no record is."
                    )
                if number == 1:  # Windows editors write a BOM here; anywhere else it is an error
                    raw = raw.removeprefix(_BOM)
                    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                        raise UserError(f"{path}:1: UTF-8: the file is UTF-16. Save it as UTF-8.")
                yield number, raw.removesuffix(b"\n").removesuffix(b"\r"), not raw.endswith(b"\n")
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(
                f"{path}:{number + 1}: gzip: the file is damaged or cut off ({error})."
            ) from None


def _json_lines(path: Path) -> Iterator[Row]:
    for number, line, last in _lines(path):
        if line.strip(b" \t"):
            yield _row(f"{path}:{number}", parse_json, line, ends_file=last)


def _row(place: str, read: Callable[..., Any], *arguments: Any, **options: Any) -> Row:
    """What ``read`` gives as a row; a problem if it raises `BadRow` or gives no named columns."""
    try:
        values = read(*arguments, **options)
        if not isinstance(values, dict):
            raise BadRow("row", f"is {type_name(values)} but must be an object with named columns")
    except BadRow as bad:
        return Row(place, {}, bad)
    return Row(place, values)


def _json_list(path: Path) -> Iterator[Row]:
    with _opened(path, open) as stream:
        data = stream.read().removeprefix(_BOM)
    try:
        items = parse_json(data, ends_file=not data.endswith(b"\n"))
    except BadRow as bad:
        raise UserError(f"{path}: {bad}") from None
    if not isinstance(items, list):
        raise UserError(
            f"{path}: holds {type_name(items)} but must hold a list of objects "
            "(or be .jsonl: one object per line)."
        )
    if not items:
        raise UserError(f"{path}: the list is empty.")
    for number, item in enumerate(items, 1):
        yield _row(f"{path}:row {number}", lambda value: value, item)


def _csv(path: Path) -> Iterator[Row]:
    """Rows under a header line; every value is a text. A row's place is its last line, because
    quoted values may hold line ends."""
    ends = [0]

    def lines() -> Iterator[str]:
        for number, line, _ in _lines(path):
            ends[0] = number
            try:
                yield line.decode("utf-8") + "\n"
            except UnicodeDecodeError as error:
                byte = line[error.start]
                raise UserError(
                    f"{path}:{number}: UTF-8: byte 0x{byte:02x} is not valid UTF-8."
                ) from None

    reader = csv.reader(lines(), strict=True)
    try:
        names = next(reader, [])
        _check_column_names(names, f"{path}:1")
        for cells in reader:
            place = f"{path}:{ends[0]}"
            if not cells:
                continue
            if len(cells) == len(names):
                yield Row(place, dict(zip(names, cells, strict=True)))
            else:
                reason = f"has {len(cells)} values, the header has {len(names)} columns"
                yield Row(place, {}, BadRow("row", reason))
    except csv.Error as error:
        raise UserError(f"{path}:{ends[0]}: CSV: {error}.") from None


def _check_column_names(names: list[str], place: str) -> None:
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise UserError(f"{place}: {repeated}: two columns have this name.")


def _paragraphs(path: Path) -> Iterator[Row]:
    """A row is the lines between two blank lines; its place is its first line."""
    start, paragraph = 0, list[bytes]()
    for number, line, _ in _lines(path):
        if line.strip():
            start = start if paragraph else number
            paragraph.append(line)
        elif paragraph:
            yield _text_row(path, start, paragraph)
            paragraph = []
    if paragraph:
        yield _text_row(path, start, paragraph)


def _text_row(path: Path, start: int, lines: list[bytes]) -> Row:
    for number, line in enumerate(lines, start):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            position, byte = error.start, line[error.start]
            reason = f"byte 0x{byte:02x} at position {position} of the line is not valid UTF-8"
            return Row(f"{path}:{number}", {}, BadRow("UTF-8", reason))
    return Row(f"{path}:{start}", {"text": b"\n".join(lines).decode("utf-8")})


def _parquet(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(
            f"{path}: reading Parquet needs pyarrow. "
            "Install it with: pip install 'preflab[parquet]'"
        ) from None
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            _check_column_names(file.schema_arrow.names, str(path))
            for batch in file.iter_batches(batch_size=1024):
                for i in range(batch.num_rows):
                    number += 1
                    yield _row(f"{path}:row {number}", _arrow_row, batch, i)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: Parquet: cannot be read after row {number}: {reason}") from None


def _arrow_row(batch: Any, index: int) -> dict[str, Any]:
    values = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            values[name] = column[index].as_py()
        except UnicodeDecodeError as error:
            raise BadRow(name, f"is not valid UTF-8 (byte {error.start})") from None
    return values


def _dataset_folder(path: Path) -> Iterator[Row]:
    if not ((path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file()):
        raise UserError(
            f"{path}: is a folder, but not one that datasets' save_to_disk wrote "
            "(it has no dataset_info.json or dataset_dict.json). Name one file instead."
        )
    try:
        from datasets import load_from_disk
    except ImportError:
        raise UserError(
            f"{path}: a datasets folder needs datasets. "
            "Install it with: pip install 'preflab[datasets]'"
        ) from None
    try:
        loaded = load_from_disk(str(path))
        parts = dict(loaded) if (path / "dataset_dict.json").is_file() else {"": loaded}
    except Exception as error:  # whatever a damaged folder makes the library raise
        raise UserError(f"{path}: datasets cannot read this folder: {error}") from None
    for split, part in parts.items():
        for number, values in enumerate(part, 1):
            place = f"{path / split if split else path}:row {number}"
            yield Row(place, {"split": split, **values} if split else dict(values))


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _json_lines,
    ".jsonl.gz": _json_lines,
    ".json": _json_list,
    ".txt": _paragraphs,
    ".parquet": _parquet,
    ".csv": _csv,
}
"""The readers by file ending."""
