"""Tasks of EleutherAI's lm-evaluation-harness (extra lm-eval) on the policy that is judged."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from preflab import Inspection, UserError, intervals
from preflab.errors import meant
from preflab.interfaces import Context, Evaluation, Measure, Subject
from preflab.rows import path_digest
from preflab.sharding import whole
from preflab_builtin.benchmarks.config import HarnessConfig

ACCURACIES = ("acc", "exact_match", "em", "f1", "mc1", "mc2", "pct_stereotype")
"""What the names of metrics between 0 and 1 begin with."""
NORMAL = 1.959964
"""Half-width of a 95 % interval in standard errors: the harness reports no interval."""


def inspect_tasks(config: HarnessConfig) -> Inspection:
    """The version of the harness, which brings most tasks, and the digest of ``include``."""
    try:
        version = importlib.metadata.version("lm-eval")
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            "evaluators: lm_eval needs the extra 'lm-eval': pip install 'preflab[lm-eval]'"
        ) from None
    own = "" if config.include is None else path_digest(Path(config.include))
    return Inspection(content=f"lm-eval {version} {own}")


def look_for_tasks(config: HarnessConfig, context: Context) -> Iterator[str]:
    """`UserError` for tasks that the harness does not know."""
    Harness(config, context)
    yield from ()


class Harness:
    """LABEL/TASK/METRIC for every number that the harness reports of a task or group, with the
    interval from its standard error. The harness gets the policy in memory;
    ``lm_eval --model hf --model_args pretrained=FOLDER`` on the exported folder gives the same
    numbers."""

    def __init__(self, config: HarnessConfig, context: Context) -> None:
        from lm_eval.tasks import TaskManager

        self.config, self.runtime = config, context.runtime
        # The harness needs many seconds to list its own tasks: they are listed only if needed.
        self.manager = TaskManager(
            include_path=config.include, include_defaults=config.include is None
        )
        if not all(map(self._knows, config.tasks)) and config.include is not None:
            self.manager = TaskManager(include_path=config.include)
        missing = next((task for task in config.tasks if not self._knows(task)), None)
        if missing is not None:
            raise UserError(
                f"evaluators: lm_eval knows no task '{missing}'. "
                f"{_near(missing, self.manager.all_tasks)}"
            )

    def _knows(self, task: str) -> bool:
        return bool(self.manager.match_tasks([task]))

    def evaluate(self, subject: Subject) -> Evaluation:
        """Run the tasks."""
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM

        policy: Any = subject.responder.policy
        model = HFLM(
            pretrained=policy.module,
            tokenizer=policy.tokenizer.wrapper,
            add_bos_token=bool(policy.tokenizer.begin),
            batch_size=self.config.batch,
            device=str(self.runtime.device),
        )
        with whole(policy.module):  # it knows nothing of divided weights
            report: Any = simple_evaluate(
                model=model,
                tasks=list(self.config.tasks),
                task_manager=self.manager,
                num_fewshot=self.config.shots,
                limit=self.config.rows,
                bootstrap_iters=1000,
                log_samples=False,
            )
        counts: Mapping[str, Mapping[str, int]] = report.get("n-samples") or {}
        measures: dict[str, Measure] = {}
        for task, numbers in {**report["results"], **(report.get("groups") or {})}.items():
            n = int(counts.get(task, {}).get("effective", 0))
            for metric, measure in measures_of(numbers, n).items():
                measures[f"{self.config.label}/{task}/{metric}"] = measure
        return Evaluation(measures)


def measures_of(numbers: Mapping[str, Any], n: int) -> dict[str, Measure]:
    """The numbers that the harness reports of one task as measures.

    >>> numbers = {"alias": "t", "acc,none": 0.5, "acc_stderr,none": 0.1, "sample_len": 3}
    >>> measure = measures_of(numbers, 3)["acc"]
    >>> measure.value, round(measure.low, 3), measure.n
    (0.5, 0.211, 3)
    """
    measures: dict[str, Measure] = {}
    for key, value in numbers.items():
        metric, comma, variant = key.partition(",")
        if not comma or metric.endswith("_stderr") or not isinstance(value, (int, float)):
            continue
        name = metric if variant == "none" else f"{metric}_{variant.replace('-', '_')}"
        error = numbers.get(f"{metric}_stderr,{variant}")
        known = float(error) if isinstance(error, (int, float)) else math.nan
        measures[name] = _measure(metric, float(value), known, n)
    return measures


def _measure(metric: str, value: float, error: float, n: int) -> Measure:
    """With the interval of a standard error: of an accuracy a score interval, which does not shrink
    to nothing at 0 and 1."""
    if metric.startswith(ACCURACIES) and 0 <= value <= 1:
        measure = Measure(value, n=n, least=0.0, most=1.0)
        if n > 1 and math.isfinite(error):
            return intervals.score_interval(measure, error**2 * (n - 1) / n, n)
        return measure
    half = NORMAL * error if error else math.nan  # an error of 0 tells nothing
    return Measure(value, value - half, value + half, n)


def _near(task: str, known: list[str]) -> str:
    """Only the nearest name: the harness knows thousands."""
    return meant(task, known) or "`lm-eval ls tasks` lists them; include=FOLDER adds your own."
