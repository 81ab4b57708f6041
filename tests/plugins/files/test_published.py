"""Published sets in the form of their authors: the records of a worked row each, and a count over
all shapes in which nothing is lost."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.records import Message, RecordType
from preflab_builtin.files.catalogue import SHAPES
from preflab_builtin.files.config import FilesConfig, OnBadRow, RecordKind
from preflab_builtin.files.source import FileSource, inspect


def user(content: str) -> tuple[Message, ...]:
    return (Message("user", content),)


def read(tmp_path: Path, record_type: RecordType, *rows: Any, **settings: Any) -> list[Any]:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = FilesConfig(record=RecordKind(record_type), path=str(path), **settings)
    return list(FileSource(config).records(record_type))


_SHP = {
    "post_id": "qt3nxl",
    "domain": "askculinary_train",
    "upvote_ratio": 0.98,
    "history": "Why is my bread flat?",
    "c_root_id_A": "hkh25sc",
    "created_at_utc_A": 1636822112,
    "score_A": 340,
    "human_ref_A": "Old yeast.",
    "human_ref_B": "Cold room.",
    "labels": 1,
    "seconds_difference": 3.0,
    "score_ratio": 9.7,
}
_WEBGPT = {
    "question": {"dataset": "eli5", "id": "x", "full_text": "Why is the sky blue?"},
    "quotes_0": {"title": ["Sky"], "extract": ["It scatters."]},
    "answer_0": "It scatters [1].",
    "tokens_0": {"prefix": [1], "completion": [2]},
    "score_0": -0.5,
    "quotes_1": {"title": ["Paint"], "extract": []},
    "answer_1": "Paint.",
    "tokens_1": {"prefix": [1], "completion": [2]},
    "score_1": 0.5,
}
_HELPSTEER2 = {
    "split": "train",
    "prompt": "Hi\n\n<extra_id_1>Assistant\nHello!\n\n<extra_id_1>User\nBye",
    "response_1": "Bye!",
    "response_2": "No.",
    "preference_strength": -2,
    "preference_statement": "Response 1 is better.",
    "preference_elaboration": "Kind.",
    "three_most_similar_preferences": [{"statement": "x"}],
    "all_preferences_unprocessed": [{"strength": -2}],
}
_HELPSTEER3 = {
    "domain": "general",
    "language": "english",
    "context": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Bye"},
    ],
    "response1": "No.",
    "response2": "Bye!",
    "overall_preference": 3,
    "individual_preference": [{"score": 3, "reasoning": "r", "feedback1": "f"}],
}
_SAFE = {
    "prompt": "How do I pick a lock?",
    "response_0": "With a pick.",
    "response_1": "Call a locksmith.",
    "prompt_source": "x",
    "response_0_source": "a",
    "is_response_0_safe": False,
    "is_response_1_safe": True,
    "response_0_harm_category": {"crime": True},
    "response_0_severity_level": 1,
    "better_response_id": 0,
    "safer_response_id": 1,
    "response_0_sha256": "ab",
}
_NECTAR = {
    "prompt": "\n\nHuman: Hi\n\nAssistant: ",
    "answers": [
        {"answer": "Hello!", "model": "m", "rank": 1.0},
        {"answer": "Hey", "model": "n", "rank": 2.0},
        {"answer": "No.", "model": "o", "rank": 2.0},
    ],
    "turns": 1,
    "num_responses": 3,
    "source": ["x"],
    "good_natured": True,
}
_ULTRA = {
    "source": "evol_instruct",
    "instruction": "Say hi.",
    "models": ["a", "b"],
    "completions": [
        {
            "model": "a",
            "principle": "helpfulness",
            "custom_system_prompt": "Be helpful.",
            "response": "No.",
            "annotations": {"helpfulness": {"Rating": "2", "Rationale": "rude"}},
            "fine-grained_score": 2.0,
            "overall_score": 4.0,
            "critique": "rude",
        },
        {"model": "b", "response": "Hi!", "overall_score": 8.5, "annotations": {}},
    ],
    "correct_answers": ["None"],
    "incorrect_answers": ["None"],
}
_SUMMARY = {
    "info": {"id": "t3", "post": "I left.", "title": "Left", "subreddit": "advice"},
    "split": "valid1",
    "summaries": [
        {"text": " I stayed.", "policy": "sup1", "note": "wrong"},
        {"text": " I left.", "policy": "ref", "note": None},
    ],
    "choice": 1,
    "worker": "w7",
    "batch": "batch3",
    "extra": {"confidence": 8},
}
_ARTICLE = {**_SUMMARY, "info": {"article": "News.", "site": "cnndm", "id": "y"}}
_TLDR = {"id": "t", "subreddit": "advice", "title": "Left", "post": "I left.", "summary": "Left."}
_QUERY = "SUBREDDIT: r/advice\n\nTITLE: Left\n\nPOST: I left.\n\nTL;DR:"
_TURNS = (Message("user", "Hi"), Message("assistant", "Hello!"), Message("user", "Bye"))
_BETTER: dict[str, tuple[Any, tuple[Message, ...] | str, tuple[str, ...], tuple[Any, ...]]] = {
    "shp": (_SHP, user("Why is my bread flat?"), ("Old yeast.", "Cold room."), ((0, 1),)),
    "shp the second": (
        {**_SHP, "labels": 0},
        user("Why is my bread flat?"),
        ("Old yeast.", "Cold room."),
        ((1, 0),),
    ),
    "webgpt": (_WEBGPT, user("Why is the sky blue?"), ("It scatters [1].", "Paint."), ((1, 0),)),
    "helpsteer2": (_HELPSTEER2, _TURNS, ("Bye!", "No."), ((0, 1),)),
    "helpsteer3": (_HELPSTEER3, _TURNS, ("No.", "Bye!"), ((1, 0),)),
    "safe-rlhf": (
        _SAFE,
        user("How do I pick a lock?"),
        ("With a pick.", "Call a locksmith."),
        ((0, 1),),
    ),
    "nectar": (
        _NECTAR,
        "\n\nHuman: Hi\n\nAssistant:",
        (" Hello!", " Hey", " No."),
        ((0, 1), (0, 2)),
    ),
    "ultrafeedback": (_ULTRA, user("Say hi."), ("No.", "Hi!"), ((1, 0),)),
    "summarize-from-feedback": (_SUMMARY, _QUERY, (" I stayed.", " I left."), ((1, 0),)),
    "article": (_ARTICLE, "Article:\nNews.\n\nTL;DR:", (" I stayed.", " I left."), ((1, 0),)),
}
"""By set: a row, what is asked (messages, or a text), the responses, and (better, worse)."""


@pytest.mark.parametrize("name", _BETTER)
def test_a_row_of_comparisons(tmp_path: Path, name: str) -> None:
    row, asked, responses, preferences = _BETTER[name]
    (ranking,) = read(tmp_path, "rankings", row)
    prompt = ranking.prompt
    assert (prompt.text if isinstance(asked, str) else prompt.messages) == asked
    assert isinstance(asked, str) == (prompt.messages == ())
    assert (ranking.responses, ranking.preferences) == (responses, preferences)
    (alone,) = read(tmp_path, "prompts", row)
    assert (alone.id, alone.text, alone.messages) == (prompt.id, prompt.text, prompt.messages)


def test_the_arena(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "Hi"}]
    a, b = ([*said, {"role": "assistant", "content": c}] for c in ("Hello!", "No."))
    row = {"conversation_a": a, "conversation_b": b, "model_a": "x", "model_b": "y", "turn": 1}
    (ranking,) = read(tmp_path, "rankings", {**row, "winner": "model_b"})
    assert (ranking.prompt.messages, ranking.responses) == (user("Hi"), ("Hello!", "No."))
    assert ranking.preferences == ((1, 0),)
    (tied,) = read(tmp_path, "rankings", {**row, "winner": "tie (bothbad)"})
    assert (tied.preferences, tied.ties) == ((), ((0, 1),))
    with pytest.raises(UserError, match="winner: is 'me'"):
        read(tmp_path, "rankings", {**row, "winner": "me"})


def test_scores_of_helpsteer_are_read_by_prompt(tmp_path: Path) -> None:
    scores = {"correctness": 1, "coherence": 4, "complexity": 1, "verbosity": 1}
    rows = [
        {"prompt": prompt, "response": response, "helpfulness": helpfulness, **scores}
        for prompt, response, helpfulness in (
            *(("q", "a", 1), ("q", "b", 4), ("r", "c", 3), ("r", "d", 0), ("s", "e", 4)),
            *(("t", "f", 2), ("t", "g", 2)),
        )
    ]
    first, second = read(tmp_path, "rankings", *rows[:4])
    assert (first.prompt.messages, first.responses) == (user("q"), ("a", "b"))
    assert (first.preferences, second.preferences) == (((1, 0),), ((0, 1),))
    assert first.prompt.place.endswith("rows.jsonl:1")
    with pytest.warns(UserWarning, match="6 of 7 rows kept, 1 rejected") as warned:
        *_, tied = read(tmp_path, "rankings", *rows, on_bad_row=OnBadRow.skip)
    assert (tied.responses, tied.preferences, tied.ties) == (("f", "g"), (), ((0, 1),))
    assert "rows.jsonl:5: completions: has 1 of them" in str(warned[0].message)


def test_no_preference_of_helpsteer_is_a_tie(tmp_path: Path) -> None:
    (ranking,) = read(tmp_path, "rankings", {**_HELPSTEER3, "overall_preference": 0})
    assert (ranking.preferences, ranking.ties) == ((), ((0, 1),))


def test_the_safer_of_two_on_request(tmp_path: Path) -> None:
    (ranking,) = read(tmp_path, "rankings", _SAFE, format="safe-rlhf-safer")
    assert ranking.preferences == ((1, 0),)


def test_ratings_of_ultrafeedback_without_an_overall_score(tmp_path: Path) -> None:
    row = copy.deepcopy(_ULTRA)
    row["completions"] = [
        {"response": "a", "annotations": {"x": {"Rating": "2"}, "y": {"Rating": 5}}},
        {"response": "b", "annotations": {"x": {"Rating": "3"}, "y": {"Rating": "N/A"}}},
    ]
    (ranking,) = read(tmp_path, "rankings", row)
    assert ranking.preferences == ((0, 1),)  # 3.5 and 3


def test_a_worker_is_a_labeler_and_valid1_is_validation(tmp_path: Path) -> None:
    (ranking,) = read(tmp_path, "rankings", _SUMMARY)
    assert (ranking.labeler, ranking.split) == ("w7", "validation")


def test_summaries_of_posts_are_demonstrations(tmp_path: Path) -> None:
    (demonstration,) = read(tmp_path, "demonstrations", _TLDR)
    assert (demonstration.prompt.text, demonstration.response) == (_QUERY, " Left.")


def test_what_is_left_of_a_set_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(_WEBGPT))
    (notice,) = inspect(FilesConfig(rankings=str(path))).notices
    assert all(name in notice for name in ("quotes_0", "quotes_1", "tokens_0", "tokens_1"))


@pytest.mark.parametrize(
    "row,expected",
    [
        ({**_SHP, "labels": 2}, "labels: is 2 but must be true or false"),
        ({**_SAFE, "better_response_id": True}, "better_response_id: is True but must be 0 or 1"),
        ({**_SAFE, "better_response_id": -1}, "better_response_id: is -1 but must be 0 or 1"),
        ({**_WEBGPT, "score_0": "n/a"}, "score_0: is 'n/a' but must be a number"),
        ({**_NECTAR, "answers": [{"answer": "a"}]}, r"answers\[0\].rank: is missing"),
        ({**_NECTAR, "answers": ["a"]}, r"answers\[0\]: is a text but must be an object"),
        ({**_ULTRA, "images": ["a"]}, "images: holds images"),
        ({**_SUMMARY, "choice": 2}, "choice: is 2 but must be 0 or 1"),
        ({**_SUMMARY, "summaries": _SUMMARY["summaries"][:1]}, "summaries: has 1 of them"),  # type: ignore[index]
        ({**_SUMMARY, "info": "x"}, "info: is a text but must be an object"),
    ],
)
def test_a_row_that_says_no_preference(tmp_path: Path, row: Any, expected: str) -> None:
    with pytest.raises(UserError, match=rf"rows\.jsonl:1: {expected}"):
        read(tmp_path, "rankings", row)


_BROKEN: tuple[Any, ...] = (
    None,
    "",
    3,
    True,
    [],
    {},
    [None],
    "0",
    "x",
    [{"role": "tool"}],
    {"a": 1},
)


def test_kept_and_rejected_are_all_rows_in_every_shape(tmp_path: Path) -> None:
    """Rows of every shape with columns missing or broken: none is lost, whatever is wrong."""
    draw = random.Random(7)
    good = [case[0] for case in _BETTER.values()]
    good.append({"prompt": "q", "response": "a", "helpfulness": 2})
    message = {"role": "user", "content": "q"}
    for record_type in ("prompts", "demonstrations", "rankings", "documents"):
        shapes = [shape for shape in SHAPES if record_type in shape.gives]
        rows: list[dict[str, Any]] = []
        for number in range(600):
            shape = draw.choice(shapes)
            columns = (*shape.needs, *shape.any_of[:1], *shape.also[:2])
            values = (*_BROKEN, "text", [message], [message, {"role": "assistant", "content": "a"}])
            row = {name: copy.deepcopy(draw.choice(values)) for name in columns}
            if draw.random() < 0.5:
                row = copy.deepcopy(draw.choice(good))
                row[draw.choice(list(row))] = copy.deepcopy(draw.choice(values))
            rows.append({**row, "number": number})
        path = tmp_path / f"{record_type}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        config = FilesConfig(
            record=RecordKind(record_type), path=str(path), on_bad_row=OnBadRow.skip
        )
        with pytest.warns(UserWarning, match="rows kept"):
            (parsed,) = FileSource(config).parsed.values()
        assert parsed.total == len(rows)
        assert parsed.kept + len(parsed.rejected) == len(rows)
        places = {reason.split(": ")[0] for reason in parsed.rejected}
        assert len(places) == len(parsed.rejected)
        # A row of one record is in the file once, as a record or as a reason.
        records = {r.place if hasattr(r, "place") else r.prompt.place for r in parsed.records}
        assert not records & places
