"""Three runs that people compared blindly: report, claims and strengths; other responses than those
that they judged are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from people.whole_runs import PLAIN, answer_everything, said
from preflab_people.judgments import Answer, Task
from preflab_people.rounds import frozen_of

pytestmark = pytest.mark.slow

STUDY = """
defaults:
  - config
  - _self_
  - override /sft: none
  - override /comparisons: none
  - override /labeler: none
  - override /reward_model: none
  - override /algorithm: none
  - override /evaluation: samples
study:
  title: How warm it should be
  claims:
    cool_is_better:
      statement: People prefer cool responses to hot ones
      measure: win_rate/people
      arm: evaluation.temperature=0.1
      versus: evaluation.temperature=9.0
evaluation:
  baseline: none
  prompts: 40
  evaluators:
    reward: null
    win_rate: null
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      evaluation.temperature: 0.1,1.0,9.0
"""
NAMES = tuple(f"evaluation.temperature={value}" for value in ("0.1", "1.0", "9.0"))
FAST = (*PLAIN, "debug=fast", "runtime.threads=1", "rollout.max_tokens=8", "evaluation.prompts=40")
STUDIED = ("-cd", "mine", "-cn", "warm", *FAST)
ASKED = (
    "+evaluator@evaluation.evaluators.people=people",
    "evaluation.evaluators.people.round=comparison-1",
    f'evaluation.evaluators.people.versus="{NAMES[2]}"',
)


def judged(task: Task) -> Answer:
    """The cooler the better, and on every third prompt the other way round."""
    places = [min(NAMES.index(name) for name in names) for names in task.arms]
    sign = -1 if int(task.digest, 16) % 3 == 0 else 1
    order = sorted({sign * place for place in places})
    return Answer(ranks=tuple(order.index(sign * place) + 1 for place in places))


def last_study(folder: Path) -> Path:
    return max(folder.glob("runs/warm/*"), key=lambda path: path.stat().st_mtime)


@pytest.mark.reliability
def test_three_runs_are_ranked_by_people(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "warm.yaml").write_text(STUDY)
    said(tmp_path, *STUDIED, "~study.claims.cool_is_better")  # nobody has been asked yet
    study = last_study(tmp_path).relative_to(tmp_path)
    runs = [f"{study}/{number}" for number in range(3)]
    text = said(tmp_path, "label", *runs, "--task", "compare", "--no-serve", "--people", "4")
    assert f"Compared blindly: {'; '.join(NAMES)}." in text
    answer_everything(tmp_path / "labels" / "comparison-1", judged)
    said(tmp_path, "label", "close", "comparison-1", "--early")
    said(tmp_path, *STUDIED, *ASKED)
    study = last_study(tmp_path)
    measures: list[dict[str, Any]] = [
        json.loads((study / str(number) / "summary.json").read_text())["evaluation"]["measures"]
        for number in range(3)
    ]
    strengths, rates = (
        [one[name]["value"] for one in measures]
        for name in ("bradley_terry/people", "win_rate/people")
    )
    assert strengths == sorted(strengths, reverse=True)
    assert min(rates[:2]) > rates[2] == 0.5  # against itself
    (claim,) = json.loads((study / "summary.json").read_text())["claims"]
    frozen = frozen_of("comparison-1", tmp_path)
    assert frozen is not None
    assert claim["people"] == len({judgment.labeler for judgment in frozen.judgments})
    assert claim["estimate"] == pytest.approx(rates[0] - 0.5)
    ends = [measures[0]["win_rate/people"][end] - 0.5 for end in ("low", "high")]
    assert claim["interval"] == pytest.approx(ends)
    page = (study / "report.html").read_text()
    assert "People prefer cool responses to hot ones" in page
    assert "about other people too" in " ".join(page.split())
    assert f"{100 * rates[0]:.1f}" in page
    text = said(tmp_path, *STUDIED, *ASKED, "seed=2", code=1)  # each job with exit code 2
    assert "judged other responses" in text
