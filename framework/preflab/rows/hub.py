"""Sets on the Hugging Face hub as rows, wherever a file of rows may be named:
``hub://OWNER/NAME[@REVISION][/CONFIG]/SPLIT``.

They are fetched by `datasets` (extra ``datasets``) at the first use and kept in its cache. No code
of the set runs: since version 4 `datasets` reads data files only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from preflab.errors import UserError
from preflab.rows.row import Row

SCHEME = "hub:"
FORM = "hub://OWNER/NAME/SPLIT or hub://OWNER/NAME/CONFIG/SPLIT, @REVISION after NAME pins one"


def on_hub(path: Path) -> bool:
    """Whether a path names a set on the hub.

    >>> on_hub(Path("hub://rajpurkar/squad/validation")), on_hub(Path("data/squad.jsonl"))
    (True, False)
    """
    return path.parts[:1] == (SCHEME,)


def hub_rows(path: Path) -> Iterator[Row]:
    """The rows of the set; `UserError` if it cannot be loaded."""
    for number, values in enumerate(_loaded(path), 1):
        yield Row(f"{_address(path)}:row {number}", dict(values))


@cache
def hub_digest(path: Path) -> str:
    """sha256 of the rows: the same rows are the same set, whatever its revision is called."""
    whole = hashlib.sha256()
    for values in _loaded(path):
        whole.update(json.dumps(dict(values), sort_keys=True, default=repr).encode() + b"\n")
    return whole.hexdigest()


def _address(path: Path) -> str:
    return f"{SCHEME}//{'/'.join(path.parts[1:])}"


@cache
def _loaded(path: Path) -> Any:
    """The set as `datasets` gives it: rows that can be read more than once."""
    _, *parts = path.parts
    if len(parts) not in (3, 4):
        raise UserError(f"{_address(path)}: is not a set on the hub. Allowed: {FORM}.")
    owner, name, *config, split = parts
    name, _, revision = name.partition("@")
    try:
        from datasets import load_dataset
    except ImportError:
        raise UserError(
            f"{_address(path)}: a set on the hub needs datasets. "
            "Install it with: pip install 'preflab[datasets]', or name a file."
        ) from None
    try:
        return load_dataset(f"{owner}/{name}", *config, split=split, revision=revision or None)
    except Exception as error:  # no network, no such set or split: whatever the libraries raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        saved = f'load_dataset("{owner}/{name}", split="{split}").save_to_disk("FOLDER")'
        raise UserError(
            f"{_address(path)}: datasets cannot load it: {reason}. Without network, save it on a "
            f"machine that has one ({saved}) and name the folder."
        ) from None
