"""SFT, RLOO, DPO and an evaluation of them, in processes that divide weights or do not."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from preflab.launched import is_main
from preflab.optimization import OptimizerConfig
from preflab.records import Demonstration, Document, Prompt, Record
from preflab.rewards import FunctionReward
from preflab.runtime import Device, Runtime, RuntimeConfig, Sharding
from preflab.sharding import is_sharded
from preflab_builtin.evaluation.config import (
    DocumentLossConfig,
    KLConfig,
    RewardConfig,
    SuiteConfig,
)
from preflab_builtin.evaluation.suite import EvaluationSuite
from preflab_builtin.group.config import GroupConfig, GroupKLConfig
from preflab_builtin.group.training import group
from preflab_builtin.preference.config import Loss, PreferenceConfig
from preflab_builtin.preference.training import Preference
from preflab_builtin.reward_model.config import KwiseConfig
from preflab_builtin.reward_model.scoring import trained as trained_reward
from preflab_builtin.sft.config import SFTConfig
from preflab_builtin.sft.training import SupervisedFineTuning
from sharded import RANKINGS, RECORDS, held_bytes
from support import FakeContext

LENGTH = FunctionReward(lambda prompt, text: float(len(text.split())))
SHOWN: list[Record] = [
    *(Demonstration(p, "red blue please") for p in RECORDS if isinstance(p, Prompt)),
    *(replace(r, id=f"t{r.id}", split="test") for r in RECORDS if isinstance(r, Prompt)),
    *(replace(r, id=f"t{r.id}", split="test") for r in RECORDS if isinstance(r, Document)),
]
STEPS = 3


@dataclass(frozen=True)
class Others:
    """Ready for `processes.trained`; leaves rows.json, checkpoints/NAME and held-RANK: bytes that
    the evaluation's models take."""

    sharding: Sharding = Sharding.none
    reshard: bool = True
    losses: tuple[Loss, ...] = (Loss.dpo,)
    """Of pairs; the policy that one of them trains is evaluated."""

    def __call__(self, folder: Path) -> None:
        optimizer = OptimizerConfig(lr=1e-3, eps=1e-5)
        rloo = GroupConfig(
            episodes=24,
            batch=8,
            minibatch=4,
            samples=2,
            kl=GroupKLConfig(coef=0.1),
            policy=optimizer,
        )
        made: dict[str, Any] = {
            "sft": SupervisedFineTuning(
                SFTConfig(batch=3, optimizer=optimizer), self.context(folder)
            ),
            "rloo": group(rloo, self.context(folder)),
        }
        for loss in self.losses:
            pairs = PreferenceConfig(batch=3, optimizer=optimizer, loss=loss)
            made[loss.value] = Preference(pairs, self.context(folder))
        rows = {}
        for name, procedure in made.items():
            rows[name] = [dict(procedure.step(i)) for i in range(STEPS)]
            if is_main() or is_sharded(procedure.policy.module):
                procedure.policy.save(folder / "checkpoints" / name)
        made.clear()
        rows["evaluation"] = [self.evaluated(folder)]
        if is_main():
            (folder / "rows.json").write_text(json.dumps(rows))

    def evaluated(self, folder: Path) -> dict[str, float]:
        """What is measured of the policy that pairs have trained."""
        context = self.context(folder)
        if is_main():
            policy = context.policy("initial")
            policy.scalar_model(context.streams["head"]).save(folder / "model")
        context.runtime.gather([0])
        before = held_bytes()
        context._reward = trained_reward(KwiseConfig(), context)
        evaluators = {"reward": RewardConfig(), "kl": KLConfig(), "documents": DocumentLossConfig()}
        config = SuiteConfig(
            evaluators=evaluators, prompts=6, subject=f"sft/{self.losses[0]}", baseline="sft/sft"
        )
        suite = EvaluationSuite(config, context)
        for index in range(suite.total_steps):
            suite.step(index)
        held = held_bytes() - before
        (folder / f"held-{context.runtime.rank}").write_text(str(held))
        return {name: measure.value for name, measure in suite.measures.items()}

    def context(self, folder: Path) -> FakeContext:
        """With a runtime as the case has it: the rows of no step can be divided by 2."""
        context = FakeContext(folder, [*RECORDS, *SHOWN, *RANKINGS], reward=LENGTH)
        context.runtime = Runtime(
            RuntimeConfig(
                device=Device.cpu,
                threads=1,
                micro_batch=2,
                sharding=self.sharding,
                reshard=self.reshard,
            )
        )
        return context
