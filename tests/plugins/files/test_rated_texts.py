"""data=ratings and data=pydoc: real openings, K-wise rankings by mean rating, documents; splits by text."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from preflab_builtin.files.pydoc import inspect as inspect_pydoc
from preflab_builtin.files.pydoc import load as load_pydoc
from preflab_builtin.files.pydoc import paragraphs
from preflab_builtin.files.ratings import RatingsSource, inspect, load, preferences_by_mean

from preflab import UserError
from preflab.options import problems
from preflab.records import Demonstration, Document, Prompt, Ranking
from preflab_builtin.files.config import PydocConfig, RatingsConfig


def _source(tmp_path: Path, rows: list[dict[str, Any]], **settings: Any) -> RatingsSource:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load(
        RatingsConfig(
            path=str(path), **{"min_ratings": 2, "validation": 0.0, "test": 0.0, **settings}
        )
    )


_ROWS: list[dict[str, Any]] = [
    {"id": "1_0", "text": "a really  good camera", "ratings": [3, 4]},
    {"id": "1_1", "text": "never buy this phone again", "ratings": [-3, -4]},
    {"id": "2_0", "text": "it is a box", "ratings": [0, 0]},
    {"id": "2_1", "text": "it is a case", "ratings": [0, 0.5]},
]


def test_a_ranking_holds_whole_texts_after_the_opening(tmp_path: Path) -> None:
    (ranking,) = _source(tmp_path, _ROWS).records("rankings")
    assert isinstance(ranking, Ranking)
    assert ranking.prompt.text == "Review:"
    order = {text: i for i, text in enumerate(ranking.responses)}
    good, bad = order[" a really good camera"], order[" never buy this phone again"]
    box, case = order[" it is a box"], order[" it is a case"]
    # means 3.5, -3.5, 0 and 0.25: the last two are tied (0.25 < 0.5), the other five pairs are not
    assert set(ranking.preferences) == {
        (good, bad),
        (good, box),
        (good, case),
        (box, bad),
        (case, bad),
    }


def test_a_prompt_and_its_continuation_are_the_text_that_the_reward_model_ranks(
    tmp_path: Path,
) -> None:
    source = _source(tmp_path, _ROWS)
    (ranking,) = (r for r in source.records("rankings") if isinstance(r, Ranking))
    whole = {ranking.prompt.text + response for response in ranking.responses}
    for record in source.records("demonstrations"):
        assert isinstance(record, Demonstration)
        assert record.prompt.text + record.response in whole
    first = source.records("prompts")[0]
    assert isinstance(first, Prompt)
    assert first.text == "Review: a really good"  # the opening and three words


def test_an_opening_is_asked_once_and_nothing_is_lost_unseen(tmp_path: Path) -> None:
    rows = [
        *_ROWS,
        {"id": "3", "text": "too short", "ratings": [1, 1]},
        {"id": "4", "text": "A really good camera", "ratings": [1, 1]},
        {"id": "5", "text": "only one rating here", "ratings": [1]},
    ]
    source = _source(tmp_path, rows)
    # "it is a case" begins as "it is a box" does; "too short" leaves nothing to go on with; five texts make one ranking of four
    assert source.dropped == {
        "the same opening again": 1,
        "too short for a prompt": 1,
        "the same text again": 1,
        "too few ratings": 1,
        "left over when dealt into rankings": 1,
    }
    assert [len(source.records(t)) for t in ("prompts", "rankings", "documents")] == [3, 1, 5]


def test_sentences_of_one_review_stay_in_one_split(tmp_path: Path) -> None:
    rows = [
        {"id": f"{r}_{s}", "text": f"review {r} sentence {s}", "ratings": [r % 9 - 4] * 2}
        for r in range(60)
        for s in range(3)
    ]
    source = _source(tmp_path, rows, validation=0.2, test=0.2, group_separator="_", rounds=2)
    splits: dict[str, set[str]] = {}
    for record in source.records("documents"):
        assert isinstance(record, Document)
        splits.setdefault(record.id.partition("_")[0], set()).add(record.split)
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "validation", "test"}
    where = {r.text: r.split for r in source.records("documents") if isinstance(r, Document)}
    for ranking in source.records("rankings"):
        assert isinstance(ranking, Ranking)
        assert {where[text.strip()] for text in ranking.responses} == {ranking.split}
    # without a separator the same ids are apart
    alone = _source(tmp_path, rows, validation=0.2, test=0.2)
    assert {r.id: r.split for r in alone.records("documents") if isinstance(r, Document)} != {
        r.id: r.split for r in source.records("documents") if isinstance(r, Document)
    }


def test_each_round_puts_a_text_beside_others(tmp_path: Path) -> None:
    rows = [
        {"id": f"{i}", "text": f"text number {i} here", "ratings": [i % 9 - 4] * 2}
        for i in range(40)
    ]
    found = [
        r
        for r in _source(tmp_path, rows, rounds=2, tie=0.1).records("rankings")
        if isinstance(r, Ranking)
    ]
    assert len(found) == 20
    first, second = ({frozenset(r.responses) for r in part} for part in (found[:10], found[10:]))
    assert first != second
    assert (
        set.union(*map(set, first))
        == set.union(*map(set, second))
        == {f" {row['text']}" for row in rows}
    )


def test_a_ranking_without_a_preference_is_counted(tmp_path: Path) -> None:
    rows = [{"id": f"{i}", "text": f"text number {i}", "ratings": [1, 1]} for i in range(4)]
    source = _source(tmp_path, rows)
    assert source.records("rankings") == []
    assert source.dropped["all texts of the ranking are tied"] == 1


def test_ties_are_differences_below_the_threshold() -> None:
    assert preferences_by_mean([0.0, 0.5, 0.4], 0.5) == (
        (1, 0),
    )  # 0.5 is enough, 0.4 and 0.1 are not


@pytest.mark.parametrize(
    "row,expected",
    [
        ({"text": "a", "ratings": [1, 2]}, ":1: id: is missing"),
        ({"id": 1, "text": "", "ratings": [1, 2]}, ":1: text: is empty"),
        ({"id": 1, "text": "a", "ratings": 3}, ":1: ratings: is a number but must be a list"),
        ({"id": 1, "text": "a", "ratings": [1, None]}, r":1: ratings\[1\]: is null"),
    ],
)
def test_a_row_of_another_kind_is_named(tmp_path: Path, row: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        _source(tmp_path, [row])


def test_an_id_stands_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=":2: id: '1_0' stands twice"):
        _source(tmp_path, [_ROWS[0], _ROWS[0]])


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(
            json.dumps({"id": 1, "text": f"from file {name} here", "ratings": [1, 2]})
        )
    documents = load(RatingsConfig(path=str(tmp_path), min_ratings=1)).records("documents")
    assert [d.id for d in documents if isinstance(d, Document)] == ["a/1", "b/1"]


@pytest.mark.parametrize(
    "values,key",
    [
        ({}, "path"),
        ({"path": "x", "opening": " "}, "opening"),
        ({"path": "x", "validation": 0.5, "test": 0.5}, "test"),
    ],
)
def test_configs_that_cannot_be_meant(values: dict[str, Any], key: str) -> None:
    assert [name for name, _ in problems(RatingsConfig(**values))] == [key]


def test_the_real_ratings() -> None:
    root = os.environ.get("PREFLAB_DATA")
    if not root:
        pytest.skip("PREFLAB_DATA names no folder of real data")
    path = str(Path(root) / "sentiment_ratings" / "amazonReviewSnippets.jsonl.gz")
    config = RatingsConfig(path=path, group_separator="_")
    assert inspect(config).records == {
        "prompts": 2472,
        "demonstrations": 2472,
        "rankings": 737,
        "documents": 2960,
    }
    dropped = load(config).dropped
    # 2,966 texts less 6 repeated ones; each of the 2,960 is a prompt, or too short, or an opening again
    assert 2472 + dropped["too short for a prompt"] + dropped["the same opening again"] == 2960
    # each text is dealt into one ranking of four, or left over; three rankings were all ties
    assert 4 * (737 + 3) + dropped["left over when dealt into rankings"] == 2960
    train = {
        p.text
        for p in load(config).records("prompts")
        if isinstance(p, Prompt) and p.split == "train"
    }
    test = {
        p.text
        for p in load(config).records("prompts")
        if isinstance(p, Prompt) and p.split == "test"
    }
    assert train
    assert test
    assert not train & test


def test_paragraphs_of_pythons_help() -> None:
    config = PydocConfig()
    documents = [d for d in load_pydoc(config).records("documents") if isinstance(d, Document)]
    assert len(documents) > 300
    assert all(
        200 <= len(d.text) <= 600 and "\n" not in d.text and ">>>" not in d.text for d in documents
    )
    assert len({d.text for d in documents}) == len(documents)
    assert {d.split for d in documents} == {"train", "validation", "test"}
    assert inspect_pydoc(config).records == {"documents": len(documents)}
    assert inspect_pydoc(PydocConfig(seed=1)).content != inspect_pydoc(config).content


def test_a_paragraph_ends_at_a_blank_line_and_grammar_is_none() -> None:
    text = "First line\n   goes on.\n   \nstmt ::= expression here\n\nshort\n\n>>> session of some length"
    assert paragraphs(text, 10, 40) == ["First line goes on."]
