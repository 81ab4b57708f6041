"""What is computed of stored samples: text metrics, means of score columns, and rewards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preflab import intervals
from preflab.errors import UserError, nearest
from preflab.interfaces import Measure
from preflab_builtin.evaluation.results import measure_as_json
from preflab_builtin.evaluation.text_metrics import METRICS, Metric
from preflab_builtin.stored_samples.rewards import OutsideRun, reward
from preflab_builtin.stored_samples.samples import Sample

Measuring = Callable[[Sequence[Sample]], Measure]


@dataclass(frozen=True)
class Result:
    """What was measured of the samples of one group; group: {} for all samples."""

    group: Mapping[str, str]
    n: int
    measures: Mapping[str, Measure]

    def as_json(self) -> dict[str, Any]:
        """The result in JSON."""
        measures = {name: measure_as_json(m) for name, m in self.measures.items()}
        return {"group": self.group, "n": self.n, "measures": measures}


def measures_of(
    metrics: Sequence[str],
    references: Sequence[str],
    scores: Sequence[str],
    rewards: Sequence[Sequence[str]],
    runtime: Sequence[str],
) -> dict[str, Measuring]:
    """What to compute, by its heading. metrics: names, none for all; references, scores: columns;
    rewards: for each the name of the component and its settings; runtime: settings of devices."""
    unknown = next((name for name in metrics if name not in METRICS), None)
    if unknown:
        raise UserError(
            f"evaluate-samples: there is no metric '{unknown}'. {nearest(unknown, METRICS)}"
        )
    measures: dict[str, Measuring] = {}
    for name in (metrics or METRICS) if references else ():
        measures[name] = _against_references(METRICS[name])
    for column in scores:
        measures[column] = _mean(_column(column))
    context = OutsideRun(runtime)
    for name, *settings in rewards:
        heading = " ".join(["reward", name, *settings])
        measures[heading] = _mean(reward(name, settings, context))
    return measures


def _against_references(metric: Metric) -> Measuring:
    return lambda samples: metric(
        [sample.prediction for sample in samples], [sample.references for sample in samples]
    )


def _column(name: str) -> Callable[[Sequence[Sample]], list[float]]:
    return lambda samples: [sample.scores[name] for sample in samples]


def _mean(values: Callable[[Sequence[Sample]], list[float]]) -> Measuring:
    return lambda samples: intervals.mean(values(samples))
