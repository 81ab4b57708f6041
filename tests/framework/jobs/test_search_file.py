"""The file of a search: no other one takes its place."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from preflab import UserError
from preflab.composing.compose import CommandLine, parse
from preflab.jobs.places import check_places
from preflab.jobs.search_file import check_same_search, facts_of, recorded, recorded_trials
from preflab.planning.reading import check_jobs


def test_a_folder_of_another_search_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its trials would be overwritten by a search with another objective, other values to try, or
    by a grid. The same search goes on."""

    monkeypatch.chdir(tmp_path)

    def line(objective: str = "document_loss/all", lr: str = "interval(1e-4,1e-1)") -> CommandLine:
        stages = ("sft=none", "algorithm=none", "reward_model=none", "policy=tiny", "samples=none")
        lacking = ("reward", "reward_accuracy")
        return parse(
            [
                *("-m", "hydra.sweep.dir=mine", *stages, "comparisons=none"),
                *(f"evaluation.evaluators.{name}=null" for name in lacking),
                f"pretrain.optimizer.lr={lr}",
                f"study.search={{objective:{objective},sampler:random,trials:4,more:false}}",
            ]
        )

    given = line()
    assert given.search is not None
    Path("mine").mkdir()
    Path("mine/search.json").write_text(json.dumps({**facts_of(given.search), "trials": []}))
    check_places(given, check_jobs(given))
    for other, words in (
        (line(objective="gold/gold"), r"holds another search \(objective 'document_loss/all'\)"),
        (line(lr="interval(1e-4,1)"), r"holds another search \(other values to try\)"),
    ):
        with pytest.raises(UserError, match=f"mine {words}.*give another folder"):
            check_places(other, check_jobs(other))
    with pytest.raises(UserError, match="holds a search, and this command has none"):
        check_same_search(Path("mine"), None, "hydra.sweep.dir")
    assert Path("mine").is_dir()
    assert os.listdir("mine") == ["search.json"]


def test_a_file_that_cannot_be_read_is_of_no_search(tmp_path: Path) -> None:
    for text in ("", "[]", '{"trials": [1]}'):
        (tmp_path / "search.json").write_text(text)
        assert recorded_trials(tmp_path) == []
    assert recorded(tmp_path / "none") == {}
