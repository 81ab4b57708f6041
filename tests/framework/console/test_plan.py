"""The plan of several jobs: each stage once, and what waits."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import waiting_people
from conformance.engine import plugin_file
from preflab import UserError
from preflab.composing.compose import parse
from preflab.console.plan import plan
from preflab.jobs.job import start
from preflab.planning.estimates import Estimate
from preflab.planning.reading import check_jobs
from preflab.planning.run import Run, Stage
from preflab.runtime import NO_GPU

ALONE = ("debug=fast", "algorithm=none", "evaluation=none")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with plugin_file(Path(waiting_people.__file__)):
        yield


def _planned(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[list[list[str]], str]:
    """(stage, job numbers, status) of each row, and the text below the table. One job has no
    numbers."""
    assert plan([*words]) == 0
    text = capsys.readouterr().out
    lines = [line.strip("│ ").split("│") for line in text.splitlines() if "│" in line]
    rows = [[cell.strip() for cell in cells] for cells in lines]
    return [[row[0], *row[4:]] for row in rows], text.rpartition("┘\n")[2]


def test_each_stage_once_with_the_jobs_that_use_it(capsys: pytest.CaptureFixture[str]) -> None:
    rows, text = _planned(capsys, *ALONE, "labeler=none", "reward_model=none", "sft.seed=1,2", "-m")
    assert rows == [
        ["pretrain", "0, 1", "to compute"],
        ["sft", "0", "to compute"],
        ["sft", "1", "to compute"],
    ]
    assert text.startswith("3 stages in place of 4 without sharing; 3 to compute.\n")


def test_what_waits_and_what_another_job_can_make(capsys: pytest.CaptureFixture[str]) -> None:
    rows, text = _planned(capsys, *ALONE, "labeler=round,simulated", "-m")
    assert rows[:4] == [
        ["pretrain", "0, 1", "to compute"],
        ["sft", "0, 1", "to compute"],
        ["samples", "0, 1", "to compute"],
        ["comparisons", "0", "waits for labeler"],
    ]
    assert sorted(row[2] for row in rows[4:]) == [*["to compute"] * 2, "waits for comparisons"]
    # pretrain, sft, samples, and the comparisons and reward model of the second job.
    assert "7 stages in place of 10 without sharing; 5 to compute, 2 waiting.\n" in text
    sentence = "labeler=round: there is no round round.txt yet: begin-round RUN"
    assert text.count(f"- comparisons waits for {sentence}\n") == 1


def test_the_job_that_is_wrong_is_named() -> None:
    with pytest.raises(UserError, match=r"seed is -1.*\n\(in the job .*seed=-1\)"):
        plan([*ALONE, "-m", "seed=1,-1"])


def test_what_is_refused_is_refused_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No table promises what cannot be: a vocabulary of the own world for own texts."""
    (tmp_path / "p.jsonl").write_text("".join(f'{{"prompt": "Grüße {i}"}}\n' for i in range(60)))
    words = ["data=files", "data.prompts=p.jsonl", "policy=tiny", "pretrain=none", "sft=none"]
    words += ["algorithm=ppo", "reward_model=length", "evaluation=none", "debug=fast"]
    with pytest.raises(UserError, match=r"Use (policy\.tokenizer=bytes)") as refused:
        plan([*words])
    assert capsys.readouterr().out == ""
    advised = str(refused.value).rpartition("Use ")[2].rstrip(".")
    assert _planned(capsys, *words, advised)[0] == [["algorithm", "to compute"]]


def test_one_row_that_is_held_out_is_trained_on_by_the_advised_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of so few names its split, which the advice has to overrule too."""
    row = '{"prompt": "Greet.", "chosen": " Hello!", "rejected": " Go.", "split": "test"}\n'
    (tmp_path / "one.jsonl").write_text(row)
    words = ["data=files", "data.rankings=one.jsonl", "policy=tiny", "policy.tokenizer=bytes"]
    words += ["pretrain=none", "sft=none", *ALONE]
    with pytest.raises(UserError, match="To train on all of so few: ") as refused:
        plan([*words])
    advised = str(refused.value).partition("so few: ")[2].rstrip(".").split()
    assert len(advised) == 3
    assert _planned(capsys, *words, *advised)[0] == [["reward_model", "to compute"]]


LIGHT = """
import sys
from preflab.console import cli
try:
    cli.main(["plan", "algorithm=ppo"])
except SystemExit:
    pass
heavy = {"accelerate", "scipy.stats", "transformers.modeling_utils", "transformers.generation"}
print("HEAVY", *sorted(heavy & set(sys.modules)))
"""


@pytest.mark.slow
def test_a_plan_of_the_embedded_world_imports_nothing_that_only_computes(tmp_path: Path) -> None:
    """torch is imported: its generator orders the prompts. Models and statistics are not."""
    command = [sys.executable, "-c", LIGHT]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "7 to compute." in shown.stdout
    assert shown.stdout.splitlines()[-1] == "HEAVY"


def test_a_plan_says_what_it_may_take_and_by_which_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 pretrain of 90 s and no earlier sft: 180 s."""

    def known(run: Run, stage: Stage, artifacts: object) -> Estimate | None:
        return Estimate(90.0, 400.0, "pretrain-x", ()) if stage.name == "pretrain" else None

    words = (*ALONE, "labeler=none", "reward_model=none", "seed=1,2", "-m")
    unknown = "No earlier run of the same work says how long they take.\n"
    assert unknown in _planned(capsys, *words)[1]
    monkeypatch.setattr("preflab.console.plan_estimates.estimate", known)
    text = _planned(capsys, *words)[1]
    assert "About 3 min 0 s, one stage after the other, and 400 MB at most. Without 2 sft," in text
    assert "- 2 pretrain: 1 min 30 s each, 400 MB, as pretrain-x took\n" in text
    # The sizes are told of both all the same.
    reckoned = text.partition("Reckoned from the sizes in the config")[2]
    assert "- 2 pretrain: " in reckoned
    assert "- 2 sft: " in reckoned
    assert "at 100 GFLOP/s" in reckoned
    assert "not measured" in reckoned


@pytest.mark.parametrize(("width", "said"), [(64, True), (128, False)])
def test_that_a_narrow_model_takes_longer_is_said(
    width: int, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    text = _planned(capsys, *ALONE, "labeler=none", "reward_model=none", f"policy.width={width}")[1]
    assert ("A model as small as this takes several times as long." in text) is said


def test_a_gpu_that_is_not_here_can_be_planned_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU the program itself counts nothing, and no time is named without a speed."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    words = (*ALONE, "labeler=none", "reward_model=none")
    text = _planned(capsys, *words, "runtime.device=cuda")[1]
    assert f"- A run would be refused: {NO_GPU}\n" in text
    assert "the program itself" not in text
    assert "GFLOP/s" not in text
    assert "the program itself" in _planned(capsys, *words, "runtime.device=cpu")[1]


def test_weights_in_4_bits_can_be_planned_without_a_gpu_and_their_package(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run would be refused for is said, and a run is refused."""
    pytest.importorskip("peft", reason="the extra lora is not installed")
    found = importlib.util.find_spec
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "bitsandbytes" else found(n, *a)
    )
    bits = ("labeler=none", "reward_model=none", "policy.lora.rank=4", "policy.lora.bits=4")
    text = _planned(capsys, *ALONE, *bits, "runtime.device=cuda")[1]
    assert f"- A run would be refused: {NO_GPU}\n" in text
    assert "- A run would be refused: policy: policy.lora.bits=4 needs the package" in text
    line = parse([*ALONE, *bits, "runtime.device=cuda"])
    with pytest.raises(UserError, match="needs the package bitsandbytes"):
        start(line, check_jobs(line))
    with pytest.raises(UserError, match=r"bits=4 needs a GPU.*give runtime\.device=cuda"):
        plan([*ALONE, *bits, "runtime.device=cpu"])


def test_gpus_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match=r"Leave runtime\.gpus_per_job out"):
        plan([*ALONE, "runtime.gpus_per_job=1"])
