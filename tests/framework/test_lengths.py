"""Rows that do not fit: all counted, the first three named, with the words that leave them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from preflab.errors import UserError
from preflab.lengths import check_prompts, check_rows, prompt_sizes, refuse_prompts, row_sizes
from preflab.records import Demonstration, Message, Prompt, Ranking
from support import FakeContext


def prompt(number: int, words: int) -> Prompt:
    """A prompt of so many tokens: each word of the tiny world is one."""
    return Prompt(f"p{number}", " ".join(["red"] * words), place=f"f.jsonl:{number}")


def context(folder: Path, positions: int = 16) -> FakeContext:
    """Its rollout engine samples 8 tokens at most."""
    return FakeContext(folder, policy_config={"max_positions": positions})


def test_prompts_that_leave_no_room_are_counted_and_the_first_named(tmp_path: Path) -> None:
    """16 positions less 8 are 8: five of the six prompts have more."""
    prompts = [prompt(number, words) for number, words in enumerate([8, 9, 10, 11, 9, 12], 1)]
    with pytest.raises(UserError) as refusal:
        check_prompts(context(tmp_path), prompts)
    assert str(refusal.value) == (
        "5 of 6 prompts have more than 8 tokens, the 16 positions of the policy less "
        "rollout.max_tokens=8: f.jsonl:2 (9 tokens), f.jsonl:3 (10 tokens), f.jsonl:4 (11 tokens) "
        "and 2 more. Leave them out with +filter@filters.fits=length filters.fits.max_tokens=8; or "
        "lower rollout.max_tokens to 4."
    )
    check_prompts(context(tmp_path), prompts[:1])


def test_a_prompt_longer_than_the_model_is_not_mended_by_shorter_responses() -> None:
    with pytest.raises(UserError, match=r"max_tokens=8\.$"):
        refuse_prompts([(Prompt("a", "a"), 17), (Prompt("b", "b"), 8)], 16, 8)


def test_leaving_out_all_prompts_is_no_cure() -> None:
    with pytest.raises(UserError) as refusal:
        refuse_prompts([(Prompt("a", "a"), 9), (Prompt("b", "b"), 10)], 16, 8)
    assert str(refusal.value).endswith(
        "'b' (10 tokens). Give shorter prompts or a model with more positions; or lower "
        "rollout.max_tokens to 6."
    )


def test_a_cap_that_leaves_no_room_for_any_prompt_says_so() -> None:
    with pytest.raises(UserError, match=r"rollout\.max_tokens=16 leaves no room .* 16 positions"):
        refuse_prompts([(Prompt("a", "a"), 1)], 16, 16)


def test_a_prompt_without_a_place_is_named_by_its_id() -> None:
    with pytest.raises(UserError, match=r"1 of 1 prompts has more .*: 'a' \(17 tokens\)\."):
        refuse_prompts([(Prompt("a", "a"), 17)], 16, 8)


def test_demonstrations_and_rankings_count_their_longest_response(tmp_path: Path) -> None:
    """A prompt of 10 tokens and a response of 5 with its end token are 16; of 6 they are 17."""
    fits = Demonstration(prompt(1, 10), "red red red red red")
    check_rows(context(tmp_path), "demonstrations", [fits])
    long = Ranking(prompt(2, 10), ("red", "red red red red red red"), ((0, 1),))
    with pytest.raises(
        UserError, match=r"1 of 1 rankings .* f\.jsonl:2 \(17 tokens\).*Give shorter .*; or cut"
    ):
        check_rows(context(tmp_path), "rankings", [long], cures=["cut it"])
    check_rows(context(tmp_path), "rankings", [long], max_tokens=6)


def test_rows_that_surely_fit_are_not_tokenised(tmp_path: Path) -> None:
    """Six words of 23 characters have 92 bytes at most, and the turn 128: below 220 they may not
    fit."""
    short = prompt(1, 6)
    tokenizer = context(tmp_path).tokenizer
    assert len(short.text) == 23
    assert list(prompt_sizes(tokenizer, [short], room=220)) == [(short, 0)]
    assert list(prompt_sizes(tokenizer, [short], room=219)) == [(short, 6)]
    row = Demonstration(short, "red")
    assert list(row_sizes(tokenizer, [row], room=232)) == [(short, 0)]
    assert list(row_sizes(tokenizer, [row], room=231)) == [(short, 8)]


def test_each_layout_of_a_conversation_is_rendered_once(tmp_path: Path) -> None:
    """A chat template may refuse roles: the first conversation with them is tokenised, whatever its
    length."""
    rendered: list[str] = []

    class Strict:
        def encode_prompt(self, prompt: Prompt) -> list[int]:
            rendered.append(prompt.id)
            if prompt.messages and prompt.messages[0].role == "system":
                raise UserError("the template knows no system")
            return [1]

    user, system = Message("user", "hello"), Message("system", "be kind")
    asked = [Prompt("1", "hello", messages=(user,)), Prompt("2", "hello", messages=(user,))]
    list(prompt_sizes(Strict(), asked, room=1000))  # type: ignore[arg-type]
    assert rendered == ["1"]
    asked.append(Prompt("3", "be kind", messages=(system, user)))
    with pytest.raises(UserError, match="knows no system"):
        list(prompt_sizes(Strict(), asked, room=1000))  # type: ignore[arg-type]


def test_a_prompt_without_tokens_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    """Also behind one of the same layout, after which short prompts are not tokenised."""
    prompts = [Prompt("1", "add one two", place="p:1"), Prompt("2", " ", place="p:2")]
    with pytest.raises(UserError, match=r"The prompt of p:2 has no tokens: .* Remove it"):
        check_prompts(FakeContext(tmp_path), prompts)
