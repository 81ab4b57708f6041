"""A finished run as the report sees it: its facts, and what it reads from its files when asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from preflab.errors import StorageError
from preflab.interfaces import Measure, Opinion
from preflab.kinds import STAGES
from preflab.storage.artifacts import MANIFEST as ARTIFACT
from preflab.storage.artifacts import read_rows
from preflab.storage.durable import read_sealed
from preflab.storage.run_folder import MANIFEST, METRICS, read_manifest
from preflab.storage.runs import composed, dotted
from preflab.study import StudyConfig
from preflab_builtin.evaluation.results import EXAMPLES, OPINIONS


@dataclass(frozen=True)
class StageResult:
    """A stage of a run.

    seconds, tokens, flops: what making its artifact took, whenever that was (0: not counted).
    peak_mb: most memory of the process. reused: whether an earlier run made the artifact.
    tokens_before, flops_before: of earlier training that it went on from, and that is not in these.
    makes: role of the policy that it makes, "" if it makes none. group: its config group.
    """

    stage: str
    component: str
    recipe: str
    seed: int | None
    artifact: Path
    reused: bool
    seconds: float
    peak_mb: float = 0.0
    tokens: float = 0.0
    flops: float = 0.0
    makes: str = ""
    group: str = ""
    tokens_before: float = 0.0
    flops_before: float = 0.0


@dataclass(frozen=True, order=True)
class Draw:
    """The random numbers of a run: its seed, and (stage, seed) of stages with a seed of their
    own."""

    seed: int
    pinned: tuple[tuple[str, int], ...] = ()

    @property
    def label(self) -> int | str:
        """The seed; text if stages have seeds of their own.

        >>> Draw(1).label, Draw(1, (("algorithm", 2),)).label
        (1, '1 (algorithm 2)')
        """
        if not self.pinned:
            return self.seed
        return f"{self.seed} ({', '.join(f'{stage} {seed}' for stage, seed in self.pinned)})"


def seed_of(label: int | str) -> int:
    """The seed of a draw with this label.

    >>> seed_of(1), seed_of("1 (algorithm 2)")
    (1, 1)
    """
    return int(str(label).partition(" ")[0])


@dataclass(frozen=True)
class Told:
    """What a run says in words. notices: before the first stage. against: by win rate, what it is
    against, where that is not the baseline. said: of evaluators, with their measures."""

    notices: tuple[str, ...] = ()
    against: Mapping[str, str] = field(default_factory=dict)
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunResult:
    """A finished run. Files that are missing or damaged count as empty."""

    folder: Path
    config_name: str
    arm: str
    overrides: tuple[str, ...]
    seed: int
    stages: tuple[StageResult, ...]
    measures: Mapping[str, Measure]
    baseline: str = ""
    prompts: int = 0
    fast: bool = False
    study: StudyConfig | None = None
    command: str = ""
    records: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    accounting: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    told: Told = field(default_factory=Told)

    @property
    def notices(self) -> tuple[str, ...]:
        """What was said before the first stage."""
        return self.told.notices

    @property
    def against(self) -> Mapping[str, str]:
        """See `Told`."""
        return self.told.against

    @property
    def ended(self) -> float:
        """When it ended, as the time of its manifest; 0 if that is gone."""
        try:
            return (self.folder / MANIFEST).stat().st_mtime
        except OSError:
            return 0.0

    @property
    def name(self) -> str:
        """What its owner calls it, alone or with the other jobs of its multirun; "" if nothing."""
        manifest = read_manifest(self.folder)
        return str(manifest.get("name") or "") if manifest else ""

    @property
    def commit(self) -> str:
        """The commit of its working folder, with a "+" if that was edited; "" if not known."""
        manifest = read_manifest(self.folder)
        return str(manifest.get("git") or "") if manifest else ""

    @property
    def draw(self) -> Draw:
        """Its random numbers."""
        pinned = (
            (row.stage, row.seed)
            for row in self.stages
            if row.seed is not None and row.seed != self.seed
        )
        return Draw(self.seed, tuple(pinned))

    @property
    def seed_keys(self) -> set[str]:
        """Keys of the config that give other random numbers and nothing else: the seeds of the run
        and of its stages. data.seed makes another world, and labeler.seed makes other people."""
        names = {spec.group for spec in STAGES} | {row.group for row in self.stages}
        return {"seed", *(f"{name}.seed" for name in names)}

    def stage(self, name: str) -> StageResult | None:
        """The stage of that name."""
        return next((row for row in self.stages if row.stage == name), None)

    def baseline_recipe(self) -> str:
        """Recipe of the policy that it was compared with: of the stage that makes this role.
        Without such a stage, the newest policy before it has the role. "" if there is none."""
        if not self.baseline:
            return ""
        maker = next((row for row in self.stages if row.makes == self.baseline), None)
        spec = next((spec for spec in STAGES if spec.makes == self.baseline), None)
        if maker is None and spec is not None:
            later = [other.name for other in STAGES[STAGES.index(spec) :]]
            earlier = [*takewhile(lambda row: row.stage not in later, self.stages)]
            maker = next((row for row in reversed(earlier) if row.makes), None)
        return maker.recipe if maker else ""

    def reward_model(self) -> tuple[str, str]:
        """Name of the reward model, and what tells it from others: the recipe of its stage, with
        how the evaluation used it, or the options of one that is not trained; "" for what the files
        do not say."""
        made, judged = self.stage("reward_model"), self.stage("evaluation")
        if made is not None:
            return made.component, (judged and _used(judged, "reward_model")) or made.recipe
        options = {k: v for k, v in self.config().items() if k.startswith("reward_model.")}
        return str(options.get("reward_model.name", "")), repr(options) if options else ""

    def metrics(self, stage: str) -> list[dict[str, Any]]:
        """Metric rows of a stage in order: from the run's own log, else from the artifact's."""
        rows = [row for row in json_rows(self.folder / METRICS) if row.get("stage") == stage]
        return rows or self._rows_of(stage, METRICS)

    def config(self) -> dict[str, Any]:
        """The composed config as dotted keys, without the study."""
        return dotted(composed(self.folder))

    def by_case(self, measure: str) -> dict[str, float]:
        """Values of a measure by the id of the prompt, question or document that each is about."""
        rows = self._rows_of("evaluation", "cases.jsonl")
        cases = next((row.get("values") for row in rows if row.get("measure") == measure), None)
        if not isinstance(cases, dict):
            samples = self.samples()
            cases = {
                row.get("prompt_id"): (row.get("values") or {}).get(measure) for row in samples
            }
        return {str(case): float(v) for case, v in cases.items() if isinstance(v, (int, float))}

    def opinions(self, measure: str) -> list[Opinion]:
        """What each person said, of a measure that people gave."""
        return [
            Opinion(row["prompt"], row["person"], float(row["value"]), row["unit"])
            for row in self._rows_of("evaluation", OPINIONS)
            if row.get("measure") == measure and isinstance(row.get("value"), (int, float))
        ]

    def people_judged(self) -> bool:
        """Whether it has what people said."""
        return bool(self._rows_of("evaluation", OPINIONS))

    def examples(self) -> dict[str, list[dict[str, str]]]:
        """What evaluators show with their measures, by heading (see `Evaluation`)."""
        found: dict[str, list[dict[str, str]]] = {}
        for row in self._rows_of("evaluation", EXAMPLES):
            example = row.get("example")
            if isinstance(example, dict):
                case = {str(key): str(value) for key, value in example.items()}
                found.setdefault(str(row.get("of")), []).append(case)
        return found

    def samples(self) -> list[dict[str, Any]]:
        """Rows of the evaluation's samples: prompt, response, baseline's response, values."""
        return self._rows_of("evaluation", "samples.jsonl")

    def _rows_of(self, stage: str, name: str) -> list[dict[str, Any]]:
        row = self.stage(stage)
        return json_rows(row.artifact / name) if row else []


def _used(stage: StageResult, group: str) -> str:
    """What the recipe of a stage says of another one's artifact, by config group; "" if it cannot
    be read."""
    try:
        used = read_sealed(stage.artifact / ARTIFACT)["recipe"]["uses"][group]
    except (OSError, StorageError, KeyError, TypeError):
        return ""
    return str(used)


def json_rows(path: Path) -> list[dict[str, Any]]:
    """The objects in a file of JSON lines; [] if it cannot be read."""
    try:
        return [row for row in read_rows(path) if isinstance(row, dict)]
    except (OSError, ValueError):
        return []
