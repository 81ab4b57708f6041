"""Which policy is the result: the last, or the best that was judged; when training ends early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from preflab import UserError
from preflab.interfaces import Evaluation, Measure, Policy, Subject
from preflab.records import Prompt
from preflab_builtin.evaluation.config import LengthConfig
from preflab_builtin.training.config import TrainedConfig, WatchConfig
from preflab_builtin.training.keeping import Keeping
from support import FakeContext

VALUES = (1.0, 3.0, 2.0, 3.0, 0.0)
"""Of the measure m after steps 2, 4, 6, 8 and 10."""


def run(kept: Keeping, policy: Policy, first: int = 1, last: int = 10) -> int:
    """Train: the policy's first weight is the number of steps done. The last step that is done."""
    for done in range(first, last + 1):
        with torch.no_grad():
            next(policy.module.parameters()).fill_(done)
        kept.after(done, policy)
        if kept.ended:
            return done
    return last


def keeping(folder: Path, keep: str, **watch: Any) -> tuple[Keeping, Policy]:
    """Judged by `VALUES`: a policy whose weight is n is after step n."""
    context = FakeContext(folder, [Prompt("v", "one", split="validation")])
    policy = context.policy("initial")
    kept = Keeping(TrainedConfig(WatchConfig(**{"every": 2, **watch})), context, 10, policy)
    kept.config = replace(kept.config, keep=keep)
    kept.watch.evaluators = {"values": ByWeight()}
    return kept, policy


class ByWeight:
    """`preflab.interfaces.Evaluator`: m is the value that belongs to the policy's weight."""

    def evaluate(self, subject: Subject) -> Evaluation:
        done = int(first_weight(subject.responder.policy))
        return Evaluation({"m": Measure(VALUES[done // 2 - 1])})


def first_weight(policy: Policy) -> float:
    return float(next(policy.module.parameters()).detach().flatten()[0])


@pytest.mark.parametrize(
    ("keep", "step"),
    [("last", 10), ("best:m", 4), ("least:m", 10)],  # of equal ones the first: 4, not 8
)
def test_the_result(tmp_path: Path, keep: str, step: int) -> None:
    kept, policy = keeping(tmp_path, keep)
    run(kept, policy)
    assert first_weight(kept.result(policy)) == step
    assert first_weight(policy) == 10  # the trained policy stays as it is
    assert kept.accounting() == ({} if keep == "last" else {"result of step": step})


def test_it_ends_when_nothing_gets_better(tmp_path: Path) -> None:
    # Best at 4; then 6 and 8 are no better: two judgements without progress.
    kept, policy = keeping(tmp_path, "best:m", patience=2)
    assert run(kept, policy) == 8
    assert first_weight(kept.result(policy)) == 4


@pytest.mark.parametrize("cut", [1, 4, 5, 7, 9])
def test_a_kill_between_any_two_steps_changes_nothing(tmp_path: Path, cut: int) -> None:
    before, policy = keeping(tmp_path, "best:m", patience=3)
    run(before, policy, 1, cut)
    after, other = keeping(tmp_path, "best:m", patience=3)
    after.load_state_dict(before.state_dict())
    assert run(after, other, cut + 1, 10) == 10
    assert first_weight(after.result(other)) == 4
    assert after.without_progress == 3


def test_a_measure_that_is_not_there_is_refused_before_any_step(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, [Prompt("v", "one", split="validation")])
    watch = WatchConfig(every=5, evaluators={"length": LengthConfig()})
    with pytest.raises(UserError, match=r"does not measure length/x, or.*Allowed: length/"):
        Keeping(TrainedConfig(watch, "best:length/x"), context, 10, context.policy("initial"))
    Keeping(TrainedConfig(watch, "best:length/tokens"), context, 10, context.policy("initial"))


def test_a_value_that_is_no_number_is_no_progress(tmp_path: Path) -> None:
    kept, policy = keeping(tmp_path, "best:m", patience=2)
    run(kept, policy, 1, 4)
    kept.watch.evaluators = {}  # from now on nothing is measured
    assert run(kept, policy, 5, 10) == 8
    assert first_weight(kept.result(policy)) == 4


def test_a_best_that_was_measured_otherwise_is_not_taken_over(tmp_path: Path) -> None:
    before, policy = keeping(tmp_path, "best:m")
    run(before, policy, 1, 4)
    for watch, taken in (
        ({"every": 4, "patience": 3, "checkpoints": 1}, True),
        ({"prompts": 3}, False),
    ):
        after, _ = keeping(tmp_path, "best:m", **watch)
        after.load_state_dict(before.state_dict())
        assert (after.best is not None) == taken
    other, _ = keeping(tmp_path, "least:m")
    other.load_state_dict(before.state_dict())
    assert other.best is None


@pytest.mark.parametrize(
    ("watch", "steps"),
    [
        ({}, []),
        ({"checkpoints": 2}, [8, 10]),
        ({"checkpoints": 9}, [2, 4, 6, 8, 10]),
        ({"checkpoints": 1, "every": 4}, [8]),  # 10 is not judged
        ({"checkpoints": 1, "patience": 9}, [2, 4, 6, 8, 10]),
    ],
)
def test_the_last_judged_policies_are_kept_as_folders(
    tmp_path: Path, watch: Mapping[str, int], steps: list[int]
) -> None:
    kept, policy = keeping(tmp_path, "best:m", **watch)
    run(kept, policy)
    folders = sorted(tmp_path.glob("checkpoints/*"), key=lambda p: int(p.name.split("-")[1]))
    assert [folder.name for folder in folders] == [f"step-{n}" for n in steps]
    assert all((folder / "model.safetensors").is_file() for folder in folders)


def test_weights_of_a_checkpoint_are_copied(tmp_path: Path) -> None:
    """They may be in the map of its file, which a later checkpoint takes away."""
    kept, policy = keeping(tmp_path, "best:m")
    run(kept, policy)
    state = kept.state_dict()
    resumed, _ = keeping(tmp_path, "best:m")
    resumed.load_state_dict(state)
    assert resumed.best is not None
    for name, weight in state["best"]["weights"].items():
        own = resumed.best["weights"][name]
        assert torch.equal(own, weight)
        assert own.data_ptr() != weight.data_ptr()
