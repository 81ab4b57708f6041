"""Pairs whose scores say the opposite of their columns' names: refused, with the options that read
either. The options are taken out of the message and given back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from judged_rows import Rows, advised, best, files, refused
from preflab_builtin.files.config import ColumnNames

_PAIR = ({"prompt": "{}?"}, {"chosen": "good {}", "rejected": "bad {}"})
_CHAT = {
    name: [{"role": "user", "content": "{}?"}, {"role": "assistant", "content": name + " {}"}]
    for name in ("chosen", "rejected")
}


def _rows(shape: dict[str, Any], columns: tuple[str, ...], *scores: tuple[Any, Any]) -> Rows:
    def made(value: Any, i: int) -> Any:
        if isinstance(value, list):
            return [{k: made(v, i) for k, v in message.items()} for message in value]
        return value.format(i)

    rows = []
    for i, both in enumerate(scores):
        own = {columns[0]: [*both]} if len(columns) == 1 else dict(zip(columns, both, strict=True))
        rows.append({**{name: made(value, i) for name, value in shape.items()}, **own})
    return rows


@pytest.mark.parametrize(
    "columns",
    [
        ("score_chosen", "score_rejected"),
        ("chosen_avg_rating", "rejected_avg_rating"),
        ("chosen-rating", "rejected-rating"),
        ("scores",),
        ("rewards",),
    ],
)
@pytest.mark.parametrize(
    "shape",
    [
        _PAIR[0] | _PAIR[1],
        {"instruction": "{}?"} | _PAIR[1],
        {"messages": [{"role": "user", "content": "{}?"}]} | _PAIR[1],
        _CHAT,
    ],
    ids=["pair", "instruction", "messages", "conversations"],
)
def test_scores_that_say_the_opposite_are_refused(
    tmp_path: Path, shape: dict[str, Any], columns: tuple[str, ...]
) -> None:
    """By the scores the first is better in the first row, the second in the second, and none in the
    third; by the names the first everywhere."""
    rows = _rows(shape, columns, (3, 1.5), ("2", 2.5), (2, 2))
    message = refused(files(tmp_path, rows))
    assert f":2: {', '.join(columns)}: the score of 'chosen' is 2, below 2.5 of" in message
    assert best(files(tmp_path, rows, **advised(message, "answers", "scores"))) == [0, 1, None]
    assert best(files(tmp_path, rows, **advised(message, "ignore"))) == [0, 0, 0]
    with pytest.warns(UserWarning, match="2 of 3 rows kept"):
        assert best(files(tmp_path, rows, **advised(message, "on_bad_row"))) == [0, 0]


def test_columns_of_other_names(tmp_path: Path) -> None:
    shape = {"prompt": "{}?", "good": "good {}", "bad": "bad {}"}
    rows = _rows(shape, ("score_chosen", "score_rejected"), (1, 2))
    mapped = ColumnNames(chosen="good", rejected="bad")
    message = refused(files(tmp_path, rows, columns=mapped))
    assert "(without rankings.columns.chosen and its like)" in message
    assert best(files(tmp_path, rows, **advised(message, "answers", "scores"))) == [1]
    assert best(files(tmp_path, rows, columns=mapped, **advised(message, "ignore"))) == [0]


def test_transcripts_have_to_be_exchanged(tmp_path: Path) -> None:
    """No option reads scores of answers that stand in one text with their question."""
    shape = {name: f"\n\nHuman: {{}}?\n\nAssistant: {name}" for name in ("chosen", "rejected")}
    rows = _rows(shape, ("score_chosen", "score_rejected"), (1, 2))
    message = refused(files(tmp_path, rows))
    assert "The scores: exchange the two in such rows" in message
    assert "verdict" not in message
    assert best(files(tmp_path, rows, **advised(message, "ignore"))) == [0]
