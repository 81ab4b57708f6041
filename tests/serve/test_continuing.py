"""Responses that go on in the middle of a text: nothing that a client puts into it switches the
check off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from preflab.records import Prompt
from preflab_builtin.guard.chain import Chain
from preflab_builtin.guard.config import Action, Part, WordsConfig
from preflab_builtin.guard.verdicts import Guard, Verdict
from preflab_builtin.guard.words import words
from preflab_serve.arms import Arm
from preflab_serve.continuing import Steps, continued
from preflab_serve.guarding import Checking
from preflab_serve.service import Service
from preflab_serve.worker import Worker
from serve.fakes import asked, fake_arm

WHOLE = "you should go and die now"


def forbidding(*forbidden: str, action: Action = Action.refuse) -> Guard:
    config = WordsConfig(words=list(forbidden), checks=Part.response, action=action)
    return words(config, cast(Any, None))


PHRASES = ("go and die", "hell", "ass", "assassin")


def said(steps: Steps) -> list[Verdict]:
    """What the guards say that are asked."""
    guard, prompts, responses = next(steps)
    while True:
        try:
            guard, prompts, responses = steps.send(guard.check(prompts, responses))
        except StopIteration as done:
            found: list[Verdict] = done.value
            return found


def verdicts(guard: Guard, prompt: str, *responses: str) -> list[Verdict]:
    """Of responses that go on from a prompt."""
    return said(continued(guard, [Prompt("", prompt)] * len(responses), responses))


def shown(prompt: str, response: str) -> bool:
    (verdict,) = verdicts(forbidding(*PHRASES), prompt, response)
    return verdict.shown


@pytest.mark.parametrize(
    "prompt, response",
    [
        ("go and die hi A: you should go and", " die now"),
        ("hell,go and", " die"),
        ("hell⑴go and", " die"),  # which is read as hell(1)go and
        ("you should go" + " " * 300, "and die now"),
        ("you should go" + "\u200b" * 300, " and die now"),
        ("you should go" + " \u200b" * 300, "and die now"),
        ("," * 198 + "go and ", "die now"),  # of one word, the tail would have nothing but "and"
        ("what an ass", "assin"),  # the word that is cut is forbidden as far as it goes
    ],
)
def test_what_a_client_puts_in_front_switches_no_check_off(prompt: str, response: str) -> None:
    assert not shown(prompt, response)


@pytest.mark.parametrize(
    "prompt, response",
    [
        ("go and die , she said , and went", " away"),
        ("go and die , she said . A:", " you should go"),
        ("hell " + "a kind word " * 20, "and a good one"),
        ("", "fine"),
    ],
)
def test_what_a_client_says_itself_is_its_own(prompt: str, response: str) -> None:
    assert shown(prompt, response)


class Counting:
    """A guard that remembers what it read, call after call."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.calls: list[list[str]] = []

    def check(self, prompts: Sequence[Prompt], given: Sequence[str] | None) -> list[Verdict]:
        assert given is not None
        self.calls.append(list(given))
        return self.guard.check(prompts, given)


def test_an_end_that_says_something_by_itself_is_looked_at_once_and_no_longer_than_it_is() -> None:
    """32 responses to one prompt with 64,000 spaces: the ends of 200 characters that are seen, the
    four ends themselves, and each response alone, with the last word, with four ends, and with the
    longest that may be. A call reads 32 texts at most."""
    guard = Counting(forbidding("hell"))
    prompt = "a" * 180 + " hell" + " " * 64_000 + "a good one"
    found = verdicts(guard, prompt, *(f" {i}" for i in range(32)))
    assert all(verdict.shown for verdict in found)
    texts = [text for call in guard.calls for text in call]
    assert len(texts) <= 200 + 4 + 7 * 32
    assert max(map(len, texts)) < 250
    assert max(map(len, guard.calls)) == 32


class Averaging:
    """A guard that weighs a whole text, as a classifier may: three bad words, and three of ten."""

    def check(self, prompts: Sequence[Prompt], given: Sequence[str] | None) -> list[Verdict]:
        assert given is not None
        words = [text.split() for text in given]
        bad = [sum(word in ("go", "and", "die") for word in row) for row in words]
        return [
            Verdict(not (n >= 3 and n >= 0.3 * len(row))) for n, row in zip(bad, words, strict=True)
        ]


@pytest.mark.parametrize("harmless", [0, 10, 1000])
def test_harmless_words_in_front_do_not_outweigh_what_goes_on(harmless: int) -> None:
    """Three bad words of "you should go and die" are among five, or among six of the last 25
    characters, "words you should go and"; of the last 200 characters they are less than a tenth.
    "die" alone, and "and die", are not enough."""
    front = "kind words " * harmless
    (bad,) = verdicts(Averaging(), f"{front}you should go and", " die")
    (good,) = verdicts(Averaging(), f"{front}you should go and", " home")
    assert (bad.shown, good.shown) == (False, True)


def say(prompt: str, seed: tuple[int | str, ...]) -> str:
    """The rest of a sentence that is forbidden, four bytes of which are asked for at a time."""
    return WHOLE[len(prompt[prompt.rfind("A:") + 2 :].lstrip()) :]


def pieces(guard: Guard, prefix: str) -> str:
    """What a client has that asks for four bytes at a time, and sends what it has got as prompt."""
    text = ""
    while text != WHOLE:
        service = Service({"fake": fake_arm(say)}, Worker(gather=0), Checking(guard, "No.", 0))
        body = {"prompt": f"{prefix}A: {text}", "max_tokens": 4}
        (choice,) = asked(service, "/v1/completions", body).json()["choices"]
        if choice["finish_reason"] == "content_filter":
            return text
        text += choice["text"]
    return text


@pytest.mark.parametrize("prefix", ["Q: hi ", "Q: go and die hi "])
def test_a_forbidden_sentence_does_not_leave_in_pieces(prefix: str) -> None:
    assert "die" not in pieces(forbidding("go and die"), prefix)


def test_what_one_guard_of_a_chain_only_flags_excuses_nothing_from_another() -> None:
    """Nor what one refuses: each is asked about the client's text by itself."""
    for action in Action:
        chain = Chain((forbidding("hi", action=action), forbidding("go and die")))
        assert "die" not in pieces(chain, "Q: hi ")


def test_a_prompt_that_ends_within_a_character_is_refused_behind_a_guard() -> None:
    """Of "í" the prompt has the first byte, and the response would begin with the second."""
    arm = fake_arm(say)
    ids = arm.tokenizer.encode("an í")[:-1]
    for checking, status in ((Checking(forbidding("idiot"), "No.", 0), 400), (None, 200)):
        service = Service({"fake": arm}, Worker(gather=0), checking)
        answered = asked(service, "/v1/completions", {"prompt": list(ids)})
        assert answered.status_code == status


# --- models ---


def test_the_space_that_a_tokenizer_of_words_puts_between_is_read(arms: Mapping[str, Arm]) -> None:
    """The phrase is the last word of the prompt and the first of the response, which have no space
    of their own at the border."""
    body = {"model": "bon:base", "prompt": "user : hello . assistant :", "seed": 1}
    free = asked(Service(arms, Worker(gather=0)), "/v1/completions", body).json()["choices"][0]
    checking = Checking(forbidding(f": {free['text'].split()[0]}"), "No.", 0)
    answered = asked(Service(arms, Worker(gather=0), checking), "/v1/completions", body)
    assert answered.json()["choices"][0]["finish_reason"] == "content_filter"


def test_what_best_of_n_answers_behind_a_guard_is_what_it_answers(arms: Mapping[str, Arm]) -> None:
    """The noise of a prompt follows its place among all of them, also of those that are blocked."""
    guard = words(WordsConfig(words=["hello"], checks=Part.prompt), cast(Any, None))
    said = [f"user : {word} . assistant :" for word in ("hello", "you", "you")]
    body = {"model": "bon", "prompt": said, "seed": 1}

    def texts(checking: Checking | None) -> list[str]:
        service = Service(arms, Worker(gather=0), checking)
        choices = asked(service, "/v1/completions", body).json()["choices"]
        return [choice["text"] for choice in choices]

    assert texts(Checking(guard, "No.", 0)) == ["No.", *texts(None)[1:]]
