"""Rows with several answers and a verdict, for the tests of ``data=files``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from preflab import UserError
from preflab.records import Ranking
from preflab_builtin.files.config import FilesConfig, RecordKind
from preflab_builtin.files.source import FileSource

Rows = list[dict[str, Any]]


def files(tmp_path: Path, rows: Rows, record: str = "rankings", **settings: Any) -> FilesConfig:
    """A config that reads these rows."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return FilesConfig(record=RecordKind(record), path=str(path), **settings)


def best(config: FilesConfig) -> list[int | None]:
    """The number of the best answer of each ranking, None for a tie."""
    found: list[int | None] = []
    for ranking in FileSource(config).records("rankings"):
        assert isinstance(ranking, Ranking)
        better, worse = ({pair[k] for pair in ranking.preferences} for k in (0, 1))
        found.append(next(iter(better - worse), None))
    return found


def refused(config: FilesConfig) -> str:
    """The message with which a config is refused."""
    with pytest.raises(UserError) as caught:
        FileSource(config)
    return str(caught.value)


def advised(message: str, *keys: str) -> dict[str, Any]:
    """The settings that a message advises: its options with these keys, as a command reads them."""
    words = re.findall(r"rankings\.(\S+?=(?:\[[^\]]*\]|[\w-]+))", message)
    told = [word for word in words if word.split("=")[0].rpartition(".")[2] in keys]
    assert {word.split("=")[0].rpartition(".")[2] for word in told} == {*keys}
    config = OmegaConf.merge(OmegaConf.structured(FilesConfig), OmegaConf.from_dotlist(told))
    made = OmegaConf.to_object(config)
    assert isinstance(made, FilesConfig)
    return {"verdict": made.verdict, "ignore": made.ignore, "on_bad_row": made.on_bad_row}


def judged(*values: Any, column: str = "winner", **more: Any) -> Rows:
    """Rows with the answers "first 0", "second 0" and so on, and a value each."""
    answers = [{"answer_a": f"first {i}", "answer_b": f"second {i}"} for i in range(len(values))]
    return [
        {"question": f"What is {i}?", **both, column: value, **more}
        for i, (both, value) in enumerate(zip(answers, values, strict=True))
    ]
