"""data=ukp: one ranking per side of a debate, debates never divided."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.options import problems
from preflab.records import Ranking
from preflab_builtin.public_sets.config import Preferences, UkpConfig
from preflab_builtin.public_sets.ukp import ARGUMENTS, PAIRS, UkpSource, fold_splits, inspect


def _pair(
    title: str, stance: str, a1: str, a2: str, votes: list[str], gold: str | None
) -> dict[str, Any]:
    cast = [{"labeler": f"w{i}", "value": value} for i, value in enumerate(votes)]
    return {
        "id": f"{a1}_{a2}",
        "title": title,
        "stance": stance,
        "a1": a1,
        "a2": a2,
        "votes": cast,
        "gold_strict": gold,
    }


_ARGUMENTS = [{"id": name, "text": f"because {name}"} for name in ("x", "y", "z", "v", "w")]
_PAIRS = [
    _pair("Tea?", "yes", "x", "y", ["a1", "a1", "equal"], "a1"),
    _pair("Tea?", "yes", "y", "z", ["a2", "equal", "a1"], None),
    _pair("Cake?", "no", "v", "w", ["a2", "a2", "a2"], "a2"),
]


def _folder(tmp_path: Path, arguments: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> str:
    for name, rows in ((ARGUMENTS, arguments), (PAIRS, pairs)):
        (tmp_path / name).write_bytes(
            gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())
        )
    return str(tmp_path)


def _rankings(config: UkpConfig) -> list[Ranking]:
    return [r for r in UkpSource(config).records("rankings") if isinstance(r, Ranking)]


def test_a_side_of_a_debate_is_one_ranking(tmp_path: Path) -> None:
    config = UkpConfig(path=_folder(tmp_path, _ARGUMENTS, _PAIRS), folds=2)
    tea, cake = _rankings(config)
    assert tea.prompt.text == "Debate: Tea?\nSide: yes\nArgument:"
    assert tea.responses == (" because x", " because y", " because z")
    # the pair without a strict winner gives no preference; it is not a tie either
    assert tea.preferences == ((0, 1),)
    assert (tea.unjudged, tea.ties) == (((0, 2), (1, 2)), ())  # nobody compared x and z
    assert cake.preferences == ((1, 0),)
    assert {tea.split, cake.split} == {"test", "validation"}  # two debates dealt to two folds
    assert (tea.prompt.group, cake.prompt.group) == ("Tea?", "Cake?")
    assert UkpSource(config).undecided == 1
    assert UkpSource(config).left_out("rankings") == {"pair without a preference": 1}
    assert inspect(config).records == {"prompts": 2, "rankings": 2}


def test_votes_count_once_each(tmp_path: Path) -> None:
    config = UkpConfig(
        path=_folder(tmp_path, _ARGUMENTS, _PAIRS), folds=2, preferences=Preferences.votes
    )
    tea, cake = _rankings(config)
    # x over y twice, then z over y (a2 of the pair y, z) and y over z; votes for equal do not count
    assert tea.preferences == ((0, 1), (0, 1), (2, 1), (1, 2))
    assert tea.unjudged == ((0, 2),)
    assert cake.preferences == ((1, 0),) * 3


def test_debates_are_dealt_evenly_and_by_the_seed() -> None:
    titles = [f"debate {i}" for i in range(12)]
    splits = fold_splits(titles, UkpConfig(folds=6))
    # 12 debates in 6 parts: two per part
    assert Counter(splits.values()) == {"train": 8, "validation": 2, "test": 2}
    configs = [UkpConfig(folds=6, test_fold=fold, validation_fold=None) for fold in range(6)]
    dealt = [fold_splits(titles, config) for config in configs]
    tested = [{title for title, split in d.items() if split == "test"} for d in dealt]
    assert set.union(*tested) == set(titles)  # every debate is tested in exactly one fold
    assert sum(map(len, tested)) == 12
    assert fold_splits(titles, UkpConfig(folds=6, seed=1)) != splits
    assert fold_splits(titles[::-1], UkpConfig(folds=6)) == splits


def test_debates_for_testing_by_title() -> None:
    splits = fold_splits(["a", "b", "c", "d"], UkpConfig(folds=3, test_titles=["b"]))
    assert splits["b"] == "test"
    assert Counter(splits.values()) == {"test": 1, "validation": 1, "train": 2}
    with pytest.raises(UserError, match=r"no debate 'Tea'.*Did you mean 'Tea\?'"):
        fold_splits(["Tea?", "Cake?"], UkpConfig(folds=2, test_titles=["Tea"]))
    with pytest.raises(UserError, match="folds is 6, but there are only 2 debates"):
        fold_splits(["Tea?", "Cake?"], UkpConfig())


@pytest.mark.parametrize(
    "change,expected",
    [
        ({"a1": "q"}, f"{PAIRS}:1: a1: 'q' is not an id in {ARGUMENTS}"),
        ({"a2": "x"}, f"{PAIRS}:1: a2: is the same argument as a1"),
        ({"gold_strict": "a3"}, f"{PAIRS}:1: gold_strict: is 'a3'. Allowed: a1, a2, None"),
        ({"votes": [{"labeler": "w", "value": "both"}]}, f"{PAIRS}:1: votes: is 'both'"),
        ({"votes": None}, f"{PAIRS}:1: votes: is null but must be a list"),
        ({"title": ""}, f"{PAIRS}:1: title: is empty"),
    ],
)
def test_a_row_of_another_kind_is_named(
    tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    with pytest.raises(UserError, match=expected):
        UkpSource(UkpConfig(path=_folder(tmp_path, _ARGUMENTS, [{**_PAIRS[0], **change}]), folds=2))


def test_a_folder_without_the_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no arguments.jsonl.gz in it"):
        UkpSource(UkpConfig(path=str(tmp_path)))


@pytest.mark.parametrize(
    "values,key",
    [
        ({}, "path"),
        ({"path": "x", "test_fold": 6}, "test_fold"),
        ({"path": "x", "validation_fold": 0}, "validation_fold"),
        ({"path": "x", "prompt": "Argue:"}, "prompt"),
        ({"path": "x", "folds": 1, "test_fold": None, "validation_fold": None}, "folds"),
    ],
)
def test_a_useless_config_is_refused(values: dict[str, Any], key: str) -> None:
    assert [name for name, _ in problems(UkpConfig(**values))] == [key]


def test_the_content_is_that_of_both_files(tmp_path: Path) -> None:
    config = UkpConfig(path=_folder(tmp_path, _ARGUMENTS, _PAIRS), folds=2)
    content = inspect(config).content
    assert inspect(UkpConfig(path=config.path, folds=2, seed=1)).content == content
    _folder(tmp_path, _ARGUMENTS, _PAIRS[1:])
    changed_pairs = inspect(config).content
    _folder(tmp_path, [*_ARGUMENTS, {"id": "u", "text": "more"}], _PAIRS)
    assert len({content, changed_pairs, inspect(config).content}) == 3


def test_the_real_set() -> None:
    root = os.environ.get("PREFLAB_DATA")
    if not root:
        pytest.skip("PREFLAB_DATA names no folder of real data")
    config = UkpConfig(path=str(Path(root) / "ukpconvarg1"))
    rankings = _rankings(config)
    assert len(rankings) == 24  # 12 debates with two sides
    # strict pairs: 12,266 less 3,736 without a winner
    assert sum(len(r.preferences) for r in rankings) == 8530
    assert UkpSource(config).undecided == 3736
    assert sum(len(r.responses) for r in rankings) == 775  # every argument is in one ranking
    debates = {
        split: {r.prompt.group for r in rankings if r.split == split}
        for split in ("train", "validation", "test")
    }
    assert sorted(map(len, debates.values())) == [2, 2, 8]
    assert not debates["train"] & debates["test"]
    voted = _rankings(UkpConfig(path=config.path, preferences=Preferences.votes))
    # Votes for a1 and for a2, less two between equal texts.
    assert sum(len(r.preferences) for r in voted) == 22256 + 22001 - 2


def test_people_with_many_votes_have_rankings_of_their_own(tmp_path: Path) -> None:
    pairs = [
        *_PAIRS,
        _pair("Tea?", "yes", "x", "z", ["equal"], None),
    ]
    config = UkpConfig(
        path=_folder(tmp_path, _ARGUMENTS, pairs),
        folds=2,
        preferences=Preferences.people,
        own_group=3,
    )
    # Votes for a side: w0 x over y, z over y, w over v; w1 x over y, w over v; w2 y over z, w over
    # v. So w0 alone is a group.
    tea, tea_of_w0, cake, cake_of_w0 = _rankings(config)
    assert [r.group for r in (tea, tea_of_w0, cake, cake_of_w0)] == ["", "w0"] * 2
    assert [r.labeler for r in (tea, tea_of_w0)] == ["", "w0"]
    assert tea.prompt == tea_of_w0.prompt
    assert tea_of_w0.responses == (" because x", " because y", " because z")
    assert tea_of_w0.preferences == ((0, 1), (2, 1))
    assert (tea_of_w0.ties, tea_of_w0.unjudged) == (((0, 2),), ())  # x and z: equal to w0
    # Of w1 and w2: x over y, and equal; equal, and y over z.
    assert tea.preferences == ((0, 1), (1, 2))
    assert (tea.ties, tea.unjudged) == ((), ((0, 2),))
    assert cake.preferences == ((1, 0),) * 2
    assert inspect(config).records == {"prompts": 2, "rankings": 4}
    together = _rankings(UkpConfig(path=config.path, folds=2, preferences=Preferences.votes))
    assert (
        sum(len(r.preferences) for r in together)
        == 7
        == sum(len(r.preferences) for r in _rankings(config))
    )


def test_votes_between_equal_texts_are_ties(tmp_path: Path) -> None:
    arguments = [*_ARGUMENTS, {"id": "again", "text": "because x"}]
    pairs = [_pair("Tea?", "yes", "x", "again", ["a1", "equal"], "a1"), *_PAIRS]
    folder = _folder(tmp_path, arguments, pairs)
    for rule in Preferences:
        config = UkpConfig(path=folder, folds=2, preferences=rule, own_group=1)
        for ranking in _rankings(config):
            texts = ranking.responses
            assert all(texts[i] != texts[j] for i, j in ranking.preferences)
