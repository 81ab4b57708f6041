"""Files as bytes and lines: unpacked, read once from start to end, and refused by name where they
are something else than text."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from preflab.errors import UserError
from preflab.rows.pointers import check_fetched
from preflab.rows.row import BadRow
from preflab.storage.durable import remember_digest

LONGEST_LINE = 64 << 20
"""Bytes (unpacked) that a line, and so a row, may have."""
LONGEST_SKIPPED = 16
"""A line of more than this many times `LONGEST_LINE` is not skipped: a gzip bomb is one endless
line."""
BOM = b"\xef\xbb\xbf"
BLOCK = 1 << 18

Watch = Callable[[int], None]
"""Is told of every number of bytes that was read from the disk."""


def _zstd(raw: IO[bytes]) -> IO[bytes]:
    import pyarrow

    return pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, mode="r"), "zstd")  # type: ignore[no-any-return]


COMPRESSIONS: dict[str, tuple[bytes, Callable[[Any], Any]]] = {
    ".gz": (b"\x1f\x8b", lambda raw: gzip.GzipFile(fileobj=raw)),
    ".bz2": (b"BZh", bz2.BZ2File),
    ".xz": (b"\xfd7zXZ\0", lzma.LZMAFile),
    ".zst": (b"\x28\xb5\x2f\xfd", _zstd),
}
"""By ending: what a file begins with that is compressed in this way, and what unpacks it."""

_WEB_PAGE = rb"\s*<(!doctype html|html)"
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (rb"PK\x03\x04", "is a ZIP archive or an Excel workbook. Unpack it, or save it as CSV"),
    (rb"PAR1[\0-\x1f]", "is Parquet. Name it .parquet"),
    (rb"SQLite format 3", "is an SQLite database. Export the table as CSV"),
    (rb"ARROW1\0\0", "is an Arrow file. Save it as .parquet"),
    (_WEB_PAGE, "is a web page, not the data: was the download refused?"),
    (
        rb"\xff\xfe|\xfe\xff|(?:.\0){2}|(?:\0.){2}",
        "is UTF-16, or no text. Save it as UTF-8, for example with: "
        "iconv -f UTF-16 -t UTF-8 FILE > NEW",
    ),
)
"""What a file begins with that holds no text in UTF-8, and what to do about it."""


class _Read(io.RawIOBase):
    """A file that counts and digests what is read. At its end the digest is known without another
    reading, for the very bytes that became rows."""

    def __init__(self, path: Path, watch: Watch) -> None:
        self._path, self._watch = path, watch
        self._file = path.open("rb", buffering=0)
        self._status = os.fstat(self._file.fileno())
        self._sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto(buffer) or 0
        self._sha256.update(memoryview(buffer)[:count])
        self._watch(count)
        if not count:
            remember_digest(self._path, self._status, self._sha256.hexdigest())
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def opened(path: Path, watch: Watch) -> IO[bytes]:
    """The unpacked bytes of a file, whatever its ending says of its compression; `UserError` for
    files that cannot be opened, are empty, or begin as something that is not text in UTF-8."""
    try:
        raw = io.BufferedReader(_Read(path, watch), BLOCK)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}.") from None
    head = raw.peek(64)[:64]
    if not head:
        raise UserError(f"{path}: the file is empty.")
    check_fetched(f"{path}:1", head)
    named = next((e for e in COMPRESSIONS if path.name.lower().endswith(e)), "")
    found = next((e for e, (magic, _) in COMPRESSIONS.items() if head.startswith(magic)), "")
    if not named and not found:
        _refuse_foreign(path, head)
        return raw
    try:
        return io.BufferedReader(COMPRESSIONS[named or found][1](raw), BLOCK)
    except ImportError:
        raise UserError(
            f"{path}: reading .zst needs pyarrow. Install it with: pip install 'preflab[parquet]'"
        ) from None


def _refuse_foreign(path: Path, head: bytes) -> None:
    for pattern, reason in _FOREIGN:
        document = pattern is _WEB_PAGE and ".txt" in path.name.lower()
        if not document and re.match(pattern, head, re.IGNORECASE | re.DOTALL):
            raise UserError(f"{path}:1: {reason}.")


class Line(NamedTuple):
    """A line without its end. number: from 1. last: the file ends with it, without a newline.
    problem: why it cannot be used; then it is empty."""

    number: int
    data: bytes
    last: bool
    problem: BadRow | None = None


def lines(path: Path, watch: Watch) -> Iterator[Line]:
    """The lines of a file. They end at newlines only, not at U+2028 as in str.splitlines."""
    number = 0
    stream = opened(path, watch)
    try:
        with stream:
            while raw := stream.readline(LONGEST_LINE + 1):
                number += 1
                if number == 1:  # Windows editors write a BOM here; anywhere else it is an error
                    raw = raw.removeprefix(BOM)
                    _refuse_foreign(path, raw[:64])
                if len(raw) > LONGEST_LINE:
                    yield Line(number, b"", False, _skipped(path, number, stream))
                elif raw.endswith(b"\n"):
                    yield Line(number, raw[:-2] if raw.endswith(b"\r\n") else raw[:-1], False)
                else:
                    yield Line(number, raw.removesuffix(b"\r"), True)
    except UNPACKING_ERRORS as error:
        raise damaged(path, number + 1, error) from None


def _skipped(path: Path, number: int, stream: IO[bytes]) -> BadRow:
    """Goes to the end of a line that is too long."""
    most = f"{LONGEST_LINE >> 20} MiB"
    for _ in range(LONGEST_SKIPPED):
        rest = stream.readline(LONGEST_LINE)
        if not rest or rest.endswith(b"\n"):
            return BadRow("row", f"is longer than {most}, which no record is")
    raise UserError(f"{path}:{number}: row: is longer than {most}, and does not end.")


UNPACKING_ERRORS = (EOFError, zlib.error, lzma.LZMAError, OSError)


def damaged(path: Path, number: int, error: Exception) -> UserError:
    """An error of unpacking as one that names the file, and the line that could not be read."""
    if isinstance(error, OSError) and error.errno:
        return UserError(f"{path}:{number}: cannot be read: {error.strerror or error}.")
    ending = path.name.lower().rpartition(".")[2]
    kind = {"gz": "gzip", "zst": "zstd"}.get(ending, ending)
    return UserError(f"{path}:{number}: {kind}: the file is damaged or cut off ({error}).")
