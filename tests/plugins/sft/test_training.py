"""Fine-tuning: which tokens carry loss, one denominator a step, the mix, dropout, checkpoints,
resume."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from preflab.errors import UserError
from preflab.optimization import OptimizerConfig, Schedule
from preflab.options import problems
from preflab.records import Demonstration, Document, Prompt, Record
from preflab.storage import checkpoints
from preflab_builtin.causal_lm.vocabularies import word_tokenizer
from preflab_builtin.sft.batches import examples, padded
from preflab_builtin.sft.config import LossOn, SFTConfig
from preflab_builtin.sft.dropout import branch_ends, residual_dropout
from preflab_builtin.sft.training import SupervisedFineTuning
from support import WORDS, FakeContext, builtin, largest_difference


def demonstration(i: int, split: str = "train") -> Demonstration:
    prompt = " ".join(WORDS[(i + j) % 10] for j in range(1 + i % 5))
    return Demonstration(
        Prompt(f"{split}{i}", prompt, split=split), "please " * (i % 3) + WORDS[i % 10]
    )


DEMONSTRATIONS = [demonstration(i) for i in range(10)]
DOCUMENTS = [
    Document(str(i), " ".join(WORDS[(i + j * j) % 20] for j in range(9)), split="train")
    for i in range(12)
]


def config(**values: Any) -> SFTConfig:
    # A smaller one magnifies rounding.
    optimizer = OptimizerConfig(lr=1e-2, schedule=Schedule.constant, eps=1e-5)
    return SFTConfig(
        **{
            "epochs": 2,
            "batch": 4,
            "optimizer": optimizer,
            "mix_windows": 3,
            "mix_window": 8,
            **values,
        }
    )


def run(procedure: SupervisedFineTuning) -> list[dict[str, float]]:
    return [dict(procedure.step(i)) for i in range(procedure.total_steps)]


def weights(procedure: SupervisedFineTuning) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in procedure.policy.module.named_parameters()}


def test_completion_counts_response_and_end_token_full_counts_the_prompt_too() -> None:
    tokenizer = word_tokenizer(["a", "b", "c"])  # <unk> 0, a 1, b 2, c 3, <pad> 4, <eos> 5
    shown = [Demonstration(Prompt("1", "a b"), "c c"), Demonstration(Prompt("2", "a"), "")]
    rows = examples(shown, tokenizer, LossOn.completion, None)
    ids, mask, targets = padded(rows, tokenizer.pad_id, torch.device("cpu"))
    assert ids.tolist() == [[1, 2, 3, 3, 5], [1, 5, 4, 4, 4]]
    assert mask.tolist() == [[True] * 5, [True, True, False, False, False]]
    assert targets.tolist() == [
        [False, False, True, True, True],
        [False, True, False, False, False],
    ]
    assert [row.targets for row in rows] == [3, 1]
    full = examples(shown, tokenizer, LossOn.full, None)
    assert padded(full, 4, torch.device("cpu"))[2].tolist() == [
        [False, True, True, True, True],
        [False, True, False, False, False],
    ]


def test_one_denominator_for_ragged_rows(tmp_path: Path) -> None:
    """The first step's loss is the mean over tokens of transformers' losses a row, and not the
    mean of their means."""
    world = FakeContext(tmp_path, DEMONSTRATIONS, micro_batch=1)
    found = SupervisedFineTuning(config(batch=10), world).step(0)["loss/sft"]
    policy, sums, means, tokens = world.policy("base"), 0.0, [], 0
    for row in examples(DEMONSTRATIONS, world.tokenizer, LossOn.completion, None):
        labels = torch.tensor(
            [[i if on else -100 for i, on in zip(row.ids, row.loss, strict=True)]]
        )
        loss = float(policy.module(torch.tensor([row.ids]), labels=labels).loss.detach())
        sums, tokens = sums + loss * row.targets, tokens + row.targets
        means.append(loss)
    assert found == pytest.approx(sums / tokens, rel=1e-5)
    assert abs(found - sum(means) / len(means)) > 1e-4


@pytest.mark.parametrize(
    "settings", [{}, {"mix_coef": 0.5}, {"dropout": 0.3, "mix_coef": 0.5}, {"loss_on": LossOn.full}]
)
def test_gradient_accumulation_changes_nothing(settings: dict[str, Any], tmp_path: Path) -> None:
    found = []
    for micro_batch in (16, 4, 1):
        world = FakeContext(tmp_path, [*DEMONSTRATIONS, *DOCUMENTS], micro_batch=micro_batch)
        procedure = SupervisedFineTuning(config(batch=16, epochs=4, **settings), world)
        found.append((procedure.step(0), weights(procedure)))
    for metrics, after in found[1:]:
        assert metrics["sft/grad_norm"] == pytest.approx(found[0][0]["sft/grad_norm"], rel=1e-5)
        assert metrics["loss/sft"] == pytest.approx(found[0][0]["loss/sft"], rel=1e-6)
        assert largest_difference(after, found[0][1]) < 2e-5


def test_mix_adds_coef_times_the_pretraining_gradient(tmp_path: Path) -> None:
    world = FakeContext(tmp_path, [*DEMONSTRATIONS, *DOCUMENTS])
    gradients = []
    for coef in (0.0, 0.5, 1.0):
        procedure = SupervisedFineTuning(config(mix_coef=coef), world)
        procedure._demonstrations(range(4))
        if procedure.mix is not None:
            procedure._mix(procedure.mix, 0)
        gradients.append(
            {n: p.grad for n, p in procedure.policy.module.named_parameters() if p.grad is not None}
        )
    none, half, one = gradients
    assert (
        largest_difference(
            {n: one[n] - none[n] for n in none}, {n: 2 * (half[n] - none[n]) for n in none}
        )
        < 1e-6
    )
    procedure = SupervisedFineTuning(config(mix_coef=1.0), world)
    assert procedure.mix is not None
    windows, policy = procedure.mix.draw(0, 3), world.policy("base")
    policy.module(windows, labels=windows).loss.backward()
    wanted = {n: p.grad for n, p in policy.module.named_parameters() if p.grad is not None}
    assert largest_difference({n: one[n] - none[n] for n in none}, wanted) < 1e-5


def test_every_demonstration_is_read_epochs_times(tmp_path: Path) -> None:
    procedure = SupervisedFineTuning(config(epochs=3), FakeContext(tmp_path, DEMONSTRATIONS))
    rows = run(procedure)
    # 3 epochs of 10 in batches of 4: 30 / 4 = 7.5 steps, the last one half full.
    assert len(rows) == 8
    once = sum(example.targets for example in procedure.examples)
    assert rows[-1]["sft/tokens"] == 3 * once


def test_epochs_leave_checkpoints_and_validation_losses(tmp_path: Path) -> None:
    world = FakeContext(
        tmp_path, [*DEMONSTRATIONS, *(demonstration(i, "validation") for i in range(20, 24))]
    )
    procedure = SupervisedFineTuning(config(), world)
    rows = run(procedure)  # 20 draws in 5 steps: epochs end within step 2 and with step 4
    assert [("sft/validation_loss" in row) for row in rows] == [False, False, True, False, True]
    assert rows[-1]["sft/validation_loss"] < rows[2]["sft/validation_loss"] < math.log(23)
    assert world.checkpoints("sft") == ["epoch-1", "epoch-2"]
    last = {n: p.detach() for n, p in world.policy("sft/epoch-2").module.named_parameters()}
    assert largest_difference(last, weights(procedure)) == 0
    procedure.save(tmp_path)
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_steps_may_end_within_an_epoch(tmp_path: Path) -> None:
    world = FakeContext(tmp_path, DEMONSTRATIONS)
    assert len(run(SupervisedFineTuning(config(steps=3), world))) == 3
    # 12 of 10 draws: the second epoch's part is kept too.
    assert world.checkpoints("sft") == ["epoch-1", "epoch-2"]


@pytest.mark.parametrize("settings", [{}, {"dropout": 0.2, "mix_coef": 0.2}])
def test_resumed_training_is_the_same_to_the_bit(settings: dict[str, Any], tmp_path: Path) -> None:
    records: list[Record] = [*DEMONSTRATIONS, *DOCUMENTS, demonstration(21, "validation")]
    whole = SupervisedFineTuning(config(**settings), FakeContext(tmp_path / "a", records))
    metrics = run(whole)
    first = SupervisedFineTuning(config(**settings), FakeContext(tmp_path / "b", records))
    again = [dict(first.step(i)) for i in range(3)]
    _, state = checkpoints.load(checkpoints.save(tmp_path / "state", 3, first.state_dict()))
    second = SupervisedFineTuning(config(**settings), FakeContext(tmp_path / "b", records))
    second.load_state_dict(state)
    torch.manual_seed(99)  # dropout must not come from the global stream
    assert [*again, *(dict(second.step(i)) for i in range(3, 5))] == metrics
    assert largest_difference(weights(second), weights(whole)) == 0


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_residual_dropout_drops_units_of_real_tokens_and_keeps_the_mean(
    family: str, tmp_path: Path
) -> None:
    module: Any = FakeContext(tmp_path, policy_config={"family": family}).policy("base").module
    ends = branch_ends(module)
    assert len(ends) == 4  # attention and MLP of 2 blocks
    seen: list[torch.Tensor] = []
    probe: Any = ends[0]
    torch.nn.init.zeros_(probe.weight)
    # Its output is 1 everywhere.
    probe.register_parameter("bias", torch.nn.Parameter(torch.ones(32)))
    with residual_dropout(module, 0.25, [6, 40], [(1, "a"), (1, "b")]):
        handle = probe.register_forward_hook(
            lambda part, inputs, output: seen.append(output.detach())
        )
        module(torch.zeros(2, 40, dtype=torch.long))
        handle.remove()
    values: Any = seen[0]
    assert bool((values[0, 6:] == 0).all())  # no noise is spent on pads
    assert values[1].unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    # 1,280 units dropped with p = .25: the share has a standard deviation of .012.
    assert abs(float((values[1] == 0).float().mean()) - 0.25) < 0.05
    assert not any(part._forward_hooks for part in ends)


def test_bad_records_and_configs_are_named(tmp_path: Path) -> None:
    long = Demonstration(Prompt("long", "red " * 30, split="train"), "blue")
    with pytest.raises(UserError, match=r"more than 16 tokens.*'long' \(32 tokens\)"):
        SupervisedFineTuning(
            config(), FakeContext(tmp_path, [long], policy_config={"max_positions": 16})
        )
    long_warmup = OptimizerConfig(warmup=10)
    assert [key for key, _ in problems(SFTConfig(steps=5, optimizer=long_warmup), "sft.")] == [
        "sft.optimizer.warmup"
    ]
    assert [
        key for key, _ in problems(SFTConfig(steps=5, optimizer=long_warmup, dropout=1.0), "sft.")
    ] == ["sft.dropout"]
    component = builtin("sft", "demonstrations")
    assert component.needs(config()) == ("demonstrations",)
    assert component.needs(config(mix_coef=0.1)) == ("demonstrations", "documents")
    assert builtin("sft", "none").procedure is None
