"""Each shape of a row, and the record that it becomes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.records import (
    Demonstration,
    Document,
    Message,
    Prompt,
    Ranking,
    Record,
    RecordType,
    to_json,
)
from preflab_builtin.files.config import FilesConfig, RecordKind, Template
from preflab_builtin.files.source import FileSource, inspect
from preflab_builtin.files.transcripts import parsed, rendered


def read(
    tmp_path: Path, record_type: RecordType, *rows: dict[str, Any], **settings: Any
) -> list[Any]:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = FilesConfig(record=RecordKind(record_type), path=str(path), **settings)
    return list(FileSource(config).records(record_type))


def test_a_prompt_is_taken_byte_for_byte(tmp_path: Path) -> None:
    (prompt,) = read(
        tmp_path,
        "prompts",
        {"prompt": "  Say \u2028 hi\n", "id": 7, "user": "u1", "tags": ["chat"], "split": "dev"},
    )
    assert (prompt.text, prompt.id, prompt.user, prompt.tags) == (
        "  Say \u2028 hi\n",
        "7",
        "u1",
        ("chat",),
    )
    assert prompt.split == "validation"  # 'dev' is another word for it


def test_prompt_and_completion(tmp_path: Path) -> None:
    rows = [{"prompt": "2+2=", "completion": " 4"}]
    rows.append({**rows[0], "labeler": "w1", "labeler_group": "north"})
    record, known = read(tmp_path, "demonstrations", *rows)
    assert isinstance(record, Demonstration)
    assert (record.prompt.text, record.response) == ("2+2=", " 4")
    assert (record.labeler, record.group) == ("", "")
    assert (known.labeler, known.group) == ("w1", "north")


def test_explicit_preference(tmp_path: Path) -> None:
    (record,) = read(
        tmp_path,
        "rankings",
        {"prompt": "q", "chosen": "good", "rejected": "bad", "labeler": "w1", "labeler_group": "g"},
    )
    assert (record.responses, record.preferences, record.labeler, record.group) == (
        ("good", "bad"),
        ((0, 1),),
        "w1",
        "g",
    )


def test_hh_transcripts_share_their_prompt(tmp_path: Path) -> None:
    start = "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: help\n\nAssistant:"
    (record,) = read(
        tmp_path,
        "rankings",
        {"chosen": f"{start} yes, of course", "rejected": f"{start} yes, never"},
    )
    # the common prefix ends after " yes, ", but the prompt ends at the turn
    assert record.prompt.text == start
    assert record.responses == (" yes, of course", " yes, never")


def test_turns_of_one_dialogue_have_one_group(tmp_path: Path) -> None:
    one, two = (
        "\n\nHuman: hi\n\nAssistant:",
        "\n\nHuman: hi\n\nAssistant: a\n\nHuman: more\n\nAssistant:",
    )
    rows = [{"chosen": f"{start} a", "rejected": f"{start} b"} for start in (one, two)]
    first, second = read(
        tmp_path, "rankings", *rows, {"prompt": "other", "chosen": "a", "rejected": "b"}
    )[:2]
    assert first.prompt.group == second.prompt.group != ""
    assert first.prompt.id != second.prompt.id


def chat(*said: str, system: str = "") -> list[dict[str, str]]:
    """Messages of user and assistant in turn."""
    first = [{"role": "system", "content": system}] if system else []
    roles = ("user", "assistant")
    return first + [{"role": roles[i % 2], "content": c} for i, c in enumerate(said)]


def test_messages_stay_messages(tmp_path: Path) -> None:
    whole = chat("hi", "yo", system="Be brief.")
    text = "Be brief.\n\nHuman: hi\n\nAssistant:"
    asked = (Message("system", "Be brief."), Message("user", "hi"))
    (demonstration,) = read(tmp_path, "demonstrations", {"messages": whole})
    assert (demonstration.prompt.text, demonstration.prompt.messages) == (text, asked)
    assert demonstration.response == "yo"  # the content, without the transcript's space
    for row in ({"messages": whole}, {"messages": whole[:2]}, {"prompt": whole[:2]}):
        (prompt,) = read(tmp_path, "prompts", row)
        assert (prompt.text, prompt.messages, prompt.rendered) == (text, asked, False)
    assert read(tmp_path, "documents", {"messages": whole})[0].text == f"{text} yo"


def test_all_notations_of_a_conversation_give_the_same_record(tmp_path: Path) -> None:
    whole = chat("q", "a", "hi", "yo", system="Be brief.")
    sharegpt = [
        {"from": f, "value": v}
        for f, v in (("human", "q"), ("gpt", "a"), ("human", "hi"), ("gpt", "yo"))
    ]
    parts = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in whole]
    rows: list[dict[str, Any]] = [
        {"messages": whole},
        {"messages": parts},
        {"messages": json.dumps(whole)},  # what a CSV holds
        {"messages": repr(whole)},  # what pandas writes into a CSV
        {"prompt": whole[:-1], "completion": whole[-1:]},
        {"prompt": whole[:-1], "completion": "yo"},
        {"system": "Be brief.", "prompt": whole[1:-1], "completion": "yo"},
        {"system": "Be brief.", "conversations": sharegpt},
        {"conversations": [{"from": "system", "value": "Be brief."}, *sharegpt]},
        {"system": "Be brief.", "history": [["q", "a"]], "prompt": "hi", "completion": " yo"},
        {"system": "Be brief.", "history": [["q", "a"]], "instruction": "hi", "output": "yo"},
        {"system": "Be brief.", "history": whole[1:3], "user": "hi", "assistant": "yo"},
    ]
    records = read(tmp_path, "demonstrations", *rows)
    messages = tuple(Message(**m) for m in whole[:-1])
    assert len(records) == len(rows)
    for record in records:
        assert record == records[0]
        assert (record.prompt.messages, record.response) == (messages, "yo")


def test_all_notations_of_a_preference_give_the_same_record(tmp_path: Path) -> None:
    ask, answers = chat("hi"), [chat("hi", c) for c in ("yo", "no")]
    rows: list[dict[str, Any]] = [
        {"chosen": answers[0], "rejected": answers[1]},
        {"prompt": "hi", "chosen": answers[0], "rejected": answers[1]},  # UltraFeedback
        {"prompt": "hi", "chosen": answers[0], "rejected": answers[1], "messages": answers[0]},
        {"prompt": ask, "chosen": answers[0][1:], "rejected": answers[1][1:]},
        {"prompt": "hi", "chosen": answers[0][1:], "rejected": answers[1][1:]},
        {"prompt": ask[0], "chosen": answers[0][1], "rejected": answers[1][1]},
        {"prompt": "hi", "chosen": json.dumps(answers[0][1]), "rejected": answers[1][1]},
        {"conversations": ask, "chosen": answers[0][1], "rejected": answers[1][1]},  # ShareGPT
        {"prompt": ask, "completions": ["yo", "no"], "ranks": [1, 2]},
        {"system": "", "instruction": "hi", "chosen": "yo", "rejected": "no"},
        {
            "input": {"messages": ask, "tools": [], "parallel_tool_calls": True},
            "preferred_output": answers[0][1:],
            "non_preferred_output": answers[1][1:],
        },
    ]
    records = read(tmp_path, "rankings", *rows)
    assert [record == records[0] for record in records] == [True] * len(rows)
    assert records[0].prompt.messages == (Message("user", "hi"),)
    assert (records[0].responses, records[0].preferences) == (("yo", "no"), ((0, 1),))


def test_texts_stay_texts(tmp_path: Path) -> None:
    transcript = "\n\nHuman: hi\n\nAssistant:"
    texts = {"chosen": f"{transcript} yo", "rejected": f"{transcript} no"}
    for row in (texts, {"prompt": transcript, "chosen": " yo", "rejected": " no"}):
        (record,) = read(tmp_path, "rankings", row)
        assert (record.prompt.text, record.prompt.messages) == (transcript, ())
        assert record.responses == (" yo", " no")
    row = {"system": "Be brief.", **texts}
    assert read(tmp_path, "rankings", row)[0].prompt.text == f"Be brief.{transcript}"


def test_texts_become_conversations_on_request(tmp_path: Path) -> None:
    start = "Be brief.\n\nHuman: q\n\nAssistant: a\n\nHuman: hi\n\nAssistant:"
    transcript = {"chosen": f"{start} yo", "rejected": f"{start} no"}
    rows = [transcript, {"prompt": start, "chosen": " yo", "rejected": " no"}]
    rows = [{k: v.removeprefix("Be brief.") for k, v in row.items()} for row in rows]
    for record in read(tmp_path, "rankings", *rows, template=Template.chat):
        said = (("user", "q"), ("assistant", "a"), ("user", "hi"))
        assert record.prompt.messages == tuple(Message(*turn) for turn in said)
        assert record.responses == ("yo", "no")
    rows = [{"prompt": "hi", "completion": " yo"}, {"instruction": "hi", "output": "yo"}]
    for record in read(tmp_path, "demonstrations", *rows, template=Template.chat):
        assert (record.prompt.messages, record.response) == ((Message("user", "hi"),), "yo")
    assert parsed(start)[0] == Message("system", "Be brief.")
    assert f"{rendered(parsed(start))}\n\nAssistant:" == start


def test_an_input_that_says_it_is_none(tmp_path: Path) -> None:
    task = {"instruction": "Sing.", "output": "la"}
    plain = read(tmp_path, "demonstrations", {**task, "input": ""})
    assert read(tmp_path, "demonstrations", {**task, "input": "<noinput>"}) == plain
    config = FilesConfig(demonstrations=str(tmp_path / "rows.jsonl"))
    (tmp_path / "rows.jsonl").write_text(json.dumps({**task, "input": "nan"}))
    assert "in 1 of 1 rows the input is a word for nothing" in inspect(config).notices[0]


def test_prompts_that_were_rendered_beforehand(tmp_path: Path) -> None:
    row = {"prompt": "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"}
    (prompt,) = read(tmp_path, "prompts", row, rendered=True)
    assert (prompt.text, prompt.rendered) == (row["prompt"], True)
    with pytest.raises(UserError, match=r"are a conversation: prompts.rendered=true is for texts"):
        read(tmp_path, "prompts", {"messages": chat("hi")}, rendered=True)


def test_a_record_knows_its_place(tmp_path: Path) -> None:
    rows = [{"prompt": "q"}, {"prompt": "r"}]
    assert [p.place for p in read(tmp_path, "prompts", *rows)] == [
        f"{tmp_path}/rows.jsonl:{line}" for line in (1, 2)
    ]
    assert read(tmp_path, "documents", {"text": "t"})[0].place == f"{tmp_path}/rows.jsonl:1"


@pytest.mark.parametrize(
    "field,values", [("ranks", [2, 1, 2]), ("ranking", [2, 1, 2]), ("scores", [0.5, 3, 0.5])]
)
def test_k_wise(tmp_path: Path, field: str, values: list[float]) -> None:
    (record,) = read(
        tmp_path, "rankings", {"prompt": "q", "completions": ["a", "b", "c"], field: values}
    )
    # b is best; a and c are tied and give no pair
    assert set(record.preferences) == {(1, 0), (1, 2)}


def test_lists_in_cells_are_lists(tmp_path: Path) -> None:
    row = {"prompt": "q", "completions": '["a", "b"]', "ranks": "[2, 1]"}
    assert read(tmp_path, "rankings", row)[0].preferences == ((1, 0),)


def test_ratings_are_averaged(tmp_path: Path) -> None:
    (record,) = read(
        tmp_path,
        "rankings",
        {"prompt": "q", "completions": ["a", "b"], "ratings": [[1, 2], [0, 4]]},
    )
    assert record.preferences == ((1, 0),)  # means 1.5 and 2


def test_alpaca_templates_with_and_without_input(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Add.", "input": "1 2", "output": "3"},
        {"instruction": "Sing.", "input": "", "output": "la"},
    ]
    given, bare = read(tmp_path, "demonstrations", *rows)
    assert given.prompt.text.endswith("### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:")
    assert "### Input" not in bare.prompt.text
    assert bare.prompt.text.endswith("### Instruction:\nSing.\n\n### Response:")
    plain = read(tmp_path, "demonstrations", *rows, template=Template.plain)
    assert [d.prompt.text for d in plain] == ["Add.\n\n1 2\n\n", "Sing.\n\n"]


def test_self_instruct_gives_a_demonstration_an_instance(tmp_path: Path) -> None:
    row = {
        "id": "t",
        "instruction": "Double.",
        "instances": [{"input": "1", "output": "2"}, {"input": "2", "output": "4"}],
    }
    records = read(tmp_path, "demonstrations", row, template=Template.plain)
    assert [(d.prompt.id, d.prompt.text, d.response) for d in records] == [
        ("t/0", "Double.\n\n1\n\n", "2"),
        ("t/1", "Double.\n\n2\n\n", "4"),
    ]


@pytest.mark.parametrize("label,preference", [(1, (0, 1)), (2, (1, 0))])
def test_llmbar(tmp_path: Path, label: int, preference: tuple[int, int]) -> None:
    (record,) = read(
        tmp_path, "rankings", {"input": "q", "output_1": "a", "output_2": "b", "label": label}
    )
    assert (record.responses, record.preferences) == (("a", "b"), (preference,))


def test_documents_and_their_probes(tmp_path: Path) -> None:
    (document,) = read(
        tmp_path,
        "documents",
        {"text": "2+2=4", "family": "sums", "answer_start": 4, "split": "test"},
    )
    assert document == Document(document.id, "2+2=4", "sums", "test", 4)


def test_rankings_of_the_comparisons_stage_come_back_as_they_were(tmp_path: Path) -> None:
    prompt = Prompt("p", "q?", "u", ("a",), "g", "train", {"task": 1})
    rankings = [
        Ranking(prompt, ("x", "y", "z"), ((0, 1), (0, 2), (2, 1)), "w3", "north"),
        Ranking(prompt, ("x", "y"), ((1, 0),), "w4", ""),
        Ranking(prompt, ("x", "y", "z"), ((0, 1),), "w5", unjudged=((0, 2), (1, 2))),
        Ranking(prompt, ("x", "y"), ((0, 1),), "w6", ratings=(0.5, -1.0)),
    ]
    asked = (Message("user", "q?"),)
    rankings.append(Ranking(Prompt("m", "t", group="g", messages=asked), ("x", "y"), ((0, 1),)))
    rankings.append(Ranking(Prompt("r", "t", group="g", rendered=True), ("x", "y"), ((0, 1),)))
    rows = [to_json(r) for r in rankings]
    assert read(tmp_path, "rankings", *rows) == rankings
    assert read(tmp_path, "prompts", rows[0]) == [prompt]


def test_scores_stay_next_to_the_order_that_they_give(tmp_path: Path) -> None:
    asked = {"prompt": "q"}
    listed = {**asked, "completions": ["a", "b", "c"]}
    pair = {**asked, "chosen": "a", "rejected": "b"}
    rows: list[dict[str, Any]] = [
        {**listed, "scores": [0.5, 0, 2]},
        {**listed, "ratings": [[1, 2], 3, [4]]},  # several people: their mean
        {**listed, "ranks": [2, 3, 1]},  # an order alone
        {**pair, "score_chosen": 7.5, "score_rejected": 4},
        {**pair, "scores": [7.5, 4]},
        {**pair, "score_chosen": "good", "score_rejected": 4},
        pair,
    ]
    found = [read(tmp_path, "rankings", row)[0] for row in rows]
    assert all(isinstance(ranking, Ranking) for ranking in found)
    assert [ranking.ratings for ranking in found] == [
        (0.5, 0, 2),
        (1.5, 3, 4),
        (),
        (7.5, 4),
        (7.5, 4),
        (),
        (),
    ]
    own = to_json(Ranking(Prompt("p", "q"), ("a", "b"), ((0, 1),), ratings=(1.0, 2.0)))
    with pytest.raises(UserError, match=r"ratings.* has 3 entries for 2 responses"):
        read(tmp_path, "rankings", {**own, "ratings": [1, 2, 3]})


def test_one_prompt_has_one_id_in_every_file(tmp_path: Path) -> None:
    prompt = read(tmp_path, "prompts", {"prompt": "q"})[0]
    ranking = read(tmp_path, "rankings", {"prompt": "q", "chosen": "a", "rejected": "b"})[0]
    assert (prompt.id, prompt.group) == (ranking.prompt.id, ranking.prompt.group)


def test_prompts_without_ids_get_different_ones(tmp_path: Path) -> None:
    first, second = read(tmp_path, "prompts", {"prompt": "q"}, {"prompt": "q"})
    assert first.id != second.id
    assert first.group == second.group


def test_other_columns_for_user_group_and_split(tmp_path: Path) -> None:
    row = {"prompt": "q", "who": 3, "debate": "d", "part": "test", "user": "not me"}
    (prompt,) = read(tmp_path, "prompts", row, user="who", group="debate", split="part")
    assert (prompt.user, prompt.group, prompt.split) == ("3", "d", "test")


def _same_everywhere(tmp_path: Path, name: str, data: bytes) -> list[Record]:
    path = tmp_path / name
    path.write_bytes(data)
    return list(FileSource(FilesConfig(documents=str(path))).records("documents"))


def test_formats_give_the_same_records(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [{"text": "one"}, {"text": "two\nlines"}]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    expected = _same_everywhere(tmp_path, "a.jsonl", lines)
    assert [r.text for r in expected if isinstance(r, Document)] == ["one", "two\nlines"]
    assert _same_everywhere(tmp_path, "a.jsonl.gz", gzip.compress(lines)) == expected
    assert _same_everywhere(tmp_path, "a.json", json.dumps(rows).encode()) == expected
    assert _same_everywhere(tmp_path, "a.txt", b"one\r\n\n \n\ntwo\nlines") == expected
    assert (
        list(FileSource(FilesConfig(documents=str(tmp_path / "a.parquet"))).records("documents"))
        == expected
    )


def test_byte_order_mark_line_ends_and_line_separators(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbf{"text": "a\xe2\x80\xa8b"}\r\n\r\n{"text": "c"}\r\n'
    records = _same_everywhere(tmp_path, "w.jsonl", data)
    assert [r.text for r in records if isinstance(r, Document)] == ["a\u2028b", "c"]


def test_inspection_counts_and_its_digest_follows_bytes_not_names(tmp_path: Path) -> None:
    rows = b'{"prompt": "q", "chosen": "a", "rejected": "b"}\n'
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(rows)
    (tmp_path / "c.jsonl").write_bytes(rows * 2)
    a, b, c = (inspect(FilesConfig(rankings=str(tmp_path / f"{n}.jsonl"))) for n in "abc")
    assert a == b
    assert (dict(a.records), dict(c.records)) == ({"rankings": 1}, {"rankings": 2})
    assert a.content != c.content
    # the same file in another role is other content
    assert inspect(FilesConfig(prompts=str(tmp_path / "a.jsonl"))).content != a.content
    (tmp_path / "a.jsonl").write_bytes(rows * 3)  # a changed file is read again
    assert inspect(FilesConfig(rankings=str(tmp_path / "a.jsonl"))).records == {"rankings": 3}
