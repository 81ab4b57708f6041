"""``data=files``: every row of the files is parsed before any work; a row becomes records or is counted with a reason."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from preflab import Inspection, UserError
from preflab.interfaces import Gold
from preflab.records import Record, RecordType
from preflab_builtin.files.building import Builder
from preflab_builtin.files.config import FilesConfig, OnBadRow
from preflab_builtin.files.reading import Stamp, digest, read_rows, stamp
from preflab_builtin.files.rows import BadRow


@dataclass
class Parsed:
    """The records of one file. total: rows read; kept + len(rejects) = total, always. rejects: ``file:line: field: reason``
    of every row that was left out. A row can hold several records (self-instruct tasks)."""

    records: list[Record] = field(default_factory=list)
    rejects: list[str] = field(default_factory=list)
    total: int = 0

    @property
    def kept(self) -> int:
        """Rows that became records."""
        return self.total - len(self.rejects)


class FileSource:
    """The `preflab.interfaces.DataSource` of files. parsed: by record type, the records and the counts."""

    def __init__(self, parsed: Mapping[str, Parsed]) -> None:
        self.parsed = parsed

    @property
    def vocabulary(self) -> Sequence[str] | None:
        return None

    @property
    def gold(self) -> Gold | None:
        return None

    def records(self, record_type: RecordType) -> Sequence[Record]:
        """All records of a type, in the order of the file; none if no file of them is given."""
        return self.parsed[record_type].records if record_type in self.parsed else []

    def left_out(self, record_type: RecordType) -> Mapping[str, int]:
        """Rows that could not be read (on_bad_row=skip)."""
        bad = len(self.parsed[record_type].rejects) if record_type in self.parsed else 0
        return {"bad row": bad} if bad else {}


_parsed: dict[tuple[Any, ...], Parsed] = {}
_digests: dict[Stamp, str] = {}


def load(config: FilesConfig) -> FileSource:
    """The records of the configured files; `UserError` with ``file:line: field: reason`` for a bad row. What was parsed is
    kept in the process for as long as size and time of the files do not change."""
    settings = (config.on_bad_row, config.template, config.user, config.group, config.split)
    parsed = {}
    for record_type, path in config.paths().items():
        key = (record_type, stamp(Path(path)), settings)
        if key not in _parsed:
            _parsed[key] = parse_file(Path(path), cast(RecordType, record_type), config)
        parsed[record_type] = _parsed[key]
    return FileSource(parsed)


def inspect(config: FilesConfig) -> Inspection:
    """Digest of the files' bytes and the number of records, after every row was parsed."""
    source = load(config)
    parts = [
        f"{record_type} {file_digest(Path(path))}"
        for record_type, path in sorted(config.paths().items())
    ]
    content = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    records = {t: len(p.records) for t, p in source.parsed.items()}
    return Inspection(
        content=content,
        records=records,
        rejected={t: p.rejects for t, p in source.parsed.items() if p.rejects},
    )


def file_digest(path: Path) -> str:
    """`reading.digest`, computed again only if the file changed."""
    key = stamp(path)
    if key not in _digests:
        _digests[key] = digest(path)
    return _digests[key]


def parse_file(path: Path, record_type: RecordType, config: FilesConfig) -> Parsed:
    """All records of a file. With ``on_bad_row=error`` bad rows are one `UserError` that names the first of them."""
    if record_type != "documents" and path.name.lower().endswith(".txt"):
        raise UserError(
            f"{path}: .txt files hold documents, not {record_type}. Use .jsonl, one object a line."
        )
    parsed, builder = Parsed(), Builder(record_type, config)
    for row in read_rows(path):
        parsed.total += 1
        try:
            parsed.records.extend(builder.records(row))
        except BadRow as bad:
            parsed.rejects.append(f"{row.place}: {bad}")
    if not parsed.total:
        raise UserError(f"{path}: there are no rows in it.")
    _judge(path, parsed, config.on_bad_row)
    return parsed


def _judge(path: Path, parsed: Parsed, on_bad_row: OnBadRow) -> None:
    bad = len(parsed.rejects)
    if not bad:
        return
    count = f"{bad} of {parsed.total} rows {'are' if bad > 1 else 'is'} bad"
    if on_bad_row is OnBadRow.error:
        raise UserError(
            f"{parsed.rejects[0]}\n({count}; on_bad_row=skip leaves them out, counted.)"
        )
    if not parsed.kept:
        raise UserError(f"{parsed.rejects[0]}\n({count}; none is left.)")
    first = "".join(f"\n  {reason}" for reason in parsed.rejects[:3])
    where = "; the run folder's rejected.txt has all" if bad > 3 else ""
    told = f"{path}: {parsed.kept} of {parsed.total} rows kept, {bad} rejected (on_bad_row=skip{where}):{first}"
    warnings.warn(told, stacklevel=4)
