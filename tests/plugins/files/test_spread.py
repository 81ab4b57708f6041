"""One column that says something of every answer: objects of numbers, names in an order, votes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from judged_rows import best, files, refused
from preflab.records import Ranking
from preflab_builtin.files.config import OnBadRow, VerdictColumns
from preflab_builtin.files.source import FileSource, inspect


def rows(column: str, *values: Any, count: int = 2, listed: bool = False, **more: Any) -> Any:
    """Rows with the answers "a 0", "b 0" (and "c 0"), and a value each."""
    found = []
    for i, value in enumerate(values):
        texts = {f"answer_{letter}": f"{letter} {i}" for letter in "abc"[:count]}
        answers = {"responses": list(texts.values())} if listed else texts
        found.append({"prompt": f"{i}?", **answers, column: value, **more})
    return found


def preferences(config: Any) -> list[Any]:
    found = FileSource(config).records("rankings")
    return [r.preferences for r in found if isinstance(r, Ranking)]


@pytest.mark.parametrize(
    "values,more",
    [
        ([{"a": 3, "b": 1}, {"a": 1, "b": 3}, {"a": 2, "b": 2}], {}),
        ([{"answer_a": "3", "answer_b": 1}, {"answer_b": 3, "answer_a": 1}, {"a": 0, "b": 0}], {}),
        ([{"a": 3, "b": 1, "tie": 2}, {"a": 0, "b": 3, "tie": 2}, {"a": 2, "b": 1, "tie": 2}], {}),
        ([{"gpt": 3, "llama": 1}, {"llama": 3, "gpt": 0}, {"gpt": 1, "llama": 1}], True),
        ([{"1": 3, "2": 1}, {"2": 3, "1": 1}, {"1": 2, "2": 2}], {}),
        (['{"a": 3, "b": 1}', '{"a": 1, "b": 3}', '{"a": 2, "b": 2}'], {}),
        ([["a", "b", "a"], ["b", "b", "a"], ["a", "b", "tie"]], {}),
        ([["a", "a"], ["B", "tie", "B"], ["tie", "a", "tie"]], {}),
    ],
)
def test_votes(tmp_path: Path, values: list[Any], more: Any) -> None:
    """More for a in the first row, for b in the second, and in the third for none: a vote for a tie
    counts as one for an answer that nobody gave."""
    names: dict[str, Any] = {"model_a": "gpt", "model_b": "llama"} if more else {}
    assert best(files(tmp_path, rows("votes", *values, **names))) == [0, 1, None]


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize(
    "values",
    [
        [["b", "a", "c"], ["c", ["a", "b"]]],
        [["answer_b", "answer_a", "answer_c"], "c > a = b"],
        ["B > A > C", "C>A=B"],
        ['["b", "a", "c"]', '["c", ["b", "a"]]'],
        [{"a": 2, "b": 1, "c": 3}, {"a": 2, "b": 2, "c": 1}],
    ],
)
def test_rankings(tmp_path: Path, values: list[Any], listed: bool) -> None:
    """b before a before c; then c before the others, which are equal."""
    if listed and "answer_b" in values[0]:
        return
    config = files(tmp_path, rows("ranking", *values, count=3, listed=listed))
    first, second = map(set, preferences(config))
    assert first == {(1, 0), (1, 2), (0, 2)}
    assert second == {(2, 0), (2, 1)}


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("value", [["c", "a"], "c > a", "C>A", '["c", "a"]'])
def test_an_order_of_some_answers_says_nothing_of_the_others(
    tmp_path: Path, value: Any, listed: bool
) -> None:
    """c before a; neither was compared with b. The last row has all three."""
    config = files(tmp_path, rows("ranking", value, value, "b > c > a", count=3, listed=listed))
    first, _, last = FileSource(config).records("rankings")
    assert isinstance(first, Ranking)
    assert isinstance(last, Ranking)
    assert (first.preferences, first.unjudged) == (((2, 0),), ((0, 1), (1, 2)))
    assert (len(last.preferences), last.unjudged) == (3, ())
    assert any("in 2 of 3 rows the order names some" in n for n in inspect(config).notices)


@pytest.mark.parametrize("value", [["b"], ["b", "b"], ["b", 1], ["b", "x"], "b"])
def test_an_order_without_two_answers_is_none(tmp_path: Path, value: Any) -> None:
    some = rows("ranking", "a>b>c", value, "a>c>b", count=3)
    assert ":2: ranking: is " in refused(files(tmp_path, some))
    assert "on_bad_row=skip" in refused(files(tmp_path, some))


def test_a_partial_order_beside_a_winner(tmp_path: Path) -> None:
    """The winner is not among the two that are ordered, which is no contradiction."""
    (row,) = rows("ranking", "a > b", count=3)
    assert best(files(tmp_path, [{**row, "winner": "a"}])) == [0]
    assert best(files(tmp_path, [{**row, "winner": "c"}])) == [2]
    assert "winner" in refused(files(tmp_path, [{**row, "winner": "b"}]))


def test_scores_of_a_list_as_an_object(tmp_path: Path) -> None:
    some = rows("scores", {"0": 1, "1": 3, "2": 2}, count=3, listed=True)
    assert set(preferences(files(tmp_path, some))[0]) == {(1, 2), (1, 0), (2, 0)}


@pytest.mark.parametrize(
    "column,value,options",
    [
        ("order", ["b", "a"], ["verdict.ranks=[order] (the best first", "verdict.scores=[order]"]),
        ("ranking_worst_first", ["b", "a"], ["ranks=[ranking_worst_first] (the best first"]),
        ("opinion", {"a": 1, "b": 3}, ["verdict.scores=[opinion] (higher is better"]),
    ],
)
def test_what_a_name_does_not_say_is_refused_with_the_option(
    tmp_path: Path, column: str, value: Any, options: list[str]
) -> None:
    some = rows(column, value, value)
    message = refused(files(tmp_path, some))
    assert all(f"rankings.{option}" in message for option in options[1:])
    assert options[0] in message
    ranks = "ranks" in options[0]
    told = VerdictColumns(ranks=[column]) if ranks else VerdictColumns(scores=[column])
    assert best(files(tmp_path, some, verdict=told)) == [1, 1]


def test_a_row_that_says_nothing_of_one_answer_is_bad(tmp_path: Path) -> None:
    some = rows("votes", {"a": 1, "b": 2}, {"a": 1}, {"a": 2, "b": 1})
    assert ":2: votes: is '{'a': 1}' but must say something of each" in refused(
        files(tmp_path, some)
    )
    with pytest.warns(UserWarning, match="2 of 3 rows kept"):
        assert best(files(tmp_path, some, on_bad_row=OnBadRow.skip)) == [1, 0]


def test_votes_beside_a_winner_must_agree(tmp_path: Path) -> None:
    some = rows("votes", {"a": 3, "b": 1}, {"a": 3, "b": 1})
    for row, who in zip(some, "ab", strict=True):
        row["winner"] = who
    message = refused(files(tmp_path, some))
    assert ":2: votes: prefer another answer than winner" in message
    assert "rankings.verdict.winner=winner or rankings.verdict.scores=[votes]" in message


def test_objects_of_other_things_are_no_verdict(tmp_path: Path) -> None:
    some = rows("winner", "a", "b", lengths={"a": 3, "b": 4}, meta={"seed": 1, "b": 2})
    assert best(files(tmp_path, json.loads(json.dumps(some)))) == [0, 1]


@pytest.mark.parametrize(
    "more,verdict,expected",
    [
        ({"scores": [1, 3]}, {}, (1, 3)),
        ({"scores": {"a": 1, "b": 3}}, {}, (1, 3)),
        ({"score_a": 1, "score_b": 3}, {}, (1, 3)),
        ({"opinion": [1, 3]}, {"scores": ["opinion"]}, (1, 3)),
        # Lower is better, so that each is read for the other answer: an error counts against its
        # own answer.
        ({"errors_a": 3, "errors_b": 1}, {"scores": ["errors_b", "errors_a"]}, (-3, -1)),
        ({"ranks": [2, 1]}, {}, ()),
        ({"votes": ["b", "a", "b"]}, {}, ()),
        ({"votes": {"a": 1, "b": 3, "tie": 1}}, {}, ()),
    ],
)
def test_scores_that_decide_are_the_ratings(
    tmp_path: Path, more: Any, verdict: Any, expected: tuple[float, ...]
) -> None:
    """Neither ranks nor counts of votes rate an answer."""
    texts = {"prompt": "q", "answer_a": "x", "answer_b": "y"}
    config = files(tmp_path, [{**texts, **more}], verdict=VerdictColumns(**verdict))
    (ranking,) = FileSource(config).records("rankings")
    assert isinstance(ranking, Ranking)
    assert (ranking.preferences, ranking.ratings) == (((1, 0),), expected)


def test_the_scores_of_a_list_of_answers_are_their_ratings(tmp_path: Path) -> None:
    (ranking,) = FileSource(
        files(tmp_path, [{"prompt": "q", "responses": ["x", "y", "z"], "scores": [2, 5, 2]}])
    ).records("rankings")
    assert isinstance(ranking, Ranking)
    assert (ranking.ratings, ranking.ties) == ((2, 5, 2), ((0, 2),))
