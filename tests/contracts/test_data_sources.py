"""The built-in data sources keep the contract that third parties keep."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preflab.testing import DataSourceContract


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


class TestMicroworld(DataSourceContract):
    name = "microworld"


class TestRefusals(DataSourceContract):
    name = "refusals"


class TestTaskDemonstrations(DataSourceContract):
    name = "task_demonstrations"


class TestValues(DataSourceContract):
    name = "values"


class TestFiles(DataSourceContract):
    name = "files"
    required = ("prompts",)

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        rows: dict[str, Sequence[Mapping[str, Any]]] = {
            "prompts": [{"prompt": "Say hi."}, {"prompt": "Say bye, please.", "user": "u1"}],
            "demonstrations": [
                {"prompt": "Say hi.", "completion": "Hello!"},
                {"instruction": "Add 1.", "output": "3"},
            ],
            "rankings": [
                {"prompt": "Say hi.", "completions": ["Hello!", "No.", "Hi."], "ranks": [1, 2, 1]},
                {"prompt": "a", "chosen": "b", "rejected": "c d"},
            ],
            "documents": [{"text": "a text of some words"}, {"text": "another"}],
        }
        return [
            f"data.{kind}={_write(folder / f'{kind}.jsonl', of_kind)}"
            for kind, of_kind in rows.items()
        ]


class TestUkp(DataSourceContract):
    name = "ukp"
    required = ("path",)

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        titles = ("Tea?", "Cake?", "Chess?")
        texts = [f"{title} because {n}" for title in titles for n in range(3)]
        pairs = []
        for t, title in enumerate(titles):
            for a, b in ((3 * t, 3 * t + 1), (3 * t + 1, 3 * t + 2)):
                vote = [{"labeler": "w", "value": "a1"}]
                pair = {
                    "id": f"{a}_{b}",
                    "title": title,
                    "stance": "yes",
                    "a1": str(a),
                    "a2": str(b),
                }
                pairs.append({**pair, "votes": vote, "gold_strict": "a1"})
        _write(
            folder / "arguments.jsonl.gz",
            [{"id": str(i), "text": text} for i, text in enumerate(texts)],
        )
        _write(folder / "pairs.jsonl.gz", pairs)
        return [f"data.path={folder}"]


class TestRatings(DataSourceContract):
    name = "ratings"
    required = ("path",)
    overrides = ("data.min_ratings=2",)

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        words = ("good", "bad", "fine", "dull", "bright")
        rows = [
            {
                "id": f"{i}_0",
                "text": f"it is a {words[i % 5]} thing, number {i}",
                "ratings": [i % 9 - 4, (2 * i) % 9 - 4],
            }
            for i in range(20)
        ]
        return [f"data.path={_write(folder / 'rated.jsonl', rows)}"]


class TestPydoc(DataSourceContract):
    name = "pydoc"
