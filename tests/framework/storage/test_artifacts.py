"""Artifacts: complete or absent, verified when reused, made by one process at a time."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from preflab import StorageError
from preflab.storage import artifacts
from preflab.storage.artifacts import OWNER, STATE, Store, read_rows, write_json

FACTS = {"component": "x", "created": "2026-01-01", "cost": {"seconds": 1}}


def _make(store: Store, text: str = "result") -> None:
    with store.making("sft", "a" * 64) as partial:
        partial.mkdir()
        (partial / "model").mkdir()
        (partial / "model" / "weights").write_text(text)
        (partial / ".state" / "step-1").mkdir(parents=True)
        store.commit("sft", "a" * 64, FACTS)


def test_an_artifact_appears_whole_and_without_checkpoints(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.find("sft", "a" * 64) is None
    _make(store)
    found = store.find("sft", "a" * 64)
    assert found is not None
    assert sorted(found.manifest["files"]) == ["model/weights"]
    assert not (found.folder / ".state").exists()
    assert store.partial() == []
    found.verify()


@pytest.mark.parametrize("damage", ["change", "remove"])
def test_a_changed_artifact_is_never_reused(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    _make(store)
    found = store.find("sft", "a" * 64)
    assert found is not None
    weights = found.folder / "model" / "weights"
    weights.unlink() if damage == "remove" else weights.write_text("resulT")
    with pytest.raises(StorageError, match="model/weights"):
        found.verify()


def _hold(root: str, entered: object, leave: object) -> None:
    with Store(Path(root)).making("sft", "b" * 64, owner="process 7 on here"):
        entered.set()  # type: ignore[attr-defined]
        leave.wait(20)  # type: ignore[attr-defined]


def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    entered, leave = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(str(tmp_path), entered, leave))
    holder.start()
    assert entered.wait(20)
    waited = []

    def waiting(owner: str) -> None:
        waited.append(owner)
        leave.set()

    with Store(tmp_path).making("sft", "b" * 64, waiting):
        pass
    holder.join(20)
    assert waited == ["process 7 on here"]


def _begin(root: str, held: Any, asked: Any, leave: Any) -> None:
    """Hold the lock, and say who one is only once somebody has asked."""
    with Store(Path(root)).making("sft", "c" * 64) as partial:
        held.set()
        asked.wait(20)
        (partial / STATE).mkdir(parents=True)
        (partial / STATE / OWNER).write_text("process 8 on here")
        leave.wait(20)


def test_a_job_that_has_only_just_begun_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = multiprocessing.get_context("fork")
    held, asked, leave = context.Event(), context.Event(), context.Event()
    holder = context.Process(target=_begin, args=(str(tmp_path), held, asked, leave))
    holder.start()
    assert held.wait(20)
    owner, answers, waited = Store._owner, [], []

    def ask(store: Store, stage: str, recipe_id: str) -> str:
        answers.append(owner(store, stage, recipe_id))
        asked.set()
        return answers[-1]

    def waiting(owner: str) -> None:
        waited.append(owner)
        leave.set()

    monkeypatch.setattr(Store, "_owner", ask)
    monkeypatch.setattr(artifacts, "NAMELESS_SECONDS", 20)
    with Store(tmp_path).making("sft", "c" * 64, waiting):
        pass
    holder.join(20)
    assert answers[0] == ""
    assert waited == ["process 8 on here"]


def test_rows_cut_by_a_kill_are_left_out(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 0}\n{"step": 1}\n{"st')
    assert read_rows(log) == [{"step": 0}, {"step": 1}]
    assert read_rows(tmp_path / "absent") == []


def test_write_json_replaces_in_one_piece(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
