"""Reading run folders and multirun folders. Whatever is missing or broken in them becomes a failure in the report, never an
error: a report of 29 good jobs must not fall over the 30th."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from preflab.errors import UserError
from preflab.options import typed
from preflab.storage.artifacts import read_rows
from preflab.study import StudyConfig

LEDGER, MANIFEST, SUMMARY = "ledger.jsonl", "manifest.json", "summary.json"
DEPTH = 3
"""How far below a given folder run folders are looked for: runs/ itself may be given."""
COMPLETE = "complete"
BASELINES = ("initial", "sft", "base")
"""Roles of policies that others are compared with, newest first; without its stage, the next role's policy has the role."""
STAGE_OF = {"initial": "select", "sft": "sft", "base": "pretrain"}


@dataclass(frozen=True)
class StageRow:
    """A stage of a run. seconds, tokens, flops: what making its artifact took, whenever that was (0: nobody counted); peak_mb:
    most memory of the process; reused: it was not this run."""

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


@dataclass(frozen=True)
class Measured:
    """A measure of one run: value and 95 % interval, None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0


@dataclass(frozen=True, order=True)
class Draw:
    """The random numbers of a run: its seed, and the (stage, seed) of stages that were given another one."""

    seed: int
    pinned: tuple[tuple[str, int], ...] = ()

    @property
    def label(self) -> int | str:
        """The seed; with other stage seeds as text.

        >>> Draw(1).label, Draw(1, (("algorithm", 2),)).label
        (1, '1 (algorithm 2)')
        """
        return (
            f"{self.seed} ({', '.join(f'{stage} {seed}' for stage, seed in self.pinned)})"
            if self.pinned
            else self.seed
        )


@dataclass(frozen=True)
class RunResult:
    """A finished run."""

    folder: Path
    config_name: str
    arm: str
    overrides: tuple[str, ...]
    seed: int
    stages: tuple[StageRow, ...]
    measures: Mapping[str, Measured]
    subject: str = ""
    baseline: str = ""
    prompts: int = 0
    fast: bool = False
    study: StudyConfig | None = None
    command: str = ""
    records: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    accounting: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def made(self) -> float:
        """When it ended, as its files say."""
        try:
            return (self.folder / MANIFEST).stat().st_mtime
        except OSError:
            return 0.0

    @property
    def draw(self) -> Draw:
        """Its random numbers."""
        pinned = tuple(
            (row.stage, row.seed)
            for row in self.stages
            if row.seed is not None and row.seed != self.seed
        )
        return Draw(self.seed, pinned)

    def stage(self, name: str) -> StageRow | None:
        """The stage of that name."""
        return next((s for s in self.stages if s.stage == name), None)

    def baseline_recipe(self) -> str:
        """The recipe of the policy that it was compared with: of the newest stage that makes the role, else of an older one."""
        later = (
            [] if self.baseline not in BASELINES else BASELINES[BASELINES.index(self.baseline) :]
        )
        return next((row.recipe for role in later if (row := self.stage(STAGE_OF[role]))), "")

    def metrics(self, stage: str) -> list[dict[str, Any]]:
        """Metric rows of a stage in order: from the run's own log, else from the artifact's."""
        rows = [row for row in _rows(self.folder / "metrics.jsonl") if row.get("stage") == stage]
        found = self.stage(stage)
        return rows or (_rows(found.artifact / "metrics.jsonl") if found else [])

    def config(self) -> dict[str, Any]:
        """The composed config as dotted keys; {} if it cannot be read."""
        return dict(_dotted(_composed(self.folder)))

    def by_case(self, measure: str) -> dict[str, float]:
        """A measure's values by prompt id, or by the id of the questions or documents that it is about; {} if it has none."""
        cases = next(
            (
                row.get("values")
                for row in self._evaluated("cases.jsonl")
                if row.get("measure") == measure
            ),
            None,
        )
        if not isinstance(cases, dict):
            cases = {
                row.get("prompt_id"): (row.get("values") or {}).get(measure)
                for row in self.samples()
            }
        return {
            str(case): float(value)
            for case, value in cases.items()
            if isinstance(value, (int, float))
        }

    def samples(self) -> list[dict[str, Any]]:
        """Rows of the evaluation's samples: prompt, response, baseline's response, values."""
        return self._evaluated("samples.jsonl")

    def _evaluated(self, name: str) -> list[dict[str, Any]]:
        found = self.stage("evaluation")
        return _rows(found.artifact / name) if found else []


@dataclass(frozen=True)
class Failure:
    """A job that gave no result. exit_code None: it was killed or is still running."""

    folder: Path
    overrides: tuple[str, ...]
    exit_code: int | None
    error: str


@dataclass
class Gathered:
    """What was found below the given folders, in the order of the jobs."""

    runs: list[RunResult] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def gather(folders: Sequence[Path]) -> Gathered:
    """All runs and failures below the folders; a folder that is named twice counts once."""
    found = Gathered()
    seen: set[Path] = set()
    told: set[Path] = set()
    for folder in folders:
        for path in _below(folder, LEDGER):
            for row in _rows(path):
                job = path.parent / str(row.get("folder") or row.get("job", ""))
                if row.get("exit_code") and job.resolve() not in told:
                    told.add(job.resolve())
                    found.failures.append(
                        Failure(
                            job, _words(row), int(row["exit_code"]), str(row.get("error") or "")
                        )
                    )
        for path in _below(folder, MANIFEST):
            if path.parent.resolve() in seen:
                continue
            seen.add(path.parent.resolve())
            _add(found, path.parent, told)
    return found


def _add(found: Gathered, folder: Path, told: set[Path]) -> None:
    """One run folder: a result, or a failure unless the ledger has told it."""
    manifest = _json(folder / MANIFEST)
    status = str(manifest.get("status", "")) or "unreadable"
    if status == COMPLETE:
        try:
            found.runs.append(read_run(folder, manifest))
            return
        except (KeyError, TypeError, ValueError, AttributeError, UserError) as error:
            status = f"its files cannot be read ({type(error).__name__}: {error})"
    if folder.resolve() not in told:
        lines = _text(folder / "error.txt").strip().splitlines()
        found.failures.append(
            Failure(folder, _words(manifest), None, lines[-1] if lines else status)
        )


def read_run(folder: Path, manifest: Mapping[str, Any]) -> RunResult:
    """A finished run's folder."""
    summary = _json(folder / SUMMARY)
    evaluation = summary.get("evaluation") or (summary if "measures" in summary else {})
    measures = {}
    for name, m in (evaluation.get("measures") or {}).items():
        if m.get("value") is not None:
            measures[str(name)] = Measured(
                float(m["value"]),
                _number(m.get("low")),
                _number(m.get("high")),
                int(m.get("n") or 0),
            )
    return RunResult(
        folder=folder,
        config_name=str(manifest.get("config_name") or "config"),
        arm=str(manifest.get("arm") or ""),
        overrides=_words(manifest),
        seed=int(manifest.get("seed") or 0),
        stages=tuple(_stage(folder, row) for row in manifest.get("stages") or []),
        measures=measures,
        subject=str(evaluation.get("subject") or ""),
        baseline=str(evaluation.get("baseline") or ""),
        prompts=int(evaluation.get("n") or 0),
        study=_study(folder),
        command=" ".join(
            shlex.quote(word)
            for word in ["preflab", *map(str, (manifest.get("command") or [""])[1:])]
        ),
        records=_tables(summary.get("records")),
        accounting=_tables(summary.get("accounting")),
        fast=bool(
            re.search(r"^fast: true$", _text(folder / ".hydra" / "config.yaml"), re.MULTILINE)
        ),
    )


def _study(folder: Path) -> StudyConfig | None:
    """What the study declares, claims in their order."""
    declared = _composed(folder).get("study")
    return typed(StudyConfig, _inert(declared), "study") if isinstance(declared, dict) else None


def _inert(value: Any) -> Any:
    """The same with references as plain text: a foreign file must not make a report show what the environment holds."""
    if isinstance(value, dict):
        return {key: _inert(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_inert(item) for item in value]
    return value.replace("${", "\\${") if isinstance(value, str) else value


def _composed(folder: Path) -> dict[Any, Any]:
    try:
        plain = OmegaConf.to_container(
            OmegaConf.load(folder / ".hydra" / "config.yaml"), resolve=False
        )
    except (OSError, OmegaConfBaseException, ValueError, YAMLError):
        return {}
    return plain if isinstance(plain, dict) else {}


def _stage(folder: Path, row: Mapping[str, Any]) -> StageRow:
    cost = row.get("cost") or {}
    seconds = cost.get("seconds", row.get("seconds"))
    seed = row.get("seed")
    return StageRow(
        stage=str(row["stage"]),
        component=str(row.get("name") or ""),
        recipe=str(row.get("recipe") or row.get("artifact") or ""),
        seed=None if seed is None else int(seed),
        artifact=folder / str(row.get("artifact") or ""),
        reused=bool(row.get("reused")),
        seconds=float(seconds or 0.0),
        peak_mb=float(cost.get("peak_mb") or 0.0),
        tokens=float(cost.get("tokens") or 0.0),
        flops=float(cost.get("flops") or 0.0),
    )


def _below(folder: Path, name: str) -> Iterator[Path]:
    """Files of a name in a folder and at most ``DEPTH`` levels below, numbered folders in the order of their numbers."""
    for depth in range(DEPTH + 1):
        found = folder.glob("/".join(["*"] * depth + [name]))
        yield from sorted(
            (p for p in found if "artifacts" not in p.relative_to(folder).parts), key=_natural
        )


def _natural(path: Path) -> list[tuple[int, str]]:
    return [
        (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(path))
    ]


def _words(row: Mapping[str, Any]) -> tuple[str, ...]:
    overrides = row.get("overrides")
    return tuple(map(str, overrides)) if isinstance(overrides, list) else ()


def _tables(value: Any) -> dict[str, Mapping[str, Any]]:
    """The mappings of a mapping; whatever else stands there is left out."""
    return (
        {str(k): v for k, v in value.items() if isinstance(v, dict)}
        if isinstance(value, dict)
        else {}
    )


def _dotted(node: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _dotted(value, f"{above}{key}.")
        elif not above.startswith("study."):
            yield f"{above}{key}", value


def _number(value: Any) -> float | None:
    number = None if value is None else float(value)
    return number if number is not None and number == number else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf8", errors="replace")
    except OSError:
        return ""


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_text(path))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        return [row for row in read_rows(path) if isinstance(row, dict)]
    except (OSError, ValueError):
        return []
