"""One job in this process: what its folder holds, and what is noted when it fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.engine import plugin_file
from preflab import PluginError, UserError
from preflab.composing.compose import compose
from preflab.door.registry import Registry
from preflab.engine.stages import FinishedStage, Stages
from preflab.jobs import execution
from preflab.jobs.execution import execute
from preflab.planning.reading import Job, job_of
from reliability import trouble

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _trouble() -> Iterator[None]:
    with plugin_file(Path(trouble.__file__)):
        yield


def tried(folder: Path, how: str) -> Job:
    """A job of one stage of two steps, which fails in a chosen way."""
    (folder / "run").mkdir()
    own = ("algorithm=trouble", f"algorithm.how={how}", f"artifacts.dir={folder / 'artifacts'}")
    words = [*trouble.ALONE, *trouble.TINY, *own, "runtime.threads=1", "seed=3"]
    return job_of(compose(words, with_hydra=True))


def read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text())
    return value


def test_a_complete_run_has_a_manifest_a_summary_and_links(tmp_path: Path) -> None:
    run = tmp_path / "run"
    summary = execute(tried(tmp_path, "ok"), run)
    assert summary == read(run / "summary.json")
    assert (summary["computed"], summary["reused"], summary["seed"]) == (["algorithm"], [], 3)
    manifest = read(run / "manifest.json")
    assert manifest["status"] == "complete"
    assert "algorithm.how=ok" in manifest["overrides"]
    assert [(row["stage"], row["seed"]) for row in manifest["stages"]] == [("algorithm", 3)]
    assert (run / "artifacts" / "algorithm" / "done.txt").read_text() == "ok"


def test_a_stage_is_listed_and_linked_as_soon_as_it_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`runs rm --artifacts` of another run reads this while the run goes on."""
    run, make_all, seen = tmp_path / "run", Stages.make_all, list[Any]()

    def looked_at(stages: Stages, noted: Callable[[], None]) -> list[FinishedStage]:
        def then() -> None:
            noted()
            manifest = read(run / "manifest.json")
            seen.append((manifest["status"], [row["stage"] for row in manifest["stages"]]))
            seen.append((run / "artifacts" / "algorithm" / "done.txt").read_text())

        return make_all(stages, then)

    monkeypatch.setattr(Stages, "make_all", looked_at)
    execute(tried(tmp_path, "ok"), run)
    assert seen == [("running", ["algorithm"]), "ok"]


def test_a_failed_run_says_so_and_is_observed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, seen = tried(tmp_path, "raise"), list[str]()
    observe = Registry.observe

    def noted(registry: Registry, hook: str, **shown: Any) -> None:
        seen.append(hook)
        observe(registry, hook, **shown)

    monkeypatch.setattr(Registry, "observe", noted)
    with pytest.raises(PluginError, match="raised on purpose"):
        execute(job, tmp_path / "run")
    assert read(tmp_path / "run" / "manifest.json")["status"] == "failed"
    assert not (tmp_path / "run" / "summary.json").exists()
    assert (seen[0], seen[-1]) == ("preflab_run_started", "preflab_run_failed")


def test_nothing_is_written_when_inputs_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(run: object) -> None:
        raise UserError("data: what it reads was changed")

    monkeypatch.setattr(execution, "check_unchanged", changed)
    with pytest.raises(UserError):
        execute(tried(tmp_path, "ok"), tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []
