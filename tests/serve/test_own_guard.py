"""Runs that answer behind a guard of their own: no way around it, and no texts in the server's own
log."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from end_to_end.runs import preflab
from preflab.records import Prompt
from preflab_builtin.guard.asking import InTime
from preflab_builtin.guard.chain import Chain
from preflab_builtin.guard.config import Action, Part, WordsConfig
from preflab_builtin.guard.verdicts import Guard, Verdict
from preflab_builtin.guard.words import words
from preflab_people.server.rules import allowed_hosts
from preflab_serve.arms import Arm, open_arms
from preflab_serve.guarding import Checking
from preflab_serve.server.access import Access
from preflab_serve.server.app import create_app
from preflab_serve.service import Service
from preflab_serve.usage.log import UsageLog
from preflab_serve.worker import Worker
from serve.conftest import WORDS
from serve.fakes import asked, fake_arm, guarded_arm
from serve.test_counting import lines

WHOLE = "Well, you idiot!"


@pytest.fixture(scope="module")
def guarded_run(run: Path) -> Path:
    """The pretrained model of the other run, behind a guard."""
    folder = run.parents[2]
    own = ("algorithm=guarded", "+guard@algorithm.guard=words", "algorithm.guard.words=[fool]")
    given = (*WORDS[:-1], *own, "reward_model=none", "name=behind")
    assert preflab(folder, *given) == 0, (folder / "log.txt").read_text()[-2000:]
    return folder / "runs" / "config" / "behind"


def test_earlier_models_of_a_guarded_run_are_served_when_that_is_asked_for(
    run: Path, guarded_run: Path
) -> None:
    both = [f"g={guarded_run}", f"b={run}"]
    others = ["b", "b:base", "b:result"]  # best-of-n is no guard
    assert [*open_arms(both)] == ["g", "g:result", *others]
    arms = open_arms(both, unguarded=True)
    assert [*arms] == ["g", "g:base", "g:result", *others]
    assert [name for name, arm in arms.items() if arm.guarded] == ["g", "g:result"]


def going_on(prompt: str, seed: tuple[int | str, ...]) -> str:
    """It goes on where a prompt ends, with an insult, and says nothing if it is asked again."""
    said = prompt.strip().removeprefix("Human: ").removesuffix("Assistant:").strip()
    return "..." if "guard" in seed else WHOLE.removeprefix(said)


def behind_its_own(action: Action) -> Arm:
    """An arm whose algorithm is a guard of responses."""
    config = WordsConfig(words=["idiot"], checks=Part.response, action=action)
    return guarded_arm(going_on, words(config, cast(Any, None)))


@pytest.mark.parametrize("action, shown", [(Action.refuse, "No."), (Action.resample, "...")])
def test_a_text_that_was_cut_is_read_as_one_by_the_guard_of_a_run(
    action: Action, shown: str
) -> None:
    """Cut at every character of the insult; a turn of a conversation begins anew."""
    cuts = [WHOLE[:i] for i in range(WHOLE.index("i"), WHOLE.index("!"))]
    service = Service({"fake": behind_its_own(action)}, Worker(gather=0))
    answered = asked(service, "/v1/completions", {"prompt": cuts})
    assert [choice["text"] for choice in answered.json()["choices"]] == [shown] * len(cuts)
    service = Service({"fake": behind_its_own(action)}, Worker(gather=0))
    turns = {"messages": [{"role": "user", "content": "Well, you id"}]}
    (choice,) = asked(service, "/v1/chat/completions", turns).json()["choices"]
    assert choice["message"]["content"] == "iot!"


def test_texts_are_moderated_by_the_guards_in_front_of_the_model_that_is_named() -> None:
    """The server's guard blocks "fool", that of the run "idiot"; an unknown name is refused.
    Without a name it is the server's guard, or the only one that there is."""
    own = WordsConfig(words=["fool"], category="server")
    checking = Checking(words(own, cast(Any, None)), "No.", 0)

    def flagged(of_server: Checking | None, **body: Any) -> Any:
        arms = {"mine": behind_its_own(Action.refuse), "plain": fake_arm(fine)}
        service = Service(arms, Worker(gather=0), of_server)
        found = asked(service, "/v1/moderations", {"input": ["fool", "idiot"]} | body)
        if found.status_code != 200:
            return found.status_code, found.json()["error"]["code"]
        return found.json()["model"], [row["flagged"] for row in found.json()["results"]]

    assert flagged(checking, model="mine") == ("mine", [True, True])
    assert flagged(checking, model="plain") == ("plain", [True, False])
    assert flagged(checking, model=None) == ("preflab-guard", [True, False])
    assert flagged(None, model="mine") == ("mine", [False, True])
    assert flagged(None, model="plain") == (404, "no_guard")
    assert flagged(None, model=None) == ("mine", [False, True])
    assert flagged(checking, model="mime") == (404, "model_not_found")


def test_each_guard_of_a_run_names_its_category() -> None:
    """A text that three guards of a chain, two of them in a chain in it, have something against has
    all their categories."""
    rude, loud, short = (
        words(WordsConfig(words=[word], category=name), cast(Any, None))
        for name, word in {"rude": "idiot", "loud": "hey", "short": "u"}.items()
    )
    arm = guarded_arm(fine, Chain((rude, Chain((loud, short)))))
    service = Service({"mine": arm}, Worker(gather=0))
    found = asked(service, "/v1/moderations", {"model": "mine", "input": ["hey, u idiot"]})
    (row,) = found.json()["results"]
    assert row["categories"] == {"rude": True, "loud": True, "short": True}


def test_what_the_guard_of_a_run_blocks_is_said_and_logged(tmp_path: Path) -> None:
    """A prompt and a response, each with its verdict; what is not blocked is the model's."""
    guard = words(WordsConfig(words=["idiot"], category="insult"), cast(Any, None))
    service = Service({"mine": guarded_arm(fine, guard)}, Worker(gather=0), log=UsageLog(tmp_path))
    body = {"model": "mine", "prompt": ["you idiot", "hello"]}
    choices = asked(service, "/v1/completions", body).json()["choices"]
    assert [(c["text"], c["finish_reason"]) for c in choices] == [
        ("No.", "content_filter"),
        ("hello", "stop"),
    ]
    (row,) = [row for row in lines(tmp_path) if "against" in row]
    assert [(one["category"], one["action"]) for one in row["against"]] == [("insult", "refuse")]


def test_a_guard_of_a_run_that_hangs_stops_no_other_model() -> None:
    """It has the 0.2 s of its run: then its request is refused, later ones are not let in, the
    server says that it is not well, and no more than one call is left behind."""
    go, calls = threading.Event(), list[int]()

    class Hanging:
        def check(self, prompts: Sequence[Prompt], texts: Sequence[str] | None) -> list[Verdict]:
            calls.append(len(prompts))
            go.wait(10)
            return [Verdict() for _ in prompts]

    async def work() -> None:
        arms = {"mine": guarded_arm(fine, Hanging(), 0.2), "fake": fake_arm(fine)}
        service = Service(arms, Worker(gather=0))
        transport = httpx.ASGITransport(app=create_app(service, Access(allowed_hosts(()))))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:

            async def post(model: str) -> httpx.Response:
                body = {"model": model, "prompt": "hello"}
                return await client.post("/v1/completions", json=body)

            hung = asyncio.create_task(post("mine"))
            while not calls:
                await asyncio.sleep(0.005)
            assert (await post("fake")).json()["choices"][0]["text"] == "hello"
            assert not hung.done()
            assert (await hung).json()["choices"][0]["finish_reason"] == "content_filter"
            later = await asyncio.gather(*(post("mine") for _ in range(5)))
            assert {(a.status_code, a.json()["error"]["code"]) for a in later} == {
                (503, "guard_busy")
            }
            assert (await client.get("/health")).status_code == 503
            assert calls == [1]
            assert (await post("fake")).json()["choices"][0]["text"] == "hello"
            go.set()
            while (await client.get("/health")).status_code == 503:
                await asyncio.sleep(0.005)
            assert (await post("mine")).json()["choices"][0]["text"] == "hello"
        service.worker.close()

    asyncio.run(work())


def test_a_run_behind_a_guard_answers_as_it_does_in_its_evaluation(
    guarded_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a seed, to the letter: the first prompt is blocked, the second response is sampled anew,
    for its first word, and the third is shown."""
    arms = open_arms([f"g={guarded_run}"])
    opened = arms["g"].run.opened
    said = [f"user : {word} . assistant :" for word in ("hello", "you", "you you")]
    prompts = [Prompt(f"{i}", one) for i, one in enumerate(said)]
    made: Any = opened.responder("result")
    plain = made.responder.respond(prompts, (1, "sample")).texts
    hello = WordsConfig(words=["hello"], checks=Part.prompt)
    first = WordsConfig(words=[plain[1].split()[0]], checks=Part.response, action=Action.resample)
    both = Chain(tuple(words(config, cast(Any, None)) for config in (hello, first)))
    guarded = replace(made, guard=InTime(both, 30.0, "algorithm"), resamples=9)
    texts = guarded.respond(prompts, (1, "sample")).texts
    monkeypatch.setattr(opened, "responder", lambda role: guarded)
    body = {"model": "g", "prompt": said, "seed": 1}
    answered = asked(Service(arms, Worker(gather=0)), "/v1/completions", body)
    assert answered.status_code == 200, answered.text
    choices = answered.json()["choices"]
    assert tuple(choice["text"] for choice in choices) == texts
    assert [text == other for text, other in zip(texts, plain, strict=True)] == [False, False, True]
    assert [c["finish_reason"] == "content_filter" for c in choices] == [True, False, False]


SECRET = "a secret text"


class Broken:
    """A guard whose error holds what it read."""

    def check(self, prompts: Sequence[Prompt], responses: Sequence[str] | None) -> list[Verdict]:
        raise OSError(f"cannot read {prompts[0].text}") from KeyError(prompts[0].text)


def failing(prompt: str, seed: tuple[int | str, ...]) -> str:
    raise ValueError(f"cannot answer {prompt}")


def fine(prompt: str, seed: tuple[int | str, ...]) -> str:
    return prompt


@pytest.mark.parametrize(
    "guard, answer, status, said",
    [
        (Broken(), fine, 200, "OSError at "),
        (None, failing, 500, "ValueError at "),
        (None, fine, 500, "RuntimeError at "),
    ],
)
def test_the_servers_own_log_holds_no_texts(
    guard: Guard | None,
    answer: Callable[[str, tuple[int | str, ...]], str],
    status: int,
    said: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error of a guard, of what answers, and of the server itself: their types and places."""
    checking = None if guard is None else Checking(guard, "No.", 0)
    service = Service({"fake": fake_arm(answer)}, Worker(gather=0), checking)
    if said.startswith("Runtime"):

        def whole(answering: Any, logprobs: Any) -> Any:
            raise RuntimeError(answering.rows[0].prompt.text)

        monkeypatch.setattr("preflab_serve.server.routes.whole", whole)
    with caplog.at_level(logging.DEBUG):
        answered = asked(service, "/v1/completions", {"prompt": SECRET})
    assert answered.status_code == status
    assert said in caplog.text
    assert f"{Path(__file__).name}:" in caplog.text
    assert "secret" not in caplog.text
