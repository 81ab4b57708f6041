"""Rows of published sets of comparisons, in the form in which their authors publish them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from preflab.records import Message, preferences_from_ranks
from preflab.rows import BadRow, fields, shown, type_name
from preflab_builtin.files import conversations, transcripts
from preflab_builtin.files.asking import Case, Columns, case, question, reply
from preflab_builtin.files.columns import Reading
from preflab_builtin.files.transcripts import ASSISTANT, Asked
from preflab_builtin.files.values import blank, numeric, structured, truth

_TIE: tuple[tuple[int, int], ...] = ()
_FIRST, _SECOND = ((0, 1),), ((1, 0),)


def shp(row: Columns, reading: Reading) -> Sequence[Case]:
    """Stanford Human Preferences: a post (``history``), two comments, ``labels`` 1 for the first.
    Ethayarajh et al. 2022."""
    about = {name: value for name, value in row.items() if name != "history"}
    asked = question(about, row["history"], "history", reading, chat=True)
    replies = _replies(row, ("human_ref_A", "human_ref_B"), reading)
    return [case(row, asked, replies, _FIRST if truth(row["labels"], "labels") else _SECOND)]


def webgpt(row: Columns, reading: Reading) -> Sequence[Case]:
    """WebGPT comparisons: a question, two answers and their scores. Nakano et al. 2021."""
    value = structured(row["question"])
    if isinstance(value, Mapping):
        value = value.get("full_text")
    asked = question(row, value, "question.full_text", reading, chat=True)
    replies = _replies(row, ("answer_0", "answer_1"), reading)
    scores = [numeric(row[name], name) for name in ("score_0", "score_1")]
    return [_rated(row, asked, replies, scores)]


def strength(row: Columns, reading: Reading) -> Sequence[Case]:
    """HelpSteer2 and 3, preferences: below 0 the first of two responses is better, above 0 the
    second, 0 is a tie. Wang et al. 2024, 2025."""
    if "overall_preference" in row:
        names, column, asks = ("response1", "response2"), "overall_preference", "context"
    else:
        names, column, asks = ("response_1", "response_2"), "preference_strength", "prompt"
    value = numeric(row[column], column)
    asked = _helpsteer_prompt(row, asks, reading)
    better = _FIRST if value < 0 else _SECOND if value > 0 else _TIE
    return [case(row, asked, _replies(row, names, reading), better)]


def helpsteer(rows: Sequence[Columns], reading: Reading) -> Sequence[Case]:
    """HelpSteer, scores: consecutive rows with one prompt; more ``helpfulness`` is better. Wang et
    al. 2023, 2024."""
    asked = _helpsteer_prompt(rows[0], "prompt", reading)
    replies = [reply(row["response"], "response", reading) for row in rows]
    scores = [numeric(row["helpfulness"], "helpfulness") for row in rows]
    return [_rated(rows[0], asked, replies, scores)]


def _helpsteer_prompt(row: Columns, field: str, reading: Reading) -> Asked:
    """The user's text, or several turns between ``<extra_id_1>`` marks."""
    value = row[field]
    if not isinstance(value, str) or "<extra_id_1>" not in value:
        return question(row, value, field, reading, chat=True)
    first, *rest = re.split(r"\n*<extra_id_1>(User|Assistant)\n", fields.checked_text(value, field))
    said = [Message("user", first)]
    for role, content in zip(rest[::2], rest[1::2], strict=True):
        said.append(Message(role.lower(), fields.checked_text(content, field)))
    return conversations.asked(said, field)


def safe_rlhf(row: Columns, reading: Reading) -> Sequence[Case]:
    """PKU-SafeRLHF, by helpfulness. Ji et al. 2023, 2024."""
    return _by_id(row, "better_response_id", reading)


def safe_rlhf_safer(row: Columns, reading: Reading) -> Sequence[Case]:
    """PKU-SafeRLHF, by harmlessness (format=safe-rlhf-safer)."""
    return _by_id(row, "safer_response_id", reading)


def _by_id(row: Columns, column: str, reading: Reading) -> Sequence[Case]:
    asked = question(row, row["prompt"], "prompt", reading, chat=True)
    replies = _replies(row, ("response_0", "response_1"), reading)
    return [case(row, asked, replies, _SECOND if _index(row, column) else _FIRST)]


def _index(row: Columns, column: str) -> int:
    """0 or 1: the number of the better of two."""
    number = None if isinstance(row[column], bool) else numeric(row[column], column)
    if number not in (0, 1):
        allowed = "must be 0 or 1, the number of the better response"
        raise BadRow(column, f"is {shown(str(row[column]))} but {allowed}")
    return int(number)


def nectar(row: Columns, reading: Reading) -> Sequence[Case]:
    """Nectar: a transcript and answers with ranks, 1 the best. Zhu et al. 2023."""
    text = fields.text(row, "prompt")
    answers = _objects(row, "answers", ("answer", "rank"), ("model",), reading)
    ranks = [numeric(a["rank"], f"answers[{i}].rank") for i, a in enumerate(answers)]
    texts = [
        fields.checked_text(a["answer"], f"answers[{i}].answer") for i, a in enumerate(answers)
    ]
    # The transcript ends with a space, which belongs to the answer in every other transcript.
    if text.startswith(transcripts.HUMAN) and text.endswith(f"{ASSISTANT} "):
        asked = question(row, text[:-1], "prompt", reading)
        texts = [f" {text}" for text in texts]
    else:
        asked = question(row, text, "prompt", reading, chat=True)
    return [case(row, asked, texts, preferences_from_ranks(ranks))]


def ultrafeedback(row: Columns, reading: Reading) -> Sequence[Case]:
    """UltraFeedback: an instruction and completions with an ``overall_score``, or with ratings in
    ``annotations``, of which the mean counts. Cui et al. 2023."""
    others = (
        *("principle", "custom_system_prompt", "model", "fine-grained_score", "critique"),
        *("overall_score", "annotations"),
    )
    found = _objects(row, "completions", ("response",), others, reading)
    asked = question(row, row["instruction"], "instruction", reading, chat=True)
    replies = [
        reply(item["response"], f"completions[{i}].response", reading)
        for i, item in enumerate(found)
    ]
    scores = [_overall(item, f"completions[{i}]") for i, item in enumerate(found)]
    return [_rated(row, asked, replies, scores)]


def _rated(row: Columns, asked: Asked, replies: Sequence[str], scores: Sequence[float]) -> Case:
    """Replies in the order of their scores, which stay next to it."""
    order = preferences_from_ranks([-score for score in scores])
    return case(row, asked, replies, order, ratings=scores)


def _overall(completion: Mapping[str, Any], field: str) -> float:
    if not blank(completion.get("overall_score")):
        return numeric(completion["overall_score"], f"{field}.overall_score")
    annotations = completion.get("annotations")
    found = annotations.values() if isinstance(annotations, Mapping) else ()
    given = [a.get("Rating") for a in found if isinstance(a, Mapping)]
    ratings = [rating for rating in given if not blank(rating) and rating != "N/A"]
    if not ratings:
        raise BadRow(f"{field}.overall_score", "is missing, and so are ratings in 'annotations'")
    return sum(numeric(r, f"{field}.annotations.Rating") for r in ratings) / len(ratings)


def summaries(row: Columns, reading: Reading) -> Sequence[Case]:
    """summarize-from-feedback, comparisons: a post (or an article) and two summaries, in the query
    form of the paper's code. Stiennon et al. 2020."""
    info = structured(row["info"])
    if not isinstance(info, Mapping):
        raise BadRow("info", f"is {type_name(info)} but must be an object")
    if not blank(info.get("article")):
        text = f"Article:\n{fields.checked_text(info['article'], 'info.article')}\n\nTL;DR:"
    else:
        text = _post(info, "info.")
    found = _objects(row, "summaries", ("text",), ("policy", "note"), reading)
    texts = [fields.checked_text(s["text"], f"summaries[{i}].text") for i, s in enumerate(found)]
    if len(texts) != 2:
        raise BadRow("summaries", f"has {len(texts)} of them, but 'choice' is among 2")
    worker = {"labeler": row["worker"]} if not blank(row.get("worker")) else {}
    better = _SECOND if _index(row, "choice") else _FIRST
    return [case({**row, **worker}, Asked(text), texts, better)]


def post(row: Columns, reading: Reading) -> Sequence[Case]:
    """Filtered TL;DR: a post and its author's summary, in the same query form."""
    summary = fields.text(row, "summary")
    return [case(row, Asked(_post(row, "")), [f" {summary.removeprefix(' ')}"])]


def _post(info: Mapping[str, Any], where: str) -> str:
    texts = {
        name: fields.checked_text(info.get(name), f"{where}{name}", blank=name == "title")
        for name in ("subreddit", "title", "post")
    }
    return "SUBREDDIT: r/{subreddit}\n\nTITLE: {title}\n\nPOST: {post}\n\nTL;DR:".format(**texts)


def _replies(row: Columns, names: Sequence[str], reading: Reading) -> list[str]:
    return [reply(row[name], name, reading) for name in names]


def _objects(
    row: Columns, field: str, needs: Sequence[str], others: Sequence[str], reading: Reading
) -> list[Mapping[str, Any]]:
    """The objects of a list column, each with all that it needs."""
    found = fields.items({field: structured(row[field])}, field)
    for i, item in enumerate(found):
        if not isinstance(item, Mapping):
            raise BadRow(f"{field}[{i}]", f"is {type_name(item)} but must be an object")
        missing = next((name for name in needs if item.get(name) is None), None)
        if missing is not None:
            raise BadRow(f"{field}[{i}].{missing}", "is missing")
        reading.rest(item, (*needs, *others), f"{field}[{i}].")
    return list(found)
