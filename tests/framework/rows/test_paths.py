"""What a path holds: files, digests, and reading them once."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest

from preflab import UserError
from preflab.rows import files_of, path_digest, paths, read_once


def test_files_of_a_path(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "inner/c.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert files_of(tmp_path / "a.jsonl") == [tmp_path / "a.jsonl"]
    names = ["a.jsonl", "b.jsonl", "inner/c.jsonl"]
    assert files_of(tmp_path) == [tmp_path / name for name in names]
    with pytest.raises(UserError, match=r"no such file or folder\. Did you mean 'a\.jsonl'"):
        files_of(tmp_path / "a.json")
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="the folder is empty"):
        files_of(tmp_path / "none")


def test_the_digest_follows_bytes_and_names_inside_a_folder(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jsonl").write_bytes(b"x")
    assert path_digest(tmp_path / "one" / "a.jsonl") == hashlib.sha256(b"x").hexdigest()
    whole = path_digest(tmp_path / "one")
    assert path_digest(tmp_path / "two") == whole
    (tmp_path / "two" / "a.jsonl").rename(tmp_path / "two" / "b.jsonl")
    renamed = path_digest(tmp_path / "two")
    (tmp_path / "two" / "b.jsonl").write_bytes(b"xy")
    assert len({whole, renamed, path_digest(tmp_path / "two")}) == 3


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    (tmp_path / "a").write_bytes(b"x")
    monkeypatch.setattr(paths, "cached_digest", refuse)
    with pytest.raises(UserError, match="a: cannot be read: Permission denied"):
        path_digest(tmp_path / "a")


def test_a_file_is_read_once_until_it_changes(tmp_path: Path) -> None:
    calls: list[tuple[str, list[str]]] = []

    @read_once
    def read(path: Path, settings: list[str]) -> str:
        calls.append((path.name, settings))
        return path.read_text()

    path = tmp_path / "a"
    path.write_text("one")
    assert [read(path, ["x"]), read(path, ["x"]), read(path, ["y"])] == ["one"] * 3
    assert calls == [("a", ["x"]), ("a", ["y"])]
    path.write_text("three")
    assert read(path, ["x"]) == "three"
    path.unlink()
    with pytest.raises(UserError, match="no such file"):
        read(path, ["x"])


@pytest.mark.parametrize("place", ["https://a.org/r.jsonl", "file:///tmp/r.jsonl", "s3://a/r"])
def test_an_address_is_not_fetched(place: str) -> None:
    """A path has one slash where the address had several; the message has the address."""
    with pytest.raises(UserError, match=f"^{place}: is not fetched: download it, or hub://OWNER"):
        files_of(Path(place))
