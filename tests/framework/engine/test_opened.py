"""Opened runs: what cannot be opened is refused. tests/framework/session opens a real one."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from framework.storage.test_runs import write
from preflab import UserError
from preflab.composing.compose import compose
from preflab.engine.opened import OpenedRun, as_prompt
from preflab.records import Message, Prompt
from preflab.runtime import Precision


def test_a_prompt_is_a_text_or_a_conversation() -> None:
    assert as_prompt("Hi") == Prompt("", "Hi")
    given = Prompt("7", "Hi", user="a")
    assert as_prompt(given) is given
    talk = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    assert as_prompt(talk).messages == (Message("system", "Be kind."), Message("user", "Hi"))
    for wrong in ([{"role": "user"}], [7]):
        with pytest.raises(UserError, match="with 'role' and 'content'"):
            as_prompt(wrong)  # type: ignore[arg-type]


def _written(folder: Path, **changed: object) -> Path:
    words = ["algorithm=none", "reward_model=none", "evaluation=none", "runtime.device=cpu"]
    config = json.loads(json.dumps(dict(_plain(words)))) | changed
    write(folder)
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text(json.dumps(config))
    return folder


def _plain(words: list[str]) -> dict[str, object]:
    from preflab.composing.compose import resolved

    return resolved(compose(words))


def test_a_run_without_models_says_so(tmp_path: Path) -> None:
    run = OpenedRun(_written(tmp_path / "run"))
    assert run.roles() == []
    for role in ("", "sft"):  # newest: it was run with algorithm=none
        with pytest.raises(UserError, match=r"has no model for 'sft'. Allowed: nothing"):
            run.policy(role)
    with pytest.raises(UserError, match=r"has no reward model: .* reward_model=none"):
        _ = run.reward_model


def test_a_config_from_elsewhere_reads_no_environment(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="calls a resolver"):
        OpenedRun(_written(tmp_path / "run", note="${oc.env:HOME}"))


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not the folder of a run"):
        OpenedRun(tmp_path)


class _Adaptable:
    """A policy that gets adapters wherever it is to be trained."""

    module = torch.nn.Linear(1, 1)

    def adapted(self, generator: torch.Generator) -> _Adaptable:
        return _Adaptable()

    def without_adapters(self) -> None:
        return None


def test_models_of_an_opened_run_are_as_they_were_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With new adapters a user who saves one with transformers would get other names of weights."""
    run = OpenedRun(_written(tmp_path / "run"))
    saved: Any = _Adaptable()
    monkeypatch.setattr(run.environment, "model_folder", lambda role: tmp_path)
    monkeypatch.setattr(run, "roles", lambda: ["sft"])
    run.environment.__dict__["policy_source"] = SimpleNamespace(load=lambda folder: saved)
    assert run.context.policy("result") is not saved
    assert run.policy() is saved


@pytest.mark.parametrize("made", [Precision.float32, Precision.bfloat16])
def test_precision_auto_is_what_the_run_was_made_in(
    made: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _written(tmp_path / "run", runtime={"precision": "auto", "device": "cpu"})
    artifact = SimpleNamespace(manifest={"recipe": {"runtime": {"precision": made.value}}})
    monkeypatch.setattr("preflab.engine.opened.artifacts_of", lambda folder: {"sft": folder})
    monkeypatch.setattr("preflab.engine.opened.opened", lambda folder: artifact)
    assert OpenedRun(folder).environment.runtime.config.precision is made


def test_precision_auto_of_a_run_that_has_made_nothing(tmp_path: Path) -> None:
    folder = _written(tmp_path / "run", runtime={"precision": "auto", "device": "cpu"})
    assert OpenedRun(folder).environment.runtime.config.precision is Precision.float32


def test_a_compiled_run_is_opened_without_a_compiler(tmp_path: Path) -> None:
    folder = _written(tmp_path / "run", runtime={"compile": True, "device": "cpu"})
    assert not OpenedRun(folder).environment.runtime.config.compile
