"""Reads run folders and multirun folders. Whatever is missing or damaged in a run becomes a failure
in the report, never an error: one broken job must not prevent a report on all others."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preflab.errors import UserError, Waiting
from preflab.interfaces import Measure
from preflab.kinds import STAGES
from preflab.options import typed
from preflab.storage.run_folder import (
    COMPLETE,
    ERROR,
    LEDGER,
    MANIFEST,
    NOT_STARTED,
    RUNNING,
    SEARCH,
    SUMMARY,
    WAITING,
    Manifest,
    StageRow,
    config_file,
    read_ledger,
    read_manifest,
)
from preflab.storage.runs import KILLED, UNKNOWN, composed, named_below, natural, state_of
from preflab.study import StudyConfig
from preflab_builtin.report.costs import training_costs
from preflab_builtin.report.runs import RunResult, StageResult, Told
from preflab_builtin.report.searches import Searched, read_search
from preflab_builtin.report.wording import plain


@dataclass(frozen=True)
class Failure:
    """A job that gave no result. exit_code None: it was killed, is still running, or was never
    begun. One that waits for people has the exit code of `preflab.Waiting`. jobs: how many it
    stands for: all of a multirun that were not begun are one."""

    folder: Path
    overrides: tuple[str, ...]
    exit_code: int | None
    error: str
    jobs: int = 1

    @property
    def waits(self) -> bool:
        """Whether it is no failure: people have something to do first."""
        return self.exit_code == Waiting.exit_code


@dataclass
class Gathered:
    """Everything below the given folders, in the order of the jobs."""

    runs: list[RunResult] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    searches: list[Searched] = field(default_factory=list)

    @property
    def without_result(self) -> int:
        """Jobs that gave no result."""
        return sum(failure.jobs for failure in self.failures)


def gather(folders: Sequence[Path]) -> Gathered:
    """All runs and failures below the folders; a folder that is named twice counts once."""
    gathered = Gathered()
    visited: set[Path] = set()
    failed: set[Path] = set()
    for folder in folders:
        found: list[Path] = []
        for path in named_below(folder, LEDGER):
            not_begun = 0
            for row in read_ledger(path.parent):
                job = path.parent / str(row.get("folder") or row.get("job", ""))
                if not row.get("exit_code"):
                    found.append(job / MANIFEST)  # Hydra may have put it at any depth
                elif job.resolve() not in failed:
                    failed.add(job.resolve())
                    if row.get("status") == NOT_STARTED:
                        not_begun += 1
                        continue
                    code, error = int(row["exit_code"]), str(row.get("error") or "")
                    gathered.failures.append(Failure(job, _overrides(row), code, error))
            if not_begun:
                gathered.failures.append(_stopped(path.parent, not_begun))
        found_here = map(read_search, named_below(folder, SEARCH))
        known = {search.folder.resolve() for search in gathered.searches}
        gathered.searches += [s for s in found_here if s and s.folder.resolve() not in known]
        for path in (*named_below(folder, MANIFEST), *sorted(found, key=natural)):
            if path.exists() and path.parent.resolve() not in visited:
                visited.add(path.parent.resolve())
                _add(gathered, path.parent, failed)
    return gathered


def _stopped(folder: Path, jobs: int) -> Failure:
    """A multirun that ended before some of its jobs."""
    were = "job was not begun, because the multirun ended before it"
    if jobs != 1:
        were = "jobs were not begun, because the multirun ended before them"
    error = f"{jobs} {were}. Go on with: preflab rerun {shlex.quote(str(folder))}"
    return Failure(folder, (), None, error, jobs)


def _add(gathered: Gathered, folder: Path, failed: set[Path]) -> None:
    """One run folder: a result, or a failure unless the ledger has reported it."""
    manifest = read_manifest(folder)
    status = str(manifest.get("status", "")) if manifest else ""
    if manifest and status == COMPLETE:
        try:
            gathered.runs.append(read_run(folder, manifest))
            return
        except (KeyError, TypeError, ValueError, AttributeError, UserError) as error:
            status = f"its files cannot be read ({type(error).__name__}: {error})"
    if folder.resolve() not in failed:
        overrides = _overrides(manifest) if manifest else ()
        if manifest and status == WAITING:
            said = str(manifest.get("waiting") or status)
            gathered.failures.append(Failure(folder, overrides, Waiting.exit_code, said))
            return
        if manifest and status == RUNNING:
            told = _ENDS.get(state_of(folder, manifest), status)
            status = told.replace("HOST", str(manifest.get("host") or ""))
        lines = _text(folder / ERROR).strip().splitlines()
        message = lines[-1] if lines else status or "unreadable"
        gathered.failures.append(Failure(folder, overrides, None, message))


_ENDS = {
    KILLED: "killed; the same command goes on where it stopped",
    UNKNOWN: "running on HOST, or killed there",
}
"""What a run is that did not note its end, and that nobody here makes."""


def read_run(folder: Path, manifest: Manifest) -> RunResult:
    """A finished run's folder."""
    summary = _json(folder / SUMMARY)
    evaluation = summary.get("evaluation") or (summary if "measures" in summary else {})
    rows = (evaluation.get("measures") or {}).items()
    measures = {str(name): _measure(m) for name, m in rows if m.get("value") is not None}
    stages = tuple(_stage(folder, row) for row in manifest.get("stages") or [])
    words = ["preflab", *map(str, (manifest.get("command") or [""])[1:])]
    config = _text(config_file(folder))
    return RunResult(
        folder=folder,
        config_name=str(manifest.get("config_name") or "config"),
        arm=str(manifest.get("arm") or ""),
        overrides=_overrides(manifest),
        seed=int(manifest.get("seed") or 0),
        stages=stages,
        measures=measures | training_costs(stages) if measures else {},
        baseline=str(evaluation.get("baseline") or ""),
        prompts=int(evaluation.get("n") or 0),
        study=_study(folder),
        command=" ".join(map(shlex.quote, words)),
        records=_tables(summary.get("records")),
        accounting=_tables(summary.get("accounting")),
        told=_told(manifest, evaluation),
        fast=re.search(r"^fast: true$", config, re.MULTILINE) is not None,
    )


def _told(manifest: Manifest, evaluation: Mapping[str, Any]) -> Told:
    against = (evaluation.get("against") or {}).items()
    return Told(
        tuple(map(str, manifest.get("notices") or ())),
        {str(measure): plain(str(other)) for measure, other in against},
        tuple(plain(str(note)) for note in evaluation.get("notes") or ()),
    )


def _measure(row: Mapping[str, Any]) -> Measure:
    def number(key: str, without: float) -> float:
        return without if row.get(key) is None else float(row[key])

    return Measure(
        float(row["value"]),
        number("low", math.nan),
        number("high", math.nan),
        int(row.get("n") or 0),
        number("least", -math.inf),
        number("most", math.inf),
    )


def _stage(folder: Path, row: StageRow) -> StageResult:
    name, seed, cost = str(row["stage"]), row.get("seed"), row.get("cost") or {}
    # A manifest of an older version has neither role nor config group.
    known_role = next((spec.makes for spec in STAGES if spec.name == name), "")
    return StageResult(
        stage=name,
        component=str(row.get("name") or ""),
        recipe=str(row.get("recipe") or row.get("artifact") or ""),
        seed=None if seed is None else int(seed),
        artifact=folder / str(row.get("artifact") or ""),
        reused=bool(row.get("reused")),
        seconds=float(cost.get("seconds", row.get("seconds")) or 0.0),
        peak_mb=float(cost.get("peak_mb") or 0.0),
        tokens=float(cost.get("tokens") or 0.0),
        flops=float(cost.get("flops") or 0.0),
        tokens_before=float(cost.get("tokens_before") or 0.0),
        flops_before=float(cost.get("flops_before") or 0.0),
        makes=str(row.get("makes", known_role)),
        group=str(row.get("group", name)),
    )


def _study(folder: Path) -> StudyConfig | None:
    """What the study declares, claims in their order."""
    declared = composed(folder).get("study")
    return typed(StudyConfig, _inert(declared), "study") if isinstance(declared, dict) else None


def _inert(value: Any) -> Any:
    """The same with references as plain text: a config from elsewhere must not make a report show
    what the environment holds."""
    if isinstance(value, dict):
        return {key: _inert(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_inert(item) for item in value]
    return value.replace("${", "\\${") if isinstance(value, str) else value


def _overrides(row: Mapping[str, object]) -> tuple[str, ...]:
    overrides = row.get("overrides")
    return tuple(map(str, overrides)) if isinstance(overrides, list) else ()


def _tables(value: Any) -> dict[str, Mapping[str, Any]]:
    """The mappings in a mapping; everything else in it is left out."""
    items = value.items() if isinstance(value, dict) else ()
    return {str(key): item for key, item in items if isinstance(item, dict)}


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
