"""Repeated records: what differs is kept, however much of it is shared; what is the same but for
case, space and end punctuation is kept once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from judged_rows import files
from preflab.records import Demonstration, Document, Message, Prompt, Ranking, Record
from preflab_builtin.files.source import FileSource
from preflab_builtin.filters.config import DeduplicateConfig
from preflab_builtin.filters.repetition import AGAIN, NEARLY, Deduplicate, plain
from preflab_builtin.filters.turns import last_turn

_SYSTEM = "You answer for a small hotel by a lake. Keep to two short sentences. " * 8
_ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request.\n\n### Instruction:\n{}\n\n### Response:\n"
)
_SHOTS = "".join(f"Q: What is {i} plus {i}?\nA: {2 * i}\n\n" for i in range(40))
_SUFFIX = " Answer in one sentence, in plain words, without lists, and say so if you do not know."
_QUESTIONS = [
    f"{verb} {thing} {n}?"
    for verb in ("Where is", "Who made", "What is")
    for thing in ("room", "door", "dish", "lamp")
    for n in range(20)
]


def conversation(*contents: str, system: str = "") -> Prompt:
    """A conversation of user and assistant in turn."""
    roles = [("user", "assistant")[i % 2] for i in range(len(contents))]
    messages = [Message(r, c) for r, c in zip(roles, contents, strict=True)]
    messages = [Message("system", system), *messages] if system else messages
    text = "\n\n".join(f"{m.role}: {m.content}" for m in messages) + "\n\nAssistant:"
    return Prompt(text[-40:], text, messages=tuple(messages))


def kept(records: Sequence[Record], **settings: Any) -> tuple[list[Record], dict[str, int]]:
    """Records kept and dropped; they add up."""
    left, dropped = Deduplicate(DeduplicateConfig(**settings))(records)
    assert len(left) + sum(dropped.values()) == len(records)
    return left, dict(dropped)


@pytest.mark.parametrize(
    "shape",
    [
        lambda q: Prompt(q, _SYSTEM + q),
        lambda q: Prompt(q, f"System: {_SYSTEM}\n\nHuman: {q}\n\nAssistant:"),
        lambda q: conversation(q, system=_SYSTEM),
        lambda q: Prompt(q, _ALPACA.format(q)),
        lambda q: Prompt(q, f"{_SHOTS}Q: {q}\nA:"),
        lambda q: Prompt(q, q + _SUFFIX),
        lambda q: conversation("Hello!", "Hi, how can I help?", q),
    ],
    ids=["system text", "transcript", "system message", "Alpaca", "shots", "suffix", "history"],
)
def test_what_prompts_share_makes_no_two_questions_equal(shape: Any) -> None:
    prompts = [shape(question) for question in _QUESTIONS]
    assert kept(prompts) == (prompts, {})
    rankings: list[Record] = [Ranking(p, ("yes", "no"), ((0, 1),)) for p in prompts]
    assert kept(rankings) == (rankings, {})


def test_small_differences_are_differences() -> None:
    texts = [
        "What is 5-3?", "What is 5+3?", "What is 1.5?", "What is 15?", "What is 5!", "What is 5",
        "Is x < y?", "Is x > y?", "in C", "in C++", "in C#",
        "if a:\n  b", "if a:\nb", "rename camelCase", "rename camelcase", "count aBc", "count abC",
        "translate hello", "translate thanks", "résumé", "resume",
    ]  # fmt: skip
    prompts: list[Record] = [Prompt(str(i), text) for i, text in enumerate(texts)]
    assert kept(prompts) == (prompts, {})


def test_case_space_and_end_punctuation_are_none() -> None:
    same = [
        "What is the capital of France?", "what is the  capital of France", "What Is The Capital "
        "Of France ?", " What is the capital of France??\n", "WHAT IS THE CAPITAL OF FRANCE.",
    ]  # fmt: skip
    prompts: list[Record] = [Prompt(str(i), text) for i, text in enumerate([*same, same[0]])]
    # the last one is the first, byte for byte
    assert kept(prompts) == (prompts[:1], {NEARLY: 4, AGAIN: 1})
    assert plain("a \n\n  b") == "a\n  b"
    assert plain("e\u0301") == plain("\u00e9")


def test_different_histories_with_one_last_turn_are_different_prompts() -> None:
    prompts: list[Record] = [
        conversation("Hi.", "Hello.", "And then?"),
        conversation("Ho.", "Hello.", "And then?"),
        conversation("Hi.", "Hallo.", "And then?"),
        conversation("And then?"),
        conversation("Hi.", "Hello.", "And then?", system="Be short."),
    ]
    assert kept(prompts) == (prompts, {})
    assert kept(prompts, length=2) == (prompts, {})
    again: list[Record] = [*prompts, conversation("Hi.", "Hello.", "and then")]
    assert kept(again) == (prompts, {NEARLY: 1})


def test_a_prompt_may_have_several_demonstrations_and_rankings() -> None:
    p, alike = Prompt("1", "the same question"), Prompt("2", "The same question?")
    demonstrations: list[Record] = [Demonstration(q, r) for q, r in ((p, "x"), (p, "y"), (p, "x"))]
    assert kept(demonstrations) == (demonstrations[:2], {AGAIN: 1})
    other: list[Record] = [
        *demonstrations[:2],
        Demonstration(alike, "z"),
        Demonstration(alike, "x"),
    ]
    assert kept(other) == (other[:3], {NEARLY: 1})
    rankings: list[Record] = [
        Ranking(p, ("a", "b"), ((0, 1),), "w1"),
        Ranking(p, ("a", "b"), ((0, 1),), "w2"),
        Ranking(p, ("a", "b"), ((1, 0),), "w1"),
        Ranking(p, ("a", "c"), ((0, 1),), "w1"),
        Ranking(p, ("a", "b"), ((0, 1),), "w1"),
    ]
    assert kept(rankings) == (rankings[:4], {AGAIN: 1})


def test_documents_are_kept() -> None:
    documents: list[Record] = [Document("1", "text"), Document("2", "text")]
    assert kept(documents) == (documents, {})


def test_a_length_compares_the_beginning_of_the_last_turn() -> None:
    texts = ("Write a poem about  tea", "write a Poem about coffee", "Write a list", "Write a")
    prompts: list[Record] = [Prompt(text, text) for text in texts]
    # the first three words of the first two are equal but for case and space
    assert kept(prompts, length=3) == ([prompts[0], *prompts[2:]], {NEARLY: 1})
    # a system message of a hundred words is no part of the turn
    shared: list[Record] = [conversation(text, system=_SYSTEM) for text in texts]
    assert kept(shared, length=3) == ([shared[0], *shared[2:]], {NEARLY: 1})


def test_ignored_words_do_not_count() -> None:
    prompts: list[Record] = [Prompt(t, t) for t in ("hello . tell me", "tell me", "tell me thanks")]
    assert kept(prompts) == (prompts, {})
    assert kept(prompts, ignore=["Hello", "thanks", "."]) == (prompts[:1], {NEARLY: 2})


def test_the_last_turn_of_texts_and_conversations() -> None:
    text = "Human: Hi.\n\nAssistant: Hello.\n\nHuman: Tea?\nGreen.\n\nAssistant:"
    before, turn = last_turn(Prompt("1", text))
    assert (before, turn.strip()) == ("Human: Hi.\n\nAssistant: Hello.", "Tea?\nGreen.")
    assert last_turn(Prompt("1", "The human: a study")) == ("", "The human: a study")
    before, turn = last_turn(conversation("Hi.", "Hello.", "Tea?", system="Be short."))
    assert (before, turn) == ("system: Be short.\nuser: Hi.\nassistant: Hello.", "Tea?")


def test_people_who_disagree_on_a_pair_are_all_kept(tmp_path: Path) -> None:
    """The same pair, judged by four people, out of a file to behind the filter: two against one,
    and a tie. What one person says again is said once."""
    pair = {"prompt": "Where?", "completions": ["Here.", "There."]}
    who = [("ann", [1, 2]), ("bob", [2, 1]), ("cem", [1, 2]), ("dai", [1, 1]), ("ann", [1, 2])]
    rows = [{**pair, "ranks": ranks, "labeler": name} for name, ranks in who]
    found = FileSource(files(tmp_path, rows)).records("rankings")
    left, dropped = kept(found)
    said = [(r.labeler, r.preferences) for r in left if isinstance(r, Ranking)]
    opinions = [("ann", ((0, 1),)), ("bob", ((1, 0),)), ("cem", ((0, 1),)), ("dai", ())]
    assert (said, dropped) == (opinions, {AGAIN: 1})
