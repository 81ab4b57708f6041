"""``data=files``: every row of the files is parsed before any work; a row becomes records or is
counted with a reason."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from preflab import Inspection, UserError
from preflab.errors import nearest
from preflab.interfaces import Context
from preflab.records import Record, RecordType
from preflab.rows import BadRow, Row, Spool, ending_of, path_digest, read_once, read_rows, shown
from preflab_builtin.files import applying, likes, looking, repeats
from preflab_builtin.files.building import Builder
from preflab_builtin.files.catalogue import FORMATS
from preflab_builtin.files.columns import Reading
from preflab_builtin.files.config import FilesConfig, OnBadRow, RowSettings
from preflab_builtin.files.findings import Findings
from preflab_builtin.files.grouping import grouped
from preflab_builtin.files.names import SAID_BY
from preflab_builtin.files.ranked import BadOne
from preflab_builtin.files.transcripts import shared_opening


@dataclass
class Parsed:
    """The records of one file. total: rows read; kept + len(rejected) = total, always. rejected:
    ``file:line: field: reason`` of every row that was left out. A row can hold several records
    (self-instruct tasks). notices: what there is to say of the file as a whole. columns: its
    columns, where the config names some. splits: names of splits that the config explains and rows
    have. conversations: records whose prompt is one."""

    records: Sequence[Record] = ()
    rejected: list[str] = field(default_factory=list)
    total: int = 0
    columns: set[str] = field(default_factory=set)
    splits: set[str] = field(default_factory=set)
    conversations: int = 0
    notices: list[str] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """Rows that became records."""
        return self.total - len(self.rejected)


class FileSource:
    """The `preflab.interfaces.DataSource` of files. parsed: by record type, the records and the
    counts. `UserError` with ``file:line: field: reason`` for a bad row."""

    def __init__(self, config: FilesConfig, context: Context | None = None) -> None:
        _check_format(config)
        self.settings, paths = applying.settings_of(config), config.paths()
        self.parsed = {
            record_type: parse_file(Path(paths[record_type]), settings)
            for record_type, settings in self.settings.items()
        }
        applying.check_splits(
            config, {name for parsed in self.parsed.values() for name in parsed.splits}
        )
        _check_names(config, {name for parsed in self.parsed.values() for name in parsed.columns})

    def records(self, record_type: RecordType) -> Sequence[Record]:
        """All records of a type, in the order of the file; none if no file of them is given."""
        return self.parsed[record_type].records if record_type in self.parsed else []

    def left_out(self, record_type: RecordType) -> Mapping[str, int]:
        """Rows that could not be read (on_bad_row=skip)."""
        bad = len(self.parsed[record_type].rejected) if record_type in self.parsed else 0
        return {"bad row": bad} if bad else {}


load = FileSource
"""From Python: ``load(FilesConfig(prompts="my.jsonl")).records("prompts")``."""


def inspect(config: FilesConfig) -> Inspection:
    """Digests of the files and the number of records, after every row was parsed."""
    source = FileSource(config)
    parsed, apart = source.parsed, list(applying.notices(config, source.settings))
    digests = [f"{t} {path_digest(Path(path))}" for t, path in sorted(config.paths().items())]
    return Inspection(
        content="\n".join(digests),
        records={t: len(p.records) for t, p in parsed.items()},
        rejected={t: p.rejected for t, p in parsed.items() if p.rejected},
        notices=[n for p in parsed.values() for n in p.notices] + _forms(config, parsed) + apart,
    )


@read_once
def parse_file(path: Path, settings: RowSettings) -> Parsed:
    """All records of a file. With ``on_bad_row=error`` bad rows are one `UserError` that names the
    first of them. Sources that read the same file in the same way share what it gives."""
    if settings.record_type != "documents" and ending_of(path) == ".txt":
        raise UserError(
            f"{path}: .txt files hold documents, not {settings.record_type}. "
            "Use .jsonl, one object per line."
        )
    reading = Reading(settings)
    parsed, builder, findings = Parsed(), Builder(reading), Findings(reading)
    groups, spool = grouped(read_rows(path), reading), Spool()
    head = list(islice(groups, repeats.HEAD))
    if (by_question := likes.groups(path, head, reading)) is not None:
        groups, head = by_question, list(islice(by_question, repeats.HEAD))
    told, watch = looking.verdicts_beside(head, reading)
    reading.layout = looking.layout(path, head, reading)
    first = looking.cases(head, reading)
    reading.repeats = repeats.repeated(first)
    reading.opening = shared_opening(case.asked.text for case in first)
    for rows in chain(head, groups):
        parsed.total += len(rows)
        if watch:
            watch.see(rows)
        records = _records(rows, builder, parsed.rejected)
        findings.see(records)
        spool.extend(records)
    if not parsed.total:
        raise UserError(f"{path}: there are no rows in it.")
    if watch:
        watch.check()
    parsed.records = spool.sequence()
    parsed.conversations = findings.conversations
    parsed.notices = [*(f"{settings.record_type}: {one}" for one in told)]
    parsed.notices += findings.notices(parsed.total)
    parsed.columns, parsed.splits = reading.names, builder.splits.explained
    if parsed.rejected:
        _judge(path, parsed, settings)
    if name := reading.others.refused():
        raise UserError(
            f"{path}: {shown(name)}: holds texts that differ from row to row, which are not read. "
            "If they are a part of what is asked, put them into the prompt. If they do not count: "
            f"{settings.option(f'ignore=[{shown(name)}]')}"
        )
    return parsed


def _records(rows: Sequence[Row], builder: Builder, rejected: list[str]) -> list[Record]:
    """The records of rows that belong together. A bad one is left out by itself where it says so,
    else with the others; rejected gets the place and the reason of each."""
    while rows:
        try:
            return builder.records(rows)
        except BadOne as bad:
            rejected.append(f"{rows[bad.number].place}: {bad}")
            rows = [row for number, row in enumerate(rows) if number != bad.number]
        except BadRow as bad:
            rejected.extend(f"{row.place}: {bad}" for row in rows)
            break
    return []


def _forms(config: FilesConfig, parsed: Mapping[RecordType, Parsed]) -> list[str]:
    """Whether some record types are conversations and others are texts: then what is trained on one
    is judged or used on the other."""
    asking = {t: p for t, p in parsed.items() if t != "documents"}
    chats = [t for t, p in asking.items() if p.conversations]
    texts = [t for t, p in asking.items() if not p.conversations]
    if not chats or not texts:
        return []
    cure = config.row_settings("prompts").option("template=chat")
    what = f"{' and '.join(texts)} are texts, but {' and '.join(chats)} are conversations"
    return [
        f"{what}, which the model sees through its chat template. To make conversations of texts: "
        f"{cure}."
    ]


def _check_format(config: FilesConfig) -> None:
    """``format`` names one of the shapes."""
    if config.format is not None and config.format not in FORMATS:
        section = config.record.value if config.record else "data"
        raise UserError(f"{section}.format is {config.format!r}. {nearest(config.format, FORMATS)}")


def _check_names(config: FilesConfig, columns: set[str]) -> None:
    """Every column that the config renames or ignores is in one of the files."""
    section = config.record.value if config.record else "data"
    renamed = [(f"columns.{usual}", name) for name, usual in config.columns.renamed()]
    renamed += [(o, name) for o in SAID_BY if (name := getattr(config, o))]
    for option, name in [*renamed, *(("ignore", name) for name in config.ignore)]:
        if name not in columns:
            raise UserError(
                f"{section}.{option}: no row has a column '{name}'. {nearest(name, columns)}"
            )


def _judge(path: Path, parsed: Parsed, settings: RowSettings) -> None:
    """Stop at bad rows, or warn of them."""
    bad, first = len(parsed.rejected), parsed.rejected[0]
    count = f"{bad} of {parsed.total} rows {'are' if bad > 1 else 'is'} bad"
    if settings.on_bad_row is OnBadRow.error:
        skip = settings.option("on_bad_row=skip")
        raise UserError(f"{first}\n({count}; {skip} leaves them out, counted.)")
    if not parsed.kept:
        raise UserError(f"{first}\n({count}; none is left.)")
    reasons = "".join(f"\n  {reason}" for reason in parsed.rejected[:3])
    where = "; the run folder's rejected.txt has all" if bad > 3 else ""
    counts = f"{parsed.kept} of {parsed.total} rows kept, {bad} rejected"
    warnings.warn(f"{path}: {counts} (on_bad_row=skip{where}):{reasons}", stacklevel=4)
