"""Which of the policies of a training is its result: the last one, or the best that was judged."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from preflab.errors import UserError, nearest
from preflab.interfaces import Context, Policy, State
from preflab.launched import is_main
from preflab.options import canonical
from preflab.sharding import gathered, is_divided, is_sharded, parted
from preflab_builtin.training.checkpoints import STEP, kept_steps
from preflab_builtin.training.config import LAST, Better, TrainedConfig
from preflab_builtin.training.watch import Watch


class Keeping:
    """A part of a procedure: call `after` at the end of each step, end the training when `ended`
    says so, and save `result`. A longer training takes the same decisions as a shorter one up to
    its end."""

    def __init__(
        self, config: TrainedConfig, context: Context, total_steps: int, policy: Policy
    ) -> None:
        self.config, self.context, self.total_steps = config, context, total_steps
        self.policy = policy
        self.watch = Watch(config.watch, context)
        if config.keep != LAST:  # a measure that nobody takes is told before any step
            self._require(self.watch.judge(policy))
        self.best: State | None = None
        """step, value and weights of the best policy so far: on the CPU, but divided ones where
        the policy's are."""
        self.without_progress = 0
        """Judgements since the best one."""
        self.judged = 0
        """The step of the last judgement."""

    @property
    def ended(self) -> bool:
        """Whether the training ends before its last step."""
        patience = self.config.watch.patience
        return patience is not None and self.without_progress >= patience

    def after(self, done: int, policy: Policy) -> dict[str, float]:
        """What is to be done after so many steps. Metrics: watch/MEASURE, if it was judged."""
        if not self.watch.is_due(done):
            return {}
        measures, self.judged = self.watch.judge(policy), done
        if self.config.keep != LAST:
            self._compare(done, policy, measures)
        if self._keeps_folder(done) and (is_main() or is_sharded(policy.module)):
            policy.save(self.context.folder / "checkpoints" / f"{STEP}{done}")
        return {f"watch/{name}": value for name, value in measures.items()}

    def result(self, policy: Policy) -> Policy:
        """The result of the training, if ``policy`` is its last one."""
        if self.best is None:
            return policy
        best = policy.copy()
        best.module.load_state_dict(gathered(self.best["weights"]))
        return best

    def accounting(self) -> Mapping[str, float]:
        """Of which step the result is, if that was to be chosen, and where training ended early."""
        chosen = {} if self.best is None else {"result of step": float(self.best["step"])}
        return {**chosen, "ended early after step": float(self.judged)} if self.ended else chosen

    def state_dict(self) -> State:
        """The best policy and how long ago it was found."""
        best = {} if self.best is None else self.best
        progress = {"without_progress": self.without_progress, "judged": self.judged}
        return {"best": best, "by": self._judged_by(), **progress}

    def load_state_dict(self, state: State) -> None:
        """Restore them. Training that goes on looks for its best anew if it is judged by another
        measure, or measured otherwise."""
        if state["by"] != self._judged_by():
            return
        self.judged = int(state["judged"])
        self.best = dict(state["best"]) or None
        if self.best is not None:
            self.best["weights"] = self._parted(self.best["weights"])
        self.without_progress = int(state["without_progress"])

    def _parted(self, weights: State) -> State:
        """Weights of a checkpoint: copies of this process's parts where the policy is divided."""
        current = self.policy.module.state_dict()
        return {
            name: value if is_divided(value) else parted(value, current[name]).clone()
            for name, value in weights.items()
        }

    def _compare(self, done: int, policy: Policy, measures: Mapping[str, float]) -> None:
        """Keep the policy if it is better than every one before."""
        better, _, measure = self.config.keep.partition(":")
        sign = 1 if better == Better.best else -1
        value = measures.get(measure, math.nan)  # one that is not a number is no progress
        best = -math.inf if self.best is None else sign * self.best["value"]
        if not sign * value > best:
            self.without_progress += 1
            return
        weights = policy.module.state_dict()
        kept = {
            n: w.detach().clone() if is_divided(w) else w.detach().to("cpu", copy=True)
            for n, w in weights.items()
        }
        self.best = {"step": done, "value": value, "weights": kept}
        self.without_progress = 0

    def _require(self, measures: Mapping[str, float]) -> None:
        """`UserError` if nobody takes the measure that decides."""
        measure = self.config.keep.partition(":")[2]
        if measure not in measures:
            raise UserError(
                f"algorithm.keep={self.config.keep}: algorithm.watch does not measure {measure}, "
                f"or it is not a number. {nearest(measure, measures)}"
            )

    def _judged_by(self) -> str:
        """What makes two judgements comparable: the measure, and how it is taken."""
        watch = canonical(self.config.watch)
        how = {k: v for k, v in watch.items() if k not in ("every", "patience", "checkpoints")}
        return json.dumps([self.config.keep, how], sort_keys=True)

    def _keeps_folder(self, done: int) -> bool:
        """Whether the policy stays as a model folder. Which ones do is known ahead: files that a
        checkpoint has come after must not be removed."""
        return done in kept_steps(self.config.watch, self.total_steps)
