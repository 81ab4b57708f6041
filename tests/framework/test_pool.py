"""The pool's file: what was written comes back, equal pools are equal bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from preflab.errors import UserError
from preflab.pool import POOL_FILE, Answered, read_pool, write_pool
from preflab.records import Message, Prompt

POOL = (
    Answered(
        Prompt("p1", "say it", "user-1", ("chat",), "g", "train", {"at_most": 3, "choose": ["a"]}),
        ("It.", "", "Zwölf\u2028 Ü\nlines \U0001f600"),
    ),
    Answered(
        Prompt("p2", "user: hi", split="validation", messages=(Message("user", "hi"),)), ("a", "b")
    ),
)


def test_it_comes_back_and_is_the_same_to_the_byte(tmp_path: Path) -> None:
    digests = set()
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        write_pool(folder, POOL)
        pool = read_pool(folder)
        assert pool.answered == POOL
        assert pool.digest == hashlib.sha256((folder / POOL_FILE).read_bytes()).hexdigest()
        digests.add(pool.digest)
    assert len(digests) == 1


def test_a_line_per_prompt_with_sorted_keys(tmp_path: Path) -> None:
    write_pool(tmp_path, [Answered(Prompt("p", "x", split="train", place="f:1"), ("b", "ä"))])
    assert (tmp_path / POOL_FILE).read_text() == (
        '{"prompt": {"group": "", "id": "p", "notes": {}, "split": "train", "tags": [], '
        '"text": "x", "user": ""}, "responses": ["b", "\\u00e4"]}\n'
    )


def test_another_folder_holds_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no pool\.jsonl: it is not the artifact of a sampl"):
        read_pool(tmp_path)
