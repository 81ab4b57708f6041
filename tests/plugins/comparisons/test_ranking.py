"""Comparisons: the pool, ranked; the same rankings whatever the batches, and none without a
preference."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from preflab.errors import UserError
from preflab.pool import Answered
from preflab.records import (
    RANKINGS_FILE,
    Prompt,
    Ranking,
    preferences_from_ranks,
    ranking_from_json,
)
from preflab.storage.artifacts import read_rows
from preflab_builtin.comparisons.config import RankedConfig
from preflab_builtin.comparisons.ranking import Ranked
from support import WORDS, FakeContext, builtin

PROMPTS = [
    Prompt(f"p{i}", WORDS[i], split="train", tags=("t",), notes={"n": [i]}) for i in range(8)
] + [Prompt(f"v{i}", WORDS[i], split="validation") for i in range(3)]
POOL = [
    Answered(prompt, tuple(" ".join(WORDS[k : k + (i + 2 * k) % 4]) for k in range(3)))
    for i, prompt in enumerate(PROMPTS)
]
"""0 to 3 words; the first and the third response of every prompt are equally long."""


class ShorterIsBetter:
    """Ranks by number of words. tied: everything is equal. careless: prefers by place, even among
    equal texts."""

    def __init__(self, tied: bool = False, careless: bool = False) -> None:
        self.tied, self.careless = tied, careless
        self.asked: list[tuple[str, tuple[int | str, ...]]] = []

    def rank(
        self, prompt: Prompt, responses: Sequence[str], seed: Sequence[int | str]
    ) -> Sequence[Ranking]:
        self.asked.append((prompt.id, tuple(seed)))
        ranks = [len(text.split()) for text in responses]
        if self.tied:
            ranks = [1] * len(responses)
        if self.careless:
            ranks = list(range(len(responses)))
        return [Ranking(prompt, tuple(responses), preferences_from_ranks(ranks), "somebody", "g")]

    def preference(
        self, prompt: Prompt, first: str, second: str, group: str | None = None
    ) -> float:
        return float(len(first.split()) < len(second.split()))


def made(
    folder: Path,
    labelers: ShorterIsBetter | None = None,
    seed: int = 1,
    pool: Sequence[Answered] = POOL,
    batch: int = 4,
) -> Ranked:
    context = FakeContext(folder, labelers=labelers or ShorterIsBetter(), pool=pool, seed=seed)
    return Ranked(RankedConfig(batch=batch), context)


def finished(procedure: Ranked, folder: Path, first: int = 0) -> list[Ranking]:
    for index in range(first, procedure.total_steps):
        procedure.step(index)
    procedure.save(folder)
    return [ranking_from_json(row) for row in read_rows(folder / RANKINGS_FILE)]


def test_every_prompt_of_the_pool_is_ranked_in_its_order(tmp_path: Path) -> None:
    procedure = made(tmp_path)
    rankings = finished(procedure, tmp_path)
    assert procedure.total_steps == 3  # 11 prompts, 4 a step
    # Prompts 0, 2, 4, ... have responses of i % 4, (i + 2) % 4, i % 4 words: never all equal.
    assert [r.prompt for r in rankings] == PROMPTS
    assert [r.responses for r in rankings] == [answered.responses for answered in POOL]
    for ranking in rankings:
        lengths = [len(text.split()) for text in ranking.responses]
        assert all(lengths[i] < lengths[j] for i, j in ranking.preferences)
        assert ranking.ties == ((0, 2),)
        assert ranking.labeler == "somebody"


def test_batches_change_nothing(tmp_path: Path) -> None:
    assert finished(made(tmp_path), tmp_path) == finished(made(tmp_path, batch=11), tmp_path)


def test_resuming_gives_the_same_rankings(tmp_path: Path) -> None:
    whole = finished(made(tmp_path), tmp_path)
    first, second = made(tmp_path), made(tmp_path)
    first.step(0)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert finished(second, tmp_path, first=1) == whole


def test_labelers_are_given_the_stage_seed_and_the_prompt(tmp_path: Path) -> None:
    labelers = ShorterIsBetter()
    finished(made(tmp_path, labelers, seed=5), tmp_path)
    assert labelers.asked == [(p.id, (5, "comparisons", p.id)) for p in PROMPTS]


def test_all_tied_rankings_are_dropped_and_counted(tmp_path: Path) -> None:
    procedure = made(tmp_path, ShorterIsBetter(tied=True))
    row = procedure.step(0)
    assert (
        row["comparisons/rankings"],
        row["comparisons/all_tied"],
        row["comparisons/pairs_tied"],
    ) == (0, 4, 1)
    with pytest.raises(UserError, match="no preference at all"):
        procedure.save(tmp_path)


def test_pairs_that_nobody_judged_are_no_ties(tmp_path: Path) -> None:
    class LooksAtTwo(ShorterIsBetter):
        def rank(
            self, prompt: Prompt, responses: Sequence[str], seed: Sequence[int | str]
        ) -> Sequence[Ranking]:
            ranked = Ranking(prompt, tuple(responses), ((0, 1),), unjudged=((0, 2), (1, 2)))
            return [ranked]

    procedure = made(tmp_path, LooksAtTwo())
    row = procedure.step(0)
    assert row["comparisons/pairs_tied"] == 0  # 4 pairs were judged, with 4 preferences
    rankings = finished(procedure, tmp_path, first=1)
    assert {r.unjudged for r in rankings} == {((0, 2), (1, 2))}
    assert {r.ties for r in rankings} == {()}


def test_equal_texts_give_no_preference_whatever_a_labeler_says(tmp_path: Path) -> None:
    pool = [Answered(PROMPTS[0], ("a", "b", "a")), Answered(PROMPTS[1], ("a", "b", "c"))]
    first, second = finished(made(tmp_path, ShorterIsBetter(careless=True), pool=pool), tmp_path)
    assert first.preferences == ((0, 1), (1, 2))
    assert second.preferences == ((0, 1), (0, 2), (1, 2))


def test_without_a_pool_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no responses to rank: samples=none"):
        made(tmp_path, pool=())


def test_none_is_no_stage() -> None:
    for kind in ("samples", "comparisons", "labeler"):
        component = builtin(kind, "none")
        assert component.procedure is None
        assert component.build is None
