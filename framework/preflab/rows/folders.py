"""Folders of files of rows: shards in the order of their names, with the splits that their names
say, as on the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from preflab.errors import UserError
from preflab.rows.fields import splits_in
from preflab.rows.streams import COMPRESSIONS

_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(?:-[0-9a-f]+)?")
_NO_ROWS = re.compile(
    r"(README|LICENSE|LICENCE|NOTICE|CITATION|CHANGELOG)\b.*|dataset_infos\.json|_SUCCESS|_metadata"
    r"|_common_metadata|.*\.(md|crc|md5|sha256)",
    re.IGNORECASE,
)
"""What lies beside the data in folders of the hub, Spark and others."""


class Part(NamedTuple):
    """A file of a folder. columns: what its place says of every row in it."""

    path: Path
    columns: Mapping[str, str]


def parts_of(folder: Path, kind: Callable[[Path], str], endings: Collection[str]) -> list[Part]:
    """The files of rows in a folder and those below it. kind: the ending by which a file is read,
    "" if by none. `UserError` naming a file that is something else, of another kind than the
    others, or says no split where the others do."""
    files = _files(folder)
    if not files:
        raise UserError(f"{folder}: the folder is empty.")
    kinds = {path: kind(path) for path in files}
    other = next((path for path in files if not kinds[path]), None)
    if other is not None:
        raise UserError(
            f"{other}: is not a file of rows, but {folder} is read as a folder of them. Take it "
            f"out of the folder, or name one file. Allowed: {', '.join(sorted(endings))}; or a "
            "folder that datasets' save_to_disk wrote."
        )
    odd = next((path for path in files if kinds[path] != kinds[files[0]]), None)
    if odd is not None:
        raise UserError(
            f"{odd}: is {kinds[odd]}, but {files[0].relative_to(folder)} is {kinds[files[0]]}: are "
            "they the same rows twice? Leave files of one kind in the folder, or name one file."
        )
    _refuse_twice(files)
    refuse_missing_shards(files)
    return [Part(path, columns) for path, columns in _columns(folder, files).items()]


def refuse_missing_shards(files: Collection[Path]) -> None:
    """`UserError` if names as ``train-00000-of-00003`` speak of files that are not among these."""
    sets: dict[tuple[Path, str, int], set[int]] = {}
    for path in files:
        if match := _SHARD.fullmatch(path.name.partition(".")[0]):
            key = path.parent, match[1], int(match[3])
            sets.setdefault(key, set()).add(int(match[2]))
    for (folder, name, count), found in sets.items():
        missing = [f"{name}-{n:05}-of-{count:05}" for n in range(count) if n not in found]
        if missing:
            shown = ", ".join(missing[:3]) + f" and {len(missing) - 3} more" * (len(missing) > 3)
            alone = next(iter(files)) if len(files) == 1 else folder
            raise UserError(
                f"{alone}: {shown} missing: there are {len(found)} of the {count} parts of {name} "
                "here. Name a folder that holds all of them; if these rows are all that you "
                f"mean, rename the files ({name}-a)."
            )


def _refuse_twice(files: Collection[Path]) -> None:
    """`UserError` if a file is there both packed and unpacked."""
    by_name: dict[Path, Path] = {}
    for path in files:
        plain = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
        other = by_name.setdefault(plain, path)
        if other != path:
            raise UserError(
                f"{path}: is {other.name} packed in another way: are they the same rows twice? "
                "Take one of them out of the folder, or name one file."
            )


def _files(folder: Path) -> list[Path]:
    """Visible files that may hold rows, by name."""
    try:
        found = sorted(path for path in folder.rglob("*") if path.is_file())
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror or error}.") from None
    return [
        path
        for path in found
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not _NO_ROWS.fullmatch(path.name)
    ]


def _columns(folder: Path, files: list[Path]) -> dict[Path, dict[str, str]]:
    """What the place of each file says: ``key=value`` folders, and the split."""
    splits = {path: _split(folder, path) for path in files}
    split_of_set: dict[str, set[str]] = {}
    for path in files:
        if match := _SHARD.fullmatch(path.name.partition(".")[0]):
            split_of_set.setdefault(splits[path], set()).add(match[1])
    for path in files:  # train_sft-00000-of-00001 and train_prefs-00000-of-00001 are two sets
        match = _SHARD.fullmatch(path.name.partition(".")[0])
        if match and splits[path] and len(split_of_set[splits[path]]) > 1:
            splits[path] = match[1]
    without = next((path for path in files if not splits[path]), None)
    if without is not None and any(splits.values()):
        other = next(path for path in files if splits[path])
        raise UserError(
            f"{without}: its name says no split, but that of {other.relative_to(folder)} says "
            f"{splits[other]}. Name it after its split (train, validation, test), take it out of "
            "the folder, or name one file."
        )
    return {
        path: {
            **_keys(path.relative_to(folder)),
            **({"split": splits[path]} if splits[path] else {}),
        }
        for path in files
    }


def _split(folder: Path, path: Path) -> str:
    """The split that the words of a name say, or else those of the folders above it."""
    for part in (path.name.partition(".")[0], *reversed(path.relative_to(folder).parts[:-1])):
        found = splits_in(part)
        if len(found) > 1:
            raise UserError(f"{path}: its name says {' and '.join(sorted(found))}: which is it?")
        if found:
            return found.pop()
    return ""


def _keys(path: Path) -> dict[str, str]:
    pairs = [part.partition("=") for part in path.parts[:-1] if "=" in part]
    return {key: value for key, _, value in pairs if key}
