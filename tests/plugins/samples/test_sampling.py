"""Samples: K responses a prompt, the same whatever the batches, in a file that is the same to the
byte."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from preflab.errors import UserError
from preflab.interfaces import Sampling
from preflab.pool import POOL_FILE, Answered, read_pool
from preflab.randomness import permutation
from preflab.records import Prompt
from preflab_builtin.samples.config import SampledConfig
from preflab_builtin.samples.others import inspect
from preflab_builtin.samples.sampling import Sampled, preflight
from support import WORDS, FakeContext

PROMPTS = [
    Prompt(f"p{i}", " ".join(WORDS[i : i + 1 + i % 3]), split="train", tags=("t",), notes={"n": i})
    for i in range(10)
]
HELD_OUT = [Prompt(f"v{i}", WORDS[i], split="validation") for i in range(4)]


def made(folder: Path, seed: int = 1, **options: Any) -> Sampled:
    values: dict[str, Any] = {"prompts": 8, "validation_prompts": 3, "k": 3, "batch": 4, **options}
    context = FakeContext(folder, [*PROMPTS, *HELD_OUT], seed=seed, initialisation=1)
    return Sampled(SampledConfig(**values), context)


def finished(procedure: Sampled, folder: Path, first: int = 0) -> tuple[Answered, ...]:
    for index in range(first, procedure.total_steps):
        procedure.step(index)
    procedure.save(folder)
    return read_pool(folder).answered


def test_k_responses_to_training_and_validation_prompts(tmp_path: Path) -> None:
    procedure = made(tmp_path)
    pool = finished(procedure, tmp_path)
    assert procedure.total_steps == 3  # 11 prompts, 4 a step
    # The order of the prompts is drawn, training prompts first.
    drawn = [PROMPTS[i] for i in permutation(10, 1, "comparisons", "train")[:8]]
    drawn += [HELD_OUT[i] for i in permutation(4, 1, "comparisons", "validation")[:3]]
    assert [answered.prompt for answered in pool] == drawn
    assert {len(answered.responses) for answered in pool} == {3}
    assert procedure.accounting([]) == {"prompts": 11, "responses": 33}


def test_batches_change_nothing(tmp_path: Path) -> None:
    assert finished(made(tmp_path), tmp_path) == finished(made(tmp_path, batch=11), tmp_path)


def test_resuming_gives_the_same_bytes(tmp_path: Path) -> None:
    finished(made(tmp_path), tmp_path)
    whole = (tmp_path / POOL_FILE).read_bytes()
    first, second = made(tmp_path), made(tmp_path)
    first.step(0)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    finished(second, tmp_path, first=1)
    assert (tmp_path / POOL_FILE).read_bytes() == whole
    assert read_pool(tmp_path).digest == hashlib.sha256(whole).hexdigest()


def test_samples_follow_the_stage_seed(tmp_path: Path) -> None:
    first = {a.prompt.id: a.responses for a in finished(made(tmp_path), tmp_path)}
    other = {a.prompt.id: a.responses for a in finished(made(tmp_path, seed=2), tmp_path)}
    assert any(first[prompt] != other[prompt] for prompt in first.keys() & other.keys())


def test_a_step_reports_what_it_sampled(tmp_path: Path) -> None:
    procedure = made(tmp_path, k=9, batch=11)
    row = procedure.step(0)
    distinct = sum(len(set(texts)) for texts in procedure.responses)
    assert row["samples/responses"] == 99
    assert row["samples/repeated"] == 1 - distinct / 99
    assert 1 <= row["samples/tokens"] <= 8  # the tiny engine's cap, end token included


def test_no_more_prompts_than_there_are(tmp_path: Path) -> None:
    procedure = made(tmp_path, prompts=1000, validation_prompts=0)
    assert sorted(p.id for p in procedure.prompts) == sorted(p.id for p in PROMPTS)


def test_prompts_without_room_are_refused_before(tmp_path: Path) -> None:
    long = Prompt("long", " ".join(WORDS * 4), split="train")
    context = FakeContext(tmp_path, [long, *HELD_OUT], policy_config={"max_positions": 64})
    with pytest.raises(UserError, match="long"):
        list(preflight(SampledConfig(), context))


def stored(folder: Path, name: str, **options: Any) -> str:
    """Save another policy than SFT's; its folder."""
    FakeContext(folder, initialisation=7, **options).policy("sft").save(folder / name)
    return str(folder / name)


def test_policies_share_the_responses_in_turn(tmp_path: Path) -> None:
    """K = 3 and two policies: places 0 and 2 are SFT's, place 1 is the other's. So they are what
    each samples for itself, and batches change nothing."""
    other = stored(tmp_path, "other")
    pool = finished(made(tmp_path, others=[other]), tmp_path)
    assert pool == finished(made(tmp_path, others=[other], batch=11), tmp_path)
    sft = [one.responses for one in finished(made(tmp_path, k=2), tmp_path)]
    assert [(one.responses[0], one.responses[2]) for one in pool] == sft
    context = FakeContext(tmp_path, initialisation=7)
    prompts = [one.prompt for one in pool]
    sampling = Sampling(context.rollout().sampling.max_tokens, 1.0, 1)
    rollout = context.rollout().generate(
        context.policy("sft"), prompts, sampling, (1, "comparisons", "1")
    )
    assert tuple(one.responses[1] for one in pool) == rollout.texts
    assert rollout.texts != tuple(one.responses[0] for one in pool)


def test_a_pool_of_other_weights_is_another_pool(tmp_path: Path) -> None:
    found = [inspect(SampledConfig())]
    for seed in (7, 8):
        FakeContext(tmp_path, initialisation=seed).policy("sft").save(tmp_path / f"{seed}")
        found.append(inspect(SampledConfig(others=[str(tmp_path / f"{seed}")])))
    assert len({inspection.content for inspection in found}) == 3
    shutil.copytree(tmp_path / "8", tmp_path / "moved")
    assert inspect(SampledConfig(others=[str(tmp_path / "moved")])) == found[-1]


def test_policies_that_cannot_share_are_refused_before(tmp_path: Path) -> None:
    """14 positions less 8 leave 6, and the longest of the prompts has 7 tokens."""
    prompts = [Prompt("a", "one"), Prompt("b", "one two three four five six seven")]
    rows = [replace(prompt, split="train") for prompt in prompts]
    context = FakeContext(tmp_path, [*rows, *HELD_OUT])
    short = stored(tmp_path, "short", policy_config={"max_positions": 14})
    with pytest.raises(UserError, match=r"1 of 6 prompts .*samples\.others\[0\].*'b' \(7 tokens\)"):
        list(preflight(SampledConfig(others=[short]), context))
    foreign = stored(tmp_path, "foreign", vocabulary=None)
    with pytest.raises(UserError, match=r"samples\.others\[0\].*another tokenizer"):
        list(preflight(SampledConfig(others=[foreign]), context))
    with pytest.raises(UserError, match=r"samples\.others\[1\].*nowhere"):
        inspect(SampledConfig(others=[short, str(tmp_path / "nowhere")]))
    assert list(SampledConfig(k=2, others=["a"]).check()) == []
    assert [key for key, _ in SampledConfig(k=2, others=["a", "b"]).check()] == ["others"]
    assert [key for key, _ in SampledConfig(others=[" "]).check()] == ["others"]
