"""Every field that OpenAI documents for the bodies of its requests is supported, or refused by its
name: none is ignored."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import typing
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from preflab_people.server.answers import Refused
from preflab_people.server.rules import allowed_hosts
from preflab_serve.server import asked as asking
from preflab_serve.server.access import Access
from preflab_serve.server.app import create_app
from preflab_serve.server.asked import Asked
from preflab_serve.service import Service
from preflab_serve.worker import Worker
from serve.fakes import fake_arm

BOTH: Mapping[str, Any] = {
    **{"max_tokens": 3, "temperature": 0.5, "n": 2, "stop": "x", "seed": 4, "stream": True},
    **{"stream_options": {"include_usage": True}, "user": "me", "model": "other"},
}
SUPPORTED: Mapping[str, Mapping[str, Any]] = {
    "completions": {**BOTH, "prompt": "other", "echo": True, "logprobs": 2},
    "chat/completions": {
        **BOTH,
        **{"messages": [{"role": "user", "content": "other"}], "max_completion_tokens": 3},
        **{"logprobs": True, "top_logprobs": 2},
    },
}
"""By address the fields that are supported, each with a value that changes what is asked for."""
NEITHER: Mapping[str, Any] = {
    **{"frequency_penalty": 1.0, "presence_penalty": 1.0, "logit_bias": {"50": 1}, "top_p": 0.5},
}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}
REFUSED: Mapping[str, Mapping[str, Any]] = {
    "completions": {**NEITHER, "best_of": 4, "suffix": "end"},
    "chat/completions": {
        **NEITHER,
        **{"audio": {"voice": "alloy", "format": "wav"}, "modalities": ["text", "audio"]},
        **{"function_call": "auto", "functions": [{"name": "look"}], "tools": [TOOL]},
        **{"tool_choice": "auto", "parallel_tool_calls": False, "metadata": {"study": "a"}},
        **{"prediction": {"type": "content", "content": "a"}, "reasoning_effort": "low"},
        **{"response_format": {"type": "json_object"}, "service_tier": "flex", "store": True},
        **{"verbosity": "low", "web_search_options": {}, "safety_identifier": "me"},
        **{"prompt_cache_key": "a", "prompt_cache_retention": "24h", "prompt_cache_options": {}},
        **{"moderation": {}},
    },
}
"""By address all other fields that OpenAI documents, each with a value that is not neutral."""
NEEDED: Mapping[str, Mapping[str, Any]] = {
    "stream_options": {"stream": True},
    "top_logprobs": {"logprobs": True},
}
"""What a field needs beside it."""
LEAST: Mapping[str, Mapping[str, Any]] = {
    "completions": {"model": "fake", "prompt": "hello"},
    "chat/completions": {"model": "fake", "messages": [{"role": "user", "content": "hello"}]},
}
READ: Mapping[str, Callable[[Mapping[str, Any]], Asked]] = {
    "completions": asking.completion,
    "chat/completions": asking.chat,
}
NEUTRAL = {"completions": asking.COMPLETION_NEUTRAL, "chat/completions": asking.CHAT_NEUTRAL}


def cases(table: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, Any]]:
    """Address, field and value of each."""
    return [(form, name, value) for form, row in table.items() for name, value in row.items()]


@pytest.mark.parametrize("form, name, value", cases(SUPPORTED))
def test_a_field_that_is_supported_changes_what_is_asked_for(
    form: str, name: str, value: Any
) -> None:
    least = {**LEAST[form], **NEEDED.get(name, {})}
    assert READ[form](least | {name: value}) != READ[form](least)
    assert READ[form]({name: None} | least) == READ[form](least)  # null: as if it were not there


@pytest.mark.parametrize("form, name, value", cases(REFUSED))
def test_a_field_that_is_not_supported_is_refused_by_its_name(
    form: str, name: str, value: Any
) -> None:
    with pytest.raises(Refused, match=f"'{name}' is not supported") as refused:
        READ[form]({**LEAST[form], name: value})
    assert (refused.value.status, refused.value.field) == (400, name)


@pytest.mark.parametrize("form", [*LEAST])
def test_values_that_change_nothing_are_taken(form: str) -> None:
    assert {*NEUTRAL[form]} <= {*REFUSED[form]}
    for name, values in NEUTRAL[form].items():
        for value in values:
            assert READ[form]({**LEAST[form], name: value}) == READ[form](LEAST[form])


@pytest.mark.parametrize("form", [*LEAST])
def test_the_server_refuses_each_of_them(form: str) -> None:
    """Over HTTP: 400 with the field's name as ``param``; with all that is supported, 200."""

    async def work() -> list[tuple[str, httpx.Response]]:
        service = Service({"fake": fake_arm(lambda prompt, seed: "abc")}, Worker(gather=0))
        transport = httpx.ASGITransport(app=create_app(service, Access(allowed_hosts(()))))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            bodies = [(name, {name: value}) for name, value in REFUSED[form].items()]
            unscored = {"logprobs", "top_logprobs", "model"}  # the fake computes none
            own = {name: v for name, v in SUPPORTED[form].items() if name not in unscored}
            found = [
                (name, await client.post(f"/v1/{form}", json={**LEAST[form], **body}))
                for name, body in [*bodies, ("", own)]
            ]
        service.worker.close()
        return found

    *refused, (_, taken) = asyncio.run(work())
    assert [(a.status_code, a.json()["error"]["param"]) for _, a in refused] == [
        (400, name) for name, _ in refused
    ]
    assert taken.status_code == 200, taken.text


MESSAGE: Mapping[str, Any] = {
    **{"name": "ann", "tool_call_id": "1", "tool_calls": [TOOL], "audio": {"id": "1"}},
    **{"function_call": {"name": "look", "arguments": ""}, "refusal": "no"},
}
"""Fields of a message beside role and content."""


@pytest.mark.parametrize("name", [*MESSAGE])
def test_fields_of_a_message_are_refused_by_their_names(name: str) -> None:
    message = {"role": "user", "content": "hello"}
    asking.chat({"model": "fake", "messages": [{**message, name: None}]})
    with pytest.raises(Refused, match=f"'{name}' is not supported") as refused:
        asking.chat({"model": "fake", "messages": [{**message, name: MESSAGE[name]}]})
    assert refused.value.field == name


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file", "refusal"])
def test_parts_of_a_message_other_than_texts_are_refused(kind: str) -> None:
    parts = [{"type": "text", "text": "hello"}, {"type": kind, kind: "x"}]
    with pytest.raises(Refused, match="part of a message must be"):
        asking.chat({"model": "fake", "messages": [{"role": "user", "content": parts}]})


@pytest.mark.serve
def test_these_are_the_fields_that_openai_documents() -> None:
    """By the types of its client, which are made from its specification."""
    for form, place in (("completions", ""), ("chat/completions", "chat.")):
        module = pytest.importorskip(
            f"openai.types.{place}completion_create_params",
            reason="openai is installed by make test-serve",
        )
        documented = {
            *typing.get_type_hints(module.CompletionCreateParamsNonStreaming, include_extras=True)
        }
        assert {*SUPPORTED[form], *REFUSED[form]} == documented


def test_all_fields_of_what_is_asked_for_come_from_a_field() -> None:
    """None of them can be lost: each differs from its default for one of the supported fields."""
    seen = set[str]()
    for form, name, value in cases(SUPPORTED):
        least = {**LEAST[form], **NEEDED.get(name, {})}
        before, after = READ[form](least), READ[form](least | {name: value})
        seen |= {
            f.name
            for f in dataclasses.fields(Asked)
            if getattr(before, f.name) != getattr(after, f.name)
        }
    assert seen == {f.name for f in dataclasses.fields(Asked)} - {"chat"}


LONG = "x" * 1_000_000


@pytest.mark.parametrize(
    "body, words",
    [
        ({}, "'model' is missing: name one of those that /v1/models lists"),
        ({"model": LONG}, "'model' has 1000000 characters"),
        ({"model": "fake", LONG: 1}, "'xxxx"),
        ({"model": "fake", "messages": [{"role": LONG, "content": ""}]}, "Allowed: system, user"),
        ({"model": "fake", "messages": [{"role": "user", "content": "", LONG: 1}]}, "'xxxx"),
    ],
)
def test_a_wrong_word_of_megabytes_is_shown_in_part(body: Mapping[str, Any], words: str) -> None:
    """And it is compared in part: a whole second of it would be one in which nobody is answered."""
    form = "chat/completions" if "messages" in body else "completions"
    with pytest.raises(Refused) as refused:
        READ[form]({**LEAST[form], "model": None, **body})
    assert words in refused.value.sentence
    assert max(len(refused.value.sentence), len(refused.value.field)) < 1000


@pytest.mark.parametrize("stops", [4, 5, 16])
def test_more_stop_sequences_than_openai_allows(stops: int) -> None:
    given = [*map(str, range(stops))]
    assert asking.completion({**LEAST["completions"], "stop": given}).stops == tuple(given)


@pytest.mark.parametrize(
    "name, value",
    [
        *itertools.product(["max_tokens", "n"], [0, -1, 1.5, True, "2", 10**30]),
        ("stop", [str(i) for i in range(17)]),
        ("stop", [1]),
        *itertools.product(["temperature"], [-0.1, 101, True, "1", 10**400]),
        *itertools.product(["stream", "echo"], [1, "true"]),
        *itertools.product(["logprobs"], [-1, 21, True]),
        ("user", 5),
    ],
)
def test_wrong_values_are_refused_by_the_name_of_their_field(name: str, value: Any) -> None:
    with pytest.raises(Refused, match=f"'{name}'") as refused:
        asking.completion({**LEAST["completions"], name: value})
    assert (refused.value.status, refused.value.field) == (400, name)
