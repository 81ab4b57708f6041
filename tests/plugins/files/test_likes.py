"""Single answers that people liked or not (KTO): rankings where every question has both."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from judged_rows import files, refused
from preflab.records import Ranking
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
    with pytest.warns(UserWarning, match="2 of 4 rows kept, 2 rejected") as warned:
        (only,) = rankings(files(tmp_path, rows, format="kto", on_bad_row=OnBadRow.skip))
    assert only.prompt.text == "q"
    assert "rows.jsonl:4: label: all answers to the prompt were liked" in str(warned[0].message)


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


def test_nothing_is_said_of_a_good_file(tmp_path: Path) -> None:
    rows = [row(f"q{i}", f" {i}{t}", t == "a") for t in "ab" for i in range(20)]
    config = files(tmp_path, rows)
    assert [r.preferences for r in rankings(config)] == [((0, 1),)] * 20
    assert inspect(config).notices == []
