"""Folders of parts: which files are read, in which order, and what their names say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from preflab import UserError
from preflab.rows import READERS, ending_of, read_rows
from preflab.rows.folders import parts_of


def _parts(folder: Path, names: str) -> dict[str, dict[str, str]]:
    for name in names.split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    parts = parts_of(folder, ending_of, READERS)
    return {part.path.relative_to(folder).as_posix(): dict(part.columns) for part in parts}


@pytest.mark.parametrize(
    "names,expected",
    [
        ("b.jsonl a.jsonl in/c.jsonl.gz", {"a.jsonl": "", "b.jsonl": "", "in/c.jsonl.gz": ""}),
        ("part-00001.csv part-00000.csv _SUCCESS", {"part-00000.csv": "", "part-00001.csv": ""}),
        (
            "data/train-00000-of-00001.parquet data/test-00000-of-00001.parquet README.md .git/x",
            {
                "data/test-00000-of-00001.parquet": "test",
                "data/train-00000-of-00001.parquet": "train",
            },
        ),
        (
            "train/a.jsonl valid/a.jsonl in/test/b.jsonl",
            {"in/test/b.jsonl": "test", "train/a.jsonl": "train", "valid/a.jsonl": "validation"},
        ),
        (
            "helpful/train.jsonl.gz harmless/train.jsonl.gz",
            {"harmless/train.jsonl.gz": "train", "helpful/train.jsonl.gz": "train"},
        ),
        ("contest.jsonl trainers.jsonl", {"contest.jsonl": "", "trainers.jsonl": ""}),
        ("eval.jsonl", {"eval.jsonl": "test"}),
        (
            "train_prefs-00000-of-00001.parquet train_sft-00000-of-00001.parquet",
            {
                "train_prefs-00000-of-00001.parquet": "train_prefs",
                "train_sft-00000-of-00001.parquet": "train_sft",
            },
        ),
        ("train_prefs-00000-of-00001.parquet", {"train_prefs-00000-of-00001.parquet": "train"}),
        ("data-00000-of-00001.jsonl", {"data-00000-of-00001.jsonl": ""}),
    ],
)
def test_what_names_say(tmp_path: Path, names: str, expected: dict[str, str]) -> None:
    """Words between signs and digits, as `datasets` reads them; sets of shards keep their names
    where two of them would become one split."""
    found = _parts(tmp_path, names)
    assert {name: columns.get("split", "") for name, columns in found.items()} == expected
    assert list(found) == sorted(found)


def test_keys_in_the_names_of_folders_are_columns(tmp_path: Path) -> None:
    found = _parts(tmp_path, "lang=de/split=test/a.parquet")
    assert found == {"lang=de/split=test/a.parquet": {"lang": "de", "split": "test"}}


@pytest.mark.parametrize(
    "names,expected",
    [
        ("a.jsonl notes.docx", r"notes\.docx: is not a file of rows, but .*Allowed: \.csv"),
        ("a.jsonl b.parquet", r"b\.parquet: is \.parquet, but a\.jsonl is \.jsonl: .*twice"),
        ("a.jsonl train.jsonl", r"a\.jsonl: its name says no split, but that of train\.jsonl says"),
        ("train_test.jsonl", r"train_test\.jsonl: its name says test and train: which is it"),
        (".git/config README.md", "the folder is empty"),
    ],
)
def test_what_is_refused_by_name(tmp_path: Path, names: str, expected: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(str(tmp_path))}.*{expected}"):
        _parts(tmp_path, names)


@pytest.mark.parametrize(
    "names,reason",
    [
        ("train-00000-of-00003.jsonl train-00002-of-00003.jsonl", "train-00001-of-00003 missing"),
        ("a-00001-of-00002-0f3c.csv", "a-00000-of-00002 missing: there are 1 of the 2 parts"),
        ("r.jsonl r.jsonl.gz", "r.jsonl packed in another way"),
        ("r.jsonl.gz r.jsonl.zst", "r.jsonl.gz packed in another way"),
    ],
)
def test_rows_that_are_missing_or_there_twice(tmp_path: Path, names: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        _parts(tmp_path, names)


def test_a_shard_that_is_named_alone_is_called_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r-00001-of-00002.csv").write_text("a\n1\n")
    with pytest.raises(UserError, match=r"^r-00001-of-00002\.csv: r-00000-of-00002 missing"):
        next(read_rows(Path("r-00001-of-00002.csv")))


def test_all_shards_are_there(tmp_path: Path) -> None:
    names = "a-00000-of-00002.jsonl a-00001-of-00002.jsonl in/a-00000-of-00001.jsonl"
    assert list(_parts(tmp_path, names)) == names.split()
