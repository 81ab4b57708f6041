"""The voluntary survey (InstructGPT, table 12): a file beside the round that no exporter reads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

FILE = "survey.jsonl"


def keep(path: Path, labeler: str, row: Mapping[str, Any]) -> None:
    """Add a person's answers. Their pseudonym stands with them only if they agreed; without it no
    time is kept either, so that nothing leads back to them."""
    said = {"labeler": labeler} if row["link"] else {}
    line = json.dumps({**said, "answers": row["answers"]}, ensure_ascii=False, sort_keys=True)
    with FileLock(f"{path}.lock"):
        lines = _lines(path)
        if said:
            lines = [one for one in lines if not _is_of(one, labeler)]
        # In the order of their text: that of the lines would tell who came when.
        _write(path, sorted([*lines, line]))


def forget(path: Path, labeler: str) -> None:
    """Take out what stands with a person's pseudonym."""
    if not path.exists():
        return
    with FileLock(f"{path}.lock"):
        lines = _lines(path)
        _write(path, [line for line in lines if not _is_of(line, labeler)])


def _is_of(line: str, labeler: str) -> bool:
    return bool(json.loads(line).get("labeler") == labeler)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf8").splitlines() if path.exists() else []


def _write(path: Path, lines: list[str]) -> None:
    part = path.with_name(f"{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf8") as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
