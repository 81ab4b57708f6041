"""People compare the runs of a study blindly; the study goes on with what they said, in its report
and in its claims."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from people.robots import Server, label_all
from people.whole_runs import PLAIN, rows, said
from preflab.two_way import cells, mean_about_people, mean_about_prompts
from preflab_people.frozen import read_frozen

pytestmark = pytest.mark.slow

STUDY = """
defaults:
  - config
  - arm: null
  - _self_
  - override /evaluation: samples
study:
  title: What people prefer
  claims:
    people_prefer_it:
      statement: People prefer the responses of SFT to those of the pretrained model
      measure: win_rate/people
      arm: SFT
      versus: base
    it_is_rated_higher:
      statement: People rate SFT higher
      measure: likert/people
      arm: SFT
      versus: base
    it_is_flagged_less:
      statement: Fewer of its responses are flagged
      measure: flags/no_sense
      arm: base
      versus: SFT
evaluation:
  baseline: base
  prompts: 30
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      arm: base,sft
"""
FAST = (*PLAIN, "debug=fast", "runtime.threads=1", "rollout.max_tokens=8")
STUDIED = ("-cd", "mine", "-cn", "taste", *FAST, "evaluation.prompts=30")
ASKED = (
    *("+evaluator@evaluation.evaluators.people=people",),
    *("evaluation.evaluators.people.round=comparison-1",),
)

Rated = tuple[list[float], list[str], list[str]]
"""Values, the prompts that they are of, and the people."""


def summary(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any], Path]:
    """Claims of the last run of the study, measures by arm, and its folder."""
    last = max(folder.glob("runs/taste/*"), key=lambda path: path.stat().st_mtime)
    claims = json.loads((last / "summary.json").read_text())["claims"]
    jobs = [json.loads((last / str(n) / "summary.json").read_text()) for n in (0, 1)]
    arms = {job["arm"]: job["evaluation"]["measures"] for job in jobs}
    return claims, arms, last


@pytest.mark.reliability
def test_a_study_is_decided_by_people(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "taste.yaml").write_text(STUDY)
    text = said(tmp_path, *STUDIED, code=2)  # nobody has been asked: it names what to leave out
    said(tmp_path, *STUDIED, *re.findall(r"'(~study.claims.\w+)'", text))
    (study,) = (tmp_path / "runs" / "taste").iterdir()
    paths = [study / str(n) / "artifacts" / "evaluation" / "samples.jsonl" for n in (0, 1)]
    base, sft = ({row["prompt"]: row["response"] for row in rows(path)} for path in paths)
    differ = [prompt for prompt in base if base[prompt] != sft[prompt]]
    assert len(differ) >= 10
    assert "no round 'comparison-1'" in said(tmp_path, *STUDIED, *ASKED, code=2)

    def judge(prompt: str, outputs: Sequence[str], best_is: int = 6) -> dict[str, Any]:
        """People prefer SFT, rate it 6, half of them 7, and say that the other makes no sense; but
        on every fifth prompt they see no difference."""
        if differ.index(prompt) % 5 == 0:
            return {"ranks": [1, 1], "likert": [4, 4], "flags": [[], []]}
        better = [text == sft[prompt] for text in outputs]
        return {
            "ranks": [1 if best else 2 for best in better],
            "likert": [best_is if best else 3 for best in better],
            "flags": [[] if best else ["no_sense"] for best in better],
        }

    runs = [f"{study.relative_to(tmp_path)}/{n}" for n in (0, 1)]
    (tmp_path / "flags.txt").write_text("no_sense\nrude\n")
    forms = ("--likert", "--flags", "flags.txt")
    server = Server(tmp_path, *runs, "--task", "compare", "--people", "4", "--overlap", "1", *forms)
    assert "Compared blindly: SFT; base." in "".join(server.said)
    text = said(tmp_path, *STUDIED, *ASKED, code=6)
    assert f"0 of {len(differ)} prompts are compared" in text
    robots = label_all(server, judge, partial(judge, best_is=7))
    assert server.stop() == 0
    sent = "\n".join(text for robot in robots for text in robot.seen)
    assert "SFT" not in sent
    said(tmp_path, "label", "close", "comparison-1")

    said(tmp_path, *STUDIED, *ASKED)
    claims, arms, study = summary(tmp_path)
    # Half a point for each tie, those where both gave the same text included; none is lost.
    ties = len(base) - len(differ) + len(range(0, len(differ), 5))
    wanted = (len(base) - ties / 2) / len(base)
    measured = arms["SFT"]["win_rate/people"]
    assert measured["value"] == pytest.approx(wanted)
    assert measured["low"] < wanted < measured["high"]
    assert arms["base"]["win_rate/people"]["value"] == 0.5  # against itself
    assert arms["SFT"]["agreement/labelers"]["value"] == 1.0
    assert [claim["holds"] for claim in claims] == ["holds"] * 3
    assert [claim["people"] for claim in claims] == [4] * 3
    higher = _are_about_people(claims, measured, _ratings(tmp_path, sft))
    page = (study / "report.html").read_text()
    assert "judge: people" in page
    assert f"{100 * wanted:.1f}" in page
    for word in ("Likert", "no sense", *(claim["statement"] for claim in claims)):
        assert word in page
    equal = len(range(0, len(differ), 5)) / len(differ)
    _forms_are_there(arms, page, equal, higher)


def _are_about_people(
    claims: Sequence[dict[str, Any]], measured: Mapping[str, float], rated: Rated
) -> float:
    """Intervals of the claims. How much higher SFT is rated."""
    # A claim has the interval of the run's own measure: the other arm is always 0.5.
    ends = [measured[end] - 0.5 for end in ("low", "high")]
    assert claims[0]["interval"] == pytest.approx(ends)
    expected = mean_about_people(cells(*rated), -6.0, 6.0)
    assert claims[1]["estimate"] == pytest.approx(expected.value)
    assert claims[1]["interval"] == pytest.approx([expected.low, expected.high])
    alone = mean_about_prompts(cells(*rated), -6.0, 6.0)
    # Which person judges which prompt depends on who is faster; the interval is never that alone.
    assert [expected.low, expected.high] != pytest.approx([alone.low, alone.high], abs=1e-3)
    return expected.value


def _ratings(folder: Path, sft: Mapping[str, str]) -> Rated:
    """How much higher each person rated SFT on each prompt, the prompts, and the people."""
    frozen = read_frozen(next(folder.glob("labels/comparison-1/frozen-*")))
    values, prompts, people = [], [], []
    for task, judgment, _ in frozen.judged:
        mine = task.responses.index(sft[task.prompt.text])
        here, there = (float(judgment.answer.likert[i] or 0) for i in (mine, 1 - mine))
        values.append(here - there)
        prompts.append(task.prompt.id)
        people.append(judgment.labeler)
    return values, prompts, people


def _forms_are_there(arms: dict[str, Any], page: str, equal: float, higher: float) -> None:
    """Ratings and flags, of the prompts that people saw. equal: share on which they saw no
    difference; higher: by how much SFT is rated higher."""
    cells = set(re.findall(r">\s*([\d.]+)", page))
    for arm, (rating, flagged) in {
        "SFT": (3 + equal + higher, 0.0),
        "base": (3 + equal, 1 - equal),
    }.items():
        assert arms[arm]["likert/people"]["value"] == pytest.approx(rating)
        assert arms[arm]["flags/no_sense"]["value"] == pytest.approx(flagged)
        assert f"{rating:.2f}" in cells
        assert f"{100 * flagged:.1f}" in cells
