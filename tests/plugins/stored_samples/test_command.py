"""`preflab evaluate-samples`: columns of any name, groups, counted rows, errors with a cure."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from preflab.console import commands
from preflab.errors import UserError
from stored_rows import ROWS, json_lines, results


def test_groups_and_the_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = json_lines(tmp_path, ROWS)
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
    output = results(capsys, file, *words, "--reward", "length")
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
    files = [json_lines(tmp_path, flat), str(tmp_path / "o.csv"), str(tmp_path / "o.parquet")]
    lines = [
        "model,out,gold,mark,q",
        *(f'{r["model"]},"{r["out"]}",{r["gold"]},{r["mark"]},"{r["q"]}"' for r in flat),
    ]
    Path(files[1]).write_text("\r\n".join(lines))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(flat), files[2])
    found = [
        results(capsys, file, "--prediction", "out", "--reference", "gold", "--score", "mark")[
            "results"
        ]
        for file in files
    ]
    assert found[0] == found[1] == found[2]
    assert set(found[0][0]["measures"]) == {"token_f1", "exact_match", "rouge_l", "bleu", "mark"}


def test_bad_rows_are_named_and_counted_never_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        *ROWS,
        {"model": "B", "out": None, "gold": ["x"], "mark": 1},
        {"model": "B", "out": "y", "gold": [], "mark": 1},
    ]
    rows.append({"model": "B", "out": "y", "gold": "z", "mark": "high"})
    file = json_lines(tmp_path, rows)
    words = [file, "--prediction", "out", "--reference", "gold", "--score", "mark"]
    with pytest.raises(UserError) as refused:
        commands.run("evaluate-samples", words)
    message = str(refused.value)
    assert "3 of 6 rows cannot be scored" in message
    assert f"{file}:4: out: is null" in message
    assert f"{file}:5: gold: holds no right answer" in message
    assert f"{file}:6: mark: must be a finite number or a word such as pass" in message
    output = results(capsys, *words, "--skip-bad-rows")
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
        (
            ("--reward", "length", "target=far"),
            r"--reward length\.target is 'far' but must be a whole number",
        ),
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
        (("--reward", "length", "--runtime", "precision=auto"), "give float32 or bfloat16"),
        (
            ("--reward", "classifier"),
            r"--reward classifier\.path is empty but must name a transformers folder",
        ),
    ],
)
def test_errors_say_what_to_do(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        commands.run("evaluate-samples", [json_lines(tmp_path, ROWS), *words])


def test_the_file_comes_first() -> None:
    with pytest.raises(UserError, match="name the file first"):
        commands.run("evaluate-samples", ["--reward", "length", "outputs.csv"])


def test_a_missing_or_empty_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        commands.run("evaluate-samples", [str(tmp_path / "absent.csv"), "--score", "mark"])
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(UserError, match="the file is empty"):
        commands.run("evaluate-samples", [str(tmp_path / "empty.csv"), "--score", "mark"])


def test_the_table_has_a_line_per_group(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands.run(
        "evaluate-samples", [json_lines(tmp_path, ROWS), "--score", "mark", "--group", "model"]
    )
    text = capsys.readouterr().out
    assert [line.split()[:3] for line in text.splitlines() if line[1:2] in "AB"][:2] == [
        ["A", "2", "3.000"],
        ["B", "1", "0.500"],
    ]
    assert "3 rows scored" in text


CHINESE = [
    {"response": "北京", "gold": "北京"},
    {"response": "一九四九年。", "gold": "一九四九年"},
]


def test_equal_chinese_texts_are_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = json_lines(tmp_path, CHINESE)
    output = results(capsys, file, "--reference", "gold")
    values = {name: m["value"] for name, m in output["results"][0]["measures"].items()}
    assert values == {"token_f1": 1.0, "exact_match": 1.0, "rouge_l": 1.0}
    (note,) = output["notes"]
    assert note.startswith("Left out: bleu: ")
    assert "Add --tokenize zh or char" in note
    output = results(capsys, file, "--reference", "gold", "--metric", "bleu", "--tokenize", "zh")
    # Characters in common: 7 of 8; pairs 5 of 6, triples 3 of 4, fours 2 of 3; product .3646
    bleu = output["results"][0]["measures"]["bleu"]["value"]
    assert bleu == pytest.approx(100 * (7 / 8 * 5 / 6 * 3 / 4 * 2 / 3) ** 0.25)
    with pytest.raises(UserError, match="Add --tokenize zh or char"):
        commands.run("evaluate-samples", [file, "--reference", "gold", "--metric", "bleu"])


def test_usual_metrics_do_not_stop_for_a_missing_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.bleu", None)
    file = json_lines(tmp_path, ROWS)
    words = [file, "--prediction", "out", "--reference", "gold"]
    output = results(capsys, *words)
    assert set(output["results"][0]["measures"]) == {"token_f1", "exact_match"}
    assert len(output["notes"]) == 2
    assert all("pip install 'preflab[text]'" in note for note in output["notes"])
    with pytest.raises(UserError, match=r"pip install 'preflab\[text\]'"):
        commands.run("evaluate-samples", [*words, "--metric", "bleu"])


def test_a_question_without_an_answer_is_squads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"response": "", "answers": {"text": []}},
        {"response": "in Paris", "answers": {"text": ["Paris"]}},
    ]
    words = (json_lines(tmp_path, rows), "--reference", "answers.text", "--metric")
    (result,) = results(capsys, *words, "squad_f1", "--metric", "squad_exact")["results"]
    assert result["measures"]["squad_exact"]["value"] == 0.5
    assert result["measures"]["squad_f1"]["value"] == pytest.approx((1 + 2 / 3) / 2)
    with pytest.raises(UserError, match=r"answers\.text: holds no right answer"):
        commands.run("evaluate-samples", [*words, "token_f1"])
