"""Draws are pure functions of names and numbers, so that resuming and world size change nothing."""

from __future__ import annotations

import torch

from preflab.randomness import Streams, derive_seed, draw_order, permutation


def test_seed_parts_do_not_run_together() -> None:
    assert (
        len({derive_seed(1, 23), derive_seed(12, 3), derive_seed("1", 23), derive_seed(123)}) == 4
    )


def test_draws_in_pieces_equal_draws_at_once() -> None:
    whole = draw_order(7, 0, 40, 5, "prompts")
    pieces = [i for start in range(0, 40, 8) for i in draw_order(7, start, 8, 5, "prompts")]
    assert pieces == whole


def test_every_epoch_visits_every_record_once_in_its_own_order() -> None:
    order = draw_order(5, 0, 15, 1, "x")
    epochs = [order[:5], order[5:10], order[10:]]
    assert all(sorted(e) == [0, 1, 2, 3, 4] for e in epochs)
    assert len({tuple(e) for e in epochs}) > 1
    assert epochs[0] == permutation(5, 1, "x", 0)


def test_streams_do_not_disturb_each_other_and_survive_a_restart() -> None:
    streams = Streams(1, "ppo")
    first = torch.rand(3, generator=streams["a"])
    torch.rand(100, generator=streams["b"])
    state = streams.state_dict()
    second = torch.rand(3, generator=streams["a"])
    restored = Streams(1, "ppo")
    restored.load_state_dict(state)
    assert torch.equal(torch.rand(3, generator=restored["a"]), second)
    fresh = Streams(1, "ppo")
    assert torch.equal(torch.rand(3, generator=fresh["a"]), first)
