"""Memory and open files do not grow with the steps of a run, nor with the length of a file."""

from __future__ import annotations

import json
import multiprocessing
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from end_to_end.runs import preflab
from preflab.rows import path_digest, read_rows, spool
from preflab_builtin.files.config import FilesConfig
from preflab_builtin.files.source import parse_file
from reliability.figures import figure

WATCHING = """
import gc
import os

from preflab import hookimpl


@hookimpl
def preflab_step_finished(stage, step):
    if stage == "{stage}" and step in {marks}:
        gc.collect()
        with open("/proc/self/statm") as stream:
            pages = int(stream.read().split()[1])
        with open("watched.txt", "a") as stream:
            size, files = pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd"))
            stream.write(f"{{step}} {{size}} {{files}}\\n")
"""
MB = 1 << 20


SMALL = (
    "policy.layers=1",
    "policy.width=16",
    "policy.heads=2",
    "checkpoint.every_steps=50",
    "runtime.threads=1",
    "select=last",
)
STAGES = {
    "pretrain": (
        "pretrain.batch=1",
        "pretrain.window=8",
        "data.documents=200",
        "sft=none",
        "reward_model=none",
        "algorithm=none",
    ),
    "algorithm": (
        *(
            "algorithm=ppo_ptx",
            "algorithm.batch=2",
            "algorithm.minibatch=2",
            "algorithm.terms.ptx.ratio=1",
            "reward_model=length",
        ),
        *(
            "algorithm.terms.ptx.window=8",
            "rollout.max_tokens=4",
            "pretrain.steps=1",
            "sft=none",
            "reward_model=length",
        ),
    ),
}


@pytest.mark.reliability
@pytest.mark.parametrize("stage", STAGES)
def test_a_long_run_holds_its_memory_and_its_files(stage: str, tmp_path: Path) -> None:
    """With all observers and a checkpoint every 50 steps: at most 5 MB more at the end."""
    first, last = 200, 2000
    (tmp_path / "watching.py").write_text(WATCHING.format(marks={first, last - 1}, stage=stage))
    length = f"pretrain.steps={last}" if stage == "pretrain" else f"algorithm.episodes={2 * last}"
    words = (*STAGES[stage], *SMALL, length, "data.documents=200", "evaluation=none")
    assert preflab(tmp_path, "--plugin", "watching.py", *words) == 0, (
        tmp_path / "log.txt"
    ).read_text()[-2000:]
    (_, before, files), (_, after, files_after) = (
        map(int, line.split()) for line in (tmp_path / "watched.txt").read_text().splitlines()
    )
    figure(f"{stage}: {(after - before) / MB:.1f} MB more from step {first} to {last}")
    assert after - before <= 5 * MB, f"{(after - before) / MB:.1f} MB in {last - first} steps"
    assert files_after == files


def _peak(work: Callable[[], int]) -> tuple[int, int]:
    """(the work's result, bytes by which its peak exceeds that of a child that does nothing)."""

    def child(connection: object, act: bool) -> None:
        found = work() if act else 0
        connection.send((found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))  # type: ignore[attr-defined]

    answers = []
    for act in (False, True):
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(target=child, args=(theirs, act))
        process.start()
        answers.append(ours.recv())
        process.join()
    return answers[1][0], answers[1][1] - answers[0][1]


def _lines(rows: int, size: int) -> Iterator[str]:
    for i in range(rows):
        yield json.dumps({"text": f"{i} " + "word " * (size // 5), "id": i}) + "\n"


@pytest.mark.parametrize(
    "rows,size", [(4_000, 8_000), pytest.param(125_000, 8_000, marks=pytest.mark.reliability)]
)
def test_a_file_is_read_row_by_row(rows: int, size: int, tmp_path: Path) -> None:
    """32 MB, and 1 GB: reading takes at most 300 MB at any length (in fact a few MB)."""
    path = tmp_path / "long.jsonl"
    with path.open("w") as stream:
        stream.writelines(_lines(rows, size))
    assert path.stat().st_size >= rows * size
    count, more = _peak(lambda: sum(1 for row in read_rows(path) if row.problem is None))
    assert count == rows
    assert more <= min(300 * MB, 16 * MB), f"{more / MB:.0f} MB"
    length, more = _peak(lambda: len(path_digest(path)))
    assert length == 64
    assert more <= 16 * MB


@pytest.mark.parametrize(
    "rows,limit", [(8_000, 1), pytest.param(1_000_000, 64, marks=pytest.mark.reliability)]
)
def test_records_are_held_in_bounded_memory(
    rows: int, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16 MB, and 2 GB of rankings: reading, checking and going through them once takes no more than
    what may stay in memory, three times (the records themselves, a block of lines, and what Python
    does not give back), and 16 MB."""
    monkeypatch.setattr(spool, "IN_MEMORY", limit * MB)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    path = tmp_path / "rankings.jsonl"
    with path.open("w") as stream:
        for i in range(rows):
            row = {"prompt": f"{i} why? " * 20, "chosen": "word " * 180, "rejected": "text " * 160}
            stream.write(json.dumps(row) + "\n")

    def read() -> int:
        parsed = parse_file(path, FilesConfig().row_settings("rankings"))
        assert parsed.kept == len(parsed.records) == rows
        return sum(len(record.responses[0]) for record in parsed.records)  # type: ignore[union-attr, misc]

    letters, more = _peak(read)
    figure(f"{rows} rankings: {more / MB:.0f} MB more than before")
    assert letters == rows * 900
    assert more <= (3 * limit + 16) * MB, f"{more / MB:.0f} MB"
