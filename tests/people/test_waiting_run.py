"""A run and its round: it waits for its people, says how far they are, and goes on with what they
said and with nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from people.whole_runs import (
    TINY,
    answer_everything,
    artifact,
    by_alphabet,
    last_run,
    manifest,
    processes_in,
    recipes,
    rows,
    said,
)
from preflab.records import Ranking, ranking_from_json
from preflab_people.judgments import Answer, Task
from preflab_people.rounds import frozen_of
from preflab_people.store import Store

pytestmark = pytest.mark.slow

WAITING = (*TINY, "labeler=people", "labeler.round=spring")


def judged(task: Task) -> Answer:
    """The first two responses by the alphabet, or tied where the prompt has an even number of
    letters; nobody judges the third one."""
    first = by_alphabet(task.responses[:2]) if len(task.prompt.text) % 2 else (1, 1)
    return Answer(ranks=(*first, None))


def planned(folder: Path, *words: str) -> dict[str, str]:
    """The status of each stage in a plan."""
    lines = said(folder, "plan", *words).splitlines()
    table = [line.strip("│ ").split("│") for line in lines if "│" in line]
    return {row[0].strip(): row[-1].strip() for row in table}


def rankings(folder: Path) -> list[Ranking]:
    """Those of the last run."""
    path = artifact(folder, "comparisons") / "rankings.jsonl"
    return list(map(ranking_from_json, rows(path)))


def check_ties(made: Sequence[Ranking]) -> None:
    """What was said of each pair: a preference, a tie, or nothing."""
    assert made
    for one in made:
        first, second, third = one.responses
        assert len(one.prompt.text) % 2  # the others are tied in all that was judged
        assert one.preferences in (((0, 1),), ((1, 0),))
        missing = {(i, 2) for i, text in ((0, first), (1, second)) if text != third}
        assert set(one.unjudged) == missing
        assert set(one.ties) == {(0, 2), (1, 2)} - missing


@pytest.mark.reliability
def test_a_run_waits_for_its_round_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "labels" / "spring"
    assert planned(tmp_path, *WAITING)["comparisons"] == "waits for labeler"
    text = said(tmp_path, *WAITING, code=6)
    run = last_run(tmp_path)
    assert f"nobody was asked yet: preflab label {run}" in text

    text = said(tmp_path, "label", run, "--no-serve", "--people", "3", "--overlap", "0.5")
    number = int(text.partition("Round spring: ")[2].partition(" ")[0])
    text = said(tmp_path, *WAITING, code=6)
    assert f"0 of {number} prompts are ranked (0 of {round(number / 2)} twice), 3 people" in text
    answer_everything(folder, judged, most=5)
    text = said(tmp_path, *WAITING, code=6)
    assert f"5 of {number} prompts are ranked" in text
    assert "when they are done: preflab label close spring" in text
    assert f"preflab label {last_run(tmp_path)}" in text
    assert manifest(tmp_path)["status"] == "waiting"
    assert processes_in(tmp_path) == []
    # Labels that are not frozen are not read.
    answer_everything(folder, judged)
    assert f"{number} of {number} prompts are ranked" in said(tmp_path, *WAITING, code=6)
    said(tmp_path, "label", "close", "spring")
    assert planned(tmp_path, *WAITING)["comparisons"] == "to compute"
    said(tmp_path, *WAITING)
    assert manifest(tmp_path)["status"] == "complete"
    check_ties(rankings(tmp_path))
    first, first_artifact = recipes(tmp_path), artifact(tmp_path, "comparisons")
    before = frozen_of("spring", tmp_path)
    assert before is not None
    # The report says who ranked.
    page = (tmp_path / last_run(tmp_path) / "report.html").read_text()
    who = f"{number + round(number / 2)} rankings in the round spring (digest {before.digest[:12]})"
    people = len({judgment.labeler for _, judgment, _ in before.judged})
    assert f"labeler=people: real people gave {who}: {people} people." in page

    # Another closing of the round is another recipe, and what the first one gave is kept.
    with Store.open(folder / "store.sqlite") as store:
        who = rankings(tmp_path)[0].labeler
        assert who in [person.id for person in store.people()]
    said(tmp_path, "label", "state", "spring", who, "removed")
    said(tmp_path, "label", "close", "spring", "--early")
    said(tmp_path, "--no-plugin", "report", *WAITING)
    second = recipes(tmp_path)
    assert {name for name in first if first[name] != second[name]} == {
        "comparisons",
        "reward_model",
    }
    assert who not in {one.labeler for one in rankings(tmp_path)}
    assert (first_artifact / "rankings.jsonl").is_file()
    path = f"labels/spring/{before.folder.name}"
    assert set(planned(tmp_path, *TINY, "labeler=people", f"labeler.round={path}").values()) == {
        "reused"
    }

    # A round that was asked about other samples, or something else, is refused.
    text = said(tmp_path, *WAITING, "samples.seed=9", code=2)
    assert "'spring' was not asked about these responses" in text
    words = ("demonstrations=people", "demonstrations.round=spring")
    text = said(tmp_path, "plan", *TINY, "labeler=none", "reward_model=none", *words, code=2)
    assert "demonstrations=people: nobody wrote anything in the round 'spring'" in text


@pytest.mark.reliability
def test_what_people_wrote_trains_the_policy(tmp_path: Path) -> None:
    named = ("demonstrations=people", "demonstrations.round=texts")
    words = (*TINY, "labeler=none", "reward_model=none", *named)
    text = said(tmp_path, *words, code=6)
    run = last_run(tmp_path)
    assert f"preflab label {run} --task demonstrate" in text
    said(tmp_path, "label", run, "--no-serve", "--people", "2", "--tasks", "12")
    assert "0 of 12 demonstrations are written" in said(tmp_path, *words, code=6)
    answer_everything(
        tmp_path / "labels" / "texts", lambda task: Answer(written=f"please {task.prompt.text}")
    )
    said(tmp_path, "label", "close", "texts")
    said(tmp_path, *words)
    assert [row["stage"] for row in manifest(tmp_path)["stages"]] == ["pretrain", "sft"]
