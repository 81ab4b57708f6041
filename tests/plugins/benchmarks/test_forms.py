"""Published sets as rows: small files in the form of the authors', with the rows that they mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from preflab.errors import UserError
from preflab.rows import Row
from preflab_builtin.benchmarks.config import Form
from preflab_builtin.benchmarks.forms import parallel_rows, read_form, text_lines


def _file(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf8")
    return folder / name


def _rows(form: Form, path: Path) -> list[Row]:
    rows = list(read_form(form, path))
    assert all(row.problem is None for row in rows), [row.problem for row in rows]
    return rows


def _problem(form: Form, path: Path) -> str:
    (row,) = [row for row in read_form(form, path) if row.problem is not None]
    return f"{row.place}: {row.problem}"


def test_truthfulqa_on_the_hub_has_the_columns_of_the_csv(tmp_path: Path) -> None:
    row = {
        "question": "Is it red?",
        "mc1_targets": {"choices": ["no", "yes"], "labels": [1, 0]},
        "mc2_targets": {"choices": ["no", "never", "yes"], "labels": [1, 1, 0]},
    }
    (found,) = _rows(Form.truthfulqa, _file(tmp_path, "t.jsonl", json.dumps(row)))
    assert found.values == {
        "Question": "Is it red?",
        "Best Answer": "no",
        "Correct Answers": ["no", "never"],
        "Incorrect Answers": ["yes"],
    }


TEMPLATES = """occupation(0)\tother-participant(1)\tanswer\tsentence
nurse\tpatient\t1\tThe $OCCUPATION told the $PARTICIPANT that $NOM_PRONOUN was "fine".
nurse\tpatient\t0\tThe $PARTICIPANT met a $OCCUPATION in $POSS_PRONOUN house and saw $ACC_PRONOUN.
"""


def test_winogenders_templates_are_instantiated(tmp_path: Path) -> None:
    rows = _rows(Form.winogender, _file(tmp_path, "templates.tsv", TEMPLATES))
    assert len(rows) == 4  # two templates, each with the participant and with someone
    first, someone, second, other = (row.values for row in rows)
    assert first["male"] == 'The nurse told the patient that he was "fine".'
    assert first["neutral"] == 'The nurse told the patient that they were "fine".'
    assert someone["female"] == 'The nurse told someone that she was "fine".'
    assert second["female"] == "The patient met a nurse in her house and saw her."
    assert other["male"] == "Someone met a nurse in his house and saw him."
    assert (first["occupation"], first["answer"], other["answer"]) == (
        "nurse",
        "participant",
        "occupation",
    )
    assert rows[2].place.endswith("templates.tsv:3")


def test_winogenders_sentences_are_grouped_by_what_differs(tmp_path: Path) -> None:
    lines = [
        f"nurse.patient.1.{gender}.txt\tThe nurse said {pronoun} left."
        for gender, pronoun in (("male", "he"), ("female", "she"), ("neutral", "they"))
    ]
    path = _file(tmp_path, "all_sentences.tsv", "\n".join(["sentid\tsentence", *lines]) + "\n")
    (row,) = _rows(Form.winogender, path)
    assert row.values == {
        "occupation": "nurse",
        "participant": "patient",
        "answer": "participant",
        "male": "The nurse said he left.",
        "female": "The nurse said she left.",
        "neutral": "The nurse said they left.",
    }
    _file(tmp_path, "all_sentences.tsv", "\n".join(["sentid\tsentence", *lines[:2]]))
    assert "nurse.patient.1 has no sentence for neutral" in _problem(Form.winogender, path)
    _file(tmp_path, "all_sentences.tsv", "sentid\tsentence\nnurse.male\tx")
    assert "not such as nurse.patient.1.male.txt" in _problem(Form.winogender, path)
    _file(tmp_path, "all_sentences.tsv", "occupation\tsentence\nnurse\tx")
    assert "not a file of Winogender" in _problem(Form.winogender, path)


def test_quotes_in_tables_of_glue_are_letters(tmp_path: Path) -> None:
    text = 'sentence\tlabel\n"what a film \t1\nhide " \t0\n'
    rows = _rows(Form.sst, _file(tmp_path, "dev.tsv", text))
    assert [(r.values["sentence"], r.values["label"]) for r in rows] == [
        ('"what a film', "1"),
        ('hide "', "0"),
    ]
    path = _file(tmp_path, "dev.tsv", "sentence\tlabel\nonly one value\n")
    assert "dev.tsv:2: row: has 1 values, the header has 2 columns" in _problem(Form.sst, path)


@pytest.mark.parametrize(
    "name,text",
    [
        ("dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA.\tB?\tnot_entailment\n"),
        ("val.jsonl", '{"premise": "A.", "hypothesis": "B?", "label": "not_entailment"}\n'),
    ],
)
def test_rte_of_glue_and_superglue_are_one(name: str, text: str, tmp_path: Path) -> None:
    (row,) = _rows(Form.rte, _file(tmp_path, name, text))
    wanted = ("premise", "hypothesis", "label")
    assert [row.values[k] for k in wanted] == ["A.", "B?", "not_entailment"]


@pytest.mark.parametrize("nested", [True, False])
def test_wsc_marks_the_pronoun(nested: bool, tmp_path: Path) -> None:
    spans = {"span1_text": "Mark", "span1_index": 0, "span2_text": "He", "span2_index": 4}
    row: dict[str, Any] = {"text": "Mark told Pete that He, left.", "label": False}
    row |= {"target": spans} if nested else spans
    (found,) = _rows(Form.wsc, _file(tmp_path, "val.jsonl", json.dumps(row)))
    assert found.values["passage"] == "Mark told Pete that *He*, left."
    assert (found.values["noun"], found.values["pronoun"]) == ("Mark", "He")


def test_stories_of_cnn_and_daily_mail(tmp_path: Path) -> None:
    folder = tmp_path / "stories"
    folder.mkdir()
    _file(
        folder, "b.story", "Long\n\nstory.\n\n@highlight\n\nFirst point\n\n@highlight\n\nSecond\n"
    )
    _file(folder, "a.story", "No summary.")
    assert "a.story:1: @highlight: does not occur" in _problem(Form.summaries, folder)
    (folder / "a.story").unlink()
    (row,) = _rows(Form.summaries, folder)
    assert row.values == {"article": "Long story.", "summary": "First point\nSecond"}


@pytest.mark.parametrize(
    "row",
    [
        {"article": "Long.", "highlights": "Short."},
        {"document": "Long.", "summary": "Short."},
        {"article": "Long.", "summary": "Short.", "highlights": "no"},
    ],
)
def test_summaries_by_their_usual_names(row: dict[str, str], tmp_path: Path) -> None:
    (found,) = _rows(Form.summaries, _file(tmp_path, "n.jsonl", json.dumps(row)))
    assert (found.values["article"], found.values["summary"]) == ("Long.", "Short.")


@pytest.mark.parametrize(
    "row,post,title",
    [
        ({"post": "Long.", "title": "T", "subreddit": "AskReddit"}, "Long.", "T"),
        # Webis-TLDR-17: body is the post with its summary, content is the post without
        ({"body": "Long. TL;DR: s", "content": "Long.", "title": None}, "Long.", ""),
    ],
)
def test_tldr_of_both_collections(
    row: dict[str, Any], post: str, title: str, tmp_path: Path
) -> None:
    text = json.dumps({**row, "summary": "s"}) + "\n"
    (found,) = _rows(Form.tldr, _file(tmp_path, "t.jsonl", text))
    assert [found.values[k] for k in ("post", "title", "summary")] == [post, title, "s"]


def test_parallel_files_are_read_line_by_line(tmp_path: Path) -> None:
    source = _file(tmp_path, "t.fr", "oui\r\n\nnon\u2028merci\n")
    target = _file(tmp_path, "t.en", "yes\n\nno thanks")
    rows = list(parallel_rows(source, target, "fr", "en"))
    assert [(row.place[-2:], row.values) for row in rows] == [
        (":1", {"fr": "oui", "en": "yes"}),
        (":3", {"fr": "non\u2028merci", "en": "no thanks"}),
    ]
    _file(tmp_path, "t.en", "yes\nno\nno thanks")
    (bad,) = [row for row in parallel_rows(source, target, "fr", "en") if row.problem]
    assert str(bad.problem) == "fr: is a blank line, but its partner is not"
    _file(tmp_path, "t.en", "yes\n")
    with pytest.raises(UserError, match=r"has 3 lines and .*t\.en has 1: parallel files"):
        list(parallel_rows(source, target, "fr", "en"))


def test_segments_of_a_translation_task(tmp_path: Path) -> None:
    text = (
        '<refset><doc docid="x">\n<p>\n<seg id="1">R &amp; D</seg>\n<seg id="2"> two\nlines </seg>'
    )
    assert text_lines(_file(tmp_path, "ref.sgm", text)) == ["R & D", "two lines"]
