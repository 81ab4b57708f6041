"""One reward model for several processes: who scores which rows, and that all know the same."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed.fsdp
import torch.distributed.tensor

from conformance.engine import plugin_file
from framework.engine import scorers
from preflab.composing.compose import compose
from preflab.engine.context import Environment, StageContext
from preflab.engine.scoring import SharedReward, shared
from preflab.errors import PreflabError
from preflab.interfaces import OfMembers, RewardModel, ScalarModel
from preflab.launched import is_main, local_rank
from preflab.planning.reading import job_of
from preflab.planning.run import Run
from preflab.records import Prompt, Rollout
from preflab.runtime import Device, Runtime, RuntimeConfig, Sharding
from preflab.sharding import is_sharded
from preflab_builtin.reward_model.scoring import last_values
from processes import trained
from support import FakeContext

ASKED = ("p", "p", "p", "q", "q")
"""The prompts of the rows: the half of five rows would part those of the first."""
TEXTS = ("red", "red red", "red red red", "bad bad bad", "bad")
NAMES = ("spoken", "broken", *(c.__name__.lower() for c in scorers.CLASSES))


def rollout(folder: Path) -> Rollout:
    prompts = [Prompt(name, "red") for name in ASKED]
    return Rollout.from_texts(FakeContext(folder).tokenizer, prompts, list(TEXTS))


def model_of(run: Run) -> RewardModel:
    environment = Environment(run, lambda hook, **shown: None)
    return StageContext(environment, "algorithm", ahead=True).reward_model()


def asking(runs: dict[str, Run]) -> Callable[[Path], None]:
    """What every process does: its numbers, or what was raised, by the name of the model."""

    def training(folder: Path) -> None:
        os.chdir(folder)
        found: dict[str, Any] = {}
        for name, run in runs.items():
            model = model_of(run)
            try:
                found[name] = model.score(rollout(folder)).tolist()
                if isinstance(model, OfMembers):
                    members = model.members(rollout(folder))
                    found["each"] = {k: v.tolist() for k, v in members.items()}
                if name == "late":
                    found["least"] = model.least  # type: ignore[attr-defined]
            except PreflabError as error:
                found[name] = [error.exit_code, str(error)]
        Path(f"found-{local_rank()}").write_text(json.dumps(found))

    return training


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    with plugin_file(Path(scorers.__file__)):
        words = {name: ["debug=fast", "algorithm=rloo", f"reward_model={name}"] for name in NAMES}
        return {n: job_of(compose(w, with_hydra=True)).run for n, w in words.items()}


@pytest.fixture(scope="module")
def two(runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(asking(runs), tmp_path_factory.mktemp("two"), 2)


@pytest.fixture(scope="module")
def found(two: Path) -> list[dict[str, Any]]:
    return [json.loads((two / f"found-{rank}").read_text()) for rank in range(2)]


@pytest.mark.slow
def test_each_row_is_scored_by_one_process_and_all_know_the_same(
    two: Path, found: list[dict[str, Any]]
) -> None:
    """Rows 0, 1 and 2 belong to one prompt: process 0 has them, and process 1 the others."""
    assert (two / "asked-0").read_text().splitlines() == list(TEXTS[:3])
    assert (two / "asked-1").read_text().splitlines() == list(TEXTS[3:])
    assert found[0]["spoken"] == found[1]["spoken"] == [1, 2, 3, 103, 101]


@pytest.mark.slow
def test_what_takes_part_itself_has_all_rows_and_process_0_counts(
    found: list[dict[str, Any]],
) -> None:
    """Each of the two processes was given 5 rows."""
    assert found[0]["taking"] == found[1]["taking"] == [11, 12, 13, 13, 11]


@pytest.mark.slow
def test_what_asks_for_the_runtime_late_is_alone_with_its_share(
    found: list[dict[str, Any]],
) -> None:
    assert found[0]["late"] == found[1]["late"] == [3, 3, 3, 2, 2]
    assert found[0]["least"] == -7
    for process in found:
        code, said = process["wrong"]
        assert code == 3
        assert "asks its context for rollout while it scores" in said


@pytest.mark.slow
def test_members_are_shared_in_the_same_way(found: list[dict[str, Any]]) -> None:
    each = {"first": [1, 2, 3, 103, 101], "second": [3, 7, 11, 11, 3]}
    assert found[0]["each"] == found[1]["each"] == each
    assert found[0]["members"] == found[1]["members"] == [4, 9, 14, 114, 104]


@pytest.mark.slow
def test_what_one_process_raises_is_raised_on_all(found: list[dict[str, Any]]) -> None:
    assert found[0]["broken"] == found[1]["broken"]
    code, said = found[0]["broken"]
    assert code == 3
    assert "raised ValueError: no number for it" in said
    assert "the response 'bad bad bad'" in said
    assert "of the shape (2,) for 3 responses" in found[0]["short"][1]


class Own:
    """Scores by a model of its own, row by row, which it does not show as its network."""

    def __init__(self, model: ScalarModel) -> None:
        self.model = model

    def score(self, rollout: Rollout) -> torch.Tensor:
        with torch.no_grad():
            rows = [last_values(self.model, rollout.rows([i])) for i in range(len(rollout))]
        return torch.cat(rows)


def by_a_model_of_its_own(folder: Path) -> None:
    """What every process does, as an on-policy algorithm builds the reward model."""
    signal.alarm(250)  # a process that is alone with its rows would wait without end
    context = FakeContext(folder)
    full = RuntimeConfig(device=Device.cpu, threads=1, sharding=Sharding.full)
    context.runtime = Runtime(full)
    if is_main():
        context.policy("base").scalar_model(context.streams["head"]).save(folder / "model")
    context.runtime.gather([0])
    whole = Own(context.load_scalar(folder / "model")).score(rollout(folder))
    choice: Any = SimpleNamespace(all=list)
    with context.runtime.dividing():
        model = shared(
            lambda asked: Own(asked.load_scalar(folder / "model")), context, context.runtime, choice
        )
    assert isinstance(model, SharedReward)
    assert is_sharded(model.model.model.module)
    assert torch.allclose(model.score(rollout(folder)), whole, atol=1e-6)
    (folder / f"done-{context.runtime.rank}").touch()


@pytest.mark.reliability
def test_a_model_that_is_divided_takes_part_with_all_rows(tmp_path: Path) -> None:
    """One process has three rows and the other two: with its share each would take other passes."""
    folder = trained(by_a_model_of_its_own, tmp_path / "own", 2)
    assert len(list(folder.glob("done-*"))) == 2


def test_one_process_has_the_model_itself(runs: dict[str, Run], tmp_path: Path) -> None:
    assert type(model_of(runs["late"])).__name__ == "Late"
    scores = model_of(runs["members"]).score(rollout(tmp_path))
    assert scores.tolist() == [4, 9, 14, 14, 4]
