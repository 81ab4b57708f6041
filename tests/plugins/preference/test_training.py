"""The procedure: its gradient is the paper's, it resumes to the bit, terms can be added and taken
away."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from preflab.errors import UserError
from preflab.likelihood import response_log_probs
from preflab.optimization import OptimizerConfig, Schedule
from preflab.records import Document, Prompt, Ranking, Rollout
from preflab.storage import checkpoints
from preflab_builtin.preference.config import Loss, PreferenceConfig
from preflab_builtin.preference.training import Preference
from preflab_builtin.ptx.config import PtxConfig
from support import WORDS, FakeContext, gradients, largest_difference

RANKINGS = [
    Ranking(
        Prompt(f"p{i}", " ".join(WORDS[: 1 + i % 4]), split="train"),
        (" ".join(WORDS[i : i + 2]), "bad", " ".join(WORDS[i : i + 1 + i % 3])),
        ((0, 1), (2, 1)),
    )
    for i in range(6)
]
DOCUMENTS = [Document(f"d{i}", " ".join(WORDS[i : i + 9]), split="train") for i in range(8)]


def training(folder: Path, micro_batch: int = 64, **options: Any) -> Preference:
    optimizer = OptimizerConfig(lr=3e-3, schedule=Schedule.constant)
    config = PreferenceConfig(**{"batch": 4, "epochs": 2, "optimizer": optimizer, **options})
    context = FakeContext(folder, [*RANKINGS, *DOCUMENTS], micro_batch=micro_batch)
    return Preference(config, context)


def weights(procedure: Preference) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in procedure.policy.module.state_dict().items()}


def test_every_preference_is_a_pair_and_every_pair_is_read(tmp_path: Path) -> None:
    procedure = training(tmp_path)
    assert len(procedure.pairs) == 12
    assert procedure.total_steps == 6  # 2 passes over 12 pairs by 4
    read = [i for index in range(6) for i in procedure._drawn(index)]
    assert sorted(read) == sorted([*range(12), *range(12)])
    assert procedure.accounting([])["pairs"] == 12


def test_the_gradient_is_the_paper_s(tmp_path: Path) -> None:
    """Section 4: -beta sigmoid(-margin) (grad log pi(better) - grad log pi(worse)); at the
    reference the sigmoid is 1/2."""
    procedure = training(tmp_path, beta=0.3, batch=1)
    index = procedure._drawn(0)
    procedure.reference = procedure._reference_log_probs()
    procedure._backward(index, 1)
    found = gradients(procedure.policy.module)
    (pair,) = (procedure.pairs[i] for i in index)
    policy = procedure.context.policy("initial")
    prompt = pair.ranking.prompt
    rows = Rollout.from_texts(procedure.context.tokenizer, [prompt] * 2, pair.ranking.responses)
    better, worse = response_log_probs(policy, rows).sum(-1)
    torch.autograd.backward(-0.3 * 0.5 * (better - worse))
    assert largest_difference(found, gradients(policy.module)) < 1e-6


def test_it_starts_at_log_2_and_falls(tmp_path: Path) -> None:
    procedure = training(tmp_path, batch=12, epochs=6)
    rows = [procedure.step(i) for i in range(6)]
    assert rows[0]["loss/dpo"] == pytest.approx(math.log(2), abs=1e-6)
    assert rows[0]["preference/margin"] == pytest.approx(0, abs=1e-6)
    assert rows[5]["loss/dpo"] < rows[1]["loss/dpo"] < math.log(2)
    assert rows[5]["preference/accuracy"] == 1


@pytest.mark.parametrize("loss", list(Loss))
def test_micro_batches_change_no_gradient(loss: Loss, tmp_path: Path) -> None:
    found = []
    for micro_batch in (64, 6, 1):
        procedure = training(tmp_path, micro_batch, loss=loss)
        rows = [procedure.step(i) for i in range(2)]
        found.append((weights(procedure), rows[1][f"loss/{loss.value}"]))
    for other, value in found[1:]:
        assert largest_difference(found[0][0], other) < 1e-4
        assert value == pytest.approx(found[0][1], rel=1e-4)


@pytest.mark.parametrize("loss", list(Loss))
def test_resuming_gives_the_same_bits(loss: Loss, tmp_path: Path) -> None:
    options: dict[str, Any] = {"loss": loss, "terms": {"ptx": PtxConfig(coef=2.0, window=8)}}
    straight = training(tmp_path, **options)
    rows = [dict(straight.step(i)) for i in range(4)]
    first = training(tmp_path, **options)
    before = [dict(first.step(i)) for i in range(2)]
    folder = checkpoints.save(tmp_path / "state", 2, {"procedure": first.state_dict()})
    second = training(tmp_path, **options)
    second.load_state_dict(checkpoints.load(folder)[1]["procedure"])
    assert before + [dict(second.step(i)) for i in range(2, 4)] == rows
    assert largest_difference(weights(straight), weights(second)) == 0


def test_a_term_with_coef_zero_is_not_there_bit_for_bit(tmp_path: Path) -> None:
    plain, zero = training(tmp_path), training(tmp_path, terms={"ptx": PtxConfig(coef=0.0)})
    with_term = training(tmp_path, terms={"ptx": PtxConfig(coef=1.0, window=8)})
    rows = [[dict(p.step(i)) for i in range(2)] for p in (plain, zero, with_term)]
    assert rows[0] == rows[1]
    assert "loss/ptx" in rows[2][0]
    assert largest_difference(weights(plain), weights(zero)) == 0
    assert largest_difference(weights(plain), weights(with_term)) > 0


def test_rankings_in_which_all_are_tied_are_refused(tmp_path: Path) -> None:
    tied = [replace(r, preferences=()) for r in RANKINGS]
    with pytest.raises(UserError, match="no ranking with a preference"):
        Preference(PreferenceConfig(), FakeContext(tmp_path, tied))
