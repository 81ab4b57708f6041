"""The averaging stage keeps preflab's contract, and later stages start from its policy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from preflab.testing import ComponentContract, FakeContext, FastRun, ProcedureContract

from preflab_pairs.averaging import Averaging
from preflab_pairs.config import AverageConfig


class TestAverage(ProcedureContract, ComponentContract):
    kind = "average"
    name = "weights"
    overrides = ("+average=weights",)
    seeded = False


def test_a_quarter_of_the_way(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    after = context.policy("sft")
    with torch.no_grad():
        for weight in after.module.parameters():
            weight += 1.0
    context.policies["sft"] = after
    averaging = Averaging(AverageConfig(share=0.25), context)
    metrics = averaging.step(0)
    before = dict(context.policy("base").module.named_parameters())
    for name, weight in averaging.policy.module.named_parameters():
        torch.testing.assert_close(weight, before[name] + 0.25)
    # Every one of n weights moved by 0.75.
    count = sum(weight.numel() for weight in before.values())
    assert metrics["average/distance"] == pytest.approx(0.75 * count**0.5, rel=1e-5)


def test_the_algorithm_starts_from_it(preflab_run: Callable[..., FastRun]) -> None:
    run = preflab_run(
        "+average=weights", "average.share=0", "algorithm=none", "evaluation.baseline=averaged"
    )
    assert list(run.stages).index("average") == list(run.stages).index("sft") + 1
    # With share 0 it is the pretrained model, and so is what the evaluation judges.
    again = preflab_run("algorithm=none", "evaluation.subject=base")
    assert run.measures["gold/gold"]["value"] == again.measures["gold/gold"]["value"]
    # Nothing changes it after the averaging, so that it is its own baseline.
    assert run.measures["gold/gain"]["value"] == 0.0
