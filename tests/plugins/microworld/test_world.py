"""Words and documents of the embedded world: a closed vocabulary, and held-out combinations that no
training text shows."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections import Counter

import pytest

from preflab.records import Demonstration, Document, Prompt, RecordType, to_json
from preflab_builtin.microworld.config import MicroworldConfig
from preflab_builtin.microworld.families import FAMILIES
from preflab_builtin.microworld.source import Microworld, inspect
from preflab_builtin.microworld.world import ATTRIBUTES, PHONES, RUDE, vocabulary

DIGEST = """
import hashlib, json
from preflab.records import to_json
from preflab_builtin.microworld.config import MicroworldConfig
from preflab_builtin.microworld.source import Microworld
world = Microworld(MicroworldConfig(documents=500))
rows = [to_json(r) for t in ("prompts", "demonstrations", "documents") for r in world.records(t)]
print(hashlib.sha256(json.dumps([rows, list(world.vocabulary)]).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def world() -> Microworld:
    return Microworld(MicroworldConfig())


@pytest.fixture(scope="module")
def documents(world: Microworld) -> list[Document]:
    return [r for r in world.records("documents") if isinstance(r, Document)]


def _texts(world: Microworld) -> list[str]:
    """All text for training but documents: prompts, and demonstrations with their prompts."""
    texts = []
    for record in [*world.records("prompts"), *world.records("demonstrations")]:
        if isinstance(record, Demonstration):
            texts.append(f"{record.prompt.text} {record.response}")
        elif isinstance(record, Prompt):
            texts.append(record.text)
    return texts


def test_the_vocabulary_is_small_fixed_and_without_repetition(world: Microworld) -> None:
    words = vocabulary()
    assert len(words) == len(set(words)) <= 512
    assert Microworld(MicroworldConfig(seed=9, people=32)).vocabulary == words == world.vocabulary
    assert words[:4] == ["user", "assistant", "guest", "bot"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [MicroworldConfig(), MicroworldConfig(seed=3, people=32, documents=3000, constrained=1.0)],
)
def test_every_text_is_known_words_with_single_spaces(config: MicroworldConfig) -> None:
    world = Microworld(config)
    known = set(world.vocabulary)
    texts = [
        *_texts(world),
        *(r.text for r in world.records("documents") if isinstance(r, Document)),
    ]
    assert len(texts) > 10_000
    for text in texts:
        assert set(text.split(" ")) <= known, text


@pytest.mark.slow
def test_the_world_follows_from_its_seed_in_every_process(world: Microworld) -> None:
    small = Microworld(MicroworldConfig(documents=500))
    types: tuple[RecordType, ...] = ("prompts", "demonstrations", "documents")
    rows = [to_json(r) for t in types for r in small.records(t)]
    here = hashlib.sha256(json.dumps([rows, list(world.vocabulary)]).encode()).hexdigest()
    # Another process hashes strings in another way: an order that came from a set would show.
    environment = {"PYTHONHASHSEED": "77", "PYTHONPATH": ":".join(sys.path)}
    there = subprocess.run(
        [sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here
    other = Microworld(MicroworldConfig(seed=1))
    assert other.world.facts != world.world.facts
    assert next(iter(other.records("prompts"))) != next(iter(world.records("prompts")))


@pytest.mark.slow
def test_records_are_always_the_same_and_counted(world: Microworld) -> None:
    for record_type, number in inspect(world.config).records.items():
        first, second = list(world.records(record_type)), list(world.records(record_type))  # type: ignore[arg-type]
        assert first == second
        assert len(first) == number
        ids = [
            r.prompt.id if isinstance(r, Demonstration) else r.id
            for r in first
            if not hasattr(r, "preferences")
        ]
        assert len(set(ids)) == number
    assert list(world.records("rankings")) == []


def test_each_family_has_a_hundred_held_out_probes(documents: list[Document]) -> None:
    probes = [d for d in documents if d.split == "test" and d.answer_start is not None]
    distinct = {(d.family, d.text[: d.answer_start]) for d in probes}
    assert Counter(family for family, _ in distinct) == dict.fromkeys(FAMILIES, 120)
    for d in probes:
        assert d.answer_start is not None
        assert d.text[d.answer_start - 1] == " "
        assert d.text.endswith(" .")
        assert 2 <= len(d.text[d.answer_start :].split()) <= 4


@pytest.mark.slow
def test_no_training_text_shows_a_held_out_combination(
    world: Microworld, documents: list[Document]
) -> None:
    training = "\n".join(
        [f" {d.text}" for d in documents if d.split == "train"]
        + [f" {text}" for text in _texts(world)]
    )
    kept_apart = [d for d in documents if d.split != "train"]
    assert len(kept_apart) == 7 * (120 + 30)
    for d in kept_apart:
        assert f"\n {d.text}\n" not in training, d.text
    held_out = {f: [*c["test"], *c["validation"]] for f, c in world.world.combinations.items()}
    for name, place, met in held_out["stories"]:
        assert f" {name} went to the {place} . {name} saw a {met} " not in training
    for a, b in held_out["sums"]:
        assert f" {a} + {b} " not in training
    for words in held_out["translation"]:
        assert f" : {' '.join(words)}" not in training
        assert f" {' '.join(world.world.translate(words))} ." not in training
    for letters in held_out["sorting"]:
        assert f"sort : {' '.join(letters)} " not in training
        assert f"sort this : {' '.join(letters)}" not in training
        assert f"letters {' '.join(letters)} " not in training


def test_every_held_out_fact_can_be_known_from_training(
    world: Microworld, documents: list[Document]
) -> None:
    training = {d.text for d in documents if d.split == "train"}
    asked = {c[1:] for c in world.world.combinations["facts"]["train"]}
    for name in world.world.names:
        for attribute in ATTRIBUTES:
            assert world.world.statement(name, attribute) in training
            assert (name, attribute) in asked


def test_answers_of_probes_are_right(world: Microworld, documents: list[Document]) -> None:
    for d in documents:
        if d.split != "test" or d.answer_start is None:
            continue
        before = d.text[: d.answer_start].split()
        answer = d.text[d.answer_start :].removesuffix(" .").split()
        if d.family == "sums":
            assert int(answer[0]) == int(before[0]) + int(before[2])
        elif d.family == "sorting":
            assert answer == sorted(before[2:-1])
        elif d.family == "reversal":
            assert answer == before[2:-1][::-1]
        elif d.family == "translation":
            assert answer == [world.world.dictionary[w] for w in before[4:1:-1]]
        elif d.family == "facts":
            ((name, attribute),) = [
                k for k in world.world.facts if k[0] in before and k[1] in before
            ]
            assert answer == [world.world.facts[name, attribute]]
        else:
            moods = {"friend": "happy", "clown": "happy", "wolf": "scared", "ghost": "scared"}
            moods |= {"bill": "angry", "thief": "angry"}
            assert answer == [before[2], "was", moods[before[before.index("saw") + 2]]]


def test_shares_of_rude_stories_and_talk(documents: list[Document]) -> None:
    training = [d for d in documents if d.split == "train"]
    stories = [d for d in training if d.family == "stories"]
    rude = sum(not set(RUDE).isdisjoint(d.text.split()) for d in stories) / len(stories)
    # 30000 x .8 / 7 = 3430 stories: standard error of a share of .35 is .008.
    assert rude == pytest.approx(0.35, abs=0.033)
    # Standard error sqrt(.2 x .8 / 30000) = .0023.
    talk = sum(d.family == "forum" for d in training) / len(training)
    assert talk == pytest.approx(0.2, abs=0.009)
    assert not any("user :" in d.text or "assistant :" in d.text for d in documents)
    assert not any(set(PHONES) & set(d.text.split()) for d in documents)


def test_documents_are_short_and_enough(documents: list[Document]) -> None:
    lengths = [len(d.text.split()) + 1 for d in documents if d.split == "train"]
    assert max(lengths) <= 64  # one window of the default pretraining holds the longest
    assert sum(lengths) > 300_000  # 1.0M tokens of training see each about three times


def test_making_everything_takes_seconds() -> None:
    start = time.process_time()
    world = Microworld(MicroworldConfig())
    for record_type in ("prompts", "demonstrations", "documents"):
        assert len(list(world.records(record_type))) > 1000
    assert time.process_time() - start < 3
