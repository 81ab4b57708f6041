"""`preflab evaluate-samples`: columns of any name, groups, counted rows, errors with a cure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from preflab.console import commands
from preflab.errors import UserError
from tiny_classifier import write_classifier

ROWS: list[dict[str, Any]] = [
    {
        "model": "A",
        "out": "Paris!",
        "gold": ["paris", "lutetia"],
        "mark": 4,
        "q": "capital of France?",
    },
    {"model": "A", "out": "the Rome", "gold": ["Rome"], "mark": 2, "q": "capital of Italy?"},
    {"model": "B", "out": "Bern", "gold": ["Berlin"], "mark": 0.5, "q": "capital of Germany?"},
]


def _json_lines(folder: Path, rows: list[dict[str, Any]]) -> str:
    path = folder / "outputs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def _results(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert commands.run("evaluate-samples", [*words, "--json"]) == 0
    output: dict[str, Any] = json.loads(capsys.readouterr().out)
    return output


def test_groups_and_the_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _json_lines(tmp_path, ROWS)
    words = (
        "--prediction",
        "out",
        "--reference",
        "gold",
        "--score",
        "mark",
        "--group",
        "model",
        "--metric",
        "exact_match",
    )
    output = _results(capsys, file, *words, "--reward", "length")
    assert (output["kept"], output["left_out"]) == (3, 0)
    a, b, whole = output["results"]
    assert [part["group"] for part in (a, b, whole)] == [{"model": "A"}, {"model": "B"}, {}]
    assert [part["n"] for part in (a, b, whole)] == [2, 1, 3]
    assert [part["measures"]["exact_match"]["value"] for part in (a, b, whole)] == pytest.approx(
        [1.0, 0.0, 2 / 3]
    )
    assert [part["measures"]["mark"]["value"] for part in (a, b, whole)] == pytest.approx(
        [3.0, 0.5, 6.5 / 3]
    )
    assert b["measures"]["mark"]["low"] is None  # one row
    # reward_model=length by default: -0.1 * |words - 10|; words 1, 2, 1: -0.9, -0.8, -0.9
    assert whole["measures"]["reward length"]["value"] == pytest.approx(-2.6 / 3, abs=1e-6)


def test_the_same_rows_from_any_kind_of_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pyarrow
    import pyarrow.parquet

    flat = [{**row, "gold": row["gold"][-1]} for row in ROWS]
    files = [_json_lines(tmp_path, flat), str(tmp_path / "o.csv"), str(tmp_path / "o.parquet")]
    lines = [
        "model,out,gold,mark,q",
        *(f'{r["model"]},"{r["out"]}",{r["gold"]},{r["mark"]},"{r["q"]}"' for r in flat),
    ]
    Path(files[1]).write_text("\r\n".join(lines))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(flat), files[2])
    results = [
        _results(capsys, file, "--prediction", "out", "--reference", "gold", "--score", "mark")[
            "results"
        ]
        for file in files
    ]
    assert results[0] == results[1] == results[2]
    assert set(results[0][0]["measures"]) == {"token_f1", "exact_match", "rouge_l", "bleu", "mark"}


def test_bad_rows_are_named_and_counted_never_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        *ROWS,
        {"model": "B", "out": None, "gold": ["x"], "mark": 1},
        {"model": "B", "out": "y", "gold": [], "mark": 1},
    ]
    rows.append({"model": "B", "out": "y", "gold": "z", "mark": "high"})
    file = _json_lines(tmp_path, rows)
    words = [file, "--prediction", "out", "--reference", "gold", "--score", "mark"]
    with pytest.raises(UserError) as refused:
        commands.run("evaluate-samples", words)
    message = str(refused.value)
    assert "3 of 6 rows cannot be scored" in message
    assert f"{file}:4: out: is null" in message
    assert f"{file}:5: gold: must be a text or a list of texts, not []" in message
    assert f"{file}:6: mark: must be a finite number, not 'high'" in message
    output = _results(capsys, *words, "--skip-bad-rows")
    assert (output["kept"], output["left_out"]) == (3, 3)


def test_a_csv_row_with_too_few_values_is_named(tmp_path: Path) -> None:
    file = tmp_path / "o.csv"
    file.write_text('out,mark\n"two\nlines",1\nx\n')
    with pytest.raises(UserError, match=r"o\.csv:4: row: has 1 values, the header has 2 columns"):
        commands.run("evaluate-samples", [str(file), "--score", "mark"])


@pytest.mark.parametrize(
    "words,message",
    [
        ((), "say what to measure"),
        (("--metric", "bleu", "--score", "mark"), "add --reference COLUMN"),
        (
            ("--reference", "golds", "--prediction", "out"),
            r"golds: is not a column.*Did you mean 'gold'\? \(and 2 more rows\)",
        ),
        (("--reference", "gold", "--prediction", "out", "--metric", "blue"), "Did you mean 'bleu'"),
        (("--reward", "lenght", "--prediction", "out"), "Did you mean 'length'"),
        (("--reward", "gold", "--prediction", "out"), "needs a simulated world"),
        (("--reward", "kwise", "--prediction", "out"), "stored samples have no run"),
        (
            ("--reward", "length", "targt=3"),
            r"--reward length\.targt is not an option.*Did you mean 'target'",
        ),
        (("--reward", "length", "target=far"), r"--reward length\.target: .*'far'"),
        (("--reward", "length", "scale=0"), r"--reward length\.scale is 0.0 but must be > 0"),
        (("--reward", "length", "target"), "'target' is not a setting: write KEY=VALUE"),
        (
            ("--reward", "length", "target=${oc.env:HOME}"),
            "is not a setting: write KEY=VALUE, without references",
        ),
        (("--reward", "length", "target=[1"), r"--reward length target=\[1: "),
        (("--reward", "length", "name=noise"), "has its name already"),
        (
            ("--reward", "length", "--runtime", "treads=1"),
            r"--runtime\.treads is not an option.*Did you mean 'threads'",
        ),
        (
            ("--reward", "length", "--runtime", "threads=0"),
            r"--runtime\.threads is 0 but must be >= 1",
        ),
        (("--reward", "length", "--runtime", "processes=2"), "judged by one process"),
        (
            ("--reward", "classifier"),
            r"--reward classifier\.path is empty but must name a transformers folder",
        ),
    ],
)
def test_errors_say_what_to_do(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        commands.run("evaluate-samples", [_json_lines(tmp_path, ROWS), *words])


def test_the_file_comes_first() -> None:
    with pytest.raises(UserError, match="name the file first"):
        commands.run("evaluate-samples", ["--reward", "length", "outputs.csv"])


def test_a_reward_takes_settings_that_its_schema_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _json_lines(tmp_path, ROWS)
    words = (
        "--reward",
        "length",
        "target=2",
        "scale=0.5",
        "--reward",
        "length",
        "--reward",
        "contains",
        "words=[Rome, the]",
    )
    measures = _results(capsys, file, "--prediction", "out", *words)["results"][-1]["measures"]
    # words 1, 2, 1. -0.5 * |words - 2|: -0.5, 0, -0.5. By default -0.1 * |words - 10|.
    # The share of "Rome" and "the": 0, 1, 0.
    assert {name: m["value"] for name, m in measures.items()} == {
        "reward length target=2 scale=0.5": pytest.approx(-1 / 3),
        "reward length": pytest.approx(-2.6 / 3, abs=1e-6),
        "reward contains words=[Rome, the]": pytest.approx(1 / 3),
    }


def test_a_reward_that_computes_gets_a_runtime(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_classifier(tmp_path / "judge")
    rows = [
        {"response": text}
        for text in ("you are bad", "good", "you you", "are you good", "bad bad bad bad")
    ]
    judge = ("--reward", "classifier", f"path={folder}", "label=toxic")
    values = []
    for micro_batch in (1, 5):  # rows read at a time; what they score does not depend on it
        runtime = ("--runtime", "device=cpu", "threads=1", f"micro_batch={micro_batch}")
        (measure,) = _results(capsys, _json_lines(tmp_path, rows), *judge, *runtime)["results"][-1][
            "measures"
        ].values()
        values.append(measure["value"])
        assert 0 < measure["value"] < 1
        assert measure["n"] == 5
    assert values[0] == pytest.approx(values[1], abs=1e-6)


def test_a_missing_or_empty_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        commands.run("evaluate-samples", [str(tmp_path / "absent.csv"), "--score", "mark"])
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(UserError, match="the file is empty"):
        commands.run("evaluate-samples", [str(tmp_path / "empty.csv"), "--score", "mark"])


def test_the_table_has_a_line_per_group(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands.run(
        "evaluate-samples", [_json_lines(tmp_path, ROWS), "--score", "mark", "--group", "model"]
    )
    text = capsys.readouterr().out
    assert [line.split()[:3] for line in text.splitlines() if line[1:2] in "AB"][:2] == [
        ["A", "2", "3.000"],
        ["B", "1", "0.500"],
    ]
    assert "3 rows scored" in text
