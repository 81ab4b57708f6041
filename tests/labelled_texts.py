"""Texts that are labelled as private or not, and what a detector finds of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_FOLDER = Path(__file__).parent / "plugins" / "filters"


def _sample(name: str) -> list[dict[str, str]]:
    lines = (_FOLDER / name).read_text("utf8").splitlines()
    return [json.loads(line) for line in lines]


SAMPLE, HELD_OUT = _sample("private_sample.jsonl"), _sample("private_held_out.jsonl")
SECOND = _sample("private_second_sample.jsonl")
"""Texts written for these tests: private is "phone", "email" or "". The numbers are examples of the
numbering plans, reserved numbers or those of public places. Nobody looked at the second and third
while the patterns were written."""


def precision_and_recall(
    kind: str, found: Callable[[str], bool], sample: Sequence[Mapping[str, str]]
) -> tuple[float, float]:
    """Of a detector on a sample."""
    hits = [row["private"] == kind for row in sample if found(row["text"])]
    positives = [found(row["text"]) for row in sample if row["private"] == kind]
    return sum(hits) / len(hits), sum(positives) / len(positives)
