"""Notes: what limits the comparison."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_study import results, study, write_run
from preflab.storage.durable import write_sealed
from preflab_builtin.report.build import build_report
from preflab_builtin.report.columns import columns
from preflab_builtin.report.pictures.win_rates import win_rates


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
    assert "debug=fast" not in build_report([tmp_path], tmp_path / "r.html").findings[0]
    assert _has_note(tmp_path, "seed")
    (tmp_path / "0" / ".hydra").mkdir()
    (tmp_path / "0" / ".hydra" / "config.yaml").write_text("seed: 1\nfast: true\n")
    assert (
        build_report([tmp_path], tmp_path / "r.html")
        .findings[0]
        .startswith(
            "Made with debug=fast: it shows that everything runs, and no number means anything. "
        )
    )
    assert not _has_note(tmp_path, "seed")  # no advice on numbers that mean nothing


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


def test_one_trained_model_used_in_two_ways_gives_two_scales(tmp_path: Path) -> None:
    for number, arm in enumerate(("SFT", "PPO")):
        write_run(tmp_path / str(number), arm, 1, [], results(arm, 0.0))
    _uses_heads(tmp_path, "abc", "abc")
    assert not _has_note(tmp_path, "share one reward model")
    _uses_heads(tmp_path, "abc", "abc equal")
    assert _has_note(tmp_path, "do not share one reward model (kwise_groups)")


def _uses_heads(folder: Path, *used: str) -> None:
    """Give the runs one trained reward model, and their evaluations their ways to use it."""
    for number, use in enumerate(used):
        manifest = folder / str(number) / "manifest.json"
        values = json.loads(manifest.read_text())
        rows = [row for row in values["stages"] if row["stage"] != "reward_model"]
        made = {**rows[0], "stage": "reward_model", "name": "kwise_groups", "recipe": "abc"}
        values["stages"] = [*rows, made]
        manifest.write_text(json.dumps(values))
        evaluation = next(row for row in rows if row["stage"] == "evaluation")
        recipe = {"recipe": {"uses": {"reward_model": use}}}
        write_sealed(Path(evaluation["artifact"]) / "artifact.json", recipe)


PEOPLE = """
labeler: {name: people, round: spring}
evaluation:
  evaluators:
    p: {name: people, round: autumn}
"""


def _by_people(folder: Path, against: str = "PPO") -> dict[str, object]:
    """An SFT run whose responses people compared with those of another run than the baseline."""
    rate = {"value": 0.7, "low": 0.5, "high": 0.9, "n": 9}
    given = results("SFT", 0.0)
    given["measures"] |= {"win_rate/people": rate}
    given |= {"against": {"win_rate/people": against}, "notes": ["Real people judged 9 prompts."]}
    write_run(folder / "0", "SFT", 1, [], given)
    return given


def test_who_was_beaten_is_named_and_not_the_baseline(tmp_path: Path) -> None:
    _by_people(tmp_path)
    report = build_report([tmp_path], tmp_path / "r.html")
    groups = {c.measure: c.group for c in columns(report.arms) if c.measure.startswith("win_rate/")}
    assert groups == {
        "win_rate/labelers": "Win rate against SFT",
        "win_rate/people": "Win rate against PPO",
    }
    titles = [one.title for one in win_rates(report.arms)]
    assert titles == [
        "Win rate against SFT, judge: labelers",
        "Win rate against PPO, judge: people",
    ]
    told = "win_rate/people is not of every arm against the evaluation's baseline: SFT against PPO"
    assert any(told in note for note in report.notes)


def test_arms_with_opponents_of_their_own_have_no_common_one(tmp_path: Path) -> None:
    given = _by_people(tmp_path)
    write_run(tmp_path / "1", "PPO", 1, [], given | {"against": {"win_rate/people": "SFT"}})
    report = build_report([tmp_path], tmp_path / "r.html")
    (group,) = {c.group for c in columns(report.arms) if c.measure == "win_rate/people"}
    assert group == "Win rate against an opponent of each"
    assert _has_note(tmp_path, "SFT against PPO; PPO against SFT")


def test_people_who_took_part_are_no_programs(tmp_path: Path) -> None:
    _by_people(tmp_path)
    assert _has_note(tmp_path, "the people who rank and judge are programs.")
    (tmp_path / "0" / ".hydra").mkdir()
    (tmp_path / "0" / ".hydra" / "config.yaml").write_text(f"seed: 1\n{PEOPLE}")
    assert not _has_note(tmp_path, "are programs.")
    assert _has_note(tmp_path, "but for these parts, which real people did: comparisons of")
    assert _has_note(tmp_path, "(round autumn)")
    assert _has_note(tmp_path, "rankings (round spring)")
    assert _has_note(tmp_path, "Real people judged 9 prompts.")
