"""Costs of the stages and times of iterations."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from fake_study import results, study, write_run
from preflab.interfaces import Measure
from preflab.study import ClaimConfig, StudyConfig, Verdict
from preflab_builtin.report.arms import Arm, arms
from preflab_builtin.report.build import build_report
from preflab_builtin.report.claims import decide
from preflab_builtin.report.columns import columns
from preflab_builtin.report.contents import claims, measures
from preflab_builtin.report.costs import iteration_times, training_costs
from preflab_builtin.report.gather import gather
from preflab_builtin.report.pictures.timing import iterations
from preflab_builtin.report.runs import StageResult


def test_costs_count_each_result_once(tmp_path: Path) -> None:
    report = build_report([study(tmp_path / "s", seeds=(1, 2))], tmp_path / "r.html")
    # The first arms have no algorithm: its place among the stages is that of the runs that have
    # one.
    assert [c.stage for c in report.costs] == ["pretrain", "sft", "algorithm", "evaluation"]
    pretrain = report.costs[0]
    assert pretrain.component == "documents"
    # 2 seeds, made by the base arm at 10 s each and reused by the other 4 arms.
    assert (pretrain.artifacts, pretrain.computed, pretrain.reused) == (2, 2, 8)
    assert pretrain.total == 20.0
    # 1.5 million tokens and 2e12 operations each, once per seed.
    assert (pretrain.tokens, pretrain.flops, pretrain.peak_mb) == (3e6, 4e12, 512)
    page = (tmp_path / "r.html").read_text()
    for heading in ("tokens", "FLOPs", "peak MB"):
        assert f"<th>{heading}</th>" in page
    assert "<td>3 M</td><td>4 T</td><td>512</td>" in page.replace("\n", "")


def test_where_an_iterations_time_goes(tmp_path: Path) -> None:
    ladder = arms(gather([study(tmp_path / "s", seeds=(1, 2))]).runs)
    (picture,) = iterations(ladder)
    # The fake logs say the same in each of 25 iterations of 2 seeds of 2 arms.
    assert (
        "PPO: rollout 0.50 s, scoring 0.10 s, old log probs 0.20 s, update 0.75 s, other 0.05 s; "
        "25.0 %"
    ) in picture.alt
    assert "PPO-ptx: rollout 0.50 s" in picture.alt
    assert "update 1.25 s" in picture.alt
    assert "SFT" not in picture.alt  # it has no algorithm
    assert picture.caption.startswith("Mean over 100 iterations.")
    (times,) = iteration_times([ladder[3]])
    assert (times.share, times.iterations) == (0.25, (25, 25))


def _stages(*algorithm: float) -> list[StageResult]:
    """Stages of a run: SFT, and an algorithm with these operations, reused from another run."""
    sft = StageResult(
        "sft", "demonstrations", "s", 1, Path("s"), False, 1, 0, 5.0, 5e9, group="sft"
    )
    own = [
        StageResult("rl", "ppo", f"a{f}", 1, Path("a"), True, 1, 0, 10.0, f, group="algorithm")
        for f in algorithm
    ]
    return [sft, *own]


def test_training_costs_what_the_artifact_of_the_algorithm_took() -> None:
    reused = training_costs(_stages(2e9))
    assert {name: m.value for name, m in reused.items()} == {"cost/flops": 2e9, "cost/tokens": 10.0}
    assert all(math.isnan(m.low) and m.least == 0 for m in reused.values())
    # Without a stage of an algorithm (SFT, best-of-n) there is nothing to train.
    assert {name: m.value for name, m in training_costs(_stages()).items()} == {
        "cost/flops": 0.0,
        "cost/tokens": 0.0,
    }
    # A model that counts nothing is not a model that costs nothing.
    assert training_costs(_stages(0.0)).keys() == {"cost/tokens"}


def test_a_run_has_its_training_among_its_measures(tmp_path: Path) -> None:
    for number, arm in enumerate(("SFT", "PPO")):
        write_run(tmp_path / str(number), arm, 1, [f"arm={arm}"], results(arm, 0.0))
    path = tmp_path / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    for row in manifest["stages"]:
        row |= {"reused": True, "seconds": 0.0}  # everything was made by an earlier run
    path.write_text(json.dumps(manifest))
    sft, ppo = arms(gather([tmp_path]).runs)
    # The fake algorithm is the third stage: 2e12 operations times three.
    assert (sft.measures["cost/flops"].value, ppo.measures["cost/flops"].value) == (0.0, 6e12)
    (column,) = (c for c in columns([sft, ppo]) if c.measure == "cost/flops")
    assert (column.group, column.value(sft), column.value(ppo)) == (
        "Training the algorithm",
        "0.000",
        "6 T",
    )
    assert column.bounds(ppo) == ""
    known = Arm("A", (), (), {"cost/flops": Measure(2e9, 1e9, 3e9)})
    assert column.bounds(known) == "[1 G, 3 G]"
    (row,) = (row for row in measures([ppo, known]).rows if row[0] == "cost/flops")
    assert row[1:] == ("6 T\nn = 0", "2 G\n[1 G, 3 G]\nn = 0")


def test_equal_compute_is_a_claim(tmp_path: Path) -> None:
    """PPO's curve of true utility over operations goes through (0, 0), (4e9, .4) and (8e9, .5). At
    2e9 it has .2, so that an arm with .3 and .32 on two seeds is .11 above it. An arm of 16e9
    operations is beyond the end, where .5 counts: .7 and .72 are .21 above it, and the report says
    so. With one degree of freedom t is 12.71: .11 +- 12.71 * .01 / 1 is no difference from zero,
    and .21 is one."""
    points = {"SFT": (0, 0.0), "PPO": (4e9, 0.4), "PPO double": (8e9, 0.5)}
    points |= {"cheap": (2e9, 0.3), "dear": (16e9, 0.7)}
    for number, (label, (flops, gold)) in enumerate(points.items()):
        for seed in (1, 2):
            folder = tmp_path / f"{number}-{seed}"
            own = gold + 0.02 * (seed - 1) * (label in ("cheap", "dear"))
            gain = {"gold/gold": {"value": own}}
            arm = "SFT" if label == "SFT" else "PPO"
            evaluation = {"baseline": "sft", "n": 1, "measures": gain}
            write_run(folder, arm, seed, [f"arm={label}"], evaluation)
            path = folder / "manifest.json"
            manifest = json.loads(path.read_text()) | {"arm": label}
            for row in manifest["stages"]:
                row["cost"]["flops"] = flops + 1e6 * (seed - 1) * (label == "dear")
            path.write_text(json.dumps(manifest))
    curve = ["SFT", "PPO", "PPO double"]
    study = StudyConfig(
        claims={
            label: ClaimConfig("more", "gold/gold", label, frontier=curve, at="cost/flops")
            for label in ("cheap", "dear")
        }
    )
    members = arms(gather([tmp_path]).runs)
    cheap, dear = decide(study, members)
    assert cheap.estimate is not None
    assert dear.estimate is not None
    assert cheap.estimate.value == pytest.approx(0.11)
    assert cheap.estimate.low == pytest.approx(0.11 - 12.706 * 0.01, abs=1e-4)
    assert (cheap.verdict, cheap.why) == (Verdict.undecided, "")
    assert dear.estimate.value == pytest.approx(0.21)
    assert dear.verdict is Verdict.holds
    beyond = "cost/flops 16 G is outside the curve (0.000 to 8 G), whose nearest end counts"
    assert dear.why == f"seed 1: {beyond}; seed 2: {beyond}"
    # A cost can be what a claim is about: 16e9 - 2e9 operations, a million more on one seed.
    about = StudyConfig(claims={"c": ClaimConfig("dearer", "cost/flops", "dear", versus="cheap")})
    (decision,) = decide(about, members)
    assert decision.verdict is Verdict.holds
    assert claims([decision]).rows[0][2:4] == ("+14 G", "[+14 G, +14 G]")
    silent = [
        replace(
            arm, runs=tuple(replace(run, measures={"gold/gold": Measure(1.0)}) for run in arm.runs)
        )
        if arm.label == "cheap"
        else arm
        for arm in members
    ]
    left_out, _ = decide(study, silent)
    assert left_out.why.startswith("seed 1 is left out: no cost/flops in cheap")
