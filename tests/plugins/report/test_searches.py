"""A search in the report: its trials, the best one, and what that is worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from preflab_builtin.report.searches import read_search, search_findings, search_rows


def _trial(x: float, by_seed: list[float], why: str = "", folder: str = "0") -> dict[str, Any]:
    mean = sum(by_seed) / len(by_seed) if by_seed else None
    state = "failed" if why else "done"
    facts = {"values": {"x": x}, "folders": [folder], "state": state, "by_seed": by_seed}
    return facts | {"objective": mean, "why": why}


def _search(folder: Path, trials: list[dict[str, Any]], best: int | None) -> Any:
    facts = {
        "objective": "gold/gold",
        "trials_planned": 4,
        "seeds": 2,
        "best": best,
        "importance": {"x": 1.0} if trials else {},
        "trials": trials,
    }
    (folder / "search.json").write_text(json.dumps(facts))
    found = read_search(folder / "search.json")
    assert found is not None
    return found


TRIALS = [_trial(1, [0.1, 0.3]), _trial(2, [], "job 2 gave no result"), _trial(3, [0.3, 0.5])]


def test_the_best_trial_is_named_and_called_optimistic(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    overrides = ["a=1", "x=3", "++study.search={objective:gold/gold}", "seed=1", "name=mine"]
    manifest = {"overrides": overrides, "config_name": "my_study"}
    (tmp_path / "0" / "manifest.json").write_text(json.dumps(manifest))
    best, worth, importance = search_findings(_search(tmp_path, TRIALS, 2))
    assert best == (
        "The best of 2 trials, 1 without a result: x=3, with gold/gold 0.400, mean over 2 seeds "
        "(trial 2)."
    )
    assert "is optimistic" in worth
    assert worth.endswith("preflab -cn my_study a=1 x=3 study.search=null seed=101,102,103")
    (tmp_path / "0" / "manifest.json").write_text(
        json.dumps(manifest | {"where": {"config_dir": "/home/me/my studies"}})
    )
    worth = search_findings(_search(tmp_path, TRIALS, 2))[1]
    assert "preflab -cd '/home/me/my studies' -cn my_study a=1 x=3" in worth
    assert "x 100 %" in importance
    less = _search(tmp_path, TRIALS, 0)
    assert "x=1, with gold/gold 0.200" in search_findings(less)[0]


def test_every_trial_is_a_row(tmp_path: Path) -> None:
    head, rows = search_rows(_search(tmp_path, TRIALS, 2))
    assert head == ("trial", "x", "gold/gold", "")
    assert rows == [
        ("0", "1", "0.200\n0.100, 0.300", ""),
        ("1", "2", "–", "job 2 gave no result"),
        ("2", "3", "0.400\n0.300, 0.500", "best"),
    ]


def test_searches_without_a_best_and_files_that_cannot_be_read(tmp_path: Path) -> None:
    nothing = search_findings(_search(tmp_path, [_trial(1, [], "x is refused")], None))
    assert nothing == ["The search for gold/gold has no result: 1 of 4 trials."]
    same = search_findings(_search(tmp_path, [_trial(1, [1.0]), _trial(2, [1.0])], 0))
    assert same[1] == "All trials have the same: nothing tells them apart."
    (tmp_path / "search.json").write_text('{"trials": 3}')
    assert read_search(tmp_path / "search.json") is None
