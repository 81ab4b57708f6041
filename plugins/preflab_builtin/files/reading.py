"""Files to rows. Bytes are split at newlines only (never at U+2028, as str.splitlines would), one row at a time."""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from preflab import UserError
from preflab.errors import nearest
from preflab_builtin.files.hub import hub_digest, hub_rows, on_hub
from preflab_builtin.files.rows import BadRow, Row
from preflab_builtin.files.strict_json import parse

_BOM = b"\xef\xbb\xbf"
LONGEST_LINE = 64 << 20
"""Bytes (decompressed) that one line may have: a gzip bomb is one endless line and would fill the memory."""


def files_of(path: Path) -> list[Path]:
    """The file, or all files of a folder by name; `UserError` if there is nothing to read."""
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.is_file())
        if not found:
            raise UserError(f"{path}: the folder is empty.")
        return found
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = nearest(path.name, beside).partition("Did you mean")[2]
    raise UserError(
        f"{path}: there is no such file or folder.{' Did you mean' + hint if hint else ''}"
    )


Stamp = tuple[tuple[str, int, int], ...]


def stamp(path: Path) -> Stamp:
    """What changes when a file is written: (name, size, time in ns) of every file. A set on the hub is read once a process."""
    if on_hub(path):
        return ((str(path), 0, 0),)
    return tuple((str(p), (s := p.stat()).st_size, s.st_mtime_ns) for p in files_of(path))


def digest(path: Path) -> str:
    """sha256 of a file's bytes, of names and bytes of all files of a folder, or of the rows of a set on the hub."""
    if on_hub(path):
        return hub_digest(path)
    whole = hashlib.sha256()
    for file in files_of(path):
        if path.is_dir():
            whole.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
        with _opened(file, open) as stream:
            while block := stream.read(1 << 20):
                whole.update(block)
    return whole.hexdigest()


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file by its ending, of a folder that ``datasets`` saved, or of a set on the hub; `UserError` if it cannot
    be read at all."""
    if on_hub(path):
        return hub_rows(path)
    if path.is_dir():
        return _dataset_folder(path)
    files_of(path)
    ending = next(
        (e for e in sorted(READERS, key=len, reverse=True) if path.name.lower().endswith(e)), None
    )
    if ending is None:
        raise UserError(
            f"{path}: the ending {path.suffix!r} is not known. {nearest(path.suffix, READERS)} Or a datasets folder."
        )
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty.")
    return READERS[ending](path)


def _opened(path: Path, opener: Callable[..., Any]) -> IO[bytes]:
    try:
        stream: IO[bytes] = opener(path, "rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}.") from None
    return stream


def _lines(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """(line number from 1, bytes without the line end, whether the file ends in it without a newline)."""
    number = 0
    with _opened(path, gzip.open if path.name.lower().endswith(".gz") else open) as stream:
        try:
            while raw := stream.readline(LONGEST_LINE + 1):
                number += 1
                if len(raw) > LONGEST_LINE:
                    raise UserError(
                        f"{path}:{number}: row: is longer than {LONGEST_LINE >> 20} MiB, which no record is."
                    )
                if number == 1:
                    raw = raw.removeprefix(
                        _BOM
                    )  # Windows editors put one there; anywhere else it is an error
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
            yield _row(f"{path}:{number}", lambda line=line, last=last: parse(line, ends_file=last))  # type: ignore[misc]


def _row(place: str, value: Callable[[], Any]) -> Row:
    try:
        values = value()
        if not isinstance(values, dict):
            raise BadRow("row", f"is {type_name(values)} but must be an object with named columns")
    except BadRow as bad:
        return Row(place, {}, bad)
    return Row(place, values)


def _json_list(path: Path) -> Iterator[Row]:
    with _opened(path, open) as stream:
        data = stream.read().removeprefix(_BOM)
    try:
        items = parse(data, ends_file=not data.endswith(b"\n"))
    except BadRow as bad:
        raise UserError(f"{path}: {bad}") from None
    if not isinstance(items, list):
        raise UserError(
            f"{path}: holds {type_name(items)} but must hold a list of objects (or be .jsonl: one object a line)."
        )
    if not items:
        raise UserError(f"{path}: the list is empty.")
    for number, item in enumerate(items, 1):
        yield _row(f"{path}:row {number}", lambda item=item: item)  # type: ignore[misc]


def _csv(path: Path) -> Iterator[Row]:
    """Rows under a header line; every value is a text. A row's place is its last line, as quoted values may hold line ends."""
    ends = [0]

    def lines() -> Iterator[str]:
        for number, line, _ in _lines(path):
            ends[0] = number
            try:
                yield line.decode("utf-8") + "\n"
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{path}:{number}: UTF-8: byte 0x{line[error.start]:02x} is not valid UTF-8."
                ) from None

    reader = csv.reader(lines(), strict=True)
    try:
        names = next(reader, [])
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UserError(f"{path}:1: {twice}: two columns have this name.")
        for cells in reader:
            place = f"{path}:{ends[0]}"
            if not cells:
                continue
            if len(cells) == len(names):
                yield Row(place, dict(zip(names, cells, strict=True)))
            else:
                yield Row(
                    place,
                    {},
                    BadRow("row", f"has {len(cells)} values, the header has {len(names)} columns"),
                )
    except csv.Error as error:
        raise UserError(f"{path}:{ends[0]}: CSV: {error}.") from None


def _paragraphs(path: Path) -> Iterator[Row]:
    """A document is what stands between blank lines; its place is its first line."""
    start, kept = 0, list[bytes]()
    for number, line, _ in _lines(path):
        if line.strip():
            start = start if kept else number
            kept.append(line)
        elif kept:
            yield _text_row(path, start, kept)
            kept = []
    if kept:
        yield _text_row(path, start, kept)


def _text_row(path: Path, start: int, lines: list[bytes]) -> Row:
    for number, line in enumerate(lines, start):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            reason = f"byte 0x{line[error.start]:02x} at position {error.start} of the line is not valid UTF-8"
            return Row(f"{path}:{number}", {}, BadRow("UTF-8", reason))
    return Row(f"{path}:{start}", {"text": b"\n".join(lines).decode("utf-8")})


def _parquet(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(
            f"{path}: reading Parquet needs pyarrow. Install it with: pip install 'preflab[parquet]'"
        ) from None
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            twice = next((n for n in names if names.count(n) > 1), None)
            if twice is not None:
                raise UserError(f"{path}: {twice}: two columns have this name.")
            for batch in file.iter_batches(batch_size=1024):
                for i in range(batch.num_rows):
                    number += 1
                    yield _row(
                        f"{path}:row {number}",
                        lambda batch=batch, i=i: _arrow_row(batch, i),  # type: ignore[misc]
                    )
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
            f"{path}: is a folder, but not one that datasets' save_to_disk wrote (it has no dataset_info.json or "
            "dataset_dict.json). Name one file instead."
        )
    try:
        from datasets import load_from_disk
    except ImportError:
        raise UserError(
            f"{path}: a datasets folder needs datasets. Install it with: pip install 'preflab[datasets]'"
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


def type_name(value: Any) -> str:
    """What a value is, in JSON's words."""
    names = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return "null" if value is None else names.get(type(value), f"of type {type(value).__name__}")


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _json_lines,
    ".jsonl.gz": _json_lines,
    ".json": _json_list,
    ".txt": _paragraphs,
    ".parquet": _parquet,
    ".csv": _csv,
}
"""File endings and their readers."""
