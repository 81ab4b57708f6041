"""Runs that answer behind a guard of their own: no way around it, and no texts in the server's own
log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from end_to_end.runs import preflab
from preflab.records import Prompt, Rollout
from preflab_builtin.causal_lm.vocabularies import byte_tokenizer
from preflab_builtin.guard.chain import Chain
from preflab_builtin.guard.config import Action, Part, WordsConfig
from preflab_builtin.guard.responder import Guarded
from preflab_builtin.guard.verdicts import Guard, Verdict
from preflab_builtin.guard.words import words
from preflab_people.server.rules import allowed_hosts
from preflab_serve.arms import Arm, open_arms
from preflab_serve.guarding import Checking, own_verdicts
from preflab_serve.server.access import Access
from preflab_serve.server.app import create_app
from preflab_serve.service import Service
from preflab_serve.worker import Worker
from serve.conftest import WORDS
from serve.fakes import fake_arm

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


def asked(service: Service, path: str, body: Mapping[str, Any]) -> httpx.Response:
    async def work() -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(service, Access(allowed_hosts(()))))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post(path, json={"model": "fake"} | dict(body))

    found = asyncio.run(work())
    service.worker.close()
    return found


class GoingOn:
    """A responder that goes on where a prompt ends, with an insult, and says nothing if it is asked
    again."""

    policy: Any = SimpleNamespace(tokenizer=byte_tokenizer())

    def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
        texts = [
            "..." if "guard" in seed else WHOLE.removeprefix(prompt.text.removeprefix("User: "))
            for prompt in prompts
        ]
        return Rollout.from_texts(byte_tokenizer(), prompts, texts)


def behind_its_own(action: Action) -> Arm:
    """An arm whose algorithm is a guard of responses."""
    config = WordsConfig(words=["idiot"], checks=Part.response, action=action)
    arm: Any = fake_arm(lambda prompt, seed: "")
    arm.own_way = arm.guarded = True
    arm.responder = Guarded(cast(Any, GoingOn()), words(config, cast(Any, None)), "No.", 1)
    return cast(Arm, arm)


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
    """A text that two guards of a chain have something against has both categories."""
    words_of = {"rude": "idiot", "loud": "hey"}
    guards = tuple(
        words(WordsConfig(words=[word], category=name), cast(Any, None))
        for name, word in words_of.items()
    )
    (verdicts,) = own_verdicts(Chain(guards), ["hey, idiot"])
    assert {verdict.category for verdict in verdicts if not verdict.allowed} == set(words_of)


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
