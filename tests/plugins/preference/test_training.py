"""The procedure: its gradient is the paper's, it resumes to the bit, terms can be added and taken
away."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from preflab.errors import UserError
from preflab.likelihood import response_log_probs
from preflab.optimization import OptimizerConfig, Schedule
from preflab.records import Document, Prompt, Ranking, Rollout
from preflab.storage import checkpoints
from preflab_builtin.preference.config import Loss, PreferenceConfig
from preflab_builtin.preference.loss import kto_losses
from preflab_builtin.preference.mismatched import mismatched
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


def test_simpo_compares_means_over_tokens(tmp_path: Path) -> None:
    """beta 2, margin 1: -log sigmoid(2 (mean log pi(better) - mean log pi(worse)) - 1)."""
    procedure = training(tmp_path, loss=Loss.simpo, beta=2.0, margin=1.0)
    wanted = []
    for i in procedure._drawn(0):
        ranking = procedure.pairs[i].ranking
        rows = Rollout.from_texts(
            procedure.context.tokenizer, [ranking.prompt] * 2, ranking.responses
        )
        with torch.no_grad():
            totals = response_log_probs(procedure.policy, rows).sum(-1)
        better, worse = (totals / rows.response_lengths).tolist()
        wanted.append(math.log1p(math.exp(1 - 2 * (better - worse))))
    assert procedure.step(0)["loss/simpo"] == pytest.approx(sum(wanted) / 4, rel=1e-5)


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


def test_the_reference_is_read_once_and_kept_in_checkpoints_and_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = training(tmp_path, loss=Loss.kto)
    asked: list[int] = []
    known = Preference._reference_log_probs

    def noting(self: Preference) -> torch.Tensor:
        asked.append(1)
        return known(self)

    monkeypatch.setattr(Preference, "_reference_log_probs", noting)
    for i in range(2):
        first.step(i)
    folder = checkpoints.save(tmp_path / "state", 2, {"procedure": first.state_dict()})
    second = training(tmp_path, loss=Loss.kto)
    second.load_state_dict(checkpoints.load(folder)[1]["procedure"])
    for i in range(2, 4):
        second.step(i)
    assert len(asked) == 1
    second.save(tmp_path)
    kept = load_file(tmp_path / "reference.safetensors")["log_probs"]
    # It is that of the policy that training starts from, not of the trained one.
    policy = first.context.policy("initial")
    for number, pair in enumerate(first.pairs):
        prompt = pair.ranking.prompt
        rows = Rollout.from_texts(first.context.tokenizer, [prompt] * 2, pair.ranking.responses)
        wanted = response_log_probs(policy, rows).sum(-1).detach()
        torch.testing.assert_close(kept[number, :2], wanted, rtol=1e-5, atol=1e-5)


def test_reading_the_reference_draws_no_random_number(tmp_path: Path) -> None:
    procedure = training(tmp_path)
    before = torch.get_rng_state()
    procedure._reference_log_probs()
    assert torch.equal(before, torch.get_rng_state())


# --- kto ---


def test_mismatched_responses_answer_another_prompt_and_are_cut_to_the_positions(
    tmp_path: Path,
) -> None:
    pairs = training(tmp_path).pairs
    found = mismatched(pairs, None)
    answers = {pair.prompt: set[tuple[int, ...]]() for pair in pairs}
    for pair in pairs:
        answers[pair.prompt] |= set(pair.responses)
    assert [other.prompt for other in found] == [pair.prompt for pair in pairs]
    for pair, other in zip(pairs, found, strict=True):
        others = [given for prompt, given in answers.items() if prompt != pair.prompt]
        assert any(set(other.responses) <= given for given in others)
    cut = mismatched(pairs, limit=max(len(pair.prompt) for pair in pairs) + 1)
    assert all(len(o.prompt) + len(r) <= 6 for o in cut for r in o.responses)  # prompts: 1 to 5
    one = [pair for pair in pairs if pair.prompt == pairs[0].prompt]
    with pytest.raises(UserError, match="rankings of a second prompt"):
        mismatched(one, None)


def test_kto_s_kl_is_that_of_the_whole_step_whatever_the_micro_batches(tmp_path: Path) -> None:
    """The second step's loss, from log-probs of rows read one by one."""
    procedure = training(tmp_path, 2, loss=Loss.kto, beta=0.3, liked_weight=1.2)
    procedure.step(0)
    trained, start = procedure.policy, procedure.context.policy("initial")
    batch = procedure._drawn(1)

    def ratio(pair: Any, side: int) -> float:
        prompt, tokens = pair.ranking.prompt, procedure.context.tokenizer
        row = Rollout.from_tokens(tokens, [prompt], [pair.prompt], [pair.responses[side]])
        with torch.no_grad():
            ours, theirs = (response_log_probs(p, row).sum() for p in (trained, start))
        return float(ours - theirs)

    others = mismatched(procedure.pairs, None)
    kl = max(0.0, sum(ratio(others[i], side) for i in batch for side in (0, 1)) / 8)
    better, worse = (torch.tensor([ratio(procedure.pairs[i], s) for i in batch]) for s in (0, 1))
    wanted = float(kto_losses(better, worse, torch.tensor(kl), 0.3, 1.2).mean())
    row = procedure.step(1)
    assert row["loss/kto"] == pytest.approx(wanted, abs=1e-5)
    assert row["preference/kl"] == pytest.approx(kl, abs=1e-5)


def test_kto_starts_at_one_half_and_falls(tmp_path: Path) -> None:
    procedure = training(tmp_path, batch=12, epochs=6, loss=Loss.kto)
    rows = [procedure.step(i) for i in range(6)]
    assert rows[0]["loss/kto"] == pytest.approx(0.5, abs=1e-6)  # 1 - sigmoid(0)
    assert rows[0]["preference/kl"] == pytest.approx(0, abs=1e-6)
    assert rows[5]["loss/kto"] < rows[1]["loss/kto"] < 0.5
