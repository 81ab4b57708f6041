"""What is computed of stored samples: text metrics, means of score columns, and rewards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from preflab.errors import UserError, nearest
from preflab.interfaces import Measure
from preflab_builtin.evaluation.results import measure_as_json
from preflab_builtin.evaluation.scored import RowScores, Scores
from preflab_builtin.evaluation.text_metrics import METRICS, USUAL, CannotMeasure, prepare, scored
from preflab_builtin.stored_samples.rewards import OutsideRun, reward
from preflab_builtin.stored_samples.samples import Sample

Measuring = Callable[[Sequence[Sample]], Scores]


@dataclass(frozen=True)
class Result:
    """What was measured of the samples of one group; group: {} for all samples. versus: the group
    that it is compared with; then the measures are differences, and n is the number of questions
    that both have."""

    group: Mapping[str, str]
    n: int
    measures: Mapping[str, Measure]
    versus: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The result in JSON."""
        measures = {name: measure_as_json(m) for name, m in self.measures.items()}
        versus = {"versus": self.versus} if self.versus else {}
        return {"group": self.group, **versus, "n": self.n, "measures": measures}


@dataclass(frozen=True)
class Wanted:
    """What to compute, by its heading, and why a usual metric is left out."""

    measures: Mapping[str, Measuring]
    optional: frozenset[str]
    notes: Sequence[str]

    def of(self, samples: Sequence[Sample]) -> tuple[dict[str, Scores], list[str]]:
        """The scores of all samples, and notes. A usual metric that does not fit these texts is
        left out; one that was asked for is a `UserError`."""
        scores: dict[str, Scores] = {}
        notes = [*self.notes]
        for name, measure in self.measures.items():
            try:
                scores[name] = measure(samples)
            except CannotMeasure as error:
                if name not in self.optional:
                    raise UserError(f"evaluate-samples: {_as_option(error)}") from None
                notes.append(f"Left out: {_as_option(error)}")
        return scores, notes


def measures_of(
    metrics: Sequence[str],
    references: Sequence[str],
    scores: Sequence[str],
    rewards: Sequence[Sequence[str]],
    runtime: Sequence[str],
    tokenize: str | None = None,
    has_prompt: bool = True,
) -> Wanted:
    """What to compute, checked before any row is read. metrics: names, none for the usual ones;
    references, scores: columns; rewards: for each the name of the component and its settings;
    runtime: settings of devices; tokenize: of BLEU."""
    unknown = next((name for name in metrics if name not in METRICS), None)
    if unknown:
        raise UserError(
            f"evaluate-samples: there is no metric '{unknown}'. {nearest(unknown, METRICS)}"
        )
    measures: dict[str, Measuring] = {}
    notes = []
    for name in (metrics or USUAL) if references else ():
        try:
            prepare(name, tokenize)
        except CannotMeasure as error:
            if metrics:
                raise UserError(f"evaluate-samples: {_as_option(error)}") from None
            notes.append(f"Left out: {_as_option(error)}")
        else:
            measures[name] = _against_references(name, tokenize)
    for column in scores:
        measures[column] = _column(column)
    context = OutsideRun(runtime)
    for name, *settings in rewards:
        heading = " ".join(["reward", name, *settings])
        measures[heading] = reward(name, settings, context, has_prompt)
    return Wanted(measures, frozenset(() if metrics else USUAL), notes)


def _as_option(error: CannotMeasure) -> str:
    """The reason, with the setting as this command spells it."""
    return str(error).replace("Name another one: tokenize ", "Add --tokenize ")


def _against_references(metric: str, tokenize: str | None) -> Measuring:
    return lambda samples: scored(
        metric,
        [sample.prediction for sample in samples],
        [sample.references for sample in samples],
        tokenize,
    )


def _column(name: str) -> Measuring:
    """The mean of a column; a column of 0 and 1 (and 0.5 for ties) is a share."""

    def scores(samples: Sequence[Sample]) -> Scores:
        values = [sample.scores[name] for sample in samples]
        if set(values) <= {0.0, 0.5, 1.0}:
            return RowScores(values, 0.0, 1.0)
        return RowScores(values)

    return scores
