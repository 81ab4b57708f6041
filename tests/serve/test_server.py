"""The server on a real run, over HTTP: what it answers is what the run samples and computes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import torch

import preflab
from preflab_people.server.answers import Refused
from preflab_people.server.rules import allowed_hosts
from preflab_serve.arms import Arm
from preflab_serve.commands import monitor
from preflab_serve.keys import digest
from preflab_serve.server.access import Access
from preflab_serve.server.routes import Routes
from preflab_serve.usage.log import UsageLog, days_in
from preflab_serve.usage.reading import read

PROMPT = "user : what is the color of gus ? assistant :"
OTHER = "user : what is the sum of 2 and 3 ? assistant :"


def post(client: httpx.Client, path: str = "/v1/completions", **body: Any) -> dict[str, Any]:
    """The answer to a request."""
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def events(client: httpx.Client, path: str = "/v1/completions", **body: Any) -> Iterator[Any]:
    """The pieces of a stream, the last one DONE."""
    with client.stream("POST", path, json=body | {"stream": True}) as answer:
        for line in answer.iter_lines():
            if line:
                assert line.startswith("data: ")
                data = line.removeprefix("data: ")
                yield data if data == "[DONE]" else json.loads(data)


def test_texts_are_those_that_the_run_samples(client: httpx.Client, run: Path) -> None:
    prompts = [PROMPT, OTHER]
    for model, role in (("bon:base", "base"), ("bon", "result")):
        answer = post(client, model=model, prompt=prompts, n=2, seed=5)
        texts = [choice["text"] for choice in answer["choices"]]
        assert texts == preflab.load(run).sample(prompts, role, samples=2, seed=5)
        assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    greedy = post(client, model="bon:base", prompt=PROMPT, temperature=0, max_tokens=3)
    assert greedy["usage"]["completion_tokens"] <= 3
    sampled = preflab.load(run).sample(PROMPT, "base", temperature=0, max_tokens=3)
    assert [greedy["choices"][0]["text"]] == sampled


def test_a_stream_has_the_same_text(client: httpx.Client) -> None:
    body: dict[str, Any] = {"model": "bon:base", "prompt": [PROMPT, OTHER], "seed": 5, "n": 2}
    whole = post(client, **body)
    *pieces, last = events(client, **body, stream_options={"include_usage": True})
    assert last == "[DONE]"
    assert pieces[-1]["usage"] == whole["usage"]
    for choice in whole["choices"]:
        own = [c for p in pieces for c in p["choices"] if c["index"] == choice["index"]]
        assert "".join(c["text"] for c in own) == choice["text"]
        assert [c["finish_reason"] for c in own if c["finish_reason"]] == [choice["finish_reason"]]


def test_log_probabilities_are_the_policys(client: httpx.Client, arms: Mapping[str, Arm]) -> None:
    answer = post(client, model="bon:base", prompt=PROMPT, seed=1, echo=True, logprobs=3)
    (choice,) = answer["choices"]
    shown, arm = choice["logprobs"], arms["bon:base"]
    plain = post(client, model="bon:base", prompt=PROMPT, seed=1)["choices"][0]["text"]
    assert choice["text"] == f"{PROMPT} {plain}"  # a tokenizer of words
    pieces = [*events(client, model="bon:base", prompt=PROMPT, seed=1, echo=True)][:-1]
    assert "".join(p["choices"][0]["text"] for p in pieces) == choice["text"]
    assert shown["token_logprobs"][0] is None
    assert shown["top_logprobs"][0] is None
    prompt = arm.tokenizer.encode(PROMPT)
    texts = [choice["text"][at:] for at in shown["text_offset"]]
    assert all(
        t.lstrip().startswith(n)
        for t, n in zip(texts, shown["tokens"], strict=True)
        if ":" not in n
    )
    assert len(shown["tokens"]) == len(prompt) + answer["usage"]["completion_tokens"]
    response = [arm.tokenizer.encode(name)[0] for name in shown["tokens"][len(prompt) :]]
    ids = torch.tensor([[*prompt, *response]])
    hidden = arm.policy.hidden(ids, torch.ones_like(ids, dtype=torch.bool))
    expected, _ = arm.policy.log_probs(hidden[0, :-1], ids[0, 1:])
    assert torch.allclose(torch.tensor(shown["token_logprobs"][1:]), expected, atol=1e-4)
    assert all(len(top) in (3, 4) for top in shown["top_logprobs"][1:])
    scored = post(client, model="bon:base", prompt=[prompt], echo=True, logprobs=0, max_tokens=0)
    assert scored["choices"][0]["logprobs"]["token_logprobs"] == pytest.approx(
        shown["token_logprobs"][: len(prompt)], abs=1e-4
    )


def test_a_stop_sequence_ends_a_response_in_whole_and_in_pieces(client: httpx.Client) -> None:
    body: dict[str, Any] = {"model": "bon:base", "prompt": PROMPT, "seed": 5}
    text = post(client, **body)["choices"][0]["text"]
    stop = text.split()[2]
    before = text[: text.index(stop)]
    choice = post(client, **body, stop=[stop])["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == (before, "stop")
    pieces = [p["choices"][0]["text"] for p in events(client, **body, stop=stop) if p != "[DONE]"]
    assert "".join(pieces) == before


def test_conversations(client: httpx.Client, run: Path) -> None:
    turns = [{"role": "user", "content": "what is the color of gus ?"}]
    body: dict[str, Any] = {"model": "bon:base", "messages": turns, "seed": 3}
    answer = post(client, "/v1/chat/completions", **body, logprobs=True, top_logprobs=2)
    (choice,) = answer["choices"]
    assert [choice["message"]["content"]] == preflab.load(run).sample([turns], "base", seed=3)
    assert len(choice["logprobs"]["content"]) == answer["usage"]["completion_tokens"]
    assert all(len(token["top_logprobs"]) == 2 for token in choice["logprobs"]["content"])
    *pieces, _ = events(client, "/v1/chat/completions", **body)
    assert pieces[0]["choices"][0]["delta"]["role"] == "assistant"
    text = "".join(p["choices"][0]["delta"].get("content", "") for p in pieces)
    assert text == choice["message"]["content"]
    logged = events(client, "/v1/chat/completions", **body, logprobs=True)
    assert next(logged)["choices"][0]["logprobs"]["content"]


def test_arms_are_listed(client: httpx.Client) -> None:
    models = client.get("/v1/models").json()["data"]
    assert [model["id"] for model in models] == ["bon", "bon:base", "bon:result"]
    assert client.get("/v1/models/bon:base").json()["preflab"]["role"] == "base"
    assert client.get("/health").json() == {"status": "ok", "waiting": 0}


@pytest.mark.parametrize(
    "changed, field, words",
    [
        ({"top_k": 5}, "top_k", "not supported"),
        ({"top_p": 0.5}, "top_p", "leave it out, or give 1"),
        ({"logit_bias": {"5": 1}}, "logit_bias", "not supported"),
        ({"best_of": 4}, "best_of", "not supported"),
        ({"max_tokens": 100_000}, "prompt", "512 positions"),
        ({"max_tokens": 0}, "max_tokens", "asks for nothing"),
        ({"temperature": "warm"}, "temperature", "must be a number"),
        ({"temperature": 1e-300}, "temperature", "must be 0, or at least 0.0001"),
        ({"n": 0}, "n", "from 1 to 128"),
        ({"stop": [""]}, "stop", "none of them empty"),
        ({"prompt": []}, "prompt", "must be a text"),
        ({"prompt": ""}, "prompt", "has no tokens"),
        ({"prompt": [10**6]}, "prompt", "no token 1000000"),
        ({"prompt": [10**30]}, "prompt", "no token 1000000000"),
        ({"prompt": "user " * 20_000}, "prompt", "100000 characters leave no room"),
        ({"prompt": "xylophone"}, "prompt", "cannot read all of this"),
        ({"model": "bon", "max_tokens": 2}, "max_tokens", "answers with up to"),
        ({"model": "bon", "prompt": [5, 6]}, "prompt", "as texts only"),
        (
            {"model": "bon", "prompt": "hello " * 505},
            "prompt",
            "answers with are more than the 512",
        ),
        ({"stream_options": {"include_usage": True}}, "stream_options", "goes with 'stream'"),
        ({"seed": 1.5}, "seed", "whole number"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    client: httpx.Client, changed: dict[str, Any], field: str, words: str
) -> None:
    answer = client.post("/v1/completions", json={"model": "bon:base", "prompt": PROMPT} | changed)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert words in error["message"]
    assert error["param"] == field


def test_unknown_models_and_addresses(client: httpx.Client) -> None:
    answer = client.post("/v1/completions", json={"model": "bonn", "prompt": PROMPT})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert "Did you mean 'bon'?" in answer.json()["error"]["message"]
    for method, path, status, words in (
        ("GET", "/v1/nothing", 404, "There is no address /v1/nothing. Allowed: /health, "),
        ("POST", "/completions", 404, "Did you mean '/v1/completions'?"),
        ("POST", "/v1/completions/", 404, "Did you mean '/v1/completions'?"),
        ("POST", "/v1/responses", 404, "/v1/chat/completions"),
        ("GET", "/v1/completions", 405, "/v1/completions is asked with POST, not with GET."),
        ("POST", "/health", 405, "/health is asked with "),
    ):
        answer = client.request(method, path, json={})
        assert answer.status_code == status
        assert words in answer.json()["error"]["message"]
    assert answer.headers["allow"] in ("GET, HEAD", "HEAD, GET")


@pytest.mark.parametrize(
    "body, words",
    [
        (b"", "line 1, column 1: Expecting value"),
        (b"{", "line 1, column 2: "),
        (b"{'model': 'bon'}", "line 1, column 2: Expecting property name"),
        (b'{"model": "b\xffon"}', "byte 13 is no UTF-8"),
        (b'{"model": NaN}', "NaN is no number of JSON"),
        (b'{"model": "a", "model": "b"}', "the key 'model' stands twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"seed": ' + b"1" * 5000 + b"}", "a number has too many digits"),
        (b"[]", "must be a JSON object"),
    ],
)
def test_a_body_that_is_no_json_is_refused_with_the_place(
    client: httpx.Client, body: bytes, words: str
) -> None:
    headers = {"content-type": "application/json"}
    answer = client.post("/v1/completions", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "json")
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize("size", [5 * 1024 * 1024, 40 * 1024 * 1024])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(
    client: httpx.Client, size: int, chunked: bool
) -> None:
    """The client hears so although it is still sending."""
    body = b" " * size
    headers = {"content-type": "application/json"}
    given: Any = (body[i : i + 65536] for i in range(0, size, 65536)) if chunked else body
    answer = client.post("/v1/completions", content=given, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert client.get("/health").status_code == 200


def test_every_address_needs_a_key(serve: Any) -> None:
    """Those that the server has, read from its own list, and one that it has not."""
    client = serve(keys={digest("secret"): "mine"})
    addresses = [
        (method, route.path.replace("{name:path}", "bon"))
        for route in Routes(cast(Any, None)).all()
        for method in route.methods or ()
    ]
    assert ("POST", "/v1/moderations") in addresses
    for method, path in (*addresses, ("GET", "/v1/nothing"), ("OPTIONS", "/health")):
        body: dict[str, Any] = {} if method != "POST" else {"json": {}}
        for wrong in (None, "Bearer other", "Basic secret", "secret", "Bearer"):
            headers = {} if wrong is None else {"authorization": wrong}
            answer = client.request(method, path, headers=headers, **body)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        answer = client.request(method, path, headers={"authorization": "Bearer secret"}, **body)
        assert answer.status_code != 401
    assert client.get("/health?api_key=secret").status_code == 401


def test_a_request_without_a_known_key_has_its_line_in_the_log(
    serve: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With nothing of what it says: neither its key, nor its address, nor its text."""
    client: httpx.Client = serve(keys={digest("secret"): "mine"}, log=UsageLog(tmp_path))
    for headers in ({}, {"Authorization": "Bearer guessed"}):
        answer = client.post("/v1/hidden", json={"prompt": "hidden"}, headers=headers)
        assert answer.status_code == 401
    ((_, file),) = days_in(tmp_path)[0]
    assert not any(word in file.read_text() for word in ("guessed", "hidden", "mine"))
    requests, damaged = read(tmp_path)
    assert ([(one.key, one.status) for one in requests], damaged) == ([("", 401)] * 2, 0)
    assert monitor([str(tmp_path)]) == 0
    assert "(no known key)" in capsys.readouterr().out


def test_a_body_with_two_lengths_is_refused() -> None:
    """A proxy that reads the other one would see two requests, of which this server knows one."""
    headers = {
        "host": "localhost",
        "content-type": "application/json",
        "content-length": "3",
        "transfer-encoding": "chunked",
    }
    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": given}
    with pytest.raises(Refused, match="two lengths"):
        Access(allowed_hosts(())).check(scope)
    Access(allowed_hosts(())).check(scope | {"headers": given[:3]})


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"host": "evil.example"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/json; charset=latin-1"}, 415),
        ({"content-type": "application/json; charset=UTF-8"}, 200),
    ],
)
def test_pages_of_other_sites_are_refused(
    client: httpx.Client, headers: dict[str, str], status: int
) -> None:
    body = json.dumps({"model": "bon:base", "prompt": PROMPT})
    given = {"content-type": "application/json"} | headers
    answer = client.post("/v1/completions", content=body, headers=given)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers
    assert client.options("/v1/completions").status_code == 405
