"""The files of a run folder and of a multirun's folder: their names, and what is in them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict, cast

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
COMPLETE = "complete"


class StageRow(TypedDict):
    """A finished stage of a run. group: its config group; makes: role of the policy that it
    makes, "" if none; seconds: what this run spent on it; cost: what making the artifact took,
    whenever that was."""

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


class Manifest(TypedDict):
    """manifest.json: what was run, with what, and how far it came. status: running, complete,
    stopped or failed; plugin_flags: environment variables that limit or name plugins; notices: what
    was said before the first stage."""

    run: str
    config_name: str
    overrides: list[str]
    seed: int
    arm: str
    versions: dict[str, str]
    git: str
    host: str
    command: list[str]
    plugin_flags: dict[str, str]
    plugins: dict[str, str]
    status: str
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
    """A job of a multirun. status: ok, failed or not started; log: file with its error,
    "" if none."""

    job: int
    overrides: list[str]
    arm: str
    exit_code: int
    error: str
    status: str
    folder: str
    seconds: float
    log: str


def new_folder(root: Path) -> Path:
    """A run folder that no other run has, even one started in the same instant."""
    while True:
        folder = root / f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True, exist_ok=False)
            return folder


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


def is_complete(folder: Path) -> bool:
    """Whether the run of a folder has finished."""
    manifest = read_manifest(folder)
    return manifest is not None and manifest.get("status") == COMPLETE


def read_ledger(folder: Path) -> list[LedgerLine]:
    """The lines of a multirun's ledger, without those that a full disk cut: their jobs count as
    failed."""
    path, lines = folder / LEDGER, list[LedgerLine]()
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError):
            value = json.loads(line)
            lines += [cast(LedgerLine, value)] if isinstance(value, dict) else []
    return lines


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
