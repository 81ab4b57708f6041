"""Which options are meant for which file of a source: one that names columns or a shape is for the
files that have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

from preflab import UserError
from preflab.errors import nearest
from preflab.records import RecordType
from preflab.rows import read_rows, shown
from preflab_builtin.files.catalogue import shapes_of
from preflab_builtin.files.config import FilesConfig, RowSettings, Verdict
from preflab_builtin.files.repeats import HEAD

Columns = Mapping[RecordType, frozenset[str]]
_ABOUT = ("user", "group", "split")
_ASKED = ("user", "group")
"""Those that say who asked, or what a prompt belongs to."""
_NO_UNIT = "a document has no user and no group, and is a unit of its own in splits"
_JUDGED = ("rankings", "prompts")
"""Record types whose rows may hold several answers and a verdict."""


def settings_of(config: FilesConfig) -> dict[RecordType, RowSettings]:
    """How the file of each record type is read. `UserError` if an option is given that no file can
    have a use for."""
    made = {record_type: config.row_settings(record_type) for record_type in config.paths()}
    verdict = next((s.verdict for s in made.values()), Verdict())
    if verdict.columns and not set(made) & set(_JUDGED):
        option, section = verdict.columns[0][0], next(iter(made.values()))
        what = f"is for rankings, and only {' and '.join(made)} are given"
        raise UserError(f"{section.option(f'verdict.{option}')}: {what}. Leave it out")
    if set(made) == {"documents"}:
        own = made["documents"]
        for option in filter(lambda name: getattr(own, name), _ASKED):
            raise UserError(
                f"{own.option(option)}: {_NO_UNIT}, and only documents are given. Leave it out; a "
                "column 'split' keeps documents together."
            )
    named = verdict.columns or config.format or any(getattr(config, name) for name in _ABOUT)
    if len(made) < 2 or not named:
        return made
    columns = {t: _columns(Path(path), config) for t, path in config.paths().items()}
    return {t: _meant(made[t], columns) for t in made}


def notices(config: FilesConfig, settings: Mapping[RecordType, RowSettings]) -> Iterator[str]:
    """Sentences on files in which a column that the config names for all of them is missing."""
    for record_type, own in settings.items():
        for option in _ABOUT:
            name = getattr(config, option)
            if name and record_type == "documents" and option in _ASKED:
                yield f"{_NO_UNIT}: {own.option(option)} counts for the other files alone."
            elif name and getattr(own, option) is None:
                what = f"{record_type}: no row at the file's start has the column '{shown(name)}'"
                yield f"{what}, so that {own.option(option)} counts for the other files alone."


def check_splits(config: FilesConfig, used: set[str]) -> None:
    """`UserError` if the config says what a split's name means, and no row has it. used: names that
    rows have."""
    section = config.record.value if config.record else "data"
    for name, split in config.splits.meanings():
        if name not in used:
            what = f"{section}.splits.{split}: no row is in a split '{name}'"
            raise UserError(f"{what}. {nearest(name, used)}" if used else f"{what}.")


def _meant(settings: RowSettings, columns: Columns) -> RowSettings:
    """The settings without the options that are for the files of other record types alone."""
    own, others = settings.record_type, [t for t in columns if t != settings.record_type]
    told = {name for _, name in settings.verdict.columns}
    if not told <= columns[own] and (own != "rankings" and "rankings" in columns):
        settings = replace(settings, verdict=Verdict())
    shape = settings.format
    if shape and not _has(own, shape, columns) and any(_has(t, shape, columns) for t in others):
        settings = replace(settings, format=None)

    def meant(name: str | None) -> str | None:
        elsewhere = name not in columns[own] and any(name in columns[t] for t in others)
        return None if elsewhere else name

    user, group, split = map(meant, (settings.user, settings.group, settings.split))
    if own == "documents":
        user = group = None
    return replace(settings, user=user, group=group, split=split)


def _has(record_type: RecordType, shape: str, columns: Columns) -> bool:
    """Whether a file has rows of a shape. Of a shape without columns of its own, the first record
    type that it gives is meant."""
    own = shapes_of(record_type, shape)
    free = any(not one.needs and not one.any_of for one in own)
    if free and record_type == "prompts":  # whose file mostly holds prompts alone
        rivals = [t for t in columns if t != record_type and shapes_of(t, shape)]
        return not rivals or any(columns[t] == columns[record_type] for t in rivals)
    return any(one.fits(columns[record_type]) for one in own)


def _columns(path: Path, config: FilesConfig) -> frozenset[str]:
    """The columns at a file's start, also under the names that the config gives them."""
    rows = islice(read_rows(path), HEAD)
    names = {name for row in rows if row.problem is None for name in row.values}
    return frozenset(names | {usual for name, usual in config.renamed() if name in names})
