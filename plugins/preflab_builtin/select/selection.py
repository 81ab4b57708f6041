"""Scoring SFT's checkpoints with the reward model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from preflab.errors import UserError
from preflab.interfaces import Context, State
from preflab.optimization import require_finite
from preflab.storage.artifacts import write_json
from preflab_builtin.select.config import RewardSelectionConfig


class RewardSelection:
    """`preflab.interfaces.Procedure`: a step scores one checkpoint; all of them answer the same
    prompts with the same noise."""

    def __init__(self, config: RewardSelectionConfig, context: Context) -> None:
        self.config, self.context = config, context
        self.names = list(context.checkpoints("sft"))
        self.total_steps = len(self.names)
        self.prompts = context.records("prompts", "validation")[: config.prompts]
        if not self.names or not self.prompts:
            missing = "there are no validation prompts" if self.names else "SFT kept no checkpoints"
            raise UserError(f"select=reward_model cannot choose: {missing}. Use select=last.")
        self.engine, self.reward_model = context.rollout(), context.reward_model()
        self.scores: dict[str, float] = {}

    def step(self, index: int) -> Mapping[str, float]:
        """The mean reward of one checkpoint's samples."""
        name = self.names[index]
        policy = self.context.policy(f"sft/{name}")
        rollout = self.engine.generate(
            policy, self.prompts, self.engine.sampling, (self.context.seed, "select")
        )
        score = float(self.reward_model.score(rollout).double().mean())
        require_finite(f"select, checkpoint {name}", {"the mean reward": score})
        self.scores[name] = score
        return {"select/score": score}

    def state_dict(self) -> State:
        """The scores so far."""
        return {"scores": self.scores}

    def load_state_dict(self, state: State) -> None:
        """Continue after them."""
        self.scores = {str(k): float(v) for k, v in state["scores"].items()}

    def save(self, folder: Path) -> None:
        """The best checkpoint (of equal ones the earliest) as the result, and all scores."""
        best = max(self.names, key=lambda name: self.scores[name])
        self.context.policy(f"sft/{best}").save(folder / "model")
        write_json(
            folder / "selection.json",
            {"chosen": best, "scores": self.scores, "prompts": len(self.prompts)},
        )
