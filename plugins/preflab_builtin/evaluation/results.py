"""The files that an evaluation leaves in its artifact, and a measure as they hold it."""

from __future__ import annotations

from preflab.interfaces import Measure
from preflab.storage.durable import json_number

EVALUATION, SAMPLES, CASES = "evaluation.json", "samples.jsonl", "cases.jsonl"


def measure_as_json(measure: Measure) -> dict[str, float | None]:
    """A measure in JSON; an interval that was not computed is null.

    >>> measure_as_json(Measure(0.5, n=1))
    {'value': 0.5, 'low': None, 'high': None, 'n': 1}
    """
    numbers = {"value": measure.value, "low": measure.low, "high": measure.high}
    return {**{name: json_number(v) for name, v in numbers.items()}, "n": measure.n}
