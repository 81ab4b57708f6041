"""Files of JSON that are new: nothing is overwritten, and none is there by half."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from preflab.errors import UserError
from preflab.storage.durable import fsync, make_folder, write_bytes


def write_lines(path: Path, rows: Iterable[Any]) -> Path:
    """A JSON value a line."""
    return write_text(path, "".join(f"{_text(row)}\n" for row in rows))


def write_list(path: Path, rows: Iterable[Any]) -> Path:
    """A JSON list, a value a line."""
    return write_text(path, "[\n" + ",\n".join(map(_text, rows)) + "\n]\n")


def write_text(path: Path, text: str) -> Path:
    """A text. `UserError` if the file is there already."""
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # Half a surrogate pair, which a model may give, becomes an escape of JSON.
        write_bytes(temporary, text.encode("utf8", "backslashreplace"))
        os.link(temporary, path)
    except FileExistsError:
        raise UserError(f"{path} is there already. Give another folder with --out.") from None
    finally:
        temporary.unlink(missing_ok=True)
    fsync(path.parent)
    return path


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
