"""The policy judged while it trains: the same prompts, the same noise, the same evaluators."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from preflab.errors import UserError
from preflab.interfaces import Context, Evaluator, Policy, Responder, RolloutEngine, Subject
from preflab.randomness import permutation
from preflab.records import Prompt, Rollout, Split
from preflab.responders import Adjusted, PolicyResponder
from preflab_builtin.training.config import WatchConfig


class Watch:
    """Judges a policy. All that it does is a function of the weights and of the run's seed, so that
    it has no state, and training goes on as if nobody had watched."""

    def __init__(self, config: WatchConfig, context: Context) -> None:
        self.config, self.context = config, context
        self.evaluators: dict[str, Evaluator] = {}
        self.prompts: list[Prompt] = []
        self._start: tuple[Policy, Rollout] | None = None
        if config.every is not None:
            self.evaluators = {
                key: context.component("evaluator", c) for key, c in config.evaluators.items()
            }
            self.prompts = self._chosen()

    def is_due(self, done: int) -> bool:
        """Whether the policy is judged after so many steps; that does not depend on how many are
        to come."""
        return self.config.every is not None and done % self.config.every == 0

    def judge(self, policy: Policy) -> Mapping[str, float]:
        """Every finite measure of the policy by its name, such as gold/gold. The baseline of
        comparisons is the policy that training began from."""
        engine = self.context.rollout()
        reference, baseline = self._at_the_start(engine)
        responder = self._responder(policy, engine)
        subject = Subject(responder, self._respond(responder), baseline, reference)
        results = [evaluator.evaluate(subject) for evaluator in self.evaluators.values()]
        measures = {name: m.value for result in results for name, m in result.measures.items()}
        return {name: value for name, value in measures.items() if math.isfinite(value)}

    def _chosen(self) -> list[Prompt]:
        """The prompts, the same ones for every seed and every arm."""
        split: Split = self.config.split.value
        prompts: Sequence[Prompt] = self.context.records("prompts", split)
        if not prompts:
            raise UserError(
                f"algorithm.watch: there are no {split} prompts. Set algorithm.watch.split, or "
                "give prompts of that split."
            )
        chosen = permutation(len(prompts), "watch", "prompts")[: self.config.prompts]
        return [prompts[i] for i in sorted(chosen)]

    def _at_the_start(self, engine: RolloutEngine) -> tuple[Policy, Rollout]:
        """The policy that training began from, and its responses: read once, also after a kill."""
        if self._start is None:
            policy = self.context.sampled_policy("initial")
            responder = self._responder(policy, engine)
            self._start = policy, self._respond(responder)
        return self._start

    def _responder(self, policy: Policy, engine: RolloutEngine) -> Responder:
        return PolicyResponder(policy, Adjusted(engine, temperature=self.config.temperature))

    def _respond(self, responder: Responder) -> Rollout:
        return responder.respond(self.prompts, (self.context.seed, "watch", "responses"))
