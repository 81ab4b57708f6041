"""Artifacts: complete or absent, verified when reused, made by one process at a time."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from preflab import StorageError
from preflab.storage.artifacts import Store, read_rows, write_json

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
