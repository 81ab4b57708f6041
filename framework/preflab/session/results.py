"""What is left of runs and studies, for notebooks: models that answer and score, and tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab.errors import UserError, nearest
from preflab.storage.artifacts import read_rows
from preflab.storage.run_folder import (
    METRICS,
    REPORT,
    SAMPLES,
    SUMMARY,
    Manifest,
    Summary,
    stage_folder,
)
from preflab.storage.runs import FoundRun, folder_of, manifest_of, runs_below

if TYPE_CHECKING:
    import pandas

    from preflab.engine.opened import Asked, OpenedRun
    from preflab.interfaces import Policy, RewardModel


class Run:
    """A run folder. Nothing is read before it is asked for."""

    def __init__(self, folder: Path, device: str | None = None) -> None:
        """device: of the models, in the place of the run's own ("cpu", "cuda", "auto").
        `UserError` if the folder is not a run's."""
        manifest_of(folder)
        self.folder, self._device = folder, device

    def __repr__(self) -> str:
        return f"<preflab run {self.folder}: {self.state}>"

    @property
    def manifest(self) -> Manifest:
        """What was run, with what, and how far it came."""
        return manifest_of(self.folder)

    @property
    def name(self) -> str:
        """What its owner calls it, else its folder's name."""
        return str(self.manifest.get("name") or self.folder.name)

    @property
    def state(self) -> str:
        """complete, stopped, failed, waiting, running, killed or unknown."""
        return FoundRun(self.folder, self.manifest).state

    @property
    def summary(self) -> Summary:
        """What was made and measured; `UserError` if the run is not complete."""
        path = self.folder / SUMMARY
        if not path.is_file():
            raise UserError(f"{self.folder} is {self.state}: it has no summary yet.")
        summary: Summary = json.loads(path.read_bytes())
        return summary

    @property
    def measures(self) -> dict[str, float | None]:
        """The values that its evaluation measured, by name; {} if it measured nothing."""
        found = FoundRun(self.folder, self.manifest).measures
        return {name: measure.get("value") for name, measure in found.items()}

    @property
    def report(self) -> Path:
        """Its page."""
        return self.folder / REPORT

    @cached_property
    def _opened(self) -> OpenedRun:
        from preflab.engine.opened import OpenedRun

        return OpenedRun(self.folder, self._device)

    @cached_property
    def policy(self) -> Policy:
        """The policy that it ended with."""
        return self._opened.policy()

    @property
    def roles(self) -> list[str]:
        """The roles that it has a model for, the oldest first: what `sample` takes."""
        return self._opened.roles()

    @property
    def reward_model(self) -> RewardModel:
        """Its reward model, trained or a function."""
        return self._opened.reward_model

    def sample(
        self,
        prompts: str | Sequence[Asked],
        role: str = "",
        samples: int = 1,
        temperature: float | None = None,
        max_tokens: int | None = None,
        seed: int = 0,
    ) -> list[str]:
        """Responses to prompts: one flat list, ``samples`` in a row for each prompt, in the order
        of the prompts; `score` takes it with the same ``samples``. A prompt is a text, which the
        model sees as it is, or a list of messages with role and content, which it sees through its
        chat template. role: one of `roles`, "" the newest; temperature (0 is greedy) and
        max_tokens: in the place of the run's own."""
        asked = _listed("prompts", prompts)
        rollout = self._opened.sample(asked, role, samples, temperature, max_tokens, seed)
        return list(rollout.texts)

    def score(
        self, prompts: str | Sequence[Asked], responses: str | Sequence[str], samples: int = 1
    ) -> list[float]:
        """What its reward model gives to each response, as in the run. samples: responses in a row
        for each prompt, as `sample` gives them."""
        answers = _listed("responses", responses)
        if wrong := [answer for answer in answers if not isinstance(answer, str)]:
            raise UserError(f"A response is a text, not {wrong[0]!r}.")
        return self._opened.score(_listed("prompts", prompts), answers, samples)

    def metrics(self, stage: str = "") -> pandas.DataFrame:
        """A row for each step of a stage, or of all stages; needs pandas. A metric of another stage
        is missing (NaN)."""
        return _frame(read_rows(self.folder / METRICS), self, stage)

    def samples(self, stage: str = "evaluation") -> pandas.DataFrame:
        """A row for each response that the evaluation judged, with a column for each measure; or
        that a stage sampled while it trained. Needs pandas."""
        if stage != "evaluation":
            return _frame(read_rows(self.folder / SAMPLES), self, stage)
        made = stage_folder(self.folder, "evaluation")
        rows = read_rows(made / SAMPLES) if made else []
        flat = [{k: v for k, v in r.items() if k != "values"} | r.get("values", {}) for r in rows]
        return _frame(flat, self, "")


class Study:
    """The folder of a multirun."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return f"<preflab study {self.folder}: {len(self.runs)} runs>"

    @property
    def runs(self) -> list[Run]:
        """Its runs, in the order of the jobs."""
        return [Run(found.folder) for found in runs_below(self.folder)]

    @property
    def report(self) -> Path:
        """Its page, with the verdicts of its claims."""
        return self.folder / REPORT

    @property
    def claims(self) -> Mapping[str, Any]:
        """The claims with their verdicts, as in summary.json; {} if it declares none."""
        path = self.folder / SUMMARY
        claims: Mapping[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
        return claims

    def measures(self) -> pandas.DataFrame:
        """A row for each measure of each run: folder, arm, seed, measure, value, low, high; needs
        pandas."""
        rows = [
            {
                "run": str(found.folder),
                "arm": found.manifest["arm"],
                "seed": found.manifest["seed"],
                "measure": name,
                **{key: measure.get(key) for key in ("value", "low", "high")},
            }
            for found in runs_below(self.folder)
            for name, measure in found.measures.items()
        ]
        return _table(rows)


def load(run: str | Path, device: str | None = None) -> Run:
    """A run by its folder or its name. device: of its models, in the place of the run's own."""
    return Run(folder_of(str(run)), device)


def _listed(what: str, given: str | Sequence[Any]) -> list[Any]:
    """A text alone as a list; `UserError` for what is no list."""
    if isinstance(given, str):
        return [given]
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise UserError(f"{what} are a text or a list, not {given!r}.")
    return list(given)


def _frame(rows: Sequence[Mapping[str, Any]], run: Run, stage: str) -> pandas.DataFrame:
    """The rows of a stage ("": all)."""
    found = [row for row in rows if not stage or row["stage"] == stage]
    if not found:
        stages = dict.fromkeys(str(row.get("stage", "")) for row in rows)
        of_it = f" of the stage '{stage}'. {nearest(stage, stages)}" if stage and stages else "."
        raise UserError(f"{run.folder} is {run.state} and has no rows{of_it}")
    return _table(found)


def _table(rows: Sequence[Mapping[str, Any]]) -> pandas.DataFrame:
    try:
        import pandas
    except ImportError:
        raise UserError(
            "Tables from Python need pandas: pip install 'preflab[frames]', or pip install pandas."
        ) from None
    return pandas.DataFrame(list(rows))
