"""Fifteen tokenizer set-ups, read as transformers reads them: the expected ids are always those of
``tokenizer(text)`` and ``apply_chat_template`` of the same folder."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from plugins.causal_lm.families import FAMILIES, write
from preflab.errors import UserError
from preflab.records import Message, Prompt
from preflab_builtin.causal_lm.tokenizer import TextTokenizer, folder_tokenizer

TEXTS = (
    "Hello",
    "Greet guest 7 of the hotel.",
    " A space in front",
    "two\n\nlines\n",
    "caf\u00e9 \u65e5\u672c \U0001f642",
)
CONVERSATION = (Message("user", "What is 3 plus 4?"),)
LONG = (
    Message("system", "Answer briefly."),
    Message("user", "Greet guest 3."),
    Message("assistant", "Hello and welcome, guest 3!"),
    Message("user", "And guest 4?"),
)
names = pytest.mark.parametrize("name", FAMILIES)
WITH_TEMPLATE = [name for name, made in FAMILIES.items() if made.template]


@lru_cache
def both(name: str) -> tuple[TextTokenizer, Any]:
    """Ours, and transformers' own tokenizer of the same folder."""
    folder = write(name, Path(mkdtemp(prefix="family")))
    return folder_tokenizer(folder), AutoTokenizer.from_pretrained(folder)


def plain(messages: tuple[Message, ...]) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in messages]


def asked(messages: tuple[Message, ...]) -> Prompt:
    return Prompt("p", "transcript", messages=messages)


def conversations(name: str) -> list[tuple[Message, ...]]:
    return [CONVERSATION, LONG if FAMILIES[name].system else LONG[1:]]


@names
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_has_the_ids_of_transformers(name: str, text: str) -> None:
    ours, theirs = both(name)
    whole = theirs(text)["input_ids"]
    # An encoder-decoder's tokenizer closes a text; a prompt is to be continued.
    expected = whole[:-1] if FAMILIES[name].closes else whole
    assert ours.encode_prompt(Prompt("p", text)) == expected
    assert ours.encode_document(text) == [*expected, ours.eos_id]
    begins = FAMILIES[name].begins
    assert not begins or expected[0] == theirs.convert_tokens_to_ids(begins)


@names
def test_a_conversation_has_the_ids_of_transformers(name: str) -> None:
    ours, theirs = both(name)
    for messages in conversations(name):
        expected = theirs.apply_chat_template(
            plain(messages),
            add_generation_prompt=True,
            return_dict=False,
            chat_template=ours.chat.source,
        )
        assert ours.encode_prompt(asked(messages)) == expected


@names
@pytest.mark.parametrize("response", ["Seven.", "Hello and welcome, guest 4!\n\nYours"])
def test_prompt_and_response_are_one_conversation(name: str, response: str) -> None:
    ours, theirs = both(name)
    for messages in conversations(name):
        answer = (*messages, Message("assistant", response))
        whole = theirs.apply_chat_template(
            plain(answer), return_dict=False, chat_template=ours.chat.source
        )
        row = ours.encode_prompt(asked(messages)) + ours.encode_response(asked(messages), response)
        assert row[-1] in ours.end_ids
        if FAMILIES[name].eos is None:  # transformers writes no end token that it does not know
            row = row[:-1]
        assert row == whole[: len(row)]
        # Behind the end there is white space at most.
        assert not theirs.decode(whole[len(row) :]).strip()


@names
def test_responses_survive_tokens(name: str) -> None:
    ours, _ = both(name)
    for prompt in (asked(CONVERSATION), Prompt("p", "Hello")):
        for response in ("Seven.", "a b  c" if name != "t5" else "a b c", "caf\u00e9"):
            ids = ours.encode_response(prompt, response)
            assert ours.decode_response(prompt, ids).strip() == response
            assert ours.encode_response(prompt, ours.decode_response(prompt, ids)) == ids


@names
def test_responses_end_where_generate_ends(name: str) -> None:
    ours, theirs = both(name)
    made = FAMILIES[name]
    expected = {theirs.convert_tokens_to_ids(token) for token in made.ends}
    expected |= {theirs.eos_token_id} if made.eos else set()
    assert ours.end_ids == expected | {ours.eos_id}
    assert ours.pad_id not in ours.end_ids


@names
def test_what_looks_like_a_special_token_in_a_text_is_text(name: str) -> None:
    ours, _ = both(name)
    special = FAMILIES[name].specials[-1]
    text = f"say {special} now"
    control = {ours.wrapper.convert_tokens_to_ids(t) for t in FAMILIES[name].specials}
    plain_ids = ours.encode_prompt(Prompt("p", text))[len(ours.begin) :]
    assert not control & set(plain_ids)
    clean = ours.encode_prompt(asked((Message("user", "say X now"),)))
    spelled = ours.encode_prompt(asked((Message("user", text),)))
    # As many control tokens as without the word, and the word is there for the model to read.
    assert [i for i in spelled if i in control] == [i for i in clean if i in control]
    if name != "t5":
        assert special in ours.decode(spelled)
    response = ours.encode_response(asked(CONVERSATION), text)
    assert [i for i in response[:-1] if i in control] == []
    if name != "t5":
        assert text in ours.decode_response(asked(CONVERSATION), response)


@pytest.mark.parametrize("name", WITH_TEMPLATE)
def test_a_prompt_that_was_rendered_beforehand(name: str) -> None:
    ours, theirs = both(name)
    text = theirs.apply_chat_template(
        plain(CONVERSATION), add_generation_prompt=True, tokenize=False
    )
    expected = theirs(text, add_special_tokens=False)["input_ids"]
    if FAMILIES[name].begins and expected[0] != theirs.bos_token_id:
        expected = [theirs.bos_token_id, *expected]
    assert ours.encode_prompt(Prompt("p", text, rendered=True)) == expected
    # The same text from people holds no control token.
    letters = ours.encode_prompt(Prompt("p", text))
    control = {ours.wrapper.convert_tokens_to_ids(t) for t in FAMILIES[name].specials}
    assert not control & set(letters[len(ours.begin) :])


@names
def test_all_turns_of_the_assistant_are_marked(name: str) -> None:
    ours, _ = both(name)
    messages = conversations(name)[1]
    if name == "qwen3":  # shows its reasoning block in the last turn alone
        with pytest.raises(UserError, match=r"use sft\.loss_on=completion"):
            ours.encode_turns(asked(messages), "Welcome, guest 4!")
        return
    ids, loss = ours.encode_turns(asked(messages), "Welcome, guest 4!")
    row = ours.encode_response(asked(messages), "Welcome, guest 4!")
    assert ids == ours.encode_prompt(asked(messages)) + row
    marked = ours.decode([i for i, on in zip(ids, loss, strict=True) if on])
    for said in ("Hello and welcome, guest 3!", "Welcome, guest 4!"):
        assert said in marked
    for other in ("Answer", "And guest", "Greet"):
        assert other not in marked
    # Each of its two turns ends with a token that carries loss, where the template shows one.
    ends = [i for i, on in zip(ids, loss, strict=True) if on and i in ours.end_ids]
    assert len(ends) == (2 if ours.chat.own else 1)


words = st.text("abc XYZ.\u00e9\u65e5'?\n0123", min_size=1, max_size=20).filter(
    lambda text: bool(text.strip())
)


@names
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(words, min_size=2, max_size=6).filter(lambda t: len(t) % 2 == 0))
def test_random_conversations(name: str, texts: list[str]) -> None:
    ours, theirs = both(name)
    roles = ("user", "assistant")
    turns = tuple(Message(roles[i % 2], text) for i, text in enumerate(texts))
    prompt, response = asked(turns[:-1]), turns[-1].content
    template = {"return_dict": False, "chat_template": ours.chat.source}
    expected = theirs.apply_chat_template(plain(turns[:-1]), add_generation_prompt=True, **template)
    assert ours.encode_prompt(prompt) == expected
    # Where a word of the response is merged with the generation prompt, the prompt keeps the
    # tokens that it has when the response is sampled.
    row = expected + ours.encode_response(prompt, response)
    row = row[:-1] if FAMILIES[name].eos is None else row
    whole = theirs.apply_chat_template(plain(turns), **template)
    assume(whole[: len(expected)] == expected)
    assert row == whole[: len(row)]


def test_a_template_that_refuses_a_conversation_says_why() -> None:
    ours, _ = both("gemma")
    with pytest.raises(UserError, match=r"roles system, user.*System role not supported"):
        ours.encode_prompt(asked((Message("system", "Be brief."), Message("user", "Hi"))))


def test_variables_of_the_template(tmp_path: Path) -> None:
    folder = write("qwen3", tmp_path)
    quiet = folder_tokenizer(folder, {"enable_thinking": False})
    text = quiet.decode(quiet.encode_prompt(asked(CONVERSATION)))
    assert text.endswith("<think>\n\n</think>\n\n")
    ids = quiet.encode_response(asked(CONVERSATION), "Seven.")
    assert quiet.decode_response(asked(CONVERSATION), ids) == "Seven."


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("llama3", "chat template of the model; texts begin with <|begin_of_text|>"),
        ("gpt2", "default chat template.*nothing is put in front of texts; responses end at <|end"),
        ("no end token", "responses end at <|stop|>"),
    ],
)
def test_the_facts_are_stated(name: str, words: str) -> None:
    import re

    pattern = re.escape(words).replace(r"\.\*", ".*")
    assert re.search(pattern, both(name)[0].facts())
