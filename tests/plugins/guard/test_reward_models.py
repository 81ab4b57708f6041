"""What was trained to score how good responses are is no guard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from preflab.errors import UserError
from preflab.testing import FakeContext
from preflab_builtin.guard.classifier import inspect
from preflab_builtin.guard.config import ClassifierConfig
from tiny_classifier import write_classifier


def test_a_reward_model_is_refused_before_any_work(tmp_path: Path) -> None:
    """As the built-in family saves it: its one output would be the probability of LABEL_0, so that
    the best responses were blocked."""
    folder = tmp_path / "reward"
    FakeContext(tmp_path).policy("base").scalar_model(torch.Generator().manual_seed(1)).save(folder)
    with pytest.raises(UserError, match=r"guard.path: .* is a reward model .* preflab label guard"):
        inspect(ClassifierConfig(path=str(folder)))


@pytest.mark.parametrize(
    "kind, refused", [("model with several heads", True), ("scalar model", True), ("guard", False)]
)
def test_the_folder_says_what_it_is(tmp_path: Path, kind: str, refused: bool) -> None:
    folder = write_classifier(tmp_path / "model")
    (folder / "preflab.json").write_text(json.dumps({"kind": kind}))
    config = ClassifierConfig(path=str(folder), label="toxic")
    if not refused:
        assert inspect(config).content
        return
    with pytest.raises(UserError, match=f"preflab.json: '{kind}'"):
        inspect(config)


def test_messages_name_the_options_of_the_guard(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "model")
    for config, message in (
        (ClassifierConfig(path=str(tmp_path / "none" / "x")), "guard.path: there is no folder"),
        (ClassifierConfig(path=str(folder)), "guard.label is not given"),
        (ClassifierConfig(path=str(folder), label="Toxic"), "guard.label: .* 'toxic'"),
    ):
        with pytest.raises(UserError, match=f"^{message}"):
            inspect(config)
