"""Studies: each is decided by its own arms, and its claims are written to a summary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_study import results, write_declaring_run, write_run
from preflab.study import Verdict
from preflab_builtin.report.build import build_report, joined


def test_claims_are_paired_by_prompt_where_they_can_be(tmp_path: Path) -> None:
    # Both arms vary widely over prompts, but the first is always better by 1 or 1.01: intervals
    # that are not paired would hide it. Mean 1.005, both seeds alike; sd over the ten prompts
    # .00527, t(9, .975) = 2.262: half-width .00377.
    for label, shift in (("A", 1.0), ("B", 0.0)):
        for seed in (1, 2):
            folder = tmp_path / "s" / f"{label}{seed}"
            claims = [("c", "A", "B")]
            write_declaring_run(folder, "x", label, seed, {"g": 45.0 + shift}, claims)
            rows = [
                {
                    "prompt_id": f"p{i}",
                    "values": {"g": 10.0 * i + shift * (1 + 0.01 * (i % 2)) + 0.1 * seed * (i % 2)},
                }
                for i in range(10)
            ]
            lines = [json.dumps(row) + "\n" for row in rows]
            (folder / "samples.jsonl").write_text("".join(lines))
    report = build_report([tmp_path / "s"], tmp_path / "report.html")
    assert report.decisions[0].verdict is Verdict.holds
    written = json.loads((tmp_path / "summary.json").read_text())
    assert (written["study"], written["command"]) == ("x", "preflab -cn x")
    (claim,) = written["claims"]
    assert claim["holds"] == "holds"
    assert claim["estimate"] == pytest.approx(1.005)
    assert claim["interval"] == pytest.approx([1.005 - 0.00377, 1.005 + 0.00377], abs=1e-5)
    assert (claim["n"], claim["seeds"]) == (10, [1, 2])
    assert "A beats B" in (tmp_path / "report.html").read_text()


def test_a_report_on_one_run_does_not_change_its_summary(tmp_path: Path) -> None:
    # A run of a study declares claims. Its summary.json holds its measures, also after a report.
    folder = tmp_path / "1"
    write_declaring_run(folder, "x", "A", 1, {"g": 0.5}, [("c", "A", "B")])
    for _ in range(2):
        (arm,) = build_report([folder], folder / "report.html").arms
        assert (arm.measures["g"].value, arm.measures["g"].n) == (0.5, 7)
    assert "evaluation" in json.loads((folder / "summary.json").read_text())
    assert not list(folder.glob("summary-*"))


def test_several_studies_are_decided_each_by_its_own_arms(tmp_path: Path) -> None:
    # Both studies call their arms A and B. In x A has .5 more, in y .5 less, give or take .001.
    for name, a in (("x", 0.9), ("y", -0.1)):
        for seed in (1, 2):
            for label, value in (("A", a + 0.001 * (2 * seed - 3)), ("B", 0.4)):
                folder = tmp_path / name / f"{label}{seed}"
                claims = [(f"of {name}", "A", "B")]
                write_declaring_run(folder, name, label, seed, {"g": value}, claims)
    out = tmp_path / "both" / "report.html"
    report = build_report([tmp_path / "x", tmp_path / "y"], out)
    verdicts = {s.name: [(d.name, d.verdict) for d in s.decisions] for s in report.studies}
    assert verdicts == {"x": [("of x", Verdict.holds)], "y": [("of y", Verdict.fails)]}
    for name, estimate in (("x", 0.5), ("y", -0.5)):
        written = json.loads(out.with_name(f"summary-{name}.json").read_text())
        (claim,) = written["claims"]
        assert (written["study"], written["command"]) == (name, f"preflab -cn {name}")
        assert claim["estimate"] == pytest.approx(estimate)
        assert claim["n"] == 7
    assert not out.with_name("summary.json").exists()
    assert report.title == "Study x; Study y"
    assert joined(report.studies) == {"x: line": ["A (x)", "B (x)"], "y: line": ["A (y)", "B (y)"]}
    assert "<h3>Study x</h3>" in out.read_text()
    assert "<h3>Study y</h3>" in out.read_text()
    assert "## Claims of Study y" in out.with_suffix(".md").read_text()


def test_a_name_that_two_arms_share_decides_nothing(tmp_path: Path) -> None:
    claims = [("c", "A", "B"), ("d", "A (k=2)", "B")]
    for seed in (1, 2):
        for i, (label, words) in enumerate([("A", ()), ("A", ("k=2",)), ("B", ())]):
            folder = tmp_path / f"{i}{seed}"
            value = float(i) + 0.01 * seed * (label == "B")
            write_declaring_run(folder, "x", label, seed, {"g": value}, claims, words)
    (study,) = build_report([tmp_path], tmp_path / "r.html").studies
    shared, alone = study.decisions
    assert shared.verdict is Verdict.unanswered
    assert shared.why == "2 arms are called A: A (as it is); A (k=2)"
    assert alone.verdict is Verdict.fails  # its full name is enough
    assert alone.estimate is not None
    # 1 - 2.01 and 1 - 2.02, of 7 prompts each
    assert alone.estimate.value == pytest.approx(-1.015)
    assert alone.estimate.n == 7


def test_pinned_stage_seeds_are_draws_of_their_own(tmp_path: Path) -> None:
    # seed=1 algorithm.seed=1,2,3: A has 1, 2, 3 and B, which has no algorithm, has 0 once. The mean
    # difference is 2, from three.
    claims = [("c", "A", "B")]
    for pinned in (1, 2, 3):
        words = ("seed=1", f"algorithm.seed={pinned}")
        folder, values = tmp_path / f"a{pinned}", {"g": float(pinned)}
        write_declaring_run(folder, "x", "A", 1, values, claims, words, algorithm=pinned)
    write_declaring_run(tmp_path / "b", "x", "B", 1, {"g": 0.0}, claims)
    report = build_report([tmp_path], tmp_path / "r.html")
    seeds = [1, "1 (algorithm 2)", "1 (algorithm 3)"]
    assert next(arm for arm in report.arms if arm.label == "A").seeds == seeds
    (decision,) = report.decisions
    assert decision.estimate is not None
    assert decision.estimate.value == pytest.approx(2.0)
    assert decision.why == ""
    assert list(decision.seeds) == seeds
    assert "algorithm 2" in (tmp_path / "r.html").read_text()


def test_a_multirun_with_a_name_is_called_by_it(tmp_path: Path) -> None:
    for arm, name in (("SFT", "two"), ("PPO", "two"), ("base", "")):
        write_run(tmp_path / arm, arm, 1, [], results(arm, 0.0), name=name)
    named = [tmp_path / "SFT", tmp_path / "PPO"]
    assert build_report(named, tmp_path / "r.html").title == "two"
    assert build_report([tmp_path], tmp_path / "r.html").title == "Comparison of runs"
