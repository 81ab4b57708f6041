"""Whole runs with a server: exit codes, and a server that is killed in the middle."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import preflab_vllm
from end_to_end.runs import preflab
from preflab_builtin.causal_lm.sources import FolderSource
from vllm_standin import StandIn, serving

pytestmark = pytest.mark.reliability
WORDS = (
    *("--plugin", preflab_vllm.__file__ or "", "debug=fast", "algorithm=ppo", "rollout=vllm"),
    *("runtime.threads=1", "artifacts.dir=artifacts", "checkpoint.every_steps=1"),
    *("algorithm.episodes=32", "algorithm.policy.lr=0.01", "evaluation=none"),
)


def _standin(folder: Path, fault: str = "") -> StandIn:
    """It serves a model of the run's architecture."""
    if not list(folder.glob("base/artifacts/pretrain-*/model")):
        (folder / "base").mkdir(exist_ok=True)
        words = ("debug=fast", "sft=none", "reward_model=none", "algorithm=none", "evaluation=none")
        assert preflab(folder / "base", *words, "artifacts.dir=artifacts") == 0
    (model,) = folder.glob("base/artifacts/pretrain-*/model")
    return StandIn(FolderSource(model, torch.device("cpu"), True).create(torch.Generator()), fault)


def _run(folder: Path, address: str) -> int:
    folder.mkdir(exist_ok=True)
    code = preflab(folder, *WORDS, f"rollout.server={address}")
    print((folder / "log.txt").read_text()[-2000:])  # pytest shows it of a test that fails
    return code


def _result(folder: Path) -> bytes:
    (weights,) = folder.glob("artifacts/algorithm-*/model/model.safetensors")
    return weights.read_bytes()


def test_a_server_that_is_killed_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    honest, cut = _standin(tmp_path), _standin(tmp_path, "cut")
    with serving(honest) as address:
        assert _run(tmp_path / "whole", address) == 0
    cut.last = honest.asked - 12  # within the last iterations
    with serving(cut) as address:
        assert _run(tmp_path / "killed", address) == 1
    said = (tmp_path / "killed" / "log.txt").read_text()
    assert "answered 503 to /v1/completions" in said
    assert "the same command goes on from the last checkpoint" in said
    before = honest.asked
    with serving(honest) as address:  # another address, and started again with other weights
        assert _run(tmp_path / "killed", address) == 0
    assert 0 < honest.asked - before < before, "it began again"
    assert _result(tmp_path / "killed") == _result(tmp_path / "whole")


def test_stale_weights_end_the_run_with_exit_code_5(tmp_path: Path) -> None:
    standin = _standin(tmp_path, "stale")
    with serving(standin) as address:
        assert _run(tmp_path / "stale", address) == 5
    said = (tmp_path / "stale" / "log.txt").read_text()
    assert re.search(
        r"rollout engine's log-probabilities are .* from the policy's, (above|more than)", said
    )


def test_no_server_is_refused_before_any_work(tmp_path: Path) -> None:
    standin = _standin(tmp_path)
    with serving(standin) as address:
        pass
    assert _run(tmp_path / "down", address) == 2
    assert not list((tmp_path / "down").glob("artifacts/*/model"))
