"""Trackers keep the contract that third parties keep; those of other packages where the package is
installed."""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from preflab.testing import TrackerContract


class TestJsonLines(TrackerContract):
    name = "jsonl"

    @classmethod
    def points(cls, folder: Path) -> Sequence[tuple[str, int]]:
        rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        return [(name, row["step"]) for row in rows for name in row]


class TestTensorBoard(TrackerContract):
    name = "tensorboard"

    @classmethod
    def points(cls, folder: Path) -> Sequence[tuple[str, int]]:
        from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
            EventAccumulator,
        )

        events: Any = EventAccumulator(str(folder / "tensorboard")).Reload()
        names = events.Tags()["scalars"]
        return [(name, event.step) for name in names for event in events.Scalars(name)]


BLOCK, HEADER = 32768, 7
"""wandb's files are in LevelDB's log format: blocks with records, each after a header of checksum
(4 bytes), length (2) and type (1). The file begins with a header of the same size."""


def wandb_records(data: bytes) -> Iterator[bytes]:
    """The records of a file of wandb; a last one that a kill cut in half is left out."""
    at, parts = HEADER, b""
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):  # a whole record, or its last part
            yield parts
            parts = b""


def wandb_lives() -> bool:
    """Whether a process of wandb's own, which writes its files, is alive."""
    binary = Path(importlib.import_module("wandb").__file__ or "").parent / "bin"
    return any(_target(exe).startswith(str(binary)) for exe in Path("/proc").glob("[0-9]*/exe"))


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:  # it has ended by now, or is somebody else's
        return ""


def wandb_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows in wandb's files of a run. They are complete once wandb's own process has written
    the end of the run, or has ended; on a busy machine that can take minutes."""
    wandb_internal_pb2: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")

    def records() -> list[Any]:
        paths = sorted(folder.glob("wandb/offline-run-*/*.wandb"))
        found = (record for path in paths for record in wandb_records(path.read_bytes()))
        return [wandb_internal_pb2.Record.FromString(data) for data in found]

    alive = True
    while alive and not any(r.WhichOneof("record_type") == "exit" for r in records()):
        alive = wandb_lives()  # looked at first: what it wrote before its end is read once more
        time.sleep(0.2)
    for record in records():
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            yield {i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in items}


def mlflow_points(folder: Path) -> Iterator[tuple[str, int]]:
    """The points in MLflow's database beside a run."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri="sqlite:///mlflow.db")
    run_id = (folder / "mlflow_run.txt").read_text()
    for name in client.get_run(run_id).data.metrics:
        for metric in client.get_metric_history(run_id, name):
            yield name, metric.step


@pytest.mark.filterwarnings("ignore")  # those of the library
class TestWandb(TrackerContract):
    name = "wandb"

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        pytest.importorskip("wandb", reason="the extra wandb is not installed")
        return ()

    @classmethod
    def points(cls, folder: Path) -> Sequence[tuple[str, int]]:
        rows = list(wandb_rows(folder))
        return [(name, row["step/algorithm"]) for row in rows for name in row]


@pytest.mark.filterwarnings("ignore")
class TestMLflow(TrackerContract):
    name = "mlflow"
    outside = ("mlflow.db", "mlruns")

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
        return ()

    @classmethod
    def points(cls, folder: Path) -> Sequence[tuple[str, int]]:
        return list(mlflow_points(folder))
