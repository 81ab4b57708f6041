"""Best-of-n sampling (Stiennon et al. 2020; called rejection sampling there)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from preflab.errors import NumericError
from preflab.interfaces import Context, Policy, RewardModel, RolloutEngine
from preflab.records import Prompt, Rollout
from preflab.responders import Adjusted
from preflab_builtin.baselines.config import BestOfNConfig


class BestOfN:
    """`preflab.interfaces.Responder`: the sample with the highest reward of n of the policy's; of
    equal ones the first."""

    def __init__(
        self,
        n: int,
        policy: Policy,
        engine: RolloutEngine,
        reward_model: RewardModel,
    ) -> None:
        self.n, self.policy, self.engine, self.reward_model = n, policy, engine, reward_model

    @property
    def temperature(self) -> float:
        """At which they are drawn."""
        return self.engine.sampling.temperature

    def at_temperature(self, temperature: float) -> BestOfN:
        """The best of n samples that are drawn at another temperature."""
        return self._by(Adjusted(self.engine, temperature=temperature))

    def with_prefix(self, prefix: str) -> BestOfN:
        """The same with a text in front of each prompt, which the reward model does not read."""
        return self._by(Adjusted(self.engine, prefix=prefix))

    def up_to(self, max_tokens: int) -> BestOfN:
        """The best of n samples with another cap."""
        return self._by(Adjusted(self.engine, max_tokens=max_tokens))

    def _by(self, engine: RolloutEngine) -> BestOfN:
        return BestOfN(self.n, self.policy, engine, self.reward_model)

    def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
        """One response per prompt."""
        sampling = replace(self.engine.sampling, samples=self.n)
        rollout = self.engine.generate(self.policy, prompts, sampling, seed)
        scores = self.reward_model.score(rollout)
        if not bool(scores.isfinite().all()):
            raise NumericError(
                f"best-of-{self.n}: the reward model gave {int((~scores.isfinite()).sum())} scores "
                "that are not finite."
            )
        best = scores.reshape(len(prompts), self.n).argmax(1).tolist()
        return rollout.rows([i * self.n + j for i, j in enumerate(best)])


def best_of_n(config: BestOfNConfig, context: Context) -> BestOfN:
    """Best-of-n of the policy that algorithms start from."""
    policy = context.sampled_policy("initial")
    return BestOfN(config.n, policy, context.rollout(), context.reward_model())
