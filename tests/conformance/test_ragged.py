"""Properties that hold whatever the lengths: padding, its content, its width and the way rows are
split count for nothing.

Hypothesis draws the lengths and numbers. What stands on pads is nan wherever a number can be nan,
so that a single read of it shows.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from preflab.functional import gae, masked_mean, masked_sum, token_rewards, whiten
from preflab.randomness import draw_order
from preflab.records import Demonstration, Prompt, Rollout, preferences_from_ranks
from preflab_builtin.causal_lm.attention import causal_mask, positions_of
from preflab_builtin.causal_lm.vocabularies import byte_tokenizer, word_tokenizer
from preflab_builtin.on_policy.rules import clipped_loss
from preflab_builtin.ppo.loss import value_loss
from preflab_builtin.reward_model.loss import kwise_loss
from preflab_builtin.sft import batches
from preflab_builtin.sft.config import LossOn
from support import WORDS

NUMBERS = st.floats(-3, 3, allow_subnormal=False)
TOKENIZER = word_tokenizer(WORDS)
quickly = settings(max_examples=60)


@st.composite
def ragged_rows(draw: st.DrawFn, columns: int) -> list[list[list[float]]]:
    """A few rows of unequal length; each has some columns of numbers: rows[i][column][t]."""
    lengths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=5))
    numbers = [draw(st.lists(NUMBERS, min_size=columns * n, max_size=columns * n)) for n in lengths]
    return [
        [row[c * n : (c + 1) * n] for c in range(columns)]
        for row, n in zip(numbers, lengths, strict=True)
    ]


def padded(
    rows: list[list[list[float]]], spare: int = 0
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The rows as a mask [B, R] and one tensor [B, R] a column, float64, pads nan. spare: pads
    behind the longest row."""
    width = max(len(row[0]) for row in rows) + spare
    mask = torch.tensor([[True] * len(row[0]) + [False] * (width - len(row[0])) for row in rows])
    columns = [
        [row[c] + [math.nan] * (width - len(row[c])) for row in rows] for c in range(len(rows[0]))
    ]
    return mask, [torch.tensor(column, dtype=torch.float64) for column in columns]


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


# --- rewards, advantages, means ---


@quickly
@given(rows=ragged_rows(1), scores=st.lists(NUMBERS, min_size=5, max_size=5), beta=st.floats(0, 2))
def test_rewards_add_up_to_the_score_less_the_penalty_and_end_with_the_response(
    rows: list[list[list[float]]], scores: list[float], beta: float
) -> None:
    mask, (log_ratio,) = padded(rows, spare=1)
    given = torch.tensor(scores[: len(rows)], dtype=torch.float64)
    found = token_rewards(given, log_ratio, mask, beta)
    assert found[~mask].eq(0).all()
    for i, (ratios,) in enumerate(rows):
        n = len(ratios)
        assert float(found[i].sum()) == pytest.approx(scores[i] - beta * sum(ratios), abs=1e-9)
        # No score before the end.
        assert found[i, : n - 1].tolist() == pytest.approx(
            [-beta * x for x in ratios[:-1]], abs=1e-12
        )


@quickly
@given(rows=ragged_rows(2), spare=st.integers(0, 3), gamma=st.sampled_from([1.0, 0.9]))
def test_an_advantage_is_that_of_the_row_alone(
    rows: list[list[list[float]]], spare: int, gamma: float
) -> None:
    mask, (rewards, values) = padded(rows, spare)
    together, returns = gae(rewards, values, mask, gamma, 0.95)
    for i, row in enumerate(rows):
        n = len(row[0])
        alone_mask, (r, v) = padded([row])
        alone, to_go = gae(r, v, alone_mask, gamma, 0.95)
        close(together[i, :n], alone[0])
        close(returns[i, :n], to_go[0])
    assert together[~mask].eq(0).all()


@quickly
@given(rows=ragged_rows(1), spare=st.integers(0, 3), shift=st.booleans())
def test_means_and_whitening_are_those_of_the_tokens_in_one_line(
    rows: list[list[list[float]]], spare: int, shift: bool
) -> None:
    mask, (values,) = padded(rows, spare)
    line = torch.tensor([x for (row,) in rows for x in row], dtype=torch.float64)
    close(masked_mean(values, mask), line.mean())
    found = whiten(values, mask, shift, eps=1e-3)
    expected = (line - line.mean()) / (line.var(unbiased=False) + 1e-3).sqrt() + (
        0.0 if shift else line.mean()
    )
    close(found[mask], expected)
    assert found[~mask].eq(0).all()


# --- losses ---


@quickly
@given(rows=ragged_rows(3), cut=st.integers(0, 5), spare=st.integers(0, 3))
def test_losses_are_sums_over_rows_whatever_the_pieces(
    rows: list[list[list[float]]], cut: int, spare: int
) -> None:
    """So that the caller's one denominator makes accumulation exact; gradients too, and none
    reaches a pad."""

    def losses(part: list[list[list[float]]], extra: int) -> tuple[torch.Tensor, torch.Tensor]:
        mask, (new, old, other) = padded(part, extra)
        new.requires_grad_()
        both = (clipped_loss, value_loss)
        total = sum(masked_sum(loss(new, old, other, mask, 0.2).loss, mask) for loss in both)
        assert isinstance(total, torch.Tensor)
        (gradient,) = torch.autograd.grad(total, new)
        assert gradient[~mask].eq(0).all()
        return total.detach(), gradient[mask]

    whole, gradient = losses(rows, spare)
    parts = [losses(part, 0) for part in (rows[:cut], rows[cut:]) if part]
    close(whole, torch.stack([loss for loss, _ in parts]).sum())
    close(gradient, torch.cat([g for _, g in parts]))


@quickly
@given(rewards=st.lists(NUMBERS, min_size=2, max_size=6), data=st.data(), shift=st.floats(-50, 50))
def test_the_ranking_loss_knows_pairs_alone(
    rewards: list[float], data: st.DataObject, shift: float
) -> None:
    """Neither the order of presentation nor a constant counts; ties stand in no pair."""
    k = len(rewards)
    ranks = data.draw(st.lists(st.integers(1, 4), min_size=k, max_size=k))
    order = data.draw(st.permutations(range(k)))
    values = torch.tensor(rewards, dtype=torch.float64)
    found = float(kwise_loss(values, preferences_from_ranks(ranks)))
    assert float(kwise_loss(values + shift, preferences_from_ranks(ranks))) == pytest.approx(
        found, abs=1e-9
    )
    shuffled = kwise_loss(values[list(order)], preferences_from_ranks([ranks[i] for i in order]))
    assert float(shuffled) == pytest.approx(found, abs=1e-9)
    pairs = [(i, j) for i, j in permutations(range(k), 2) if ranks[i] < ranks[j]]
    by_hand = [math.log1p(math.exp(rewards[j] - rewards[i])) for i, j in pairs]
    assert found == pytest.approx(sum(by_hand) / len(by_hand) if by_hand else 0.0, abs=1e-9)


# --- batches ---

TOKENS = st.lists(st.integers(1, 20), min_size=1, max_size=6)


@st.composite
def rollouts(draw: st.DrawFn) -> tuple[Rollout, list[tuple[list[int], list[int]]]]:
    """A batch of ragged prompts and responses, some ended, some cut, and its tokens."""
    rows = draw(st.lists(st.tuples(TOKENS, TOKENS, st.booleans()), min_size=1, max_size=5))
    tokens = [(q, [*r, TOKENIZER.eos_id] if ended else r) for q, r, ended in rows]
    prompts = [Prompt(str(i), "") for i in range(len(rows))]
    return Rollout.from_tokens(
        TOKENIZER, prompts, [q for q, _ in tokens], [r for _, r in tokens]
    ), tokens


@quickly
@given(made=rollouts(), data=st.data())
def test_a_batch_holds_its_tokens_whatever_stands_on_its_pads(
    made: tuple[Rollout, list[tuple[list[int], list[int]]]], data: st.DataObject
) -> None:
    rollout, tokens = made
    index = data.draw(st.permutations(range(len(tokens))))
    part = rollout.rows(index)
    assert part.tokens() == [tokens[i] for i in index]
    for batch, rows in ((rollout, tokens), (part, [tokens[i] for i in index])):
        # The end token is a response token; a mask counts stored lengths and never asks what
        # stands there.
        assert batch.response_mask.sum(1).tolist() == [len(r) for _, r in rows]
        assert batch.terminated.tolist() == [r[-1] == TOKENIZER.eos_id for _, r in rows]
        for i, (q, r) in enumerate(rows):
            assert batch.input_ids[i][batch.mask[i]].tolist() == q + r
    ends = torch.where(rollout.response_mask, rollout.response_ids, TOKENIZER.eos_id)
    same = replace(rollout, response_ids=ends)  # pads that look like end tokens
    assert torch.equal(same.mask, rollout.mask)
    assert same.tokens() == tokens
    assert sorted(rollout.by_length(index)) == list(range(len(tokens)))


@quickly
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 4), st.integers(1, 5), st.integers(0, 4)), min_size=1, max_size=4
    )
)
def test_positions_count_tokens_and_no_token_sees_a_pad(rows: list[tuple[int, int, int]]) -> None:
    width = max(sum(row) for row in rows)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, (left, n, _) in enumerate(rows):
        mask[i, left : left + n] = True
    positions, seen = positions_of(mask), causal_mask(mask)[:, 0]
    for i, (left, n, _) in enumerate(rows):
        assert positions[i, left : left + n].tolist() == list(range(n))
        for t in range(left, left + n):
            assert seen[i, t].nonzero().squeeze(-1).tolist() == list(range(left, t + 1))


@quickly
@given(rows=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=5))
def test_targets_are_the_response_and_its_end_but_never_the_first(
    rows: list[tuple[int, int]],
) -> None:
    rows = [(asked, answered) for asked, answered in rows if asked + answered]
    tokenizer = byte_tokenizer()
    shown = [Demonstration(Prompt("x", "q" * n), "r" * m) for n, m in rows]
    made = batches.examples(shown, tokenizer, LossOn.completion, None)
    if made:
        _, mask, found = batches.padded(made, tokenizer.pad_id, torch.device("cpu"))
        for i, (asked, answered) in enumerate(rows):
            length = asked + answered + 1  # the end token
            assert mask[i].sum() == length
            expected = list(range(max(1, asked), length))
            assert found[i].nonzero().squeeze(-1).tolist() == expected


# --- streams ---


@quickly
@given(
    size=st.integers(1, 9),
    cuts=st.lists(st.integers(1, 7), min_size=1, max_size=6),
    seed=st.integers(0, 3),
)
def test_draws_are_numbered_and_each_epoch_deals_every_record_once(
    size: int, cuts: list[int], seed: int
) -> None:
    total, starts = sum(cuts), [sum(cuts[:i]) for i in range(len(cuts))]
    whole = draw_order(size, 0, total, seed, "prompts")
    pieces = [
        i
        for start, n in zip(starts, cuts, strict=True)
        for i in draw_order(size, start, n, seed, "prompts")
    ]
    assert pieces == whole  # however iterations cut the stream, nothing is repeated or left out
    for epoch in range(total // size):
        assert sorted(whole[epoch * size : (epoch + 1) * size]) == list(range(size))
