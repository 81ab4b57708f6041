"""A tracker as an observer of a run: intervals, earlier steps, failures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from preflab.components import Component
from preflab.door.choice import Choice
from preflab.door.plugin import Plugin
from preflab.interfaces import Tokenizer
from preflab.jobs.tracking import Tracking, earlier_samples, sampled
from preflab.records import Prompt, Rollout
from preflab.tracking import Sample, TrackedRun, TrackerConfig, sample_row

PLUGIN = Plugin("mine", "mine", "my-package", "1.0")


@dataclass
class Notes:
    """A tracker that notes what it is told."""

    logged: list[tuple[str, int, Mapping[str, float], bool]] = field(default_factory=list)
    shown: list[tuple[str, int, list[str]]] = field(default_factory=list)
    ends: list[object] = field(default_factory=list)
    fails_at: int | None = None

    def log(self, stage: str, step: int, metrics: Mapping[str, float], time: float | None) -> None:
        if step == self.fails_at:
            raise OSError("no route to host")
        self.logged.append((stage, step, metrics, time is not None))

    def show(self, stage: str, step: int, samples: Sequence[Sample]) -> None:
        self.shown.append((stage, step, [sample.response for sample in samples]))

    def flush(self) -> None:
        self.ends.append("flush")

    def close(self, summary: Mapping[str, Any] | None) -> None:
        self.ends.append(summary)


def _tracking(notes: Notes, folder: Path, **options: int) -> Tracking:
    component = Component("tracker", "notes", TrackerConfig, build=lambda config, run: notes)
    choice = Choice("trackers.notes", component, PLUGIN, TrackerConfig(**options))
    return Tracking(choice, TrackedRun(folder, {}, ["sft"]), earlier_samples(folder))


def _rollout(rows: int) -> Rollout:
    lengths = torch.arange(1, rows + 1)
    return Rollout(
        prompts=tuple(Prompt(f"p{i}", f"question {i}") for i in range(rows)),
        texts=tuple(f"answer {i}" for i in range(rows)),
        prompt_ids=torch.zeros(rows, 1, dtype=torch.long),
        prompt_lengths=torch.ones(rows, dtype=torch.long),
        response_ids=torch.zeros(rows, rows, dtype=torch.long),
        response_lengths=lengths,
        terminated=lengths % 2 == 0,
    )


def test_every_third_step_and_the_last_one_are_logged(tmp_path: Path) -> None:
    notes = Notes()
    tracking = _tracking(notes, tmp_path, every=3)
    tracking.preflab_stage_started("sft", [{"step": 0, "loss": None}, {"step": 1, "loss": 2.0}])
    for step in range(2, 6):
        tracking.preflab_step_finished("sft", step, {"loss": 1.0})
    tracking.preflab_stage_finished()
    # 0 and 3 are multiples of 3, 5 is the last; 0 was done before, as its history says.
    assert [(step, now) for _, step, _, now in notes.logged] == [(0, False), (3, True), (5, True)]
    assert math.isnan(notes.logged[0][2]["loss"])
    assert notes.ends == ["flush"]


def test_a_last_step_that_was_due_is_not_logged_twice(tmp_path: Path) -> None:
    notes = Notes()
    tracking = _tracking(notes, tmp_path, every=3)
    tracking.preflab_stage_reused("sft", [{"step": step} for step in range(4)])
    assert [step for _, step, _, _ in notes.logged] == [0, 3]


def test_the_first_responses_of_every_second_batch_are_shown(tmp_path: Path) -> None:
    notes = Notes()
    tracking = _tracking(notes, tmp_path, samples_every=2, samples=1)
    for step in range(3):
        tracking.preflab_rollout_finished("algorithm", step, _rollout(2), {})
    assert notes.shown == [("algorithm", 0, ["answer 0"]), ("algorithm", 2, ["answer 0"])]


def test_no_responses_are_shown_with_an_interval_of_0(tmp_path: Path) -> None:
    notes = Notes()
    tracking = _tracking(notes, tmp_path, samples_every=0)
    tracking.preflab_rollout_finished("algorithm", 0, _rollout(2), {})
    assert notes.shown == []


def test_responses_of_a_killed_process_are_shown_up_to_its_checkpoint(tmp_path: Path) -> None:
    samples = sampled(_rollout(1), {"score": [0.5]}, 4)
    rows = [json.dumps(sample_row("algorithm", step, samples[0])) + "\n" for step in range(3)]
    (tmp_path / "samples.jsonl").write_text("".join(rows) + '{"cut in ha')
    notes = Notes()
    tracking = _tracking(notes, tmp_path)
    tracking.preflab_stage_started("algorithm", [{"step": 0}, {"step": 1}])
    assert notes.shown == [("algorithm", 0, ["answer 0"]), ("algorithm", 1, ["answer 0"])]
    assert earlier_samples(tmp_path)["algorithm", 2] == samples


def test_a_tracker_that_fails_is_named_once_and_the_run_goes_on(tmp_path: Path) -> None:
    notes = Notes(fails_at=1)
    tracking = _tracking(notes, tmp_path)
    tracking.preflab_step_finished("sft", 0, {})
    said = (
        r"trackers.notes: the tracker 'notes' of plugin 'mine' \(my-package 1.0\) is switched off"
    )
    with pytest.warns(UserWarning, match=said + ".*OSError: no route to host.*run goes on"):
        tracking.preflab_step_finished("sft", 1, {})
    tracking.preflab_step_finished("sft", 2, {})
    tracking.preflab_run_finished({})
    assert [step for _, step, _, _ in notes.logged] == [0]
    assert notes.ends == []


def test_a_rollout_of_a_real_tokenizer_is_sampled() -> None:
    class Letters:
        pad_id, eos_id, end_ids = 0, 1, frozenset({1})

        def decode_response(self, prompt: Prompt, ids: list[int]) -> str:
            return "".join(chr(96 + i) for i in ids if i not in self.end_ids)

    tokenizer: Tokenizer = Letters()  # type: ignore[assignment]
    rollout = Rollout.from_tokens(tokenizer, [Prompt("x", "b")], [[2]], [[3, 4, 1]])
    (sample,) = sampled(rollout, {"kl": [0.25]}, 4)
    assert sample == Sample("x", "b", "cd", True, 3, {"kl": 0.25})
