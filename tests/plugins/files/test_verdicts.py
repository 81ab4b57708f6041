"""Rows with several answers and a column that says which is the better one: read as their owner
means it, or refused with an option that then works. Never a label the wrong way round."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from judged_rows import best, files, judged, refused
from preflab.records import Message, Ranking
from preflab_builtin.files.config import (
    ColumnNames,
    OnBadRow,
    VerdictColumns,
)
from preflab_builtin.files.source import FileSource, inspect


@pytest.mark.parametrize(
    "first,second,tie",
    [
        ("a", "b", "tie"),
        ("A", "B", "Tie (both bad)"),
        ("answer_a", "answer_b", "both"),
        ("model_a", "model_b", "tie (bothbad)"),
        ("left", "right", "neither"),
        ("First", "Second", "equal"),
        ("[[A]]", "[[B]]", "no preference"),
        ("Answer A is better", "Response B", "draw"),
    ],
)
def test_words_that_can_only_mean_one_answer(
    tmp_path: Path, first: str, second: str, tie: str
) -> None:
    config = files(tmp_path, judged(first, second, tie, second))
    assert best(config) == [0, 1, None, 1]
    ranking = FileSource(config).records("rankings")[2]
    assert isinstance(ranking, Ranking)
    assert (ranking.responses, ranking.ties) == (("first 2", "second 2"), ((0, 1),))
    assert ranking.prompt.text == "What is 2?"
    said = "rankings: 'winner' says which answer is the best: answer_a in 1, answer_b in 2, a tie"
    assert any(notice.startswith(said) for notice in inspect(config).notices)


def test_the_text_of_the_winner_or_the_name_of_its_model(tmp_path: Path) -> None:
    rows = judged("second 0", "first 1")
    assert best(files(tmp_path, rows)) == [1, 0]
    models = [{"model_a": "x", "model_b": "y"}, {"model_a": "y", "model_b": "x"}]
    rows = [row | both for row, both in zip(judged("y", "y"), models, strict=True)]
    assert best(files(tmp_path, rows)) == [1, 0]


@pytest.mark.parametrize(
    "values,expected",
    [((0, 1, 0), [0, 1, 0]), (("1", "2", "1"), [0, 1, 0]), ((1.0, 2.0, 2.0), [0, 1, 1])],
)
def test_numbers_count_from_where_the_file_shows(
    tmp_path: Path, values: Any, expected: list[int]
) -> None:
    assert best(files(tmp_path, judged(*values))) == expected


def test_the_whole_file_shows_it(tmp_path: Path) -> None:
    assert best(files(tmp_path, judged(*(1,) * 300, *(2,) * 3)))[-4:] == [0, 1, 1, 1]
    assert "holds 0, 1, 2 in the whole file" in refused(files(tmp_path, judged(*(0, 1) * 200, 2)))


@pytest.mark.parametrize(
    "column,values,expected",
    [
        ("winner", (1, 1), "holds 1 in the whole file"),
        ("label", (0, 1), "holds 0, 1 in the whole file"),
        ("preference", (True, False), "'true' .1 rows., 'false'"),
        ("winner", ("gpt", "claude"), "holds 'gpt' .1 rows., 'claude'"),
        ("winner", ("A>=B", "B>=A"), "holds 'a>=b'"),
        ("loser", ("a", "b"), "seems to name the worse answer"),
        ("first_shown", ("a", "b"), "which are answers. If it says"),
        ("overall_preference", (-3, 2), "goes from -3 to 2"),
        ("preference", (0.2, 0.9), "goes from 0.2 to 0.9"),
        ("remark", ("x", "y"), "no column is known to say which is the better one"),
    ],
)
def test_what_is_not_certain_is_refused_and_never_ignored(
    tmp_path: Path, column: str, values: Any, expected: str
) -> None:
    message = refused(files(tmp_path, judged(*values, column=column)))
    assert re.search(expected, message), message
    assert "rankings.verdict." in message
    assert "ignore" not in message
    assert "columns.chosen=answer" not in message


@pytest.mark.parametrize(
    "column,values,verdict,expected",
    [
        ("label", (0, 1), {"start": 0}, [0, 1]),
        ("label", (0, 1), {"first": ["1"], "second": ["0"]}, [1, 0]),
        (
            "w",
            ("x", "Y", "z"),
            {"second": ["X"], "first": ["y"], "tie": ["z"]},
            [1, 0, None],
        ),
        ("w", (True, False), {"first": ["true"], "second": ["False"]}, [0, 1]),
        ("loser", ("a", "b"), {"second": ["a"], "first": ["b"]}, [1, 0]),
        ("s", (-3, 0, 2), {"high": "answer_b", "even": 0}, [0, None, 1]),
        ("p", (0.2, 0.5, 0.9), {"high": "answer_a", "even": 0.5}, [1, None, 0]),
    ],
)
def test_the_config_says_what_it_means(
    tmp_path: Path, column: str, values: Any, verdict: Any, expected: Any
) -> None:
    columns = VerdictColumns(winner=column, **verdict)
    assert best(files(tmp_path, judged(*values, column=column), verdict=columns)) == expected


def test_answers_of_any_names(tmp_path: Path) -> None:
    rows = [
        {"question": f"{i}?", "by_people": f"a{i}", "by_machine": f"b{i}", "winner": who}
        for i, who in enumerate(("people", "machine"))
    ]
    message = refused(files(tmp_path, rows))
    assert "verdict.answers=[by_people,by_machine] rankings.verdict.winner=winner" in message
    columns = VerdictColumns(answers=["by_people", "by_machine"], winner="winner")
    assert best(files(tmp_path, rows, verdict=columns)) == [0, 1]


def test_one_hot_columns_of_the_arena(tmp_path: Path) -> None:
    """As on Kaggle: lists of turns as JSON, and a mark for each model and for a tie."""
    marks = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    names = ("winner_model_a", "winner_model_b", "winner_tie")
    rows = [
        {
            "id": i,
            "prompt": json.dumps([f"q{i}"]),
            "response_a": json.dumps([f"a{i}"]),
            "response_b": json.dumps([f"b{i}"]),
            **dict(zip(names, given, strict=True)),
        }
        for i, given in enumerate(marks)
    ]
    config = files(tmp_path, rows)
    assert best(config) == [0, 1, None]
    ranking = FileSource(config).records("rankings")[0]
    assert isinstance(ranking, Ranking)
    assert ranking.prompt.messages == (Message("user", "q0"),)
    assert ranking.responses == ("a0", "b0")
    prompts = FileSource(files(tmp_path, rows, "prompts")).records("prompts")
    assert prompts[0].messages == (Message("user", "q0"),)  # type: ignore[union-attr]
    config = files(tmp_path, rows)
    both = {**rows[0], "winner_model_b": 1}
    assert best(files(tmp_path, [both, *rows[1:]])) == [None, 1, None]
    none = {**rows[0], "winner_model_a": 0}
    assert "neither a winner nor a tie" in refused(files(tmp_path, [none, *rows[1:]]))
    shares = [{**row, "winner_model_a": 0.3} for row in rows]
    assert "verdict.scores=[winner_model_a,winner_model_b]" in refused(files(tmp_path, shares))


def test_turns_that_differ_are_two_questions(tmp_path: Path) -> None:
    row = {"prompt": '["q", "r"]', "response_a": '["x", "y"]', "response_b": '["x", "z"]'}
    config = files(tmp_path, [{**row, "winner": "a"}])
    ranking = FileSource(config).records("rankings")[0]
    assert isinstance(ranking, Ranking)
    assert [m.content for m in ranking.prompt.messages] == ["q", "x", "r"]
    row["response_b"] = '["other", "z"]'
    assert "differ before the last turn" in refused(files(tmp_path, [{**row, "winner": "a"}]))


@pytest.mark.parametrize(
    "names,better",
    [
        (("score_a", "score_b"), [9, 1]),
        (("answer_a_rating", "answer_b_rating"), ["4.5", "2"]),
        (("votes_a", "votes_b"), [3, 2]),
        (("rank_a", "rank_b"), [1, 2]),
        (("preferred_a", "preferred_b"), [True, False]),
    ],
)
def test_a_number_for_each_answer(tmp_path: Path, names: Any, better: Any) -> None:
    both = [dict(zip(names, given, strict=True)) for given in (better, better[::-1])]
    rows = [row | given for row, given in zip(judged("", ""), both, strict=True)]
    config = files(tmp_path, [{k: v for k, v in row.items() if v != ""} for row in rows])
    assert best(config) == [0, 1]


def test_numbers_that_may_not_judge(tmp_path: Path) -> None:
    rows = judged(None, None, score_a=1, score_b=2, rating_a=2, rating_b=1)
    options = r"scores=.rating_a,rating_b. .*, or rankings.verdict.scores=.score_a,score_b."
    assert re.search(options, refused(files(tmp_path, rows)))
    told = VerdictColumns(scores=["rating_a", "rating_b"])
    assert best(files(tmp_path, rows, verdict=told)) == [0, 0]
    rows = judged(None, None, toxicity_a=1, toxicity_b=2)
    message = refused(files(tmp_path, rows))
    assert "verdict.scores=[toxicity_a,toxicity_b] (higher is better), or" in message
    assert "verdict.scores=[toxicity_b,toxicity_a] (lower is better" in message
    told = VerdictColumns(scores=["toxicity_b", "toxicity_a"])  # 1 and 2: the first is less toxic
    assert best(files(tmp_path, rows, verdict=told)) == [0, 0]
    rows = judged("a", "b", tokens_a=1, tokens_b=2, score_a=1, score_b=0)
    assert "verdict.winner=winner or rankings.verdict.scores=[score_a,score_b]" in refused(
        files(tmp_path, rows)
    )
    config = files(tmp_path, rows, verdict=VerdictColumns(winner="winner"))
    assert best(config) == [0, 1]  # then a winner counts, scores beside it do not
    assert any(
        "in 1 of 2 rows the scores, ranks or marks" in notice for notice in inspect(config).notices
    )


def test_more_than_two_answers(tmp_path: Path) -> None:
    answers = {f"answer_{k}": f"text {k}" for k in (1, 2, 3)}
    ranks = [{"rank_1": 2, "rank_2": 1, "rank_3": 3}, {"rank_1": 1, "rank_2": 2, "rank_3": 2}]
    rows = [{"question": f"{i}?", **answers, **some} for i, some in enumerate(ranks)]
    first, second = FileSource(files(tmp_path, rows)).records("rankings")
    assert isinstance(first, Ranking)
    assert isinstance(second, Ranking)
    assert set(first.preferences) == {(1, 0), (1, 2), (0, 2)}
    assert (second.preferences, second.ties) == (((0, 1), (0, 2)), ((1, 2),))
    rows = [{"question": f"{i}?", **answers, "best": f"answer_{i}"} for i in (1, 3)]
    _, third = FileSource(files(tmp_path, rows)).records("rankings")
    assert isinstance(third, Ranking)
    assert (third.preferences, third.unjudged) == (((2, 0), (2, 1)), ((0, 1),))


@pytest.mark.parametrize(
    "column,values,expected",
    [
        ("label", (0, 2, 1), [0, 2, 1]),
        ("chosen_index", (1, 3, 2), [0, 2, 1]),
        ("best", ("C", "a", "b"), [2, 0, 1]),
        ("winner", ("z2", "x1", "y1"), [2, None, 1]),
        ("scores", ([1, 2, 3], [3, 1, 2], [1, 4, 2]), [2, 0, 1]),
    ],
)
def test_answers_in_a_list(tmp_path: Path, column: str, values: Any, expected: Any) -> None:
    rows = [
        {"prompt": f"{i}?", "responses": [f"x{i}", f"y{i}", f"z{i}"], column: value}
        for i, value in enumerate(values)
    ]
    if column == "winner":
        rows[0]["winner"], rows[1]["winner"], rows[2]["winner"] = "z0", "tie", "y2"
    assert best(files(tmp_path, rows)) == expected


def test_a_list_of_numbers_beside_columns_of_answers(tmp_path: Path) -> None:
    answers = {f"answer_{k}": f"text {k}" for k in "abc"}
    rows = [{"question": f"{i}?", **answers, "ranks": [2, 3, 1]} for i in range(2)]
    config = files(tmp_path, rows)
    assert best(config) == [2, 2]  # as an order, the second would be the best
    assert any("would say something else as an order" in n for n in inspect(config).notices)
    rows = [{"question": f"{i}?", **answers, "ratings": [1, 5, "2.5"]} for i in range(2)]
    assert best(files(tmp_path, rows)) == [1, 1]


def test_choices_of_a_question(tmp_path: Path) -> None:
    options = {f"option_{letter}": f"text {letter}" for letter in "abcd"}
    rows = [{"question": f"{i}?", **options, "answer": letter} for i, letter in enumerate("CA")]
    assert best(files(tmp_path, rows)) == [2, 0]


def test_conversations_and_instructions(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "Hi"}]
    a, b = ([*said, {"role": "assistant", "content": text}] for text in ("Hello!", "No."))
    row = {"conversation_1": a, "conversation_2": b, "preference": "conversation_2"}
    assert best(files(tmp_path, [row])) == [1]
    row = {"messages": said, "response_a": "Hello!", "response_b": "No.", "choice": "B"}
    config = files(tmp_path, [row])
    assert FileSource(config).records("rankings")[0].prompt.messages == (Message("user", "Hi"),)  # type: ignore[union-attr]
    row = {"instruction": "Say hi.", "input": "x", "output_1": "a", "output_2": "b"}
    rows = [{**row, "preference": 2}, {**row, "preference": 1}]
    assert best(files(tmp_path, rows)) == [1, 0]
    # LLMBar's columns with labels that count from 0 have the prompts of LLMBar.
    rows = [{"input": "Do.", "output_1": "a", "output_2": "b", "label": i} for i in (1, 0)]
    assert "verdict.winner=label rankings.verdict.start=0" in refused(files(tmp_path, rows))
    told = FileSource(files(tmp_path, rows, verdict=VerdictColumns(winner="label", start=0)))
    ones = [{**row, "label": i} for row, i in zip(rows, (2, 1), strict=True)]
    usual = FileSource(files(tmp_path, ones))
    assert told.records("rankings") == usual.records("rankings")


def test_the_questions_alone_are_prompts(tmp_path: Path) -> None:
    rows = judged("a", "x", None)
    rows[1]["answer_b"] = None
    config = files(tmp_path, rows, "prompts")
    texts = [prompt.text for prompt in FileSource(config).records("prompts")]  # type: ignore[union-attr]
    assert texts == ["What is 0?", "What is 1?", "What is 2?"]


def test_names_of_the_better_answer_beside_the_answers(tmp_path: Path) -> None:
    """'chosen' is no answer where it holds a letter or the name of a model."""
    rows = [{"prompt": f"{i}?", "response_a": "one", "response_b": "two"} for i in range(2)]
    letters = [
        {**row, "chosen": c, "rejected": r} for row, c, r in zip(rows, "ab", "ba", strict=True)
    ]
    assert best(files(tmp_path, letters)) == [0, 1]
    models = [{**row, "model_a": "x", "model_b": "y"} for row in rows]
    models = [{**r, "chosen": c, "rejected": "?"} for r, c in zip(models, "yx", strict=True)]
    assert best(files(tmp_path, models)) == [1, 0]
    texts = [{**row, "chosen": "two", "rejected": "one"} for row in rows]
    assert best(files(tmp_path, texts)) == [1, 1]


def test_a_question_by_another_name(tmp_path: Path) -> None:
    rows = [{"asked_of_us": row.pop("question"), **row} for row in judged("a", "b")]
    message = refused(files(tmp_path, rows))
    assert "which column of asked_of_us holds the question" in message
    assert "ignore" not in message
    assert best(files(tmp_path, rows, columns=ColumnNames(prompt="asked_of_us"))) == [0, 1]


def test_remarks_about_a_verdict_are_counted(tmp_path: Path) -> None:
    rows = [
        {**row, "explanation": f"It is better by {i} words.", "winner_confidence": 0.5 + i}
        for i, row in enumerate(judged("a", "b"))
    ]
    config = files(tmp_path, rows)
    assert best(config) == [0, 1]
    assert "explanation, winner_confidence (all rows)" in inspect(config).notices[0]


def test_names_of_columns_say_which_is_better(tmp_path: Path) -> None:
    row = {"asked": "q", "better_answer": "a", "worse_answer": "b"}
    options = "columns.chosen=better_answer rankings.columns.rejected=worse_answer"
    assert options in refused(files(tmp_path, [row]))
    row = {"asked": "q", "by_people": "a", "by_machine": "b"}
    assert "columns.chosen=NAME rankings.columns.rejected=NAME" in refused(files(tmp_path, [row]))


def test_answers_that_are_compared_are_no_demonstrations(tmp_path: Path) -> None:
    message = refused(files(tmp_path, judged("a", "b"), "demonstrations"))
    assert "They hold several answers to a question: give them as rankings" in message
    assert "columns.completion" not in message


def test_rows_without_a_verdict_are_counted(tmp_path: Path) -> None:
    rows = judged("a", None, "b", "nobody")
    told = VerdictColumns(winner="winner")
    config = files(tmp_path, rows, on_bad_row=OnBadRow.skip, verdict=told)
    with pytest.warns(UserWarning, match="2 of 4 rows kept, 2 rejected") as warned:
        assert best(config) == [0, 1]
    message = str(warned[0].message)
    assert "rows.jsonl:2: winner: is empty" in message
    assert "rows.jsonl:4: winner: is 'nobody', which points to no answer" in message


def test_two_verdicts_must_agree(tmp_path: Path) -> None:
    agreeing = [{**row, "human_preference": row["winner"].upper()} for row in judged("a", "b")]
    assert best(files(tmp_path, agreeing)) == [0, 1]
    differing = [{**row, "human_preference": "A"} for row in judged("a", "b")]
    message = refused(files(tmp_path, differing))
    assert "verdict.winner=winner or rankings.verdict.winner=human_preference" in message
    told = VerdictColumns(winner="human_preference")
    assert best(files(tmp_path, differing, verdict=told)) == [0, 0]


def test_values_of_other_types_are_refused_by_row(tmp_path: Path) -> None:
    broken: list[Any] = [None, "", [], {}, [None], {"text": "x"}]
    good = judged("a", "b") * 12
    columns = ("question", "answer_a", "winner")
    rows = [{**good[0], column: value} for column in columns for value in broken]
    rows += [{**good[0], column: value} for column in columns[:2] for value in (3, True)]
    config = files(tmp_path, [*good, *rows], on_bad_row=OnBadRow.skip)
    with pytest.warns(UserWarning, match="rows kept"):
        (parsed,) = FileSource(config).parsed.values()
    assert (parsed.total, parsed.kept) == (len(good) + len(rows), len(good))


def test_a_file_that_begins_with_ties(tmp_path: Path) -> None:
    found = best(files(tmp_path, judged(*("tie",) * 250, "b", "a")))
    assert found == [None] * 250 + [1, 0]


def test_a_bad_row_does_not_change_what_the_others_say(tmp_path: Path) -> None:
    rows = judged(None, None, None, score_a=2, score_b=1)
    rows[1]["score_b"] = "n/a"
    with pytest.warns(UserWarning, match="rows.jsonl:2: score_b: is 'n/a' but must be a number"):
        assert best(files(tmp_path, rows, on_bad_row=OnBadRow.skip)) == [0, 0]


def test_values_that_are_understood_are_not_explained_again(tmp_path: Path) -> None:
    """'b' comes first and still means the second answer; what is asked for is 'unsure' alone."""
    rows = judged("b", "a", "unsure")
    message = refused(files(tmp_path, rows))
    assert "What 'unsure' means is not known" in message
    assert "verdict.first=[...] rankings.verdict.second=[...] rankings.verdict.tie=[...]" in message
    assert "[unsure]" not in message
    cure = "To leave such rows out, counted: rankings.verdict.winner=winner rankings.on_bad_row"
    assert cure in message
    told = VerdictColumns(winner="winner", tie=["unsure"])
    assert best(files(tmp_path, rows, verdict=told)) == [1, 0, None]
