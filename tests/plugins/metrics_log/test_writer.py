"""metrics.jsonl and samples.jsonl of a run folder."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch

from preflab.interfaces import Tokenizer
from preflab.records import Prompt, Rollout
from preflab_builtin.metrics_log.writer import MetricsLog


def _rows(path: Path) -> list[dict[str, Any]]:
    def refuse(word: str) -> float:
        raise AssertionError(f"{word} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def _rollout(rows: int) -> Rollout:
    lengths = torch.arange(1, rows + 1)
    return Rollout(
        prompts=tuple(Prompt(f"p{i}", f"question {i}\nwith two lines") for i in range(rows)),
        texts=tuple(f"answer {i}\u2028" for i in range(rows)),
        prompt_ids=torch.zeros(rows, 1, dtype=torch.long),
        prompt_lengths=torch.ones(rows, dtype=torch.long),
        response_ids=torch.zeros(rows, rows, dtype=torch.long),
        response_lengths=lengths,
        terminated=lengths % 2 == 0,
    )


def test_every_step_is_one_row_and_history_comes_first(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    log.preflab_stage_reused("pretrain", [{"step": 0, "loss/pretrain": 2.0}])
    log.preflab_stage_started("sft", [{"step": 0, "loss/sft": 1.0}])
    log.preflab_step_finished("sft", 1, {"loss/sft": 0.5, "other": math.inf})
    rows = _rows(tmp_path / "metrics.jsonl")  # readable before the run is over
    assert [(r["stage"], r["step"]) for r in rows] == [("pretrain", 0), ("sft", 0), ("sft", 1)]
    assert [r["time"] is None for r in rows] == [True, True, False]
    assert rows[0]["loss/pretrain"] == 2.0
    assert rows[2]["loss/sft"] == 0.5
    assert rows[2]["other"] is None
    log.preflab_run_failed()  # closes both files


def test_a_few_rows_of_a_rollout_are_kept(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    values = {"score": [0.5, math.nan, 1.0, 2.0, 3.0, 4.0]}
    log.preflab_rollout_finished("algorithm", 7, _rollout(6), values)
    log.preflab_rollout_finished("algorithm", 8, _rollout(2), {})
    log.preflab_run_finished()
    rows = _rows(tmp_path / "samples.jsonl")
    assert [(r["step"], r["prompt_id"]) for r in rows] == [
        (7, "p0"),
        (7, "p1"),
        (7, "p2"),
        (7, "p3"),
        (8, "p0"),
        (8, "p1"),
    ]
    assert rows[1] == {
        "stage": "algorithm",
        "step": 7,
        "prompt_id": "p1",
        "prompt": "question 1\nwith two lines",
        "response": "answer 1\u2028",
        "terminated": True,
        "tokens": 2,
        "score": None,
    }


def test_a_real_tokenizers_rollout_is_written(tmp_path: Path) -> None:
    class Letters:
        pad_id, eos_id, end_ids = 0, 1, frozenset({1})

        def decode_response(self, prompt: Prompt, ids: list[int]) -> str:
            return "".join(chr(96 + i) for i in ids if i not in self.end_ids)

    tokenizer: Tokenizer = Letters()  # type: ignore[assignment]
    log = MetricsLog(tmp_path)
    rollout = Rollout.from_tokens(tokenizer, [Prompt("x", "b")], [[2]], [[3, 4, 1]])
    log.preflab_rollout_finished("s", 0, rollout, {"kl": [0.25]})
    log.preflab_run_failed()
    (row,) = _rows(tmp_path / "samples.jsonl")
    assert (row["response"], row["tokens"], row["terminated"], row["kl"]) == ("cd", 3, True, 0.25)
