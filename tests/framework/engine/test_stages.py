"""Stages: made once, reused when whole, made again where that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conformance.engine import plugin_file
from preflab import UserError
from preflab.composing.compose import compose
from preflab.engine.stages import Stages
from preflab.planning.reading import job_of
from preflab.runtime import Precision
from reliability import trouble

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _trouble() -> Iterator[None]:
    with plugin_file(Path(trouble.__file__)):
        yield


class Made:
    """The stages of a run of one stage of two steps, and the hooks that were called."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.hooks: list[str] = []
        own = (f"artifacts.dir={folder}", "algorithm=trouble", "runtime.threads=1")
        config = compose([*trouble.ALONE, *trouble.TINY, *own, *words], with_hydra=True)
        self.stages = Stages(job_of(config).run, self.observe, {"torch": "2"})
        (self.finished,) = self.stages.make_all()

    def observe(self, hook: str, **shown: Any) -> None:
        self.hooks.append(hook.removeprefix("preflab_"))


def test_a_stage_is_computed_once_and_then_reused(tmp_path: Path) -> None:
    first, second = Made(tmp_path), Made(tmp_path)
    assert not first.finished.reused
    steps = ["step_finished", "checkpoint_saved", "step_finished"]
    assert first.hooks == ["stage_started", *steps, "stage_finished"]
    assert second.finished.reused
    assert second.hooks == ["stage_reused"]
    assert second.finished.artifact.folder == first.finished.artifact.folder
    assert second.finished.artifact.manifest["cost"]["steps"] == 2


def test_without_reuse_it_is_computed_again(tmp_path: Path) -> None:
    first, again = Made(tmp_path), Made(tmp_path, "artifacts.reuse=false")
    assert not again.finished.reused
    assert again.finished.artifact.folder == first.finished.artifact.folder


def test_a_reused_stage_of_other_threads_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Made(tmp_path)
    capsys.readouterr()
    assert Made(tmp_path, "runtime.micro_batch=8").finished.reused
    assert "was made with micro_batch 64 (now 8); its last bits may differ" in (
        capsys.readouterr().err
    )


def test_another_seed_is_another_stage(tmp_path: Path) -> None:
    first, other = Made(tmp_path), Made(tmp_path, "seed=2")
    assert not other.finished.reused
    assert first.finished.stage.recipe_id != other.finished.stage.recipe_id
    assert other.finished.artifact.manifest["seed"] == 2


def test_processes_that_chose_other_formats_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `runtime.precision=auto` may, on two machines: process 0 tells what it makes, and this
    process would make something else."""
    made = Made(tmp_path)
    (stage,) = made.stages.run.stages
    told = SimpleNamespace(agreed=lambda mine: ("another recipe", Precision.bfloat16, None))
    made.stages.environment.__dict__["runtime"] = told
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"process 0 computes in bfloat16, and \S+ in float32\. "):
        made.stages._agreed(stage)
