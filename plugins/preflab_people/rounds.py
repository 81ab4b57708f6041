"""Where rounds lie: ``labels/NAME/`` in the working folder, or a path with a slash as it is. No
database: what only reads a frozen round needs no extra."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from preflab.errors import StorageError, UserError, nearest
from preflab.storage.durable import make_folder, write_json
from preflab_people.frozen import MANIFEST, FrozenRound, read_frozen
from preflab_people.judgments import TaskKind

ROOT = "labels"
"""The folder of all rounds."""
ROUND, STORE, PEOPLE = "round.json", "store.sqlite", "people.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Round:
    """round.json: what a round is, next to its store.

    runs: folders of the runs that it was made from. store: file in the folder of the round, or the
    address of a database, without a password. frozen: folder of what its people said, "" while it
    is open. url: under which people reach the proxy in front of it, "" without one. equal: prompts
    that nobody is asked about, see `preflab_people.frozen.FrozenRound.equal`. versus: what the
    first run is compared with, where the run that goes on cannot know it. served: the address
    under which it was served last.
    """

    name: str
    kind: TaskKind
    pool: str
    runs: tuple[str, ...] = ()
    store: str = STORE
    frozen: str = ""
    url: str = ""
    equal: Mapping[str, str] = field(default_factory=dict)
    versus: str = ""
    served: str = ""
    format: int = 1


def folder_of(name: str, base: Path = Path()) -> Path:
    """The folder of a round; `UserError` for what cannot be the name of one."""
    if "/" in name:
        return base / Path(name).expanduser()
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot be the name of a round: letters, digits, '.', '-' and '_', the first "
            "a letter or digit; or a path with a slash."
        )
    return base / ROOT / name


def known(base: Path = Path()) -> list[str]:
    """Names of the rounds in a working folder."""
    return sorted(path.parent.name for path in (base / ROOT).glob(f"*/{ROUND}"))


def read_round(folder: Path) -> Round | None:
    """The round of a folder; None if there is none. `StorageError` for a damaged one."""
    path = folder / ROUND
    if not path.is_file():
        return None
    try:
        row = json.loads(path.read_bytes())
        return Round(**{**row, "runs": tuple(row["runs"])})
    except (ValueError, TypeError, KeyError) as error:
        raise StorageError(f"{path} is damaged ({error}): restore it from a copy.") from None


def open_round(name: str, base: Path = Path()) -> tuple[Path, Round]:
    """Folder and round of a name; `UserError` with the nearest name if there is none."""
    folder = folder_of(name, base)
    found = read_round(folder)
    if found is None:
        raise UserError(
            f"There is no round {name!r} ({folder / ROUND} is missing). "
            f"{nearest(name, known(base))} 'preflab label RUN' makes one."
        )
    return folder, found


def write_round(folder: Path, made: Round) -> None:
    """Write or replace round.json, durable."""
    make_folder(folder)
    write_json(folder / ROUND, asdict(made))


def set_frozen(folder: Path, made: Round, frozen: FrozenRound) -> Round:
    """Say which frozen folder is the round's answer from now on."""
    now = replace(made, frozen=frozen.folder.name)
    write_round(folder, now)
    return now


def frozen_of(name: str, base: Path = Path()) -> FrozenRound | None:
    """What the people of a round said, verified; None while it is open or not begun. The name may
    be the path of a frozen folder itself, for one that is not the round's last."""
    folder = folder_of(name, base)
    if not (folder / MANIFEST).is_file():
        found = read_round(folder)
        if found is None or not found.frozen:
            return None
        folder = folder / found.frozen
    return _verified(folder.absolute())


@lru_cache(maxsize=8)
def _parsed(folder: Path, manifest: bytes) -> FrozenRound:
    return read_frozen(folder)


def _verified(folder: Path) -> FrozenRound:
    """Every file is verified at each call, and parsed once."""
    read_frozen(folder)
    return _parsed(folder, (folder / MANIFEST).read_bytes())


def required_kind(found: FrozenRound, name: str, allowed: Sequence[TaskKind], use: str) -> None:
    """`UserError` if a round asked its people something else. use: the component that reads it."""
    if found.kind not in allowed:
        raise UserError(
            f"{use}: the people of round {name!r} were asked to {found.kind}, but it needs a round "
            f"in which they {' or '.join(allowed)}."
        )
