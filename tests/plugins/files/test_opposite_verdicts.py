"""Columns and values that could be read as the opposite of what they say: of the worse answer, of
an earlier round, with two meanings. They are read rightly or refused, and what a message proposes
is right when it is pasted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from judged_rows import best, files, judged, refused
from preflab_builtin.files.config import ColumnNames, OnBadRow, VerdictColumns
from preflab_builtin.files.source import inspect

_WORSE = ["less_preferred", "least_preferred", "not_chosen", "notSelected", "non_preferred"]
_WORSE += ["second_best", "second_choice", "least_favorite", "unchosen", "dispreferred"]
_MAPPED = ColumnNames(prompt="question", chosen="answer_a", rejected="answer_b")


@pytest.mark.parametrize("column", _WORSE)
def test_a_column_of_the_worse_answer(tmp_path: Path, column: str) -> None:
    """The first row says that a is the worse one, so that b, number 1, is the better one."""
    rows = judged("A", "B", column=column)
    message = refused(files(tmp_path, rows))
    assert "seems to name the worse answer" in message
    cure = f"verdict.winner={column} rankings.verdict.second=[a] rankings.verdict.first=[b]"
    assert cure in message
    told = VerdictColumns(winner=column, first=["b"], second=["a"])
    assert best(files(tmp_path, rows, verdict=told)) == [1, 0]
    assert cure in refused(files(tmp_path, rows, verdict=VerdictColumns(winner=column)))


@pytest.mark.parametrize("column", ["previous_winner", "random_choice", "predicted_winner"])
def test_a_name_with_other_words_is_refused_until_it_is_named(tmp_path: Path, column: str) -> None:
    rows = judged("A", "B", column=column)
    assert f"If it says which is the better one: rankings.verdict.winner={column}" in refused(
        files(tmp_path, rows)
    )
    assert best(files(tmp_path, rows, verdict=VerdictColumns(winner=column))) == [0, 1]
    beside = [row | {"winner": "A"} for row in rows]  # the second row contradicts it
    assert f"verdict.winner=winner or rankings.verdict.winner={column}" in refused(
        files(tmp_path, beside)
    )
    numbers = judged(0, 1, column=column)
    assert f"verdict.winner={column} rankings.verdict.first=[...]" in refused(
        files(tmp_path, numbers)
    )


@pytest.mark.parametrize(
    "column", ["human_preference", "overall_winner", "final_choice", "is_better", "which_is_better"]
)
def test_words_beside_a_verdict_that_change_nothing(tmp_path: Path, column: str) -> None:
    assert best(files(tmp_path, judged("A", "B", column=column))) == [0, 1]


def test_the_worst_of_three_does_not_say_which_is_best(tmp_path: Path) -> None:
    rows = [row | {"answer_c": "third"} for row in judged("A", "B", column="least_preferred")]
    message = refused(files(tmp_path, rows))
    assert "does not say which is. Name another column: rankings.verdict.winner=NAME" in message
    assert "winner=least_preferred" not in message


def test_a_column_of_the_worse_answer_must_agree_with_the_verdict(tmp_path: Path) -> None:
    """In the second row b is said to be the better and the worse one."""
    rows = [r | {"loser": v} for r, v in zip(judged("A", "B"), "BB", strict=True)]
    message = refused(files(tmp_path, rows))
    assert "rows.jsonl:2: loser: is 'B' and does not agree with 'winner'" in message
    assert "verdict.winner=loser" not in message
    rows[1]["loser"] = "A"
    assert best(files(tmp_path, rows)) == [0, 1]


@pytest.mark.parametrize("no,mark", [(False, True), (0, 1), ("no", "yes")])
@pytest.mark.parametrize("column", ["is_tie", "tie", "winner_tie", "no_preference"])
def test_a_tie_beside_a_winner(tmp_path: Path, no: Any, mark: Any, column: str) -> None:
    rows = [r | {column: v} for r, v in zip(judged("A", None, "B"), (no, mark, no), strict=True)]
    assert best(files(tmp_path, rows)) == [0, None, 1]
    rows[2][column] = mark
    message = refused(files(tmp_path, rows))
    assert f"{column}: says that the row is a tie, but winner says that one answer" in message
    assert f"rankings.ignore=[{column}]" in message
    with pytest.warns(UserWarning, match="2 of 3 rows kept"):
        assert best(files(tmp_path, rows, on_bad_row=OnBadRow.skip)) == [0, None]
    rows[1]["winner"] = "tie"
    ignoring = files(tmp_path, rows, ignore=[column])
    assert best(ignoring) == [0, None, 1]
    rows[2][column], rows[1][column] = no, no
    assert "is no tie, but winner says a tie" in refused(files(tmp_path, rows))


def test_a_tie_beside_scores(tmp_path: Path) -> None:
    rows = judged(None, None, score_a=2, score_b=1, tie=False)
    assert best(files(tmp_path, rows)) == [0, 0]
    rows[1]["tie"] = True
    assert "tie: says that the row is a tie, but score_a, score_b say" in refused(
        files(tmp_path, rows)
    )
    rows[1]["score_b"] = 2
    assert best(files(tmp_path, rows)) == [0, None]


def test_a_tie_beside_a_pair(tmp_path: Path) -> None:
    rows = [{"prompt": f"{i}?", "chosen": "x", "rejected": "y", "is_tie": i == 1} for i in range(3)]
    message = refused(files(tmp_path, rows))
    assert "rows.jsonl:2: is_tie: says that the row is a tie, which is not read here" in message
    assert "rankings.on_bad_row=skip. If it does not count: rankings.ignore=[is_tie]" in message
    config = files(tmp_path, rows, ignore=["is_tie"])
    assert best(config) == [0, 0, 0]
    assert any("'is_tie' is ignored, though" in notice for notice in inspect(config).notices)


def test_a_tie_column_that_is_no_mark(tmp_path: Path) -> None:
    message = refused(files(tmp_path, judged("A", "B", tie="both bad")))
    assert "tie: is 'both bad' but must say whether the row is a tie" in message
    assert "rankings.ignore=[tie]" in message


def test_three_numbers_of_two_answers_are_not_guessed(tmp_path: Path) -> None:
    message = refused(files(tmp_path, judged(0, 1, 2)))
    assert "winner=winner rankings.verdict.first=[...] rankings.verdict.second=[...]" in message


def test_two_columns_of_ties(tmp_path: Path) -> None:
    rows = judged("A", "B", tie=0, is_equal=0)
    assert "'tie' and 'is_equal' may all mark ties" in refused(files(tmp_path, rows))
    assert best(files(tmp_path, rows, ignore=["is_equal"])) == [0, 1]


def test_two_verdicts_are_compared_in_the_whole_file(tmp_path: Path) -> None:
    """They are the same in 300 rows and opposite in 300 others."""
    rows = [
        row | {"human_winner": "A"} for row in judged(*"A" * 300, *"B" * 300, column="gpt_winner")
    ]
    message = refused(files(tmp_path, rows))
    assert "rows.jsonl:301: gpt_winner: is 'B' and does not agree with 'human_winner'" in message
    assert "verdict.winner=human_winner or rankings.verdict.winner=gpt_winner" in message
    assert "300 of 600 rows are bad" in message
    told = VerdictColumns(winner="gpt_winner")
    assert best(files(tmp_path, rows, verdict=told)) == [0] * 300 + [1] * 300


def test_marks_beside_a_verdict_are_compared(tmp_path: Path) -> None:
    """In the second row the marks are for a, and the winner is b."""
    rows = judged("A", "B", chosen_a=True, chosen_b=False)
    message = refused(files(tmp_path, rows))
    assert ":2: chosen_a, chosen_b: prefer another answer than winner. Say which" in message
    cures = [VerdictColumns(winner="winner"), VerdictColumns(wins=["chosen_a", "chosen_b"])]
    assert "rankings.verdict.winner=winner or rankings.verdict.wins=[chosen_a,chosen_b]" in message
    assert [best(files(tmp_path, rows, verdict=told)) for told in cures] == [[0, 1], [0, 0]]
    told = inspect(files(tmp_path, rows, verdict=cures[0])).notices
    assert any("in 1 of 2 rows the scores, ranks or marks" in notice for notice in told)


@pytest.mark.parametrize("column", ["gpt4_says", "llm", "second_reading"])
def test_a_second_opinion_that_differs_is_never_passed_over(tmp_path: Path, column: str) -> None:
    """Its name does not say that it judges, but its values do; in the last row it says b."""
    rows = judged("a", "b", "a")
    for row, says in zip(rows, ("a", "b", "b"), strict=True):
        row[column] = says
    message = refused(files(tmp_path, rows))
    assert f":3: {column}: is 'b' and does not agree with 'winner', which is 'a'" in message
    assert f"verdict.winner=winner or rankings.verdict.winner={column}" in message
    for name, expected in (("winner", [0, 1, 0]), (column, [0, 1, 1])):
        told = VerdictColumns(winner=name)
        assert best(files(tmp_path, rows, verdict=told)) == expected
    assert best(files(tmp_path, rows[:2])) == [0, 1]  # where both agree nothing is asked


@pytest.mark.parametrize("column", ["shown_first", "model", "language", "longer"])
def test_a_fact_about_the_row_is_no_opinion(tmp_path: Path, column: str) -> None:
    rows = judged("a", "b", "a")
    for row, says in zip(rows, "abb", strict=True):
        row[column] = says
    assert best(files(tmp_path, rows)) == [0, 1, 0]


def test_scores_of_a_list_beside_a_verdict(tmp_path: Path) -> None:
    """The verdict of the second row is the answer with the lower score."""
    rows = [
        {"prompt": f"{i}?", "responses": [f"x{i}", f"y{i}"], "scores": [2, 1], "winner": who}
        for i, who in enumerate(("first", "second"))
    ]
    assert ":2: scores: prefer another answer than winner" in refused(files(tmp_path, rows))
    config = files(tmp_path, rows, verdict=VerdictColumns(winner="winner"))
    assert best(config) == [0, 1]
    assert any("in 1 of 2 rows the scores, ranks" in n for n in inspect(config).notices)
    assert best(files(tmp_path, rows, verdict=VerdictColumns(scores=["scores"]))) == [0, 0]


@pytest.mark.parametrize(
    "names", [("rank_score_a", "rank_score_b"), ("a_score_rank", "b_score_rank")]
)
def test_a_name_of_ranks_and_of_scores(tmp_path: Path, names: tuple[str, str]) -> None:
    rows = [row | dict(zip(names, (1, 2), strict=True)) for row in judged(None)]
    message = refused(files(tmp_path, rows))
    both = ",".join(names)
    assert f"verdict.ranks=[{both}] (1 is the best), or rankings.verdict.scores=[{both}]" in message


@pytest.mark.parametrize("about", ["position", "search_rank", "rejected_rank"])
def test_numbers_that_are_no_ranks_for_certain(tmp_path: Path, about: str) -> None:
    rows = [row | {f"{about}_a": 1, f"{about}_b": 2} for row in judged(None)]
    assert "Say which do" in refused(files(tmp_path, rows))


@pytest.mark.parametrize(
    "about,values,how",
    [
        ("rejected", (True, False), "wins"),
        ("rejected", (1, 0), "scores"),
        ("not_chosen", (1, 0), "scores"),
        ("least_preferred", (True, False), "wins"),
        ("loser_score", (7, 2.5), "scores"),
    ],
)
def test_marks_of_the_worse_answer(tmp_path: Path, about: str, values: Any, how: str) -> None:
    """The mark is on a, so that b, number 1, is the better one."""
    names = [f"{about}_a", f"{about}_b"]
    rows = [row | dict(zip(names, values, strict=True)) for row in judged(None)]
    message = refused(files(tmp_path, rows))
    assert f"verdict.{how}=[{','.join(names[::-1])}]" in message
    assert ",".join(names) not in message.partition("Say which do")[2]
    told = VerdictColumns()
    setattr(told, how, names[::-1])
    assert best(files(tmp_path, rows, verdict=told)) == [1]


@pytest.mark.parametrize(
    "values,expected",
    [
        (("A>>B", "B>>A", "A>B", "A=B"), [0, 1, 0, None]),
        (("[[A>B]]", "[[B>A]]", "[[A=B]]", "[[B>>A]]"), [0, 1, None, 1]),
        (("A<B", "answer_a > answer_b", "B < A", "Model A == Model B"), [1, 0, 0, None]),
    ],
)
def test_comparisons(tmp_path: Path, values: Any, expected: Any) -> None:
    assert best(files(tmp_path, judged(*values))) == expected


@pytest.mark.parametrize(
    "values", [("A>=B", "B>=A"), ("A>A", "B>B"), ("A>C", "B>C"), ("1>2", "2>1")]
)
def test_comparisons_that_are_not_clear(tmp_path: Path, values: Any) -> None:
    assert "'rankings.verdict.first=[\"...\"]'" in refused(files(tmp_path, judged(*values)))


@pytest.mark.parametrize(
    "column,values",
    [
        ("winner", ("A loses", "B loses")),
        ("preference", ("A is worse", "B is worse")),
        ("winner", ("not A", "not B")),
        ("winner", ("!A", "!B")),
        ("winner", ("A -", "B -")),
        ("winner", ("A?", "B?")),
        ("winner", ("neither A", "neither B")),
        ("winner", ("second best", "first best")),
        ("loser", ("A is better", "B is better")),
        ("least_preferred", ("A>B", "B>A")),
    ],
)
def test_no_example_that_would_be_the_opposite(tmp_path: Path, column: str, values: Any) -> None:
    message = refused(files(tmp_path, judged(*values, column=column)))
    for place in ("first", "second", "tie"):
        assert f"'rankings.verdict.{place}=[\"...\"]'" in message


def test_a_bad_value_may_mean_any_answer(tmp_path: Path) -> None:
    rows = judged(*"AB" * 200, "odd")
    assert (
        "rankings.verdict.winner=winner with rankings.verdict.first=[...], "
        "rankings.verdict.second=[...] (first: answer_a) or rankings.verdict.tie=[...]"
    ) in refused(files(tmp_path, rows))


def test_a_column_of_the_worse_answer_beside_unknown_answers(tmp_path: Path) -> None:
    row = {"question": "q", "by_people": "x", "by_machine": "y", "loser": "people"}
    message = refused(files(tmp_path, [row]))
    assert (
        "verdict.winner=loser rankings.verdict.first=[...] rankings.verdict.second=[...]" in message
    )
    better = {**row, "winner": "machine"}
    assert refused(files(tmp_path, [better])).count("verdict.winner=winner") == 1


def test_a_verdict_that_is_the_same_in_all_rows_overrules_names(tmp_path: Path) -> None:
    """All rows say that b is better, or that a is worse, and the config calls a the chosen one."""
    assert "verdict.winner=winner" in refused(files(tmp_path, judged("b", "b"), columns=_MAPPED))
    worse = judged("a", "a", column="loser")
    assert "rankings.verdict.second=[a]" in refused(files(tmp_path, worse, columns=_MAPPED))
    agreeing = judged("b", "b", column="loser")
    assert best(files(tmp_path, agreeing, columns=_MAPPED, ignore=["loser"])) == [0, 0]
    marks = judged(None, winner_a=False, winner_b=True)
    message = refused(files(tmp_path, marks, columns=_MAPPED, ignore=["winner"]))
    assert "say in 1 of 1 rows that 'answer_a' is not the better answer" in message


@pytest.mark.parametrize(
    ("better", "worse", "values"),
    [
        ("score_chosen", "score_rejected", (6.5, 2.0)),  # UltraFeedback, binarised
        ("chosen_score", "rejected_score", (6, 2)),
        ("chosen_model", "rejected_model", ("m1", "m2")),
        ("logps_chosen", "logps_rejected", (-3.25, -9.5)),
        ("chosenRating", "rejectedRating", (5, 1)),
    ],
)
def test_facts_about_each_of_a_pair_are_no_verdict(
    better: str, worse: str, values: tuple[object, object], tmp_path: Path
) -> None:
    given = [
        {"prompt": f"p{i}", "chosen": f"good {i}", "rejected": f"bad {i}"}
        | dict(zip((better, worse), values, strict=True))
        for i in range(6)
    ]
    assert best(files(tmp_path, given)) == [0] * 6
