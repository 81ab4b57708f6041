"""data=ratings: real openings, K-wise rankings by mean rating, documents; splits by text."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.options import problems
from preflab.records import Demonstration, Document, Prompt, Ranking
from preflab_builtin.public_sets.config import RatingsConfig
from preflab_builtin.public_sets.ratings import RatingsSource, inspect, preferences_by_mean


def _source(tmp_path: Path, rows: list[dict[str, Any]], **settings: Any) -> RatingsSource:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    usual = {"min_ratings": 2, "validation": 0.0, "test": 0.0}
    return RatingsSource(RatingsConfig(path=str(path), **{**usual, **settings}))


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
    expected = {(good, bad), (good, box), (good, case), (box, bad), (case, bad)}
    assert set(ranking.preferences) == expected
    rated = dict(zip(ranking.responses, ranking.ratings, strict=True))
    assert [rated[ranking.responses[i]] for i in (good, bad, box, case)] == [3.5, -3.5, 0, 0.25]


def test_prompt_and_continuation_are_a_text_that_was_ranked(tmp_path: Path) -> None:
    source = _source(tmp_path, _ROWS)
    (ranking,) = (r for r in source.records("rankings") if isinstance(r, Ranking))
    whole = {ranking.prompt.text + response for response in ranking.responses}
    for record in source.records("demonstrations"):
        assert isinstance(record, Demonstration)
        assert record.prompt.text + record.response in whole
    first = source.records("prompts")[0]
    assert isinstance(first, Prompt)
    assert first.text == "Review: a really good"  # the opening and three words


def test_an_opening_is_taken_once_and_losses_are_counted(tmp_path: Path) -> None:
    rows = [
        *_ROWS,
        {"id": "3", "text": "too short", "ratings": [1, 1]},
        {"id": "4", "text": "A really good camera", "ratings": [1, 1]},
        {"id": "5", "text": "only one rating here", "ratings": [1]},
    ]
    source = _source(tmp_path, rows)
    # "it is a case" begins as "it is a box" does; nothing follows the opening "too short"; five
    # texts make one ranking of four
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
    assert all(len(of_review) == 1 for of_review in splits.values())
    assert set.union(*splits.values()) == {"train", "validation", "test"}
    where = {r.text: r.split for r in source.records("documents") if isinstance(r, Document)}
    for ranking in source.records("rankings"):
        assert isinstance(ranking, Ranking)
        assert {where[text.strip()] for text in ranking.responses} == {ranking.split}
    # without a separator each id is assigned on its own
    other = _source(tmp_path, rows, validation=0.2, test=0.2)
    alone = {r.text: r.split for r in other.records("documents") if isinstance(r, Document)}
    assert alone != where


def test_each_round_ranks_a_text_with_others(tmp_path: Path) -> None:
    rows = [
        {"id": f"{i}", "text": f"text number {i} here", "ratings": [i % 9 - 4] * 2}
        for i in range(40)
    ]
    records = _source(tmp_path, rows, rounds=2, tie=0.1).records("rankings")
    groups = [frozenset(r.responses) for r in records if isinstance(r, Ranking)]
    assert len(groups) == 20
    first, second = set(groups[:10]), set(groups[10:])
    assert first != second
    texts = {f" {row['text']}" for row in rows}
    assert set().union(*first) == set().union(*second) == texts


def test_a_ranking_without_a_preference_is_counted(tmp_path: Path) -> None:
    rows = [{"id": f"{i}", "text": f"text number {i}", "ratings": [1, 1]} for i in range(4)]
    source = _source(tmp_path, rows)
    assert source.records("rankings") == []
    assert source.dropped["all texts of the ranking are tied"] == 1


def test_ties_are_differences_below_the_threshold() -> None:
    # 0.5 is enough, 0.4 and 0.1 are not
    assert preferences_by_mean([0.0, 0.5, 0.4], 0.5) == ((1, 0),)


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


def test_an_id_occurs_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=":2: id: '1_0' occurs twice"):
        _source(tmp_path, [_ROWS[0], _ROWS[0]])


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(
            json.dumps({"id": 1, "text": f"from file {name} here", "ratings": [1, 2]})
        )
    documents = RatingsSource(RatingsConfig(path=str(tmp_path), min_ratings=1)).records("documents")
    assert [d.id for d in documents if isinstance(d, Document)] == ["a/1", "b/1"]


@pytest.mark.parametrize(
    "values,key",
    [
        ({}, "path"),
        ({"path": "x", "opening": " "}, "opening"),
        ({"path": "x", "validation": 0.5, "test": 0.5}, "test"),
    ],
)
def test_a_useless_config_is_refused(values: dict[str, Any], key: str) -> None:
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
    dropped = RatingsSource(config).dropped
    # 2,966 texts less 6 repeated ones; each of the 2,960 is a prompt, too short, or a known opening
    assert 2472 + dropped["too short for a prompt"] + dropped["the same opening again"] == 2960
    # each text is dealt into one ranking of four, or left over; three rankings were all ties
    assert 4 * (737 + 3) + dropped["left over when dealt into rankings"] == 2960
    prompts = [p for p in RatingsSource(config).records("prompts") if isinstance(p, Prompt)]
    train = {prompt.text for prompt in prompts if prompt.split == "train"}
    test = {prompt.text for prompt in prompts if prompt.split == "test"}
    assert train
    assert test
    assert not train & test


def test_the_files_are_the_content_and_sources_share_them(tmp_path: Path) -> None:
    source = _source(tmp_path, _ROWS)
    again = _source(tmp_path, _ROWS[:])
    config = RatingsConfig(path=str(tmp_path / "texts.jsonl"), min_ratings=2)
    assert again.records("prompts") == source.records("prompts")
    shared = [RatingsSource(config).records("documents") for _ in range(2)]
    assert shared[0] is shared[1]
    content = inspect(config).content
    assert inspect(RatingsConfig(path=config.path, seed=1)).content == content
    _source(tmp_path, _ROWS[1:])
    assert inspect(config).content != content
    assert len(RatingsSource(config).records("documents")) == 3
