"""Records: JSON round trip, ranks to preferences, and the token batch whose lengths are stored
and never inferred."""

from __future__ import annotations

import json
from dataclasses import replace

import torch

from preflab.records import (
    Demonstration,
    Message,
    Prompt,
    Ranking,
    Rollout,
    demonstration_from_json,
    pairs,
    preferences_from_ranks,
    ranking_from_json,
    to_json,
    with_split,
)


class Letters:
    """A tokenizer of lower-case letters in which pad and end token are the same id."""

    pad_id = eos_id = 0
    end_ids = frozenset({0})
    size = 27
    digest = "letters"

    def encode(self, text: str) -> list[int]:
        return [ord(c) - 96 for c in text]

    def encode_document(self, text: str) -> list[int]:
        return [*self.encode(text), 0]

    def encode_prompt(self, prompt: Prompt) -> list[int]:
        return self.encode(prompt.text)

    def encode_response(self, prompt: Prompt, response: str) -> list[int]:
        return [*self.encode(response), 0]

    def encode_turns(self, prompt: Prompt, response: str) -> tuple[list[int], list[bool]]:
        raise NotImplementedError

    def decode_response(self, prompt: Prompt, ids: object) -> str:
        return self.decode(ids)

    def decode(self, ids: object) -> str:
        return "".join(chr(i + 96) for i in ids if i)  # type: ignore[attr-defined]

    def save(self, folder: object) -> None:
        raise NotImplementedError


def test_ranks_give_every_strict_pair_once() -> None:
    # best is index 2; 0 and 1 tie, so of the three pairs one is dropped
    assert preferences_from_ranks([2, 2, 1]) == ((2, 0), (2, 1))


def test_ranking_survives_json() -> None:
    ranking = Ranking(
        Prompt("p", "text", tags=("a",), notes={"n": 1}), ("x", "y"), ((1, 0), (1, 0)), "w1", "g"
    )
    assert ranking_from_json(json.loads(json.dumps(to_json(ranking)))) == ranking
    assert not {"unjudged", "ratings"} & to_json(ranking).keys()  # as files had it before
    missing, ratings = ((0, 2), (1, 2)), (1.5, -2.0, 0.1)
    partial = replace(ranking, responses=("x", "y", "z"), unjudged=missing, ratings=ratings)
    assert ranking_from_json(json.loads(json.dumps(to_json(partial)))) == partial


def test_a_tie_is_not_a_pair_that_nobody_judged() -> None:
    prompt, texts = Prompt("p", "text"), ("a", "b", "c", "d")
    # Ranks 1 2 2 3, of which d was not seen with a and b: of six pairs three have a preference.
    ranking = Ranking(prompt, texts, ((0, 1), (0, 2), (2, 3)), unjudged=((0, 3), (1, 3)))
    assert ranking.ties == ((1, 2),)
    assert replace(ranking, preferences=((1, 0),), unjudged=()).ties == pairs(4)[1:]


def test_a_demonstration_survives_json_with_and_without_who_wrote_it() -> None:
    plain = Demonstration(Prompt("p", "text", tags=("a",)), "an answer")
    assert {"labeler", "group"} & to_json(plain).keys() == set()
    for record in (plain, replace(plain, labeler="labeler-1", group="north")):
        assert demonstration_from_json(json.loads(json.dumps(to_json(record)))) == record


def test_a_conversation_survives_json_and_its_place_is_not_written() -> None:
    messages = (Message("system", "Be brief."), Message("user", "Hi"))
    prompt = Prompt("p", "Be brief.", messages=messages, place="rows.jsonl:3")
    ranking = Ranking(prompt, ("x", "y"), ((0, 1),))
    written = json.loads(json.dumps(to_json(ranking)))
    assert "place" not in written["prompt"]
    assert ranking_from_json(written) == ranking
    assert ranking_from_json(written).prompt.messages == messages


def test_with_split_reaches_through_to_the_prompt() -> None:
    ranking = Ranking(Prompt("p", "text"), ("x", "y"), ((0, 1),))
    assert with_split(ranking, "test").split == "test"


def test_masks_come_from_lengths_even_when_pad_is_the_end_token() -> None:
    rollout = Rollout.from_texts(Letters(), [Prompt("1", "ab"), Prompt("2", "c")], ["de", ""])
    # prompts "ab" and "c" left-padded to 2; responses d e END and END alone, right-padded to 3
    assert rollout.input_ids.tolist() == [[1, 2, 4, 5, 0], [0, 3, 0, 0, 0]]
    assert rollout.mask.tolist() == [[True] * 5, [False, True, True, False, False]]
    assert rollout.response_lengths.tolist() == [3, 1]
    assert rollout.terminated.tolist() == [True, True]
    assert rollout.texts == ("de", "")


def test_a_response_cut_at_the_cap_is_not_terminated() -> None:
    rollout = Rollout.from_texts(Letters(), [Prompt("1", "a")], ["bcd"], max_tokens=3)
    assert rollout.response_ids.tolist() == [[2, 3, 4]]
    assert rollout.terminated.tolist() == [False]


def test_by_length_puts_the_shortest_rows_first() -> None:
    prompts = [Prompt("a", "x"), Prompt("b", "x"), Prompt("c", "x")]
    rollout = Rollout.from_tokens(Letters(), prompts, [[1, 2], [1], [1]], [[3, 4], [3], [3, 4, 5]])
    assert rollout.by_length() == [1, 0, 2]  # 2, 4 and 4 tokens
    assert rollout.by_length([2, 0]) == [0, 2]  # equal lengths: by row number


def test_rows_trims_to_the_longest_chosen() -> None:
    rollout = Rollout.from_texts(Letters(), [Prompt("1", "abc"), Prompt("2", "d")], ["efg", "h"])
    short = rollout.rows([1])
    assert short.input_ids.tolist() == [[4, 8, 0]]
    assert torch.equal(short.mask, torch.ones(1, 3, dtype=torch.bool))
