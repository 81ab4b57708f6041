"""Single answers that people liked or not (KTO): rankings where every question has both."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from judged_rows import files, refused
from preflab import UserError
from preflab.composing.compose import compose
from preflab.planning.reading import job_of
from preflab.records import Demonstration, Ranking
from preflab_builtin.files.config import OnBadRow
from preflab_builtin.files.source import FileSource, inspect

_UP, _DOWN = True, False


def row(prompt: Any, completion: str, label: Any, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "completion": completion, "label": label, **more}


def rankings(config: Any) -> list[Ranking]:
    return [r for r in FileSource(config).records("rankings") if isinstance(r, Ranking)]


def test_rows_of_one_question_are_a_ranking_wherever_they_stand(tmp_path: Path) -> None:
    rows = [
        row("q", "good", _UP),
        row("r", "bad", 0),
        row("q", "fine", "yes"),
        row("r", "good", 1),
        row("q", "bad", "False"),
    ]
    second, first = rankings(files(tmp_path, rows))  # r is whole before q
    assert (first.prompt.text, first.responses) == ("q", ("good", "fine", "bad"))
    # Both that were liked are better than the third; nobody compared them.
    assert (first.preferences, first.unjudged, first.ties) == (((0, 2), (1, 2)), ((0, 1),), ())
    assert (second.prompt.text, second.preferences) == ("r", ((1, 0),))
    assert first.prompt.place.endswith("rows.jsonl:1")


def test_a_system_message_makes_another_question(tmp_path: Path) -> None:
    rows = [row("q", "a", _UP, system="be short"), row("q", "b", _DOWN, system="be long")]
    assert "2 of 2 prompts have only liked or only disliked" in refused(files(tmp_path, rows))
    both = [row("q", t, like, system=s) for s in ("x", "y") for t, like in (("a", 1), ("b", 0))]
    assert [r.prompt.messages[0].content for r in rankings(files(tmp_path, both))] == ["x", "y"]


def test_conversations(tmp_path: Path) -> None:
    asked = [{"role": "user", "content": "Hi"}]
    rows = [
        row(asked, [{"role": "assistant", "content": text}], liked)  # type: ignore[arg-type]
        for text, liked in (("No.", _DOWN), ("Hello!", _UP))
    ]
    (ranking,) = rankings(files(tmp_path, rows))
    assert (ranking.responses, ranking.preferences) == (("No.", "Hello!"), ((1, 0),))


def test_prompts_with_one_label_are_refused_with_the_option_that_leaves_them_out(
    tmp_path: Path,
) -> None:
    rows = [row("q", "a", _UP), row("q", "b", _DOWN), row("r", "c", _UP), row("r", "d", _UP)]
    message = refused(files(tmp_path, rows))
    assert "1 of 2 prompts have only liked or only disliked answers" in message
    assert "rankings.format=kto rankings.on_bad_row=skip" in message
    assert (
        "algorithm=kto among them, needs liked and disliked answers to the same prompt" in message
    )
    with pytest.warns(UserWarning, match="2 of 4 rows kept, 2 rejected") as warned:
        (only,) = rankings(files(tmp_path, rows, format="kto", on_bad_row=OnBadRow.skip))
    assert only.prompt.text == "q"
    assert "rows.jsonl:4: label: all answers to the prompt were liked" in str(warned[0].message)


@pytest.mark.parametrize(
    "given", ["data=files data.rankings={file}", "rankings=files rankings.path={file}"]
)
def test_the_advised_words_are_a_whole_command(tmp_path: Path, given: str) -> None:
    """Liked and disliked answers to different prompts: the words that the message prints make a
    run that learns the liked one as a demonstration."""
    config = files(tmp_path, [row("p", "a", _UP), row("q", "b", _DOWN)])
    documents = tmp_path / "documents.jsonl"
    documents.write_text('{"text": "a b"}\n')
    own = ["policy.tokenizer=bytes", "data=files", f"data.documents={documents}"]
    with pytest.raises(UserError) as caught:
        job_of(compose([*own, *given.format(file=config.path).split()], with_hydra=True))
    said = str(caught.value)
    assert "With sft=none nothing would read them." in said
    words = said.partition("the rest, counted: ")[2].partition(", in the place of")[0].split()
    with pytest.warns(UserWarning, match="1 of 2 rows kept, 1 rejected"):
        run = job_of(compose([*own, *words], with_hydra=True)).run
    assert [stage.name for stage in run.stages] == ["pretrain", "sft"]


@pytest.mark.parametrize(
    "rows,expected",
    [
        (
            [row("q", "a", _UP), row("q", "a", _DOWN)],
            "the same in two rows of its prompt, and liked in one alone",
        ),
        ([row("q", "a", _UP), row("q", "b", "maybe"), row("q", "c", 0)], "label: is 'maybe'"),
    ],
)
def test_answers_that_contradict(tmp_path: Path, rows: Any, expected: str) -> None:
    assert re.search(expected, refused(files(tmp_path, rows)))


@pytest.mark.parametrize("like,dislike", [(True, False), (1, 0), ("yes", "no")])
def test_how_the_labels_were_read_is_said(tmp_path: Path, like: Any, dislike: Any) -> None:
    rows = [row(f"q{i}", f" {i}{t}", like if t == "a" else dislike) for t in "ab" for i in range(9)]
    config = files(tmp_path, rows)
    assert [r.preferences for r in rankings(config)] == [((0, 1),)] * 9
    (said,) = inspect(config).notices
    what = f"{like} (liked) in 9, {dislike} (disliked) in 9 rows. Of one prompt, those they liked"
    assert said.startswith(f"rankings: 'label' says whether people liked an answer: {what}")


@pytest.mark.parametrize("value,says", [(None, "null"), ("maybe", "'maybe'")])
@pytest.mark.parametrize("bad", [1, 2, 3])
def test_a_bad_label_is_named_by_its_own_row_and_left_out_alone(
    tmp_path: Path, bad: int, value: Any, says: str
) -> None:
    rows = [row("q", "a", _UP), row("q", "b", _DOWN), row("q", "c", _UP), row("q", "d", _DOWN)]
    rows[bad - 1]["label"] = value
    given = {"format": "kto"}
    assert f"rows.jsonl:{bad}: label: is" in refused(files(tmp_path, rows))
    with pytest.warns(UserWarning, match="3 of 4 rows kept, 1 rejected"):
        (ranking,) = rankings(files(tmp_path, rows, on_bad_row=OnBadRow.skip, **given))
    assert len(ranking.responses) == 3


def test_the_way_to_demonstrations_works_as_it_is_printed(tmp_path: Path) -> None:
    rows = [row("q", "a", _UP), row("r", "b", _DOWN)]
    message = refused(files(tmp_path, rows))
    path = tmp_path / "rows.jsonl"
    words = f"demonstrations=files demonstrations.path={path} demonstrations.on_bad_row=skip"
    assert f"{words} sft=demonstrations " in message
    config = files(tmp_path, rows, "demonstrations", on_bad_row=OnBadRow.skip)
    with pytest.warns(UserWarning, match="1 of 2 rows kept"):
        (kept,) = FileSource(config).records("demonstrations")
    assert isinstance(kept, Demonstration)
    assert kept.response == "a"


def scored(prompt: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "completion": answer, **more}


@pytest.mark.parametrize("name", ["score", "rating", "reward", "rank"])
@pytest.mark.parametrize("answer", ["completion", "response"])
def test_single_answers_with_a_score_are_rankings(tmp_path: Path, name: str, answer: str) -> None:
    """Numbers 3, 1 and 1 for q: as scores the first is best, as ranks it is the worst."""
    rows = [
        {"prompt": p, answer: text, name: number}
        for p, text, number in (("q", "a", 3), ("r", "x", 2), ("q", "b", "1"), ("q", "c", 1.0))
    ]
    rows.append({"prompt": "r", answer: "y", name: 1})
    config = files(tmp_path, rows)
    second, first = sorted(rankings(config), key=lambda r: len(r.responses))
    assert first.responses == ("a", "b", "c")
    higher, lower = {(0, 1), (0, 2)}, {(1, 0), (2, 0)}
    assert (set(first.preferences), first.ties) == (lower if name == "rank" else higher, ((1, 2),))
    assert second.preferences == (((1, 0),) if name == "rank" else ((0, 1),))
    best = "1 is the best" if name == "rank" else "the highest is the best"
    rates = name != "rank"  # the numbers stay as the ratings of the answers
    assert [r.ratings for r in (first, second)] == ([(3, 1, 1), (2, 1)] if rates else [(), ()])
    told = f"rankings: '{name}' goes from 1 to 3, and {best} of the answers to one prompt."
    assert told in inspect(config).notices


def test_scores_that_compare_nothing_are_refused_with_the_option(tmp_path: Path) -> None:
    rows = [
        scored("q", "a", score=1),
        scored("q", "b", score=2),
        scored("r", "c", score=1),
        scored("s", "d", score=3),
        scored("s", "e", score=3),
    ]
    message = refused(files(tmp_path, rows))
    assert "score: is of a single answer, and 2 of 3 prompts have one answer only" in message
    assert "To leave those out, counted: rankings.format=scored rankings.on_bad_row=skip" in message
    with pytest.warns(UserWarning, match="2 of 5 rows kept, 3 rejected"):
        (only,) = rankings(files(tmp_path, rows, format="scored", on_bad_row=OnBadRow.skip))
    assert only.preferences == ((1, 0),)


@pytest.mark.parametrize(
    "rows,expected",
    [
        ([scored("q", "a", score=1), scored("q", "b", score=None)], ":2: score: is null but must"),
        (
            [scored("q", "a", score=1, rating=2), scored("q", "b", score=2, rating=1)],
            "rating: and 'score' are both given: which one counts",
        ),
        (
            [scored("q", "a", score=1), scored("q", "a", score=2)],
            "completion: is the same in two rows of its prompt, with another score",
        ),
        (
            [{"question": "q", "answer": t, "score": i} for i, t in enumerate("ab")],
            "rankings.columns.prompt=question rankings.columns.completion=answer",
        ),
    ],
)
def test_scores_that_are_not_certain(tmp_path: Path, rows: Any, expected: str) -> None:
    assert expected in refused(files(tmp_path, rows))


_ANN, _BOB = {"labeler": "ann", "labeler_group": "x"}, {"labeler": "bob", "labeler_group": "y"}


def test_what_two_people_say_is_two_rankings(tmp_path: Path) -> None:
    """Also where the rows of both stand among each other; and nobody compared what they liked with
    what the other disliked."""
    rows = [
        row("q", "a", _UP, **_ANN),
        row("q", "b", _DOWN, **_BOB),
        row("q", "a", _UP, **_BOB),
        row("q", "c", _DOWN, **_ANN),
    ]
    bob, ann = rankings(files(tmp_path, rows))  # bob's are whole before ann's
    assert (ann.labeler, ann.group, ann.responses) == ("ann", "x", ("a", "c"))
    assert (bob.labeler, bob.group, bob.responses) == ("bob", "y", ("b", "a"))
    scored = [
        {"prompt": "q", "response": text, "score": score, **who}
        for who, scores in ((_ANN, (5, 3)), (_BOB, (2, 4)))
        for text, score in zip("ab", scores, strict=True)
    ]
    found = rankings(files(tmp_path, scored))
    assert [(r.labeler, r.preferences) for r in found] == [("ann", ((0, 1),)), ("bob", ((1, 0),))]


def test_answers_that_two_people_judged_are_compared_only_if_somebody_says_so(
    tmp_path: Path,
) -> None:
    rows = [row("q", "a", _UP, labeler="ann"), row("q", "b", _DOWN, labeler="bob")]
    message = refused(files(tmp_path, rows))
    assert "Answers that differ in labeler are not compared" in message
    assert "rankings.ignore=[labeler] compares them" in message
    (found,) = rankings(files(tmp_path, rows, ignore=["labeler"]))
    assert (found.labeler, found.preferences) == ("", ((0, 1),))


def test_answers_in_two_splits_are_not_compared(tmp_path: Path) -> None:
    """Those of the test split would be trained on."""
    rows = [row("q", "a", _UP, split="train"), row("q", "b", _DOWN, split="test")]
    assert "rankings.ignore=[split]" in refused(files(tmp_path, rows))
    whole = [*rows, row("q", "b", _DOWN, split="train"), row("q", "a", _UP, split="test")]
    found = rankings(files(tmp_path, whole))
    assert [(r.split, r.responses) for r in found] == [("train", ("a", "b")), ("test", ("b", "a"))]
