"""A kill and a power cut at every boundary of every write of a checkpoint, an artifact and a
whole stage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from preflab import StorageError
from preflab.storage import checkpoints
from preflab.storage.artifacts import STATE, Store
from preflab.storage.durable import write_json
from reliability.figures import figure
from reliability.injection import Call, boundaries, forked, killed_at, power_cut_at
from reliability.walk import RECIPE, STAGE, contents, make
from support import represented_by

Disaster = Callable[[Path, Callable[[], None], int], None]
DISASTERS: dict[str, Disaster] = {
    "kill": killed_at,
    "power cut, contents lost": lambda root, work, k: power_cut_at(
        root, work, k, contents=True, names=False
    ),
    "power cut, names lost": lambda root, work, k: power_cut_at(
        root, work, k, contents=False, names=True
    ),
    "power cut, all lost": lambda root, work, k: power_cut_at(
        root, work, k, contents=True, names=True
    ),
}
SOME_DISASTERS = represented_by(["kill", "power cut, all lost"], DISASTERS)


def _state(step: int) -> dict[str, object]:
    return {
        "weights": torch.full((64,), float(step)),
        "nested": {"moments": torch.zeros(3), "count": step},
    }


def _every(
    root: Path,
    before: Path,
    work: Callable[[], None],
    disaster: Disaster,
    then: Callable[[Call], None],
) -> list[Call]:
    """A disaster at every boundary of work, each on a fresh copy of a folder; the boundaries."""
    shutil.copytree(before, root)
    calls = boundaries(root, work, root.parent / "calls.json")
    for call in calls:
        shutil.rmtree(root)
        shutil.copytree(before, root)
        disaster(root, work, call.number)
        then(call)
    return calls


@pytest.mark.parametrize("disaster", SOME_DISASTERS)
@pytest.mark.parametrize(
    "replaces", [False, True], ids=["a new step", "a damaged one of the same step"]
)
def test_a_checkpoint_is_the_old_one_or_the_new_one(
    tmp_path: Path, disaster: str, replaces: bool
) -> None:
    before, root = tmp_path / "before", tmp_path / "state"
    for step in (1, 2, 3) if replaces else (1, 2):
        checkpoints.save(before, step, _state(step))
    if replaces:
        (before / "step-000000003" / "state.json").write_text("{}")
        checkpoints.save(tmp_path / "other", 1, _state(1))
        shutil.copytree(
            tmp_path / "other" / "step-000000001", before / "step-000000001", dirs_exist_ok=True
        )
    found = []

    def whole(call: Call) -> None:
        steps = []
        for folder in checkpoints.candidates(root):
            try:
                step, state = checkpoints.load(folder)
            except StorageError:
                assert replaces, (call, folder)  # nothing but what was damaged before
                continue
            assert torch.equal(state["weights"], torch.full((64,), float(step)))
            steps.append(step)
        assert steps, call
        assert steps[0] in (3, 2), call
        found.append(steps[0])
        assert not list(root.glob("tmp-*"))

    calls = _every(root, before, lambda: _save(root), DISASTERS[disaster], whole)
    figure(
        f"{disaster}: {len(calls)} boundaries, newest is 3 after {found.count(3)} and 2 after "
        f"{found.count(2)}"
    )
    assert found[0] == 2
    assert found[-1] == 3
    assert {"write", "fsync", "rename", "mkdir", "create", "unlink"} <= {
        call.kind for call in calls
    }
    assert len(calls) >= 20  # so that a writer that bypasses what is watched is noticed


def _save(root: Path) -> None:
    checkpoints.save(root, 3, _state(3))


def _commit(root: Path, text: str) -> None:
    """An artifact of two files, replacing one if there is one (``artifacts.reuse=false``)."""
    store = Store(root)
    with store.making(STAGE, RECIPE) as partial:
        (partial / "model").mkdir(parents=True)
        (partial / STATE / "step-1").mkdir(parents=True)
        for name in ("model/weights", "rows"):
            (partial / name).write_text(text)
        store.commit(STAGE, RECIPE, {"created": text})


@pytest.mark.parametrize("disaster", SOME_DISASTERS)
@pytest.mark.parametrize("replaces", [False, True], ids=["a new one", "in the place of another"])
def test_an_artifact_is_the_old_one_or_the_new_one(
    tmp_path: Path, disaster: str, replaces: bool
) -> None:
    before, root = tmp_path / "before", tmp_path / "artifacts"
    before.mkdir()
    if replaces:
        _commit(before, "old")
    found = []

    def whole(call: Call) -> None:
        store = Store(root)
        with store.making(STAGE, RECIPE):
            artifact = store.find(STAGE, RECIPE)
        assert artifact is not None or not replaces, call
        if artifact is not None:
            artifact.verify()
            store.sweep(artifact)
            assert sorted(p.name for p in artifact.folder.iterdir()) == [
                "artifact.json",
                "model",
                "rows",
            ], call
        found.append(None if artifact is None else artifact.manifest["created"])
        assert {p.suffix for p in root.iterdir()} <= {"", ".lock", ".partial"}

    calls = _every(root, before, lambda: _commit(root, "new"), DISASTERS[disaster], whole)
    figure(
        f"{disaster}: {len(calls)} boundaries, {found.count('new')} new, "
        f"{len(found) - found.count('new')} as before"
    )
    assert found[0] == ("old" if replaces else None)
    assert found[-1] == "new"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("uninterrupted") / "artifacts"
    assert forked(lambda: make(root)) == 0
    return root


def _a_stage(root: Path, uninterrupted: Path, disaster: str, every: int) -> int:
    """Disasters at each ``every``-th boundary of a whole stage, and at the first where a part of
    the artifact is still called .tmp; after each a second attempt ends with the same bytes."""
    calls = boundaries(root, lambda: make(root), root.parent / "calls.json")
    assert contents(root) == contents(uninterrupted)
    written = {Path(call.path).name for call in calls if call.kind == "write"}
    assert written >= {
        "metrics.jsonl",
        "tensors.safetensors",
        "model.safetensors",
        "config.json",
        "tokenizer.json",
    }, written
    half_written = [
        c
        for c in calls
        if c.kind == "rename" and c.path.endswith(".tmp") and "/.state/" not in c.path
    ]
    tried = calls if every == 1 else [*calls[::every], half_written[0]]
    for call in tried:
        shutil.rmtree(root)
        DISASTERS[disaster](root, lambda: make(root), call.number)
        assert forked(lambda: make(root)) == 0, call
        assert contents(root) == contents(uninterrupted), call
        assert not list(root.rglob("*.tmp")), call  # not even an empty folder
        assert [p.suffix for p in sorted(root.iterdir())] == ["", ".lock"], call
    figure(f"{disaster}: {len(calls)} boundaries of a stage, {len(tried)} tried")
    return len(calls)


@pytest.mark.parametrize("disaster", SOME_DISASTERS)
def test_a_stage_resumes_after_a_disaster_at_some_boundaries(
    tmp_path: Path, uninterrupted: Path, disaster: str
) -> None:
    assert _a_stage(tmp_path / "artifacts", uninterrupted, disaster, 43) > 100


@pytest.mark.reliability
@pytest.mark.parametrize("disaster", DISASTERS)
def test_a_stage_resumes_after_a_disaster_at_every_boundary(
    tmp_path: Path, uninterrupted: Path, disaster: str
) -> None:
    _a_stage(tmp_path / "artifacts", uninterrupted, disaster, 1)


@pytest.mark.parametrize("disaster", SOME_DISASTERS)
def test_a_json_file_is_the_old_one_or_the_new_one(tmp_path: Path, disaster: str) -> None:
    before, root = tmp_path / "before", tmp_path / "run"
    before.mkdir()
    write_json(before / "manifest.json", {"status": "running"})
    found = []

    def whole(call: Call) -> None:
        found.append(json.loads((root / "manifest.json").read_text())["status"])

    _every(
        root,
        before,
        lambda: write_json(root / "manifest.json", {"status": "complete"}),
        DISASTERS[disaster],
        whole,
    )
    assert found[0] == "running"
    assert set(found) <= {"running", "complete"}
