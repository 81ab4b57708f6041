"""Two processes give the bits of one with accumulation 2, for algorithms without a value network,
and for those that learn from pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from preflab.optimization import OptimizerConfig
from preflab.records import Document, Prompt, Ranking, Record, preferences_from_ranks
from preflab.rewards import FunctionReward
from preflab_builtin.expert_iteration.config import ExpertIterationConfig
from preflab_builtin.expert_iteration.training import expert_iteration
from preflab_builtin.group.config import GroupConfig, GroupKLConfig, Place
from preflab_builtin.group.training import group
from preflab_builtin.on_policy.config import KLPenaltyConfig
from preflab_builtin.online_dpo.config import OnlineDPOConfig
from preflab_builtin.online_dpo.training import online_dpo
from preflab_builtin.preference.config import Loss, PreferenceConfig
from preflab_builtin.preference.training import Preference
from preflab_builtin.ptx.config import PtxConfig
from processes import trained
from support import WORDS, FakeContext, largest_difference

pytestmark = pytest.mark.slow


def training(folder: Path) -> None:
    """Each optimizer step is two micro-batches, of 2 rows or of 1 pair (DPO, KTO: 2 pairs)."""
    documents = [
        Document(str(i), " ".join(WORDS[(i + j * j) % 20] for j in range(9))) for i in range(12)
    ]
    prompts = [Prompt(f"p{i}", " ".join(WORDS[: 1 + i % 5])) for i in range(10)]
    ranks = preferences_from_ranks([1, 2])
    texts = [(" ".join(WORDS[i : i + 1 + i % 3]), "bad bad") for i in range(10)]
    rankings = [Ranking(p, t, ranks) for p, t in zip(prompts, texts, strict=True)]
    records: list[Record] = [*documents, *prompts, *rankings]
    # Short responses are often alike: some prompts have no signal.
    reward = FunctionReward(lambda prompt, text: float(len(text.split()) > 4))
    options: dict[str, Any] = {
        "episodes": 24,
        "batch": 8,
        "samples": 2,
        "policy": OptimizerConfig(lr=1e-2),
        "terms": {"ptx": PtxConfig(coef=2.0, ratio=1.0, window=8)},
    }

    def context(micro_batch: int) -> FakeContext:
        return FakeContext(folder, records, micro_batch=micro_batch, reward=reward)

    kl, loss = KLPenaltyConfig(coef=0.1), GroupKLConfig(coef=0.1, place=Place.loss)
    procedures: dict[str, Any] = {
        "group": group(GroupConfig(**options, minibatch=4, kl=loss, resample=1), context(2)),
        "expert_iteration": expert_iteration(
            ExpertIterationConfig(**options, minibatch=8, kl=kl), context(2)
        ),
        "online_dpo": online_dpo(
            OnlineDPOConfig(**options, minibatch=8, kl=kl, resample=1), context(2)
        ),
        **{
            loss.value: Preference(
                PreferenceConfig(loss=loss, batch=4, optimizer=options["policy"]), context(4)
            )
            for loss in (Loss.dpo, Loss.kto)
        },
    }
    rows = {}
    for name, procedure in procedures.items():
        rows[name] = [dict(procedure.step(i)) for i in range(procedure.total_steps)]
        if procedure.context.runtime.rank == 0:
            procedure.save(folder / name)
            (folder / "rows.json").write_text(json.dumps(rows))


def test_two_processes_equal_one_with_accumulation(tmp_path: Path) -> None:
    folders = [trained(training, tmp_path / str(n), n) for n in (1, 2)]
    one, two = (json.loads((folder / "rows.json").read_text()) for folder in folders)
    fresh = FakeContext(tmp_path).policy("base").module.state_dict()
    assert list(one) == ["group", "expert_iteration", "online_dpo", "dpo", "kto"]
    assert any(row["objective/resampled"] > 0 for row in one["group"])
    for name in one:
        weights = [load_file(f / name / "model" / "model.safetensors") for f in folders]
        # Of an odd number of pairs a process has one more than the other; sums are then in another
        # order.
        assert largest_difference(*weights) <= 1e-5, name
        assert any(not weights[0][k].equal(fresh[k]) for k in weights[0] if k in fresh)
        for first, second in zip(one[name], two[name], strict=True):
            assert first.keys() == second.keys()
            # At first the policy is its reference, and the sign of their difference is chance.
            left_out = ("time/", "preference/accuracy")
            timeless = {k for k in first if not k.startswith(left_out)}
            different = {
                k: (first[k], second[k])
                for k in timeless
                if abs(first[k] - second[k]) > 1e-4 * max(1, abs(first[k]))
            }
            assert not different, (name, different)
