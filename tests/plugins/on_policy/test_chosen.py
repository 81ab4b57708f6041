"""Rows that an algorithm chooses: dealt whole, judged again, and their KL that of everything."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from preflab_builtin.on_policy.experience import Experience
from tiny_on_policy import tiny
from tiny_ppo import PROMPTS, capture_experience


@pytest.mark.parametrize("micro_batch", [1, 3, 4, 64])
def test_rows_that_belong_together_share_a_minibatch_and_a_micro_batch(
    micro_batch: int, tmp_path: Path
) -> None:
    procedure = tiny("online_dpo", tmp_path, micro_batch)
    kept = capture_experience(procedure)
    procedure.step(0)
    rollout = kept[0].rollout
    assert len(rollout) == 8  # a pair of each of 4 prompts
    dealt = procedure._minibatches(3, 1, rollout)
    assert [len(part) for part in dealt] == [4, 4]  # 8 of 16 responses an optimizer step
    assert sorted(row for part in dealt for row in part) == list(range(8))
    for part in dealt:
        pieces = procedure._micro_batches(part)
        assert [row for piece in pieces for row in piece] == part
        for piece in pieces:
            assert len(piece) <= max(2, micro_batch)
            sides = zip(piece[::2], piece[1::2], strict=True)
            assert all(a % 2 == 0 and b == a + 1 for a, b in sides)


def test_prompts_of_a_pair_are_one_and_the_kl_is_that_of_everything(tmp_path: Path) -> None:
    procedure = tiny("online_dpo", tmp_path)
    for i in range(2):
        procedure.step(i)
    kept = capture_experience(procedure)
    row = procedure.step(2)
    (chosen,) = kept
    ids = [prompt.id for prompt in chosen.rollout.prompts]
    assert ids[::2] == ids[1::2]
    assert set(ids) <= {prompt.id for prompt in PROMPTS}
    seen = procedure.context.seen[2][1]  # type: ignore[attr-defined]
    assert len(seen["kl"]) == 16
    assert row["objective/kl"] == pytest.approx(sum(seen["kl"]) / 16, rel=1e-5)
    assert float(chosen.kl.mean()) != pytest.approx(row["objective/kl"], rel=1e-3)


def test_the_first_ratio_of_chosen_rows_is_exactly_one(tmp_path: Path) -> None:
    for name in ("online_dpo", "expert_iteration"):
        for micro_batch in (64, 3):
            procedure = tiny(name, tmp_path, micro_batch, minibatch=16)
            procedure.step(0)
            row = procedure.step(1)
            assert (row["val/ratio"], row["policy/approxkl_avg"]) == (1, 0)


def test_no_chosen_row_is_no_step(tmp_path: Path) -> None:
    procedure = tiny("expert_iteration", tmp_path)

    def nothing(batch: Experience) -> list[int]:
        return []

    object.__setattr__(procedure.rules, "chosen", nothing)
    object.__setattr__(procedure.rules, "described", None)
    before = procedure.policy.module.state_dict()["model.norm.weight"].clone()
    row = procedure.step(0)
    assert "loss/policy_avg" not in row
    assert procedure.updates == 0
    assert torch.equal(before, procedure.policy.module.state_dict()["model.norm.weight"])
