"""Prompts and demonstrations: use cases, users, and something to do for each filter."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from preflab.options import typed
from preflab.records import Demonstration, Prompt, Record
from preflab_builtin.microworld.config import MicroworldConfig
from preflab_builtin.microworld.source import Microworld
from preflab_builtin.microworld.world import EMAILS, PHONES
from support import FakeContext, builtin

Counts = dict[str, int]


@pytest.fixture(scope="module")
def world() -> Microworld:
    return Microworld(MicroworldConfig())


@pytest.fixture(scope="module")
def prompts(world: Microworld) -> list[Prompt]:
    return [r for r in world.records("prompts") if isinstance(r, Prompt)]


@pytest.fixture(scope="module")
def demonstrations(world: Microworld) -> list[Demonstration]:
    return [r for r in world.records("demonstrations") if isinstance(r, Demonstration)]


def _filtered(
    records: Sequence[Record], context: FakeContext
) -> tuple[list[Record], dict[str, Counts]]:
    """The filters of conf/filters/instructgpt.yaml, in its order."""
    dropped: dict[str, Counts] = {}
    kept = list(records)
    ignore = [*"hello hi please thanks thank you".split(), *".,!?"]
    settings: dict[str, dict[str, Any]] = {
        "split_by_user": {"test": 0.15},
        "deduplicate": {"ignore": ignore},
        "drop_private": {"train_only": True, "reserved": True},
    }
    for name in ("split_by_user", "deduplicate", "cap_per_user", "drop_private"):
        component = builtin("filter", name)
        assert component.build is not None
        config = typed(component.config_class, {"name": name, **settings.get(name, {})}, name)
        kept, gone = component.build(config, context)(kept)
        dropped[name] = dict(gone)
    return kept, dropped


def test_each_use_case_has_many_different_prompts(prompts: list[Prompt]) -> None:
    different = Counter(tag for tag, _ in {(p.tags[0], p.text) for p in prompts})
    assert len(different) == 11
    assert min(different.values()) >= 200
    assert sum(different.values()) >= 4500
    assert all(p.text.startswith("user : ") and p.text.endswith(" assistant :") for p in prompts)
    assert all(p.split == "" and p.user for p in prompts)


def test_notes_survive_json(prompts: list[Prompt]) -> None:
    for p in prompts:
        assert json.loads(json.dumps(p.notes)) == p.notes


def test_each_standard_filter_has_something_to_do(
    prompts: list[Prompt], tmp_path_factory: pytest.TempPathFactory
) -> None:
    kept, dropped = _filtered(prompts, FakeContext(tmp_path_factory.mktemp("filters")))
    # 8000 prompts, 20 % repeated, three quarters of these word for word: 1200 expected, standard
    # error 32; some of the near repetitions coincide too.
    assert dropped["deduplicate"]["the same record again"] == pytest.approx(1200, abs=160)
    assert sum(dropped["cap_per_user"].values()) > 50
    # Private ones are 4 % of draws and more of what is left, because they are seldom drawn twice.
    assert dropped["drop_private"].keys() == {"e-mail address", "phone number"}
    assert min(dropped["drop_private"].values()) > 50
    train = [p for p in kept if isinstance(p, Prompt) and p.split == "train"]
    assert not any(set(p.text.split()) & {*PHONES, *EMAILS} for p in train)
    users = {
        split: {p.user for p in kept if isinstance(p, Prompt) and p.split == split}
        for split in ("train", "validation", "test")
    }
    assert not users["train"] & users["test"]
    assert not users["train"] & users["validation"]
    splits = Counter(p.split for p in kept)
    # The default experiment takes 900 training, 100 validation and 400 test prompts.
    assert splits["train"] >= 2560
    assert splits["validation"] >= 100
    assert splits["test"] >= 400


def test_near_duplicates_differ_in_a_greeting_or_thanks(prompts: list[Prompt]) -> None:
    texts = {p.text for p in prompts}
    near = [
        t for t in texts if t.startswith("user : hello . ") or t.endswith(" thanks . assistant :")
    ]
    originals = [
        t.replace("user : hello . ", "user : ", 1).replace(" thanks . assistant :", " assistant :")
        for t in near
    ]
    assert len(near) > 100
    assert sum(t in texts for t in originals) > 100


def test_prompts_are_not_demonstrated(
    prompts: list[Prompt], demonstrations: list[Demonstration]
) -> None:
    demonstrated = {d.prompt.text for d in demonstrations}
    assert not demonstrated & {p.text for p in prompts}
    assert len(demonstrated) > 0.95 * len(demonstrations)


def test_demonstrations_are_mostly_right_and_some_are_not(
    world: Microworld, demonstrations: list[Demonstration]
) -> None:
    parts = [world.gold.parts(d.prompt, d.response) for d in demonstrations]
    n = len(parts)
    # 12 % careless; standard error .007. A careless answer may fulfil a part of the task, so only
    # half of them or more show.
    assert 0.06 < sum(p["helpful"] < 1 for p in parts) / n < 0.15
    # 20 % rude; standard error .009.
    assert sum(p["harmless"] < 0 for p in parts) / n == pytest.approx(0.2, abs=0.036)
    assert sum(p["truthful"] < 0 for p in parts) > 5


def test_responses_fit_under_the_cap(demonstrations: list[Demonstration]) -> None:
    # with the end token within the rollout's 32
    assert max(len(d.response.split()) for d in demonstrations) < 32


def test_shares_can_be_turned_off() -> None:
    config = MicroworldConfig(prompts=500, demonstrations=200)
    for share in ("careless", "rude", "repeated", "private", "constrained"):
        setattr(config, share, 0)
    clean = Microworld(config)
    demonstrations = [d for d in clean.records("demonstrations") if isinstance(d, Demonstration)]
    assert {clean.gold.parts(d.prompt, d.response)["gold"] for d in demonstrations} == {1.0}
    texts = [p.text for p in clean.records("prompts") if isinstance(p, Prompt)]
    assert len(set(texts)) > 480
    assert not any(
        "use at most" in t or "begin with" in t or set(t.split()) & {*PHONES, *EMAILS}
        for t in texts
    )
