"""AdamW with a schedule that is a function of the step, one clip of the summed gradient, and the
guard before the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from preflab.errors import NumericError, UserError
from preflab.malloc import keep_memory
from preflab.options import option
from preflab.sharding import gathered, is_divided, local, parted

if TYPE_CHECKING:
    import torch

    from preflab.interfaces import Context, GradientTerm
    from preflab.runtime import Runtime


class Schedule(StrEnum):
    """Shape of the learning rate after warm-up."""

    constant = "constant"
    linear = "linear"
    cosine = "cosine"


@dataclass
class OptimizerConfig:
    """AdamW and its learning-rate schedule (InstructGPT C: Adam with betas 0.9 and 0.95)."""

    lr: float = option(1e-3, "peak learning rate", ge=0)
    beta1: float = option(0.9, "decay of the first moment", ge=0, lt=1)
    beta2: float = option(0.95, "decay of the second moment", ge=0, lt=1)
    eps: float = option(1e-8, "Adam's epsilon; PPO presets take 1e-5 (lm-human-preferences)", gt=0)
    weight_decay: float = option(0.0, "decoupled weight decay", ge=0)
    schedule: Schedule = option(
        Schedule.cosine, "constant, linear or cosine decay to final_fraction of the peak"
    )
    final_fraction: float = option(
        0.1, "learning rate at the last step, as a fraction of the peak", ge=0, le=1
    )
    warmup: int = option(0, "steps of linear warm-up from warmup_fraction of the peak", ge=0)
    warmup_fraction: float = option(
        0.1, "first learning rate of the warm-up, as a fraction of the peak", ge=0, le=1
    )
    clip: float | None = option(1.0, "largest norm of the summed gradient; null: no clipping", gt=0)


def learning_rate_factor(step: int, total: int, config: OptimizerConfig) -> float:
    """The learning rate of a step as a fraction of the peak; a function of the step alone.

    >>> config = OptimizerConfig(schedule=Schedule.constant, warmup=10)
    >>> [round(learning_rate_factor(step, 100, config), 2) for step in (0, 1, 10)]
    [0.1, 0.19, 1.0]
    """
    if step < config.warmup:
        return config.warmup_fraction + (1 - config.warmup_fraction) * step / config.warmup
    if config.schedule is Schedule.constant:
        return 1.0
    progress = min(1.0, (step - config.warmup) / max(1, total - 1 - config.warmup))
    shape = (
        1 - progress
        if config.schedule is Schedule.linear
        else 0.5 * (1 + math.cos(math.pi * progress))
    )
    return config.final_fraction + (1 - config.final_fraction) * shape


def require_finite(where: str, losses: Mapping[str, float]) -> None:
    """`NumericError` naming what is not finite. Asked before the optimizer step, so that no weight
    has changed."""
    bad = {name: value for name, value in losses.items() if not math.isfinite(value)}
    if bad:
        shown = ", ".join(f"{name} {value}" for name, value in bad.items())
        raise NumericError(f"{where}: {shown} is not finite. No weight was changed.")


def mean_metrics(reports: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric over the optimizer steps of an iteration; 0 for a step that does not
    report it."""
    names = dict.fromkeys(name for report in reports for name in report)
    return {name: sum(r.get(name, 0.0) for r in reports) / len(reports) for name in names}


def gradient_terms(
    context: Context, configs: Mapping[str, Any], shows_batch: bool = False
) -> dict[str, GradientTerm]:
    """The gradient terms of an algorithm's config by name. A term whose ``coef`` is 0 is not built:
    multiplying its gradient by 0 would not be exact, and it would read data and draw random
    numbers. shows_batch: the algorithm calls `SeesBatch.see`; `UserError` for a term that needs it
    where it does not."""
    from preflab.interfaces import SeesBatch

    terms: dict[str, GradientTerm] = {
        name: context.component("gradient_term", config)
        for name, config in configs.items()
        if config.coef != 0
    }
    for name, term in terms.items():
        if isinstance(term, SeesBatch) and not shows_batch:
            raise UserError(sees_no_batch(name))
    return terms


def sees_no_batch(name: str) -> str:
    """What is said of a gradient term that needs sampled responses where an algorithm samples
    none."""
    return (
        f"The gradient term '{name}' is about sampled responses, and this algorithm samples none: "
        f"leave it out with algorithm.terms.{name}=null, or choose an on-policy algorithm (ppo, "
        "rloo, grpo)."
    )


class Optimization:
    """The optimizer of one set of parameters. ``schedule_steps``: number of schedule positions
    (optimizer steps, or PPO iterations when the schedule moves once per iteration)."""

    def __init__(
        self,
        config: OptimizerConfig,
        parameters: Iterable[torch.nn.Parameter],
        schedule_steps: int,
        runtime: Runtime,
        name: str,
    ) -> None:
        import torch

        self.config, self.runtime, self.name, self.schedule_steps = (
            config,
            runtime,
            name,
            schedule_steps,
        )
        given = list(parameters)
        self.parameters = [p for p in given if p.requires_grad]
        if len(self.parameters) < len(given):
            # As with adapters. Their small gradients and moments lie scattered in what passes and
            # sampling have freed, where then no large tensor finds room: a process with SmolLM2's
            # shape held 4.4 GB of which 2.7 were free.
            keep_memory(False)
        self._is_summed = False
        self._norm: float | None = None
        betas = (config.beta1, config.beta2)
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=config.lr,
            betas=betas,
            eps=config.eps,
            weight_decay=config.weight_decay,
            fused=True,
        )

    def add(self, name: str, accumulate: Callable[[], Mapping[str, float]]) -> dict[str, float]:
        """Let a gradient term add its gradient to the one that is there. Each is summed over
        processes first, so that the sum does not depend on how rows are split. Metrics: the term's
        own, the norms of both and their cosine."""
        self._sum()
        before = self._taken()
        metrics = dict(accumulate())
        self.runtime.sum_gradients(self.parameters)
        term, self._norm = self._taken(), None
        norms = _norms(before, term, self.runtime)
        for parameter, a, b in zip(self.parameters, before, term, strict=True):
            parameter.grad = b if a is None else a if b is None else a.add_(b)
        return metrics | {f"{name}/{key}": value for key, value in norms.items()}

    def _sum(self) -> None:
        if not self._is_summed:
            self.runtime.sum_gradients(self.parameters)
        self._is_summed = True

    def _taken(self) -> list[torch.Tensor | None]:
        gradients = [p.grad for p in self.parameters]
        for parameter in self.parameters:
            parameter.grad = None
        return gradients

    def norm(self) -> float:
        """Norm of the gradient, summed over processes; `NumericError` if it is not finite. With two
        optimizers, ask both before either steps: then a bad gradient of one changes no weight of
        the other."""
        import torch

        if self._norm is not None:
            return self._norm
        self._sum()
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = float(gathered(torch.nn.utils.get_total_norm(gradients)))
        if not math.isfinite(norm):
            self.optimizer.zero_grad(set_to_none=True)
            self._is_summed = False
            raise NumericError(
                f"The gradient of {self.name} is not finite (norm {norm}). The weights are as they "
                "were before this step; lower the learning rate. The same command resumes from the "
                "last checkpoint, to the same batch."
            )
        self._norm = norm
        return norm

    def step(self, position: int) -> dict[str, float]:
        """Sum gradients over processes, stop if they are not finite, clip, step, clear. position:
        of the schedule."""
        import torch

        norm = self.norm()
        self._is_summed, self._norm = False, None
        if (
            self.config.clip is not None and self.config.clip < norm + 1e-6
        ):  # else its factor would be 1: a pass for nothing
            torch.nn.utils.clip_grads_with_norm_(
                self.parameters, self.config.clip, torch.tensor(norm)
            )
        lr = self.config.lr * learning_rate_factor(position, self.schedule_steps, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {f"{self.name}/grad_norm": norm, f"{self.name}/lr": lr}

    def state_dict(self) -> dict[str, Any]:
        """Moments and step counts by parameter position."""
        return {
            str(i): dict(self.optimizer.state[p])
            for i, p in enumerate(self.parameters)
            if p in self.optimizer.state
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over moments; positions and shapes must be those of an equal model."""
        for i, parameter in enumerate(self.parameters):
            if str(i) in state:
                self.optimizer.state[parameter] = {
                    k: parted(v, parameter).to(parameter.device) for k, v in state[str(i)].items()
                }


def _norms(
    other: Sequence[torch.Tensor | None], own: Sequence[torch.Tensor | None], runtime: Runtime
) -> dict[str, float]:
    """Norms of two gradients, and their cosine if neither is zero; computed in float64."""
    import torch

    sums = torch.zeros(3, dtype=torch.float64)
    for a, b in zip(other, own, strict=True):
        x, y = (None if g is None else local(g).flatten().double() for g in (a, b))
        products = (
            None if x is None else x @ x,
            None if y is None else y @ y,
            None if x is None or y is None else x @ y,
        )
        sums += torch.stack(
            [torch.zeros((), dtype=torch.float64) if v is None else v.cpu() for v in products]
        )
    if any(is_divided(g) for g in (*other, *own)):
        sums = torch.tensor(runtime.gather([sums.tolist()]), dtype=torch.float64).sum(0)
    first, second, product = sums.tolist()
    norms = {"grad_norm": math.sqrt(second), "other_grad_norm": math.sqrt(first)}
    return {**norms, "cosine": product / math.sqrt(first * second)} if first * second > 0 else norms
