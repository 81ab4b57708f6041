"""The training prompts of a run, read as the run reads them: source, filters and splits."""

from __future__ import annotations

from pathlib import Path

from preflab.composing.compose import parse
from preflab.engine.context import Environment
from preflab.planning.reading import check_jobs
from preflab.records import Prompt
from preflab_people.sources import manifest_of


def training_prompts(folder: Path) -> list[Prompt]:
    """Prompts of the train split of a run, in the order of its data. Nothing of the run itself is
    needed but its folder: it may wait for exactly these."""
    manifest = manifest_of(folder)
    where = manifest.get("where") or {}
    place = where.get("config_dir")
    words = ["-cd", place] if place else []
    words += ["-cn", manifest["config_name"], *map(str, manifest["overrides"]), "hydra.mode=RUN"]
    (job,) = check_jobs(parse(words))
    environment = Environment(job.run, lambda hook, **shown: None)
    prompts: list[Prompt] = list(environment.records.split("prompts", "train"))  # type: ignore[arg-type]
    return prompts
