"""Divided weights give what whole ones give, and leave the same files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from end_to_end.runs import digests, preflab
from end_to_end.test_processes import HALVES
from preflab.runtime import Sharding
from preflab_builtin.preference.config import Loss
from processes import trained
from sharded import STAGES, Case, rows
from sharded_others import Others
from support import largest_difference, represented_by

pytestmark = pytest.mark.slow

FULL = Case(Sharding.full)
CASES = [("llama", True), ("llama", False), ("gpt2", True), ("gpt2", False)]


def weights(folder: Path, stage: str) -> list[dict[str, torch.Tensor]]:
    """Those of the saved models of a stage."""
    files = sorted((folder / stage).glob("*/model.safetensors"))
    assert len(files) == (1 if stage == "reward_model" else 2)
    return [load_file(file) for file in files]


def differences(one: Path, other: Path) -> tuple[float, float]:
    """The largest difference of a weight, and of a metric relative to its size."""
    largest, furthest = 0.0, 0.0
    for stage in STAGES:
        for first, second in zip(weights(one, stage), weights(other, stage), strict=True):
            largest = max(largest, largest_difference(first, second))
        for before, after in zip(rows(one, stage), rows(other, stage), strict=True):
            assert before.keys() == after.keys()
            distances = [abs(before[k] - after[k]) / max(1, abs(before[k])) for k in before]
            furthest = max(furthest, *distances)
    return largest, furthest


@pytest.mark.parametrize("family,fast", represented_by([("llama", True)], CASES))
def test_two_processes_with_divided_weights_equal_one(
    family: str, fast: bool, tmp_path: Path
) -> None:
    """5 rows a step are 2 and 3 for two processes, so that one has a pass more than the other."""
    full = replace(FULL, family=family, fast=fast)
    one = trained(replace(full, sharding=Sharding.none), tmp_path / "one", 1)
    two = trained(full, tmp_path / "two", 2)
    largest, furthest = differences(one, two)
    assert largest <= 1e-5
    assert furthest <= 1e-4
    assert all(row["val/ratio"] == pytest.approx(1, abs=1e-2) for row in rows(two, "ppo"))
    policy: Any = AutoModelForCausalLM.from_pretrained(two / "ppo" / "model")
    assert policy.get_output_embeddings().weight is policy.get_input_embeddings().weight
    # Four networks, the moments of two and an average: nothing of it is held as a whole.
    alone, each = (max(int(f.read_text()) for f in at.glob("held-*")) for at in (one, two))
    assert each <= 0.55 * alone
    for folder in ("ppo/value", "reward_model/model"):
        AutoModelForSequenceClassification.from_pretrained(two / folder, num_labels=1)


@pytest.mark.reliability
def test_without_sharding_two_processes_equal_one_too(tmp_path: Path) -> None:
    one, two = (trained(Case(), tmp_path / str(n), n) for n in (1, 2))
    assert max(differences(one, two)) <= 1e-4


@pytest.mark.reliability
@pytest.mark.parametrize("reshard", [True, False])
def test_other_stages_equal_one_process_too(reshard: bool, tmp_path: Path) -> None:
    """SFT, RLOO, DPO, and an evaluation in which only the policy that samples is whole."""
    one = trained(Others(), tmp_path / "one", 1)
    two = trained(Others(Sharding.full, reshard), tmp_path / "two", 2)
    compared(one, two, ("sft", "rloo", "dpo"))
    # Subject, reference and reward model.
    alone, each = (max(int(f.read_text()) for f in at.glob("held-*")) for at in (one, two))
    assert each <= 0.6 * alone


@pytest.mark.reliability
@pytest.mark.parametrize("sharding", list(Sharding))
def test_other_losses_of_pairs_equal_one_process_too(sharding: Sharding, tmp_path: Path) -> None:
    losses = (Loss.ipo, Loss.simpo, Loss.kto)
    one = trained(Others(losses=losses), tmp_path / "one", 1)
    two = trained(Others(sharding, losses=losses), tmp_path / "two", 2)
    compared(one, two, ("sft", "rloo", *losses))


def compared(one: Path, two: Path, names: Sequence[str]) -> None:
    """What two runs of `Others` left: weights and all that is measured."""
    for name in names:
        found = [load_file(f / "checkpoints" / name / "model.safetensors") for f in (one, two)]
        assert largest_difference(*found) <= 1e-5, name
    before, after = (json.loads((folder / "rows.json").read_text()) for folder in (one, two))
    # At first DPO's policy is its reference, and the sign of their difference is chance.
    left_out = ("time/", "preference/accuracy")
    for name, first in before.items():
        for row, other in zip(first, after[name], strict=True):
            assert row.keys() == other.keys()
            wanted = {k: v for k, v in row.items() if not k.startswith(left_out)}
            assert {k: other[k] for k in wanted} == pytest.approx(wanted, rel=1e-4, abs=1e-4), name


@pytest.mark.reliability
@pytest.mark.parametrize(
    "options, processes",
    [
        ({"reshard": False}, 1),
        ({"offload": True}, 1),
        ({"rank": 4}, 1),
        # Its rows depend on the rows of their batch, which is one process's share.
        ({"engine": "transformers"}, 2),
    ],
    ids=["weights kept for the backward pass", "offload", "adapters", "rollout=transformers"],
)
def test_it_equals_whole_weights_however_it_is_computed(
    options: dict[str, Any], processes: int, tmp_path: Path
) -> None:
    """processes: of the run with whole weights that it is compared with."""
    if "rank" in options:
        pytest.importorskip("peft", reason="the extra lora is not installed")
    plain = trained(Case(**options), tmp_path / "whole", processes)
    two = trained(Case(Sharding.full, **options), tmp_path / "two", 2)
    largest, furthest = differences(plain, two)
    assert largest <= 1e-5
    assert furthest <= 1e-4


@pytest.mark.reliability
def test_a_run_with_divided_weights_leaves_the_files_of_one_without(tmp_path: Path) -> None:
    """Through the command line; the run of one process then reuses all of it."""
    words = (*HALVES, "runtime.processes=2", "runtime.sharding=full")
    assert preflab(tmp_path, *words) == 0, (tmp_path / "log.txt").read_text()[-3000:]
    before = digests(tmp_path)
    for file in tmp_path.glob("artifacts/*/*/config.json"):
        kind = file.parent.name == "value" or "reward_model" in file.parent.parent.name
        make: Any = AutoModelForSequenceClassification if kind else AutoModelForCausalLM
        _, report = make.from_pretrained(file.parent, output_loading_info=True)
        assert not any(report.values()), (file, report)
    assert preflab(tmp_path, *HALVES, "runtime.sharding=full") == 0
    assert digests(tmp_path) == before
    log = (tmp_path / "log.txt").read_text()
    assert "was made with processes 2 (now 1)" in log


@pytest.mark.reliability
@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize("processes", [2, 1])
def test_a_checkpoint_of_divided_weights_goes_on(
    processes: int, parts: bool, tmp_path: Path
) -> None:
    """With as many processes to the same bits, with another number up to rounding."""
    full = replace(FULL, parts=parts)
    two = trained(full, tmp_path / "two", 2)
    resumed = trained(replace(full, then=two), tmp_path / "resumed", processes)
    largest, _ = differences(two, resumed)
    assert largest == 0 if processes == 2 else largest <= 1e-5


@pytest.mark.reliability
def test_killed_while_it_writes_its_part_it_goes_on_from_the_last_whole_checkpoint(
    tmp_path: Path,
) -> None:
    """Process 1 is killed within the second checkpoint of PPO, of which half is on the disk."""
    full = replace(FULL, parts=True)
    whole = trained(full, tmp_path / "whole", 2)
    killed = trained(replace(full, dies=True), tmp_path / "killed", 2, dies=True)
    left = {folder.name for folder in (killed / "ppo" / ".state").glob("step-*")}
    assert left == {"step-000000001"}
    assert differences(whole, trained(full, killed, 2))[0] == 0
