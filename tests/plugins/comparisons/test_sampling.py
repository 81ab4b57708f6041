"""Comparisons: K samples a prompt, ranked; the same rankings whatever the batches, and none
without a preference."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from preflab.errors import UserError
from preflab.records import (
    RANKINGS_FILE,
    Prompt,
    Ranking,
    preferences_from_ranks,
    ranking_from_json,
)
from preflab.storage.artifacts import read_rows
from preflab_builtin.comparisons.config import SampledConfig
from preflab_builtin.comparisons.sampling import SampledComparisons
from support import WORDS, FakeContext, builtin

PROMPTS = [
    Prompt(f"p{i}", " ".join(WORDS[i : i + 1 + i % 3]), split="train", tags=("t",), notes={"n": i})
    for i in range(10)
]
HELD_OUT = [Prompt(f"v{i}", WORDS[i], split="validation") for i in range(4)]


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
    folder: Path, labelers: ShorterIsBetter | None = None, **options: Any
) -> SampledComparisons:
    values: dict[str, Any] = {"prompts": 8, "validation_prompts": 3, "k": 3, "batch": 4, **options}
    context = FakeContext(folder, [*PROMPTS, *HELD_OUT], labelers=labelers or ShorterIsBetter())
    return SampledComparisons(SampledConfig(**values), context)


def finished(procedure: SampledComparisons, folder: Path, first: int = 0) -> list[Ranking]:
    for index in range(first, procedure.total_steps):
        procedure.step(index)
    procedure.save(folder)
    return [ranking_from_json(row) for row in read_rows(folder / RANKINGS_FILE)]


def test_rankings_of_training_and_validation_prompts(tmp_path: Path) -> None:
    procedure = made(tmp_path)
    rankings = finished(procedure, tmp_path)
    assert procedure.total_steps == 3  # 11 prompts, 4 a step
    splits = [r.split for r in rankings]
    assert splits == sorted(splits)  # train before validation, each in the order of its prompts
    assert set(splits) == {"train", "validation"}
    assert all(len(r.responses) == 3 and r.preferences for r in rankings)
    by_id = {p.id: p for p in [*PROMPTS, *HELD_OUT]}
    for ranking in rankings:
        assert ranking.prompt == by_id[ranking.prompt.id]
        lengths = [len(text.split()) for text in ranking.responses]
        assert all(lengths[i] < lengths[j] for i, j in ranking.preferences)
    order = [p.id for p in procedure.prompts]
    assert [r.prompt.id for r in rankings] == [
        name for name in order if name in {r.prompt.id for r in rankings}
    ]


def test_batches_change_nothing(tmp_path: Path) -> None:
    assert finished(made(tmp_path, batch=4), tmp_path) == finished(
        made(tmp_path, batch=11), tmp_path
    )


def test_resuming_gives_the_same_rankings(tmp_path: Path) -> None:
    whole = finished(made(tmp_path), tmp_path)
    first, second = made(tmp_path), made(tmp_path)
    first.step(0)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert finished(second, tmp_path, first=1) == whole


def test_samples_and_labelers_follow_the_stage_seed_and_the_prompt(tmp_path: Path) -> None:
    labelers = ShorterIsBetter()
    procedure = made(tmp_path, labelers)
    finished(procedure, tmp_path)
    assert labelers.asked == [(p.id, (1, "comparisons", p.id)) for p in procedure.prompts]
    other = FakeContext(tmp_path, [*PROMPTS, *HELD_OUT], labelers=labelers, seed=2)
    config = SampledConfig(prompts=8, validation_prompts=3, k=3, batch=4)
    assert finished(SampledComparisons(config, other), tmp_path) != finished(
        made(tmp_path), tmp_path
    )


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


def test_equal_texts_give_no_preference_whatever_a_labeler_says(tmp_path: Path) -> None:
    rankings = finished(made(tmp_path, ShorterIsBetter(careless=True), k=9), tmp_path)
    equal = [
        (r, i, j)
        for r in rankings
        for i, a in enumerate(r.responses)
        for j, b in enumerate(r.responses)
        if i < j and a == b
    ]
    assert equal, "nine samples of two or three words must repeat themselves somewhere"
    assert all((i, j) not in r.preferences and (j, i) not in r.preferences for r, i, j in equal)
    assert all(len(r.preferences) <= 36 for r in rankings)


def test_no_more_prompts_than_there_are(tmp_path: Path) -> None:
    procedure = made(tmp_path, prompts=1000, validation_prompts=0)
    assert sorted(p.id for p in procedure.prompts) == sorted(p.id for p in PROMPTS)


def test_none_is_no_stage() -> None:
    for kind in ("comparisons", "labeler"):
        component = builtin(kind, "none")
        assert component.procedure is None
        assert component.build is None
