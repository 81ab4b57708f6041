"""The files that an evaluation leaves in its artifact, and a measure as they hold it."""

from __future__ import annotations

from preflab.interfaces import Measure
from preflab.storage.durable import json_number

EVALUATION, SAMPLES, CASES = "evaluation.json", "samples.jsonl", "cases.jsonl"
OPINIONS, EXAMPLES = "opinions.jsonl", "examples.jsonl"


def measure_as_json(measure: Measure) -> dict[str, float | None]:
    """A measure in JSON; an interval that was not computed is null, and so is an end of the range
    that there is not.

    >>> measure_as_json(Measure(0.5, n=1))
    {'value': 0.5, 'low': None, 'high': None, 'least': None, 'most': None, 'n': 1}
    """
    names = ("value", "low", "high", "least", "most")
    return {**{name: json_number(getattr(measure, name)) for name in names}, "n": measure.n}
