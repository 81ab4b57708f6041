"""Configs of third parties: what would run code, read secrets or fill the memory is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from preflab import UserError
from preflab.composing.compose import compose as compose_with
from preflab.composing.search_path import (
    config_root,
    sweeps_root,
)
from preflab.composing.untrusted import check_files, refuse_code_in_config, refuse_secrets


@pytest.mark.parametrize(
    "text,key",
    [
        ("hydra:\n  callbacks:\n    x:\n      _target_: os.getcwd\n", "hydra.callbacks.x._target_"),
        (
            "hydra:\n  job_logging:\n    formatters:\n      x:\n        (): os.getcwd\n",
            r"hydra.job_logging.formatters.x.\(\)",
        ),
        (
            "hydra:\n  job_logging:\n    handlers:\n      x:\n        class: os.getcwd\n",
            "hydra.job_logging.handlers.x.class",
        ),
        ("study:\n  _target_: os.getcwd\n", "study._target_"),
    ],
)
def test_a_foreign_config_that_would_run_code_is_refused(
    tmp_path: Path, text: str, key: str
) -> None:
    (tmp_path / "foreign.yaml").write_text(f"defaults:\n  - config\n  - _self_\n{text}")
    config = compose_with([], "foreign", True, str(tmp_path))
    with pytest.raises(UserError, match=key):
        refuse_code_in_config(config)


def test_no_config_of_ours_names_a_python_object() -> None:
    for path in [*config_root().rglob("*.yaml"), *sweeps_root().rglob("*.yaml")]:
        assert "_target_" not in path.read_text(encoding="utf8"), path


@pytest.mark.parametrize(
    "text,message",
    [
        ("a: 1\nb: 2\na: 3\n", r"mine\.yaml:3: YAML: a: is given twice"),
        ("a: !!python/name:os.system\n", "asks for an object, and configs hold plain values"),
        ("- a\n", "must hold 'key: value' lines"),
        ("a: [1\n", r"mine\.yaml:2: YAML: "),
        ("a: 1\n---\nb: 2\n", "more than one document"),
        (
            "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(
                f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
                for before, name in zip("abcde", "bcdef", strict=True)
            ),
            "its aliases stand for more than 100,000 values",
        ),
    ],
)
def test_a_file_that_is_refused_before_it_is_composed(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        check_files(tmp_path)
    (tmp_path / "mine.yaml").write_text("seed: 1\n")
    check_files(tmp_path)


def test_a_secret_is_refused_and_the_name_of_its_variable_is_not() -> None:
    refuse_secrets({"judge": {"api_key": "", "api_key_env": "JUDGE_KEY", "tokens": "8"}})
    with pytest.raises(UserError, match=r"judge\.api_key holds a secret") as refusal:
        refuse_secrets({"judge": {"api_key": "abc123"}})
    assert "abc123" not in str(refusal.value)


def test_a_value_may_refer_to_keys_and_to_nothing_else(tmp_path: Path) -> None:
    for text, accepted in (("${seed}", True), ("${oc.env:HOME}", False)):
        (tmp_path / "mine.yaml").write_text(f"defaults: [config, _self_]\narm: '{text}'\n")
        config = compose_with([], "mine", True, str(tmp_path))
        if accepted:
            refuse_code_in_config(config)
        else:
            with pytest.raises(UserError, match=r"calls a resolver: arm\."):
                refuse_code_in_config(config)
