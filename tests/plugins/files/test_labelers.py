"""Who judged, and of which group that person is, in rows of the comparisons stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from judged_rows import files, refused
from preflab.records import Prompt, Ranking, to_json
from preflab_builtin.files.source import FileSource

_OWN = to_json(Ranking(Prompt("p", "q?", split="train"), ("a", "b"), ((0, 1),), "w1"))


def ranking(tmp_path: Path, **columns: Any) -> Ranking:
    (found,) = FileSource(files(tmp_path, [{**_OWN, **columns}])).records("rankings")
    assert isinstance(found, Ranking)
    return found


def test_the_group_has_both_names_and_is_read_as_in_other_shapes(tmp_path: Path) -> None:
    assert ranking(tmp_path, group=" nurses ").group == "nurses"
    assert ranking(tmp_path, labeler_group="nurses").group == "nurses"
    assert ranking(tmp_path, group="nurses", labeler_group="nurses").group == "nurses"
    assert "a word for nothing" in refused(files(tmp_path, [{**_OWN, "group": "nan"}]))
    message = refused(files(tmp_path, [{**_OWN, "group": "x", "labeler_group": "y"}]))
    assert "labeler_group: is not the same as 'group'" in message


def test_what_stands_beside_the_prompt_is_read(tmp_path: Path) -> None:
    """A row that somebody put into the test split would be trained on."""
    own = {**_OWN, "prompt": {**_OWN["prompt"], "split": ""}}
    found = ranking(tmp_path, prompt=own["prompt"], split="test", tags=["chat"], user="u")
    assert (found.prompt.split, found.prompt.tags, found.prompt.user) == ("test", ("chat",), "u")
    assert ranking(tmp_path, split="train").prompt.split == "train"


@pytest.mark.parametrize(("column", "value"), [("split", "test"), ("tags", ["x"]), ("user", "u")])
def test_what_the_prompt_says_otherwise_is_refused(tmp_path: Path, column: str, value: Any) -> None:
    said = {"split": "train", "tags": ["y"], "user": "v"}
    row = {**_OWN, "prompt": {**_OWN["prompt"], **said}, column: value}
    message = refused(files(tmp_path, [row]))
    assert f"{column}: is not the same as 'prompt.{column}'" in message
    assert f"rankings.ignore=[{column}]" in message
