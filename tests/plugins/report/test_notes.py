"""Notes: what limits the comparison."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_study import results, study, write_run
from preflab_builtin.report.build import build_report


def _has_note(folder: Path, text: str) -> bool:
    report = build_report([folder], folder / "r.html")
    return any(text.lower() in note.lower() for note in report.notes)


def _give_recipe(manifest_path: Path, stage: str, recipe: str) -> None:
    manifest = json.loads(manifest_path.read_text())
    next(row for row in manifest["stages"] if row["stage"] == stage)["recipe"] = recipe
    manifest_path.write_text(json.dumps(manifest))


def test_stages_that_all_seeds_share_are_named(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_run(tmp_path / str(seed), "PPO", seed, [f"seed={seed}"], results("PPO", 0.0))
        _give_recipe(tmp_path / str(seed) / "manifest.json", "pretrain", "one and the same")
    assert _has_note(tmp_path, "share one pretrain:")


def test_runs_judged_differently_are_pointed_out(tmp_path: Path) -> None:
    write_run(tmp_path / "0", "SFT", 1, [], results("SFT", 0.0))
    write_run(tmp_path / "1", "PPO", 1, [], {**results("PPO", 0.0), "n": 8})
    assert _has_note(tmp_path, "not all runs were judged alike")


def test_fast_runs_are_marked_as_meaningless(tmp_path: Path) -> None:
    write_run(tmp_path / "0", "SFT", 1, ["debug=fast"], results("SFT", 0.0))
    assert not _has_note(tmp_path, "debug=fast")
    (tmp_path / "0" / ".hydra").mkdir()
    (tmp_path / "0" / ".hydra" / "config.yaml").write_text("seed: 1\nfast: true\n")
    assert _has_note(tmp_path, "debug=fast")


@pytest.mark.slow
def test_arms_with_an_sft_of_their_own_do_not_share_a_win_rate(tmp_path: Path) -> None:
    # Every arm of the fixture is compared with the SFT of its seed. Then one arm has another SFT.
    folder = study(tmp_path / "s", seeds=(1, 2))
    assert not _has_note(folder, "share one SFT")
    _give_recipe(folder / "8" / "manifest.json", "sft", "from another width")
    assert _has_note(folder, "Arms of one seed do not share one SFT")


def test_arms_with_reward_models_of_their_own_do_not_share_a_scale(tmp_path: Path) -> None:
    for number, arm in enumerate(("SFT", "PPO")):
        write_run(tmp_path / str(number), arm, 1, [], results(arm, 0.0))
        (tmp_path / str(number) / ".hydra").mkdir()
    _is_judged_by(tmp_path, "length", "length")
    assert not _has_note(tmp_path, "share one reward model")
    _is_judged_by(tmp_path, "length", "noise")
    assert _has_note(tmp_path, "do not share one reward model (length, noise): each proxy reward")


def _is_judged_by(folder: Path, *names: str) -> None:
    """Give the runs reward models that are not trained."""
    for number, name in enumerate(names):
        manifest = folder / str(number) / "manifest.json"
        values = json.loads(manifest.read_text())
        values["stages"] = [row for row in values["stages"] if row["stage"] != "reward_model"]
        manifest.write_text(json.dumps(values))
        config = folder / str(number) / ".hydra" / "config.yaml"
        config.write_text(f"seed: 1\nreward_model:\n  name: {name}\n")
