"""The file as a whole: a notice with a count for what no single row shows, and none where there is
nothing to say."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab_builtin.files.config import ColumnNames, FilesConfig, OnBadRow, RecordKind
from preflab_builtin.files.labelers import labeler_group
from preflab_builtin.files.source import FileSource, inspect
from preflab_builtin.files.transcripts import shared

Rows = list[dict[str, Any]]


def notices(tmp_path: Path, record_type: str, rows: Rows, **settings: Any) -> list[str]:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = FilesConfig(record=RecordKind(record_type), path=str(path), **settings)
    found = inspect(config).notices
    assert all(notice.startswith(f"{record_type}: ") for notice in found)
    return [notice.removeprefix(f"{record_type}: ") for notice in found]


def ranking(number: int, **columns: Any) -> dict[str, Any]:
    row = {
        "prompt": f"Guest {number} asks:",
        "chosen": f" Hello {number}!",
        "rejected": f" No {number}.",
    }
    return {**row, **columns}


def rankings(count: int = 20, **columns: Any) -> Rows:
    return [ranking(i, **columns) for i in range(count)]


_ASKED = "\n\nHuman: a\n\nAssistant:"


def scored(number: int) -> dict[str, Any]:
    texts = [f" {letter}{number}" for letter in "abc"]
    return {"prompt": f"{number}?", "completions": texts, "scores": [2, 1, 3]}


def judged(number: int) -> dict[str, Any]:
    return {"input": f"{number}?", "output_1": f"a{number}", "output_2": f"b{number}", "label": 2}


def test_nothing_is_said_of_a_good_file(tmp_path: Path) -> None:
    assert notices(tmp_path, "rankings", rankings()) == []
    assert notices(tmp_path, "prompts", rankings()) == []
    chats = [{"messages": [{"role": "user", "content": f"{i}?"}]} for i in range(20)]
    assert notices(tmp_path, "prompts", chats) == []
    transcripts = [
        {
            "chosen": f"\n\nHuman: {i}?\n\nAssistant: a{i}",
            "rejected": f"\n\nHuman: {i}?\n\nAssistant: b{i}",
        }
        for i in range(20)
    ]
    assert notices(tmp_path, "rankings", transcripts) == []
    tasks = [{"instruction": f"Do {i}.", "output": f"Done {i}."} for i in range(20)]
    assert notices(tmp_path, "demonstrations", tasks) == []
    assert notices(tmp_path, "documents", [{"text": f"A & B; {i} <b>"} for i in range(20)]) == []


@pytest.mark.parametrize(
    "rows,expected",
    [
        (rankings() + rankings(2), "2 of 22 records are there again, word for word (first: "),
        (
            [*rankings(), ranking(3, chosen=" No 3.", rejected=" Hello 3!")],
            "1 of 21 records judge the same answers otherwise than an earlier record (first: ",
        ),
        ([*rankings(), ranking(7, rejected="nan")], "1 of 21 records have a word for nothing"),
        ([*rankings(), ranking(7, prompt="None")], "1 of 21 prompts are words for nothing"),
        (
            [*rankings(), ranking(7, rejected="Guest 7 asks:")],
            "1 of 21 records have a response that is the prompt itself",
        ),
        ([*rankings(), ranking(7, chosen=" A &amp; B")], "1 of 21 records hold HTML entities"),
        (
            [*rankings(), ranking(7, prompt="<|im_start|>user\nhi<|im_end|>\n")],
            "1 of 21 prompts spell tokens of a chat template",
        ),
        (
            [ranking(i, prompt="Hi.", chosen=f"A{i}", rejected="B") for i in range(20)],
            "in 20 of 20 records prompt and response follow each other without a space",
        ),
        (
            [ranking(i, prompt=f"Below you find what the guest says: {i}") for i in range(20)],
            "all 20 prompts begin with the same 36 characters: 'Below you find what the guest says",
        ),
        (rankings(rejected=" No."), "the second answer is the same text in all 20 records: ' No.'"),
        (
            [{**scored(i), "scores": None, "ranking": [2, 3, 1]} for i in range(20)],
            "in 20 of 20 rows the ranks would say something else as an order",
        ),
        (
            [*rankings(), {"chosen": f"{_ASKED} b", "rejected": f"{_ASKED} c"}],
            "the rows have several shapes: preference (20 rows), implicit (1 rows).",
        ),
        (
            [*rankings(), ranking(7, system="Be brief.")],
            "1 prompts are conversations, which the model's chat template shows, and 20 are texts",
        ),
        (
            [scored(i) for i in range(20)],
            "the scores of all 20 rows are 1, 2, 3, ... once each",
        ),
        (
            [judged(i) for i in range(20)],
            "the second answer is the better one in all 20 records: is the label right?",
        ),
        (
            [ranking(i, group=f"subject{i % 3}") for i in range(60)],
            "'group' has 3 values in 60 rows, and all rows of a value go into one split",
        ),
        ([ranking(i, user=f"u{i % 2}") for i in range(60)], "'user' has 2 values in 60 rows"),
    ],
)
def test_what_a_file_shows(tmp_path: Path, rows: Rows, expected: str) -> None:
    found = notices(tmp_path, "rankings", rows)
    assert any(notice.startswith(expected) for notice in found), found
    place = f"(first: {tmp_path}/rows.jsonl:"
    assert "(first" not in expected or any(place in notice for notice in found)


def test_what_is_said_can_be_settled(tmp_path: Path) -> None:
    rows = [ranking(i, group=f"subject{i % 3}", user=f"u{i % 3}") for i in range(60)]
    assert len(notices(tmp_path, "rankings", rows)) == 2
    assert notices(tmp_path, "rankings", rows, ignore=["group", "user"]) == []
    assert notices(tmp_path, "rankings", rows, group="group", user="user") == []
    rendered = [{"prompt": f"<|im_start|>user\n{i}<|im_end|>\n"} for i in range(20)]
    assert len(notices(tmp_path, "prompts", rendered)) == 1
    assert notices(tmp_path, "prompts", rendered, rendered=True) == []


@pytest.mark.filterwarnings("ignore:.*rows kept")
def test_a_label_of_one_value(tmp_path: Path) -> None:
    rows = [{"prompt": f"{i}:", "completion": f" a{i}", "label": 1} for i in range(20)]
    (notice,) = notices(tmp_path, "demonstrations", rows)
    assert notice == "the label is true in all 20 rows: is it the right column?"
    rows.append({"prompt": "q:", "completion": " a", "label": 0})
    assert notices(tmp_path, "demonstrations", rows, on_bad_row=OnBadRow.skip) == []
    same = [{"question": f"{i}:", "a": " yes", "good": "True"} for i in range(20)]
    columns = ColumnNames(prompt="question", completion="a", label="good")
    found = notices(tmp_path, "demonstrations", same, columns=columns)
    assert found[1] == "the response is the same text in all 20 records: ' yes'."


def answers(number: int) -> list[str]:
    start = f"Where is room {number}?\nAnswer:"
    return [start, f"{start} On floor {number}.", f"{start} Somewhere {number}."]


def repeating(count: int) -> Rows:
    return [
        dict(zip(("prompt", "chosen", "rejected"), answers(i), strict=True)) for i in range(count)
    ]


def test_a_prompt_that_the_answers_repeat_is_taken_off(tmp_path: Path) -> None:
    found = notices(tmp_path, "rankings", repeating(60))
    assert found == [
        "in 60 of 60 rows the answers began with their prompt: it was taken off, so that it is not "
        "read twice."
    ]
    config = FilesConfig(rankings=str(tmp_path / "rows.jsonl"))
    record: Any = FileSource(config).records("rankings")[5]
    assert record.prompt.text == answers(5)[0]
    assert record.responses == (" On floor 5.", " Somewhere 5.")


def test_a_row_of_another_form_is_refused_there(tmp_path: Path) -> None:
    rows = [*repeating(60), ranking(7)]
    with pytest.warns(UserWarning, match="60 of 61 rows kept(?s:.*):61: response: does not begin"):
        notices(tmp_path, "rankings", rows, on_bad_row=OnBadRow.skip)
    empty = dict(
        zip(("prompt", "chosen", "rejected"), [*answers(9)[:2], answers(9)[0]], strict=True)
    )
    with pytest.warns(UserWarning, match=":61: response: is empty after its prompt"):
        notices(tmp_path, "rankings", [*repeating(60), empty], on_bad_row=OnBadRow.skip)


def _pairs(prompt: str, answer: str) -> Rows:
    texts = {"chosen": "On floor", "rejected": "Somewhere in"}
    return [
        {
            "prompt": prompt.format(i),
            **{k: answer.format(prompt.format(i).strip(), f"{t} {i}.") for k, t in texts.items()},
        }
        for i in range(60)
    ]


@pytest.mark.parametrize(
    "prompt,answer", [("Where is room {}?", "\n {} {}"), ("Where is room {}?\n ", "{}  {}")]
)
def test_space_around_the_repeated_prompt_does_not_count(
    tmp_path: Path, prompt: str, answer: str
) -> None:
    """A space before the prompt, or another one behind it; what the prompt ends with is not there
    twice."""
    (found,) = notices(tmp_path, "rankings", _pairs(prompt, answer))
    assert found.startswith("in 60 of 60 rows the answers began with their prompt")
    record: Any = FileSource(FilesConfig(rankings=str(tmp_path / "rows.jsonl"))).records("rankings")
    text = record[5].prompt.text + record[5].responses[0]
    assert text in ("Where is room 5? On floor 5.", "Where is room 5?\n On floor 5.")


@pytest.mark.parametrize(
    "answer,expected",
    [
        ("[INST] {} [/INST] {}", r"after '\[INST\]', as nearly all.*Leave only the answer there\."),
        ("Human: {}\n\nAssistant: {}", r"after 'Human:'.*rankings.ignore=\[prompt\]\."),
    ],
)
def test_a_prompt_in_a_wrapping_is_refused(tmp_path: Path, answer: str, expected: str) -> None:
    rows = _pairs("Where is room {}?", answer)
    with pytest.raises(UserError, match=rf"jsonl:1: response: holds its prompt again, {expected}"):
        notices(tmp_path, "rankings", rows)
    if "ignore" in expected:
        assert notices(tmp_path, "rankings", rows, ignore=["prompt"]) == []
    other = [{**row, "chosen": f"{i} says: {row['prompt']} A", "rejected": f"{i} {row['prompt']}b"}
             for i, row in enumerate(rows)]  # fmt: skip
    (found,) = notices(tmp_path, "rankings", other)
    assert found.startswith("in 60 of 60 rows the answers hold their whole prompt near their start")


@pytest.mark.parametrize("side,name", [("chosen", "better"), ("rejected", "worse")])
def test_one_answer_that_repeats_its_prompt(tmp_path: Path, side: str, name: str) -> None:
    rows = [{**row, side: row["prompt"] + row[side]} for row in _pairs("Where is {:03}?", "{1}")]
    (found,) = notices(tmp_path, "rankings", rows)
    assert found.startswith(f"in 60 of 60 rows the {name} answer alone repeats its prompt")


def test_some_rows_that_repeat_their_prompt_are_counted(tmp_path: Path) -> None:
    found = notices(tmp_path, "rankings", [*rankings(60), *repeating(20)])
    assert (
        "in 20 of 80 rows the answers begin with their prompt, which is then read twice." in found
    )


def test_demonstrations_and_conversations_repeat_too(tmp_path: Path) -> None:
    rows = [{"prompt": a[0], "completion": a[1]} for a in map(answers, range(20))]
    notices(tmp_path, "demonstrations", rows)
    config = FilesConfig(demonstrations=str(tmp_path / "rows.jsonl"))
    assert FileSource(config).records("demonstrations")[5].response == " On floor 5."  # type: ignore[union-attr]
    notices(tmp_path, "demonstrations", [{"system": "Be brief.", **row} for row in rows])
    assert FileSource(config).records("demonstrations")[5].response == "On floor 5."  # type: ignore[union-attr]


def test_instructions_repeat_too(tmp_path: Path) -> None:
    rows = [{"instruction": a[0], "output": a[1]} for a in map(answers, range(20))]
    (found,) = notices(tmp_path, "demonstrations", rows)
    assert "it was taken off" in found
    config = FilesConfig(demonstrations=str(tmp_path / "rows.jsonl"))
    assert FileSource(config).records("demonstrations")[5].response == " On floor 5."  # type: ignore[union-attr]


def test_a_short_answer_may_begin_like_its_prompt(tmp_path: Path) -> None:
    rows = [{"prompt": f"{i} ", "completion": f"{i} apples"} for i in range(20)]
    assert notices(tmp_path, "demonstrations", rows) == []


def test_shared() -> None:
    for one, other, count in (("", "", 0), ("a", "", 0), ("abc", "abd", 2), ("ab", "abc", 2)):
        assert shared(one, other) == shared(other, one) == count
    text = "x" * 999
    assert [shared(text, text[:n] + "y" * 5) for n in (0, 1, 500, 999)] == [0, 1, 500, 999]


@pytest.mark.parametrize(
    "people,value,expected",
    [
        (("ann", "bob"), "b", "judge the same answers otherwise than an earlier record"),
        (("ann", "ann"), "tie", "judge the same answers otherwise than an earlier record"),
        (("", ""), "b", "judge the same answers otherwise than an earlier record"),
        (("ann", "bob"), "a", None),  # two people agree
        (("ann", "ann"), "a", "are there again, word for word"),
        (("", ""), "a", "are there again, word for word"),
    ],
)
def test_two_verdicts_on_one_pair(
    tmp_path: Path, people: tuple[str, str], value: str, expected: str | None
) -> None:
    rows = [
        {"prompt": f"{i}?", "answer_a": f"a{i}", "answer_b": f"b{i}", "winner": "ab"[i % 2]}
        for i in range(20)
    ]
    rows = [{**row, "labeler": people[0]} for row in rows]
    rows.append({**rows[4], "winner": value, "labeler": people[1]})
    said = [n for n in notices(tmp_path, "rankings", rows) if "again" in n or "otherwise" in n]
    assert len(said) == bool(expected)
    assert not expected or f"1 of 21 records {expected}" in said[0]
    assert not expected or ":21)" in said[0]  # the place of the second


def grouped(*groups: Any) -> Rows:
    return [ranking(i, labeler_group=group) for i, group in enumerate(groups)]


def test_the_groups_of_labelers_are_counted_and_names_that_look_alike_are_told(
    tmp_path: Path,
) -> None:
    """White space around a name does not make another group; capitals and space within do, and an
    empty cell is no group."""
    rows = grouped("nurses", " nurses\n", "Nurses", "do ctors", "doctors", "", None, " ")
    told, *alike = notices(tmp_path, "rankings", rows)
    assert told == (
        "labelers are of 4 groups: Nurses 1, do ctors 1, doctors 1, nurses 2; 3 of 8 records have "
        "no group."
    )
    assert [said.partition(" differ")[0] for said in alike] == [
        "the labeler groups 'Nurses' and 'nurses'",
        "the labeler groups 'do ctors' and 'doctors'",
    ]
    assert labeler_group({"labeler_group": math.nan}) == ""  # as pandas and Parquet hold it
    assert notices(tmp_path, "rankings", grouped(7, 7.0)) == ["labelers are of 1 group: 7 2."]


@pytest.mark.parametrize("word", ["nan", "N/A", "None", " null", "NA", "<NA>"])
def test_a_word_for_nothing_is_no_group_of_labelers(tmp_path: Path, word: str) -> None:
    with pytest.raises(UserError, match=r"rows.jsonl:2: labeler_group: .*Leave the cell empty"):
        notices(tmp_path, "rankings", grouped("nurses", word))


def test_columns_that_say_who_judged_are_told_with_the_option_that_reads_them(
    tmp_path: Path,
) -> None:
    rows = rankings(annotator_id=7, raterGroup="nurses", annotator_age=30, workflow="x")
    columns, *told = notices(tmp_path, "rankings", rows)
    assert columns.startswith("columns that are not read: annotator_age, annotator_id, raterGroup")
    assert told == [
        "if 'annotator_id' is who judged: rankings.labeler=annotator_id.",
        "if 'raterGroup' is the group of whoever judged: rankings.labeler_group=raterGroup.",
    ]
    read = {"labeler": "annotator_id", "labeler_group": "raterGroup"}
    *_, said = notices(tmp_path, "rankings", rows, **read)
    assert said == "labelers are of 1 group: nurses 20."
    with pytest.raises(UserError, match=r"rankings.labeler: no row has a column 'anotator_id'"):
        notices(tmp_path, "rankings", rows, labeler="anotator_id")


def test_ids_of_rows_are_told(tmp_path: Path) -> None:
    """Of 20 rows two have the prompt of another one, and ids of their own."""
    rows = [ranking(i % 18, id=f"row-{i}", labeler=str(i)) for i in range(20)]
    (told,) = notices(tmp_path, "rankings", rows)
    assert told.startswith("in 2 of 20 rows the id is another one than that of an earlier row")
    assert told.endswith("rankings.ignore=[id].")
    assert not notices(tmp_path, "rankings", rows, ignore=["id"])
    assert not notices(tmp_path, "prompts", [{"prompt": "a"}, {"prompt": "b"}])


def test_tags_in_a_text_with_a_comma_are_told(tmp_path: Path) -> None:
    tags = ["harmful, private", "harmful", '["harmful", "private"]', ["a, b", "c"], None, " "]
    rows = [{"prompt": f"{i}?", "tags": tag} for i, tag in enumerate(tags)]
    (told,) = notices(tmp_path, "prompts", rows)
    assert told.startswith("in 1 of 6 rows 'tags' is a text with a comma")
    path = tmp_path / "rows.jsonl"
    prompts = FileSource(FilesConfig(record=RecordKind.prompts, path=str(path))).records("prompts")
    assert [prompt.tags for prompt in prompts] == [  # type: ignore[union-attr]
        ("harmful, private",),
        ("harmful",),
        ("harmful", "private"),
        ("a, b", "c"),
        (),
        (),
    ]
