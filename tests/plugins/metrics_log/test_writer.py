"""metrics.jsonl and samples.jsonl of a run folder."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from preflab.tracking import Sample, TrackedRun
from preflab_builtin.metrics_log.config import JsonLinesConfig
from preflab_builtin.metrics_log.writer import JsonLines


def _rows(path: Path) -> list[dict[str, Any]]:
    def refuse(word: str) -> float:
        raise AssertionError(f"{word} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def _log(folder: Path) -> JsonLines:
    return JsonLines(JsonLinesConfig(), TrackedRun(folder, {}, []))


def test_every_step_is_one_row_that_can_be_read_at_once(tmp_path: Path) -> None:
    log = _log(tmp_path)
    log.log("sft", 0, {"loss/sft": 1.0}, None)
    log.log("sft", 1, {"loss/sft": 0.5, "other": math.inf}, 1795993897.04101)
    assert _rows(tmp_path / "metrics.jsonl") == [
        {"stage": "sft", "step": 0, "time": None, "loss/sft": 1.0},
        {"stage": "sft", "step": 1, "time": 1795993897.041, "loss/sft": 0.5, "other": None},
    ]
    log.close(None)


def test_every_sample_is_one_row(tmp_path: Path) -> None:
    log = _log(tmp_path)
    text = "answer\u2028"
    log.show("algorithm", 7, [Sample("p1", "one\ntwo", text, True, 2, {"score": math.nan})])
    log.close({})
    (row,) = _rows(tmp_path / "samples.jsonl")
    assert row == {
        "stage": "algorithm",
        "step": 7,
        "prompt_id": "p1",
        "prompt": "one\ntwo",
        "response": text,
        "terminated": True,
        "tokens": 2,
        "score": None,
    }


def test_samples_of_a_killed_run_outlive_a_second_kill_before_they_are_shown_again(
    tmp_path: Path,
) -> None:
    first, second = (Sample(name, "a", "b", True, 1, {}) for name in ("first", "second"))

    def ids() -> list[str]:
        return [row["prompt_id"] for row in _rows(tmp_path / "samples.jsonl")]

    killed = _log(tmp_path)
    killed.show("algorithm", 0, [first])
    killed.log("algorithm", 0, {"m": 1.0}, 1.0)
    again = _log(tmp_path)  # killed as well, before anything is shown again
    assert ids() == ["first"]
    again.log("sft", 0, {"m": 1.0}, None)  # a step that an earlier process did
    assert ids() == ["first"]
    failed = _log(tmp_path)
    failed.close(None)
    assert ids() == ["first"]
    goes_on = _log(tmp_path)
    goes_on.show("algorithm", 0, [first])
    goes_on.show("algorithm", 1, [second])
    assert ids() == ["first"]
    goes_on.log("algorithm", 1, {"m": 1.0}, 2.0)  # a step of its own: what is shown is all there is
    assert ids() == ["first", "second"]
    goes_on.show("algorithm", 2, [second])
    goes_on.close(None)
    assert ids() == ["first", "second", "second"]
    complete = _log(tmp_path)  # reuses everything
    complete.show("algorithm", 0, [first])
    complete.close({})
    assert ids() == ["first"]
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "samples.jsonl"}
