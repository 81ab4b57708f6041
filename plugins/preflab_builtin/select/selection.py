"""Scoring SFT's checkpoints with the reward model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from preflab.errors import UserError
from preflab.interfaces import Adaptable, Context, State
from preflab.lengths import check_prompts
from preflab.optimization import require_finite
from preflab.records import Prompt
from preflab.storage.artifacts import write_json
from preflab_builtin.select.config import RewardSelectionConfig


def chosen_prompts(config: RewardSelectionConfig, context: Context) -> Sequence[Prompt]:
    """The prompts that every checkpoint answers; `UserError` if there are none."""
    prompts: Sequence[Prompt] = context.records("prompts", "validation")[: config.prompts]
    if not prompts:
        raise UserError(_cannot("there are no validation prompts"))
    return prompts


def _cannot(reason: str) -> str:
    return f"select=reward_model cannot choose: {reason}. Use select=last."


def preflight(config: RewardSelectionConfig, context: Context) -> Iterator[str]:
    """`UserError` if there are no prompts, or for some that leave no room for a response."""
    check_prompts(context, chosen_prompts(config, context))
    yield from ()


class RewardSelection:
    """`preflab.interfaces.Procedure`: a step scores one checkpoint; all of them answer the same
    prompts with the same noise."""

    def __init__(self, config: RewardSelectionConfig, context: Context) -> None:
        self.config, self.context = config, context
        self.names = list(context.checkpoints("sft"))
        self.total_steps = len(self.names)
        if not self.names:
            raise UserError(_cannot("SFT kept no checkpoints"))
        self.prompts = chosen_prompts(config, context)
        self.engine, self.reward_model = context.rollout(), context.reward_model()
        self.scores: dict[str, float] = {}

    def step(self, index: int) -> Mapping[str, float]:
        """The mean reward of one checkpoint's samples."""
        name = self.names[index]
        policy = self.context.sampled_policy(f"sft/{name}")
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
        policy = self.context.policy(f"sft/{best}")
        # New adapters, which nobody has trained, are not part of the result.
        plain = policy.without_adapters() if isinstance(policy, Adaptable) else None
        (plain or policy).save(folder / "model")
        write_json(
            folder / "selection.json",
            {"chosen": best, "scores": self.scores, "prompts": len(self.prompts)},
        )
