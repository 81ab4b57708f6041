"""Options of the tracker ``jsonl``."""

from __future__ import annotations

from dataclasses import dataclass

from preflab import option
from preflab.tracking import TrackerConfig


@dataclass
class JsonLinesConfig(TrackerConfig):
    """metrics.jsonl and samples.jsonl in the run's folder."""

    name: str = option("jsonl", "component")
