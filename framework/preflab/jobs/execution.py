"""One checked run, made in this process: manifest, stages, summary."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from preflab.door.discovery import FLAGS
from preflab.engine.loop import observer
from preflab.engine.stages import Stages
from preflab.errors import Waiting
from preflab.jobs.noting import Noting
from preflab.jobs.tracking import trackers
from preflab.launched import is_main
from preflab.planning.asking import FOLDER_MARK, inspect
from preflab.planning.checks import check_unchanged
from preflab.planning.reading import Job
from preflab.planning.run import Run
from preflab.signals import StopRequest
from preflab.storage.durable import write_json, writing
from preflab.storage.run_folder import (
    COMPLETE,
    DROPPED,
    REJECTED,
    RUNNING,
    SUMMARY,
    Manifest,
    StageRow,
    Summary,
    running,
)
from preflab.storage.runs import process_mark
from preflab.version import __version__

_LIBRARIES = ("torch", "transformers", "accelerate", "hydra-core", "omegaconf", "numpy", "scipy")


def prepare(job: Job) -> Stages:
    """The stages of a job, looked at before anything is written: `UserError` for what is known to
    fail."""
    check_unchanged(job.run)
    stages = _stages(job)
    stages.preflight()
    return stages


def execute(job: Job, folder: Path, stages: Stages | None = None) -> Summary:
    """Make all stages of a job in this process; its summary. Errors are reported to observers and
    raised. Of several processes that run the same job, only process 0 writes to the folder. stages:
    what `prepare` gave in this process, if it was called."""
    with running(folder) if is_main() else contextlib.nullcontext():
        return _execute(job, folder, stages or _stages(job))


def _stages(job: Job) -> Stages:
    return Stages(job.run, observer(job.run.registry.observe, is_main()), _versions())


def _execute(job: Job, folder: Path, stages: Stages) -> Summary:
    run, plugins, observe = job.run, job.run.registry, stages.observe
    check_unchanged(run)
    manifest = _manifest(job, folder)
    stages.owner = f"process {os.getpid()} on {manifest['host']}, with the folder {folder}"
    noting = Noting(folder, manifest, stages)
    noting.note(RUNNING)
    _write_rejected(folder, run)
    names = [stage.name for stage in run.stages]
    facts: dict[str, Any] = {"folder": folder, "config": job.config, "stages": names}
    with contextlib.ExitStack() as observing:
        if is_main():
            observing.enter_context(plugins.run_observers(trackers(run, **facts), **facts))
        observe("preflab_run_started", **facts)
        try:
            with StopRequest(at_once=True).listening(), writing("the run", folder), _named(folder):
                manifest["notices"] = stages.preflight()
                _show_notices(manifest["notices"])
                _write_dropped(folder, stages.record_counts())
                noting.note(RUNNING)
                stages.make_all(noting.note_stage)
                manifest["notices"] = stages.notices()
                summary = _summary(manifest, stages, noting.rows())
                stages.close()
                _write_dropped(folder, summary["records"])
                if is_main():
                    write_json(folder / SUMMARY, summary)
                noting.note(COMPLETE)
        except BaseException as error:
            # A full disk is the error to report, not that it cannot be noted.
            with contextlib.suppress(OSError):
                noting.note_end(error)
            observe("preflab_run_failed", folder=folder, error=error)
            raise
        observe("preflab_run_finished", folder=folder, summary=summary)
    return summary


@contextlib.contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Within it a run that waits says how it goes on, and its sentence names its folder."""
    try:
        yield
    except Waiting as error:
        here = str(folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder)
        raise Waiting(
            "waiting. What was made is kept, and the same command goes on, as does: preflab rerun "
            f"{here}\n{str(error).replace(FOLDER_MARK, here)}"
        ) from error


def quiet_libraries() -> None:
    """Keep libraries from printing over the progress bar; nothing of ours is silenced."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", message=".*pin_memory.*")


def _manifest(job: Job, folder: Path) -> Manifest:
    plugins = [p for p in job.run.registry.plugins if not p.problem]
    return Manifest(
        run=folder.name,
        name=job.run.settings.name,
        tags=list(job.run.settings.tags),
        note=job.run.settings.note,
        config_name=job.config_name,
        overrides=list(job.overrides),
        seed=job.run.settings.seed,
        arm=job.run.settings.arm,
        versions=_versions(),
        git=_git(),
        host=platform.node(),
        process=process_mark(os.getpid()),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=sys.argv,
        plugin_flags={name: os.environ[name] for name in FLAGS if name in os.environ},
        plugins={p.name: f"{p.distribution} {p.version}" for p in plugins},
        where={
            "cwd": str(Path.cwd()),
            "config_dir": job.config_dir,
            "output_subdir": job.output_subdir,
        },
        status="",
        seconds=0.0,
        waiting="",
        notices=[],
        stages=[],
    )


def _show_notices(notices: Sequence[str]) -> None:
    for notice in notices if is_main() else ():
        print(f"preflab: {notice}", file=sys.stderr)


def _write_rejected(folder: Path, run: Run) -> None:
    """Rows that the data sources left out, one per line: record type, file:line, field, reason."""
    lines = []
    for record_type in run.counts():
        rejected = inspect(run.source(record_type)).rejected.get(record_type, ())
        lines += [f"{record_type} {row}\n" for row in rejected]
    if lines and is_main():
        text = "".join(lines)
        (folder / REJECTED).write_text(text, encoding="utf8", errors="backslashreplace")


def _write_dropped(folder: Path, records: Mapping[str, Any]) -> None:
    """What the filters left out: a line for each record type and reason, with examples below."""
    lines = []
    for record_type, counts in records.items():
        examples = counts.get("examples", {})
        for reason in dict.fromkeys([*counts["dropped"], *examples]):
            number = counts["dropped"].get(reason, "")
            lines.append(f"{record_type} {reason} {number}".rstrip())
            lines += [f"  {example}" for example in examples.get(reason, ())]
    if lines and is_main():
        text = "".join(f"{line}\n" for line in lines)
        (folder / DROPPED).write_text(text, encoding="utf8", errors="backslashreplace")


def _summary(manifest: Manifest, stages: Stages, rows: Sequence[StageRow]) -> Summary:
    """The run in one file: what was made, and what the evaluation measured."""
    summary = Summary(
        run=manifest["run"],
        config_name=manifest["config_name"],
        overrides=manifest["overrides"],
        seed=manifest["seed"],
        arm=manifest["arm"],
        computed=[row["stage"] for row in rows if not row["reused"]],
        reused=[row["stage"] for row in rows if row["reused"]],
        records={},
        accounting={},
    )
    for finished in stages.finished:  # a reused stage tells what was counted when it was made
        summary["records"] |= finished.artifact.manifest.get("records", {})
        accounting = finished.artifact.manifest.get("accounting", {})
        summary["accounting"][finished.stage.name] = accounting
        evaluation = finished.artifact.folder / "evaluation.json"
        if finished.stage.name == "evaluation" and evaluation.is_file():
            summary["evaluation"] = json.loads(evaluation.read_text(encoding="utf8"))
    summary["records"] |= stages.record_counts()
    return summary


def _versions() -> dict[str, str]:
    libraries = {name: _version(name) for name in _LIBRARIES}
    return {"preflab": __version__, "python": platform.python_version(), **libraries}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _git() -> str:
    """Commit of the working directory, with a + if it was edited; "" outside a repository."""
    options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 5, "check": True}
    try:
        commit = str(subprocess.run(["git", "rev-parse", "HEAD"], **options).stdout).strip()
        edited = ["git", "status", "--porcelain", "-uno"]
        dirty = subprocess.run(edited, **options).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit + ("+" if dirty else "")
