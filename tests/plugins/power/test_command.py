"""The command ``preflab power``: its table, its JSON, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from fake_study import study, write_declaring_run
from preflab import UserError
from preflab.study import SeedsConfig
from preflab_builtin.power.claims import levels, outlook, outlooks, seconds_of_a_seed
from preflab_builtin.power.command import power
from preflab_builtin.power.detecting import detectable
from preflab_builtin.report.arms import arms
from preflab_builtin.report.build import studies_of
from preflab_builtin.report.gather import gather
from preflab_builtin.report.looks import level_of
from preflab_builtin.report.runs import RunResult, StageResult

CLAIMS = [("better", "A", "B"), ("absent", "A", "C")]
GAPS = {1: 1.0, 2: 2.0, 3: 6.0}
"""A minus B by seed: mean 3, standard deviation sqrt(7) = 2.646."""


def _runs(folder: Path, seeds: dict[int, float] = GAPS) -> Path:
    for seed, gap in seeds.items():
        for label, value in (("A", 5.0 + gap), ("B", 5.0)):
            write_declaring_run(folder / f"{label}{seed}", "x", label, seed, {"g": value}, CLAIMS)
    return folder


def test_numbers_of_a_claim(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert power([str(_runs(tmp_path)), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    better, absent = found["claims"]
    assert better["standard_deviation_over_seeds"] == pytest.approx(7**0.5)
    assert better["variance"] == {
        "seeds": pytest.approx(7.0),
        **dict.fromkeys(("upstream", "algorithm", "prompts", "rest")),
    }
    # statsmodels: solve_power(nobs=3) = 3.264 standard deviations; solve_power(effect_size=3 /
    # 2.646 = 1.134) = 8.2 seeds, so 9, of which 3 are there.
    assert better["detectable_difference"] == pytest.approx(3.264044 * 7**0.5, abs=1e-4)
    assert (better["seeds"], better["seeds_needed"], better["more_seeds"]) == (3, 9, 6)
    assert len(better["cannot_be_told_apart"]) == 2
    assert absent["why"] == "no finished run of the arm C"
    assert "seeds_needed" not in absent


def test_the_table_says_what_it_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _runs(tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    assert power(["mine"]) == 0  # a study by its name
    text = capsys.readouterr().out
    row = next(line for line in text.splitlines() if "A beats B" in line)
    assert row.split()[3:] == "+3.000 undecided 2.646 seeds 100 % 8.636 3 9 0.0".split()
    assert "All undecided claims: 9 seeds, 0.0 hours more for all arms" in text
    assert "A beats C (no finished run of the arm C)" in text
    assert "cannot be told apart: each seed has one run of an arm" in text


def test_of_debug_runs_no_number_of_seeds_or_hours_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in _runs(tmp_path).glob("*/.hydra/config.yaml"):
        path.write_text(
            yaml.safe_dump(json.loads(path.read_text()) | {"fast": True}, sort_keys=False)
        )
    assert power([str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert text.lstrip().startswith("Made with debug=fast: it shows that everything runs, and no")
    row = next(line for line in text.splitlines() if "A beats B" in line)
    assert row.split()[-4:] == ["–", "3", "–", "–"]
    assert "8.636" not in text
    assert "hours more for all arms" not in text
    assert power([str(tmp_path), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["hours_of_a_seed"] is None
    assert found["claims"][0]["why"] == "made with debug=fast"
    assert "seeds_needed" not in found["claims"][0]


def test_draws_of_one_seed_are_one_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Gaps 0 and 2 of seed 1, 2 of seed 2, 5 and 7 of seed 3: those of GAPS, three seeds of five
    # draws. B has no algorithm and one run of each seed.
    draws = ((1, 1, 0.0), (1, 9, 2.0), (2, 2, 2.0), (3, 3, 5.0), (3, 9, 7.0))
    for seed, pinned, gap in draws:
        words = (f"seed={seed}", f"algorithm.seed={pinned}")
        folder, values = tmp_path / f"A{seed}{pinned}", {"g": 5.0 + gap}
        write_declaring_run(folder, "x", "A", seed, values, CLAIMS, words, algorithm=pinned)
    for seed in GAPS:
        write_declaring_run(tmp_path / f"B{seed}", "x", "B", seed, {"g": 5.0}, CLAIMS)
    assert power([str(tmp_path), "--json"]) == 0
    better = json.loads(capsys.readouterr().out)[0]["claims"][0]
    assert better["difference"] == pytest.approx(3.0)
    assert better["standard_deviation_over_seeds"] == pytest.approx(7**0.5)
    assert (better["seeds"], better["seeds_needed"], better["more_seeds"]) == (3, 9, 6)


def _priced(seed: int, *stages: tuple[str, str, float]) -> RunResult:
    rows = [
        StageResult(stage, "c", recipe, seed, Path("x"), False, seconds)
        for stage, recipe, seconds in stages
    ]
    return RunResult(Path("x"), "s", "a", (), seed, tuple(rows), {})


def test_a_seed_costs_what_further_seeds_do_not_share() -> None:
    # World shared by both seeds (100 s): free. Seed 1: SFT 10 once for two arms, PPO 5 and 7; seed
    # 2: 12, 6 and 8. Mean (22 + 26) / 2.
    draws = [
        [
            _priced(
                s, ("pretrain", "w", 100.0), ("sft", f"s{s}", sft), ("algorithm", f"{arm}{s}", t)
            )
            for arm, t in arms_of.items()
        ]
        for s, sft, arms_of in ((1, 10.0, {"a": 5.0, "b": 7.0}), (2, 12.0, {"a": 6.0, "b": 8.0}))
    ]
    assert seconds_of_a_seed(draws) == 24.0
    assert seconds_of_a_seed(draws[:1]) == 122.0  # one seed does not show what is shared


def test_a_study_that_looks_counts_with_the_levels_of_its_looks() -> None:
    level = levels(SeedsConfig(at_least=4, at_most=12, block=4))
    assert [level(n) for n in (3, 4, 5, 8, 12, 40)] == [
        level_of((4, 8, 12), i) for i in (0, 0, 1, 1, 2, 2)
    ]
    assert levels(None)(7) == 0.95


def test_what_is_detectable_counts_with_the_level_of_the_look(tmp_path: Path) -> None:
    # 3 seeds of a plan 3, 6: 0.05 * (3 / 6)^1.5 = 0.0177 instead of 0.05. So the
    # difference is the one that `detectable` gives at that level.
    runs = gather([_runs(tmp_path)]).runs
    (decision, _) = next(studies_of(runs, arms(runs))).decisions
    plain = outlook(decision, None).detectable
    planned = outlook(decision, SeedsConfig(at_least=3, at_most=6, block=3)).detectable
    assert plain == pytest.approx(3.264044 * 7**0.5, abs=1e-4)
    assert planned == pytest.approx(detectable((7 / 3) ** 0.5, 2, 1 - 0.05 * 0.5**1.5))
    assert planned > 1.5 * plain


def test_equal_differences_say_nothing_about_their_variance(tmp_path: Path) -> None:
    runs = gather([_runs(tmp_path, {1: 2.0, 2: 2.0})]).runs
    (row, _) = outlooks(next(studies_of(runs, arms(runs))))
    assert row.why == "all seeds give the same difference: nothing says how much it varies"
    assert row.needed is None


def test_what_is_refused_names_the_cure(tmp_path: Path) -> None:
    cases = {
        "nowhere": "nowhere is neither a folder nor a study with runs in runs/nowhere",
        "empty": "There is no run in",
        "one": r"(?s)it takes two seeds of the same arms.*better: there is one seed",
        "silent": "declare no claims.*preflab -cn headline",
        "failed": "No run in .* has finished: 1 without a result",
    }
    (tmp_path / "empty").mkdir()
    _runs(tmp_path / "one", {1: 2.0})
    study(tmp_path / "silent")
    write_declaring_run(tmp_path / "failed" / "a", "x", "A", 1, {"g": 1.0}, CLAIMS)
    manifest = tmp_path / "failed" / "a" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "status": "failed"}))
    for name, words in cases.items():
        word = name if name == "nowhere" else str(tmp_path / name)
        with pytest.raises(UserError, match=words):
            power([word])
