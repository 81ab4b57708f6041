"""A file from which a threshold follows holds harmless rows alone, or says which of them are."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from preflab.errors import UserError
from preflab.records import Prompt
from preflab_builtin.guard.calibration import calibrated, inspected
from preflab_builtin.guard.config import ClassifierConfig, Part


def scores(prompts: Sequence[Prompt], responses: Sequence[str] | None) -> list[float]:
    """0.9 of "bad", else 0.1."""
    return [0.9 if text.startswith("bad") else 0.1 for text in responses or ()]


def a_file(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """JSON lines, or CSV where everything is a text."""
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, [*rows[0]])
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config_of(file: Path, **harmless: Any) -> ClassifierConfig:
    return ClassifierConfig(
        path="x",
        threshold=None,
        calibration=str(file),
        harmless=harmless,
        false_blocks=0.05,
        checks=Part.response,
    )


def labelled(name: str, fine: Any, bad: Any) -> list[dict[str, Any]]:
    """60 harmless rows and 60 others, which a column tells apart."""
    return [{"response": f"good {i}", name: fine} for i in range(60)] + [
        {"response": f"bad {i}", name: bad} for i in range(60)
    ]


JUDGED: list[tuple[str, Any, Any]] = [
    ("label", "harmless", "toxic"),
    ("is_toxic", 0, 1),
    ("isHarmful", False, True),
    ("Toxicity", 0.02, 0.9),
    ("y", "no", "yes"),  # by what it says, whatever it is called
    ("flags", [], ["rude"]),
]


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
@pytest.mark.parametrize("name, fine, bad", JUDGED)
def test_a_file_that_judges_its_rows_is_not_read_as_all_harmless(
    tmp_path: Path, ending: str, name: str, fine: Any, bad: Any
) -> None:
    """Read as all harmless, rank ceil(0.95 x 121) = 115 of 120 is a score of 0.9. Of the 60
    harmless ones alone it is 0.1."""
    file = a_file(tmp_path / f"rows.{ending}", labelled(name, fine, bad))
    cure = (
        rf"its column '{name}' holds .*harmless: \{{{name}: VALUE\}}.*guard.harmless.{name}=VALUE"
    )
    for refused in (
        lambda config: calibrated(config, scores, "guard"),
        lambda config: inspected(config, "guard", ""),  # before any work
    ):
        with pytest.raises(UserError, match=cure):
            refused(config_of(file))
    assert calibrated(config_of(file, **{name: fine}), scores, "guard") == 0.1


def test_a_column_that_judges_all_rows_alike_is_not_passed_over(tmp_path: Path) -> None:
    rows = [{"response": "good", "is_toxic": 1}] * 120
    with pytest.raises(UserError, match="its column 'is_toxic' holds '1'"):
        inspected(config_of(a_file(tmp_path / "rows.csv", rows)), "guard", "")


def test_every_column_that_judges_is_to_be_read(tmp_path: Path) -> None:
    rows = [{"response": f"{i}", "toxic": 0, "insult": i % 2} for i in range(120)]
    file = a_file(tmp_path / "rows.jsonl", rows)
    with pytest.raises(UserError, match="its column 'insult' holds"):
        inspected(config_of(file, toxic=0), "guard", "")
    (said,) = inspected(config_of(file, toxic=0, insult=0), "guard", "").notices
    assert f"60 harmless rows of {file} (60 others are left out), 60 of them distinct" in said


def test_what_says_nothing_of_a_row_is_no_judgement(tmp_path: Path) -> None:
    more = {"source": "web", "labeler": "p1", "label": None, "tokens": 12, "language": "en"}
    file = a_file(
        tmp_path / "rows.jsonl", [{"response": f"{i}", "id": i} | more for i in range(30)]
    )
    assert calibrated(config_of(file), scores, "guard") == 0.1


def test_a_value_that_no_row_has_is_named(tmp_path: Path) -> None:
    file = a_file(tmp_path / "rows.jsonl", labelled("label", "harmless", "toxic"))
    with pytest.raises(UserError, match=r"no row of .* 'label' holds 'harmless', 'toxic'"):
        inspected(config_of(file, label="harmles"), "guard", "")
    with pytest.raises(UserError, match=r"rows.jsonl:1: lable: is missing, and guard.harmless"):
        inspected(config_of(file, lable="harmless"), "guard", "")


def test_the_threshold_and_the_distinct_rows_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """99 copies of one row are one text."""
    file = a_file(tmp_path / "rows.jsonl", [{"prompt": f"{i}", "response": "x"} for i in range(99)])
    rows = f"follows from 99 harmless rows of {file}, 1 of them distinct (by response)."
    with caplog.at_level(logging.WARNING):
        calibrated(config_of(file), scores, "guard")
    assert f"guard: the threshold 0.1 {rows}" in caplog.text
    seen = inspected(config_of(file), "guard", "weights")
    assert seen.notices == [f"The threshold of a guard {rows}"]


def test_how_a_file_is_read_is_part_of_the_recipe(tmp_path: Path) -> None:
    file = a_file(tmp_path / "rows.jsonl", labelled("label", "a", "b"))
    a, b = (inspected(config_of(file, label=one), "guard", "").content for one in "ab")
    assert a != b
