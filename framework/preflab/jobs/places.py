"""Where the results of a command go. Hydra's settings for it count (hydra.run.dir, hydra.sweep.dir,
hydra.sweep.subdir), and what cannot be written, or would be overwritten, is refused before
anything runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override

from preflab.composing.compose import CommandLine
from preflab.composing.explaining import readable_errors
from preflab.errors import UserError
from preflab.jobs.noting import without_labels
from preflab.jobs.search_file import check_same_search
from preflab.planning.reading import Job
from preflab.planning.run import Run
from preflab.storage.artifacts import Store
from preflab.storage.durable import in_words, unwritable
from preflab.storage.run_folder import (
    ARTIFACTS,
    LEDGER,
    MANIFEST,
    OVERWRITTEN,
    PAGE_AS_TEXT,
    REPORT,
    SUMMARY,
    is_complete,
    is_running,
    jobs_process,
    new_folder,
    read_manifest,
)
from preflab.storage.runs import lasting, running_process, runs_below

RUN_FOLDER = "PREFLAB_RUN_FOLDER"
"""Environment variable from which conf/config.yaml takes the folder of a run or multirun."""
MULTIRUN = "multirun.yaml"


@dataclass(frozen=True)
class Places:
    """folder: of the run or multirun, which exists. jobs: folder of each job."""

    folder: Path
    jobs: tuple[Path, ...]


def places(line: CommandLine, jobs: Sequence[Job], root: Path | None = None) -> Places:
    """The folders of a command, as Hydra's settings name them. `UserError` for a folder that
    cannot be written, that holds something else, or that two jobs would share. root: the folder
    of the multirun, if earlier jobs of it have made it."""
    if root is not None:
        assert line.config is not None
        _note(line.config, {"sweep.dir": str(root)})
        return _checked(line, jobs, root)
    found = [Places(Path(), ())]

    def chosen(ours: Path) -> Path:
        found[0] = _checked(line, jobs, _named(line) or ours)
        return found[0].folder

    new_folder(_root(line), chosen)
    return found[0]


def check_places(line: CommandLine, jobs: Sequence[Job]) -> None:
    """What `places` refuses. Nothing is made."""
    before = os.environ.get(RUN_FOLDER)
    try:
        _checked(line, jobs, _named(line) or _root(line) / "new")
    finally:
        os.environ.pop(RUN_FOLDER, None)
        if before is not None:
            os.environ[RUN_FOLDER] = before


def _root(line: CommandLine) -> Path:
    return Path("runs") / line.config_name


def _named(line: CommandLine) -> Path | None:
    """The folder of a command that names its run, or its multirun."""
    assert line.config is not None
    name = str(line.config.get("name") or "")
    return _root(line) / name if name else None


def _checked(line: CommandLine, jobs: Sequence[Job], ours: Path) -> Places:
    """The folders, if the run has ``ours`` unless Hydra's settings say otherwise."""
    os.environ[RUN_FOLDER] = str(ours)
    found = _multirun(line, jobs, ours) if line.multirun else _run(jobs[0], ours)
    _check_stores(jobs)
    folder = found.folder
    if reason := unwritable(folder.parent if folder == ours else folder):
        key = "hydra.sweep.dir" if line.multirun else "hydra.run.dir"
        raise UserError(f"{folder} cannot be made: {reason}. Give {key}=FOLDER.")
    return found


def _run(job: Job, ours: Path) -> Places:
    assert job.composed is not None
    _note(job.composed, {"mode": RunMode.RUN})
    folder = _resolved(job.composed, "hydra.run.dir")
    name = job.run.settings.name
    _check_free(folder, job, f"name={name}" if name and folder == ours else "hydra.run.dir")
    return Places(folder, (folder,))


def _multirun(line: CommandLine, jobs: Sequence[Job], ours: Path) -> Places:
    assert line.config is not None
    root = _resolved(line.config, "hydra.sweep.dir")
    key = f"name={root.name}" if root == ours == _named(line) else "hydra.sweep.dir"
    _check_free_of_others(root, key)
    check_same_search(root, line.search, key)
    folders: dict[Path, int] = {}
    for number, job in enumerate(jobs, line.first_job):
        assert job.composed is not None
        facts = {"mode": RunMode.MULTIRUN, "job.id": str(number), "job.num": number}
        _note(job.composed, {**facts, "sweep.dir": str(root)})
        folder = root / _resolved(job.composed, "hydra.sweep.subdir")
        same = folders.setdefault(folder, number)
        if same != number or folder == root:
            whom = f"jobs {same} and {number}" if same != number else f"job {number}"
            raise UserError(
                f"hydra.sweep.subdir gives {whom} the folder {folder}: every job needs one of its "
                "own below hydra.sweep.dir. Put ${hydra.job.num} into it."
            )
        _check_free(folder, job, key)
    return Places(root, tuple(folders))


def _note(composed: DictConfig, facts: dict[str, Any]) -> None:
    """Set values of Hydra's own part of a config."""
    with flag_override(composed.hydra, "readonly", False):
        for key, value in facts.items():
            OmegaConf.update(composed.hydra, key, value)


def _resolved(composed: DictConfig, key: str) -> Path:
    """A path of Hydra's own part; it may refer to anything that Hydra knows."""
    hydra = HydraConfig.instance()
    before = hydra.cfg
    try:
        with readable_errors():
            hydra.set_config(composed)
            return Path(os.path.normpath(str(OmegaConf.select(composed, key))))
    finally:
        hydra.cfg = before


def _check_free(folder: Path, job: Job, key: str) -> None:
    """`UserError` unless a folder is new, empty, or holds this very run, which then goes on."""
    _refuse_path(folder, key)
    _check_apart_from_store(folder, job.run)
    manifest = read_manifest(folder)
    if manifest is None:
        files = (*OVERWRITTEN, LEDGER, MULTIRUN)
        _refuse(folder, [name for name in files if (folder / name).exists()], key)
        return
    _refuse_running(folder, key)
    known = (manifest.get("config_name"), without_labels(manifest.get("overrides") or ()))
    stages = {stage.recipe_id for stage in job.run.stages}
    changed = any(row["recipe"] not in stages for row in manifest.get("stages") or ())
    if known != (job.config_name, without_labels(job.overrides)):
        words = " ".join(manifest.get("overrides") or ())
        what = f"holds the run of another command ({manifest.get('config_name')} {words})"
    elif is_complete(folder) and changed:
        what = "holds the results of the same command with other code or data"
    else:
        return
    raise UserError(f"{key}: {folder} {what}, and nothing is overwritten: give another {_it(key)}.")


def check_not_running(line: CommandLine) -> None:
    """`UserError` if the named run of a command is going on. Checking its jobs takes minutes."""
    folder = _named(line)
    if folder is None:
        return
    for place in (folder, *(run.folder for run in runs_below(folder))):
        _refuse_running(place, f"name={folder.name}")
    between = lasting(jobs_process(folder))  # a multirun none of whose jobs is at work
    if between and between != os.getpid():
        raise UserError(_running(f"name={folder.name}", folder, between))


def _refuse_running(folder: Path, key: str) -> None:
    if not is_running(folder):
        return
    raise UserError(_running(key, folder, running_process(folder)))


def _running(key: str, folder: Path, process: int) -> str:
    which = f" (process {process})" if process else ""
    return (
        f"{key}: another process is running in {folder}: wait for it, stop it{which}, or give "
        f"another {_it(key)}."
    )


def _it(key: str) -> str:
    return "name" if key.startswith("name=") else "folder"


def _check_free_of_others(root: Path, key: str) -> None:
    _refuse_path(root, key)
    known = any((root / name).exists() for name in (LEDGER, MULTIRUN))
    files = (MANIFEST,) if known else (MANIFEST, SUMMARY, REPORT, PAGE_AS_TEXT)
    _refuse(root, [name for name in files if (root / name).exists()], key)


def _refuse_path(folder: Path, key: str) -> None:
    try:
        if folder.is_dir() or not folder.exists():
            return
        reason = "it is a file"
    except OSError as error:
        reason = in_words(error)
    raise UserError(f"{key}: {folder} cannot be the folder of a run: {reason}.")


def _refuse(folder: Path, files: Sequence[str], key: str) -> None:
    if files:
        raise UserError(
            f"{key}: {folder} holds {', '.join(files)}, which would be overwritten: give another "
            f"{_it(key)}."
        )


def _check_apart_from_store(folder: Path, run: Run) -> None:
    """A run's folder has links to its artifacts in it, which must not lie among the artifacts."""
    store, inside = run.store_root.resolve(), folder.resolve()
    links = inside / ARTIFACTS
    if links in (store, *store.parents) or store in (inside, *inside.parents):
        raise UserError(
            f"The folder of a run is {folder}, and artifacts.dir is {run.store_root}: one would "
            "lie in the other. Give another artifacts.dir, or another folder for the run "
            "(hydra.run.dir, hydra.sweep.dir)."
        )


def _check_stores(jobs: Sequence[Job]) -> None:
    """`UserError` for a folder of artifacts that cannot be written, if anything is to be made."""
    roots = dict.fromkeys(job.run.store_root for job in jobs if _makes_something(job.run))
    for root in roots:
        if reason := unwritable(root):
            raise UserError(
                f"artifacts.dir={root} cannot be written: {reason}. Give another artifacts.dir."
            )


def _makes_something(run: Run) -> bool:
    store = Store(run.store_root)
    if not run.settings.artifacts.reuse:
        return bool(run.stages)
    return any(store.find(stage.name, stage.recipe_id) is None for stage in run.stages)
