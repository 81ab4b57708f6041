"""The files of a run folder and of a multirun's folder: their names, and what is in them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict, cast

from preflab.errors import UserError
from preflab.storage.durable import fsync, write_json

MANIFEST, SUMMARY, METRICS, SAMPLES = (
    "manifest.json",
    "summary.json",
    "metrics.jsonl",
    "samples.jsonl",
)
ARTIFACTS, REPORT, ERROR, REJECTED = "artifacts", "report.html", "error.txt", "rejected.txt"
DROPPED = "dropped.txt"
LEDGER = "ledger.jsonl"
"""In the folder of a multirun: a line for each job."""
JOBS = "jobs.json"
"""In the folder of a multirun: its jobs, also those that have not begun, and its process."""
SEARCH = "search.json"
"""In the folder of a multirun that tries values by itself: its trials."""
PAGE_AS_TEXT = "report.md"
OVERWRITTEN = (
    *(MANIFEST, SUMMARY, METRICS, SAMPLES, REPORT, PAGE_AS_TEXT, REJECTED),
    *(ARTIFACTS, "tensorboard"),
)
"""What a run writes into its folder, without asking what is there."""
CONFIG = "config.yaml"
"""The composed config, in the folder of Hydra's own files (`config_file`)."""
LOOKED_AT_SECONDS = 1.0
"""So long a run that begins tries to lock its folder: those who only look hold it for less."""
COMPLETE, RUNNING, WAITING, NOT_STARTED = "complete", "running", "waiting", "not started"


class StageRow(TypedDict):
    """A finished stage of a run. group: its config group; makes: role of the policy that it
    makes, "" if none; reused: whether no attempt of this run made it; seconds: what the attempt
    that made it spent on it; cost: what making the artifact took, whenever that was."""

    stage: str
    group: str
    name: str
    makes: str
    recipe: str
    seed: int
    artifact: str
    reused: bool
    seconds: float
    cost: dict[str, float]


class Origin(TypedDict):
    """With what a run was made. process: which one of the host's (`runs.process_mark`); started:
    when its first attempt began, ISO 8601 in UTC; plugin_flags: environment variables that limit
    or name plugins; where: cwd, in which the command was given, its config_dir, and output_subdir,
    in which Hydra's files are."""

    versions: dict[str, str]
    git: str
    host: str
    process: str
    started: str
    command: list[str]
    plugin_flags: dict[str, str]
    plugins: dict[str, str]
    where: dict[str, str]


class Manifest(Origin):
    """manifest.json: what was run, with what, and how far it came. name, tags, note: what its owner
    calls it, none of which changes a result; status: running, complete, stopped, failed or waiting
    ("running" stays if it is killed: see `runs.state_of`); seconds: what its stages took in all its
    attempts, with those that were not finished; waiting: what people have yet to do, "" if the run
    does not wait; notices: what was said before the first stage, also when stages that are reused
    were made."""

    run: str
    name: str
    tags: list[str]
    note: str
    config_name: str
    overrides: list[str]
    seed: int
    arm: str
    status: str
    seconds: float
    waiting: str
    notices: list[str]
    stages: list[StageRow]


class Summary(TypedDict, total=False):
    """summary.json of a complete run: what was made, and what the evaluation measured. records:
    counts by record type; accounting: what became of the rows and tokens of each stage."""

    run: str
    config_name: str
    overrides: list[str]
    seed: int
    arm: str
    computed: list[str]
    reused: list[str]
    records: dict[str, Any]
    accounting: dict[str, Any]
    evaluation: dict[str, Any]


class LedgerLine(TypedDict):
    """A job of a multirun. status: ok, failed, waiting or not started; folder: as seen from the
    ledger's; log: file with its error, "" if none."""

    job: int
    overrides: list[str]
    arm: str
    exit_code: int
    error: str
    status: str
    folder: str
    seconds: float
    log: str


def new_folder(root: Path, chosen: Callable[[Path], Path] = lambda folder: folder) -> Path:
    """A run folder that no other run has, even one started in the same instant. chosen: says of a
    name which folder to take in its place, if any; that one may exist."""
    while True:
        folder = root / f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        if (other := chosen(folder)) != folder:
            other.mkdir(parents=True, exist_ok=True)
            return other
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True, exist_ok=False)
            return folder


@contextlib.contextmanager
def running(folder: Path) -> Iterator[None]:
    """While a run lasts: `is_running` says so, and nobody else runs in its folder (`UserError`).
    It ends with the process, however that ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # of a disk without locks
            _take(handle, folder)
        yield
    finally:
        os.close(handle)


def _take(handle: int, folder: Path) -> None:
    """Lock a run folder. `is_running` holds its lock for a moment, so one look is not enough."""
    end = time.monotonic() + LOOKED_AT_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise UserError(f"Another process is running in {folder}.") from None
        time.sleep(LOOKED_AT_SECONDS / 50)


def is_running(folder: Path) -> bool:
    """Whether a process of this machine makes the run of a folder now."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write or replace the manifest of a run."""
    write_json(folder / MANIFEST, manifest)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a run folder; None if it is missing or not readable."""
    try:
        value = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    return cast(Manifest, value) if isinstance(value, dict) else None


def seconds_of(manifest: Manifest) -> float:
    """What a run took in all its attempts; of an older version what its finished stages took."""
    rows = manifest.get("stages") or ()
    return float(manifest.get("seconds") or sum(float(row.get("seconds") or 0) for row in rows))


def stage_folder(folder: Path, group: str) -> Path | None:
    """The artifact of the stage that a config group makes, in a run folder; None if the run has
    none, or it is not there any more."""
    rows = _stage_rows(folder)
    return next((artifact_of(folder, row) for row in rows if row["group"] == group), None)


def newest_model(folder: Path) -> Path | None:
    """The model folder of the newest policy that a run has made; None if it has made none."""
    found = (artifact_of(folder, row) for row in reversed(_stage_rows(folder)) if row["makes"])
    return next((f / "model" for f in found if f is not None and (f / "model").is_dir()), None)


def read_from(folder: Path) -> str:
    """A sentence on what is read where the folder of a run stands for a model; "" for another
    folder."""
    model = newest_model(folder)
    if model is None:
        return ""
    stage = model.parent.name.rpartition("-")[0]
    unfinished = "" if is_complete(folder) else " that has not finished"
    return f"{folder} is a run{unfinished}: the policy that its stage '{stage}' made is read"


def _stage_rows(folder: Path) -> list[StageRow]:
    """The finished stages of a run; [] for a folder of anything else."""
    manifest = read_manifest(folder)
    rows = manifest.get("stages") if manifest else None
    known = StageRow.__required_keys__
    given = rows if isinstance(rows, list) else []
    return [row for row in given if isinstance(row, dict) and known.issubset(row)]


def artifact_of(folder: Path, row: StageRow) -> Path | None:
    """Where a stage's artifact is: a run folder that was moved still links to it."""
    places = (folder / ARTIFACTS / row["stage"], Path(row["artifact"]))
    return next((place.resolve() for place in places if place.is_dir()), None)


def config_file(folder: Path) -> Path:
    """The composed config of a run folder."""
    manifest = read_manifest(folder)
    where = manifest.get("where") if manifest else None  # an older version has none
    return folder / (where or {}).get("output_subdir", ".hydra") / CONFIG


def is_complete(folder: Path) -> bool:
    """Whether the run of a folder has finished."""
    manifest = read_manifest(folder)
    return manifest is not None and manifest.get("status") == COMPLETE


def read_ledger(folder: Path) -> list[LedgerLine]:
    """The lines of a multirun's ledger, the last one of each folder, without those that a full disk
    cut: their jobs count as failed."""
    path, lines = folder / LEDGER, dict[object, LedgerLine]()
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):  # one without a folder is of an older version
                lines[str(value.get("folder") or value.get("job"))] = cast(LedgerLine, value)
    return list(lines.values())


def note_jobs(folder: Path, process: str, first: int, jobs: Sequence[Sequence[str]]) -> None:
    """Note the jobs that a multirun is going to run, by their overrides. process: the mark of the
    one that runs them; first: number of the first of them, before which the noted ones stay."""
    noted = [*read_jobs(folder)[:first], *map(list, jobs)]
    write_json(folder / JOBS, {"process": process, "jobs": noted})


def read_jobs(folder: Path) -> list[list[str]]:
    """The overrides of all jobs of a multirun; of an older version those of the ended ones."""
    noted = noted_jobs(folder)
    if noted is None:
        return [[str(word) for word in row.get("overrides") or ()] for row in read_ledger(folder)]
    return [[str(word) for word in words] for words in noted["jobs"]]


def jobs_process(folder: Path) -> str:
    """The mark of the process that last ran the jobs of a multirun; "" if it is not known."""
    noted = noted_jobs(folder)
    return str(noted["process"]) if noted else ""


def noted_jobs(folder: Path) -> dict[str, Any] | None:
    """What `note_jobs` wrote; None if a file of this name is missing, or is not of a multirun."""
    with contextlib.suppress(OSError, ValueError):
        noted = json.loads((folder / JOBS).read_bytes())
        if isinstance(noted, dict) and {"process", "jobs"} <= noted.keys():
            return noted
    return None


def append_to_ledger(folder: Path, line: LedgerLine) -> None:
    """One line, in one write, durable: parallel jobs share the file. A disk that refuses it does
    not stop the other jobs, since a job without a line counts as failed."""
    path = folder / LEDGER
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(handle).st_size
            # A line before that was cut gets an end.
            whole = not size or os.pread(handle, 1, size - 1) == b"\n"
            data = memoryview((b"" if whole else b"\n") + json.dumps(line).encode() + b"\n")
            while data:
                data = data[os.write(handle, data) :]
        finally:
            os.close(handle)
        fsync(path)
    except OSError as error:
        message = f"preflab: {path}: {error.strerror}: it lacks the line {json.dumps(line)}"
        print(message, file=sys.stderr)


def artifacts_of(folder: Path) -> dict[str, Path]:
    """The artifact of each finished stage of a run folder, as far as they are there."""
    found = ((row["stage"], artifact_of(folder, row)) for row in _stage_rows(folder))
    return {stage: place for stage, place in found if place is not None}
