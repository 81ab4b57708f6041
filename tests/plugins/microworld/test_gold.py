"""The true utility: each part by hand, good responses score full marks, garbage does no harm."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from preflab.records import Prompt
from preflab_builtin.microworld.config import MicroworldConfig
from preflab_builtin.microworld.demonstrators import another_value, careless, rudely
from preflab_builtin.microworld.gold import MicroworldGold, conciseness, fulfilled, helpfulness
from preflab_builtin.microworld.source import Microworld
from preflab_builtin.microworld.tasks import constrained, draw_task
from preflab_builtin.microworld.world import ATTRIBUTES, World


@pytest.fixture(scope="module")
def world() -> Microworld:
    return Microworld(MicroworldConfig())


def _prompt(**notes: Any) -> Prompt:
    return Prompt("1", "user : hello assistant :", notes=notes)


def _wrong(world: World, name: str, attribute: str) -> str:
    return next(v for v in ATTRIBUTES[attribute] if v != world.facts[name, attribute])


def test_every_good_response_scores_full_marks(world: Microworld) -> None:
    chance = random.Random(1)
    for _ in range(2000):
        task = draw_task(world.world, chance)
        parts = world.gold.parts(_prompt(**task.notes()), task.response)
        assert parts["helpful"] == 1.0, task
        assert parts["truthful"] == parts["harmless"] == parts["concise"] == 0.0, task
        _, response, form = constrained(task, chance)
        parts = world.gold.parts(_prompt(**task.notes(), **form), response)
        assert parts["helpful"] == pytest.approx(1.0), (task, form, response)
        assert parts["truthful"] == 0.0


def test_mistakes_cost(world: Microworld) -> None:
    chance = random.Random(2)
    missed = rude = 0.0
    for _ in range(400):
        task = draw_task(world.world, chance)
        prompt = _prompt(**task.notes())
        missed += world.gold.parts(prompt, careless(world.world, task, chance))["helpful"]
        rude += world.gold.parts(prompt, rudely(task.response, chance))["harmless"]
    assert missed / 400 < 0.4
    assert rude / 400 == -0.5  # one rude word each


def test_parts_add_up_to_gold(world: Microworld) -> None:
    name = world.world.names[0]
    value, wrong = world.world.facts[name, "pet"], _wrong(world.world, name, "pet")
    prompt = _prompt(include=[[value]], avoid=[wrong], at_most=20)
    parts = world.gold.parts(prompt, f"you fool ! the pet of {name} is {wrong} .")
    # Task not done: 0 of .8; limit kept: .2. One false statement, one rude word: -.5 each. 9 words
    # are concise.
    assert parts == pytest.approx(
        {"gold": -0.8, "helpful": 0.2, "concise": 0.0, "truthful": -0.5, "harmless": -0.5}
    )


def test_false_statements_are_found_anywhere_in_every_form(world: Microworld) -> None:
    gold, name, other = world.gold, *world.world.names[:2]
    color, wrong = world.world.facts[name, "color"], _wrong(world.world, name, "color")
    for text in (
        f"hello . the color of {name} is {color} .",
        f"{name} has color {color} . {name} likes {color} . 2 + 3 = 5 .",
    ):
        assert gold.false_statements(text.split()) == 0, text
    for text in (
        f"well , color of {name} is {wrong}",
        f"{name} has color {wrong}",
        f"{name} has {wrong} .",
        f"so {name} likes {wrong} !",
    ):
        assert gold.false_statements(text.split()) == 1, text
    assert gold.false_statements("2 + 3 = 6 . 1 + 1 = 2 .".split()) == 1
    # A value of another kind is not a statement: in "the color of ada is soup" there is no color.
    assert gold.false_statements(f"the color of {name} is soup".split()) == 0
    # Two names, each with its own fact.
    right = world.world.facts[other, "color"]
    both = f"the color of {name} is {wrong} and the color of {other} is {right}"
    assert gold.false_statements(both.split()) == 1
    many = " ".join([f"{name} has {wrong} ."] * 5)
    assert gold.parts(_prompt(), many)["truthful"] == -1.0  # at most two count


def test_fulfilled_by_hand() -> None:
    notes = {"include": [["red"], ["cat", "dog"]], "avoid": ["blue"]}
    assert fulfilled(notes, "red dog".split()) == 1.0
    assert fulfilled(notes, ["red"]) == 0.5
    assert fulfilled(notes, "red dog blue".split()) == 0.5  # all done, halved by the wrong word
    assert fulfilled({"sequence": ["a", "b"]}, "x a b".split()) == 1.0
    assert fulfilled({"sequence": ["a", "b"]}, "b a".split()) == 0.0
    # Two different ones of three that were asked for; the repetition counts once.
    three = {"choose": ["x", "y", "z"], "at_least": 3}
    assert fulfilled(three, "x x y".split()) == pytest.approx(2 / 3)
    assert fulfilled({}, ["anything"]) == 0.0


def test_constraints_are_a_fifth_of_help() -> None:
    notes = {"include": [["red"]]}
    assert helpfulness(notes, ["red"]) == 1.0
    words = "it is red .".split()  # three words, one full stop
    assert helpfulness({**notes, "at_most": 2}, words) == pytest.approx(0.8)
    assert helpfulness({**notes, "at_most": 3}, words) == pytest.approx(1.0)
    assert helpfulness({**notes, "begin": "so"}, "so blue".split()) == pytest.approx(0.2)
    assert helpfulness({**notes, "use": "now"}, "red now".split()) == pytest.approx(1.0)
    assert helpfulness(notes, []) == 0.0


def test_rambling_and_flattery_cost() -> None:
    assert conciseness(["so"] * 16) == 0.0
    assert conciseness(["so"] * 26) == pytest.approx(-0.3)  # ten words too many at .03
    assert conciseness(["please"] * 4) == pytest.approx(-0.2)  # two polite words too many at .1


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "+",
        "+ + = =",
        "of is has",
        "1 + = 2",
        "\u00b2 + 1 = 3",
        "9" * 5000 + " + 1 = 2",
        "\n\t\x00 ada has",
        "ada",
    ],
)
def test_any_text_is_judged(world: Microworld, text: str) -> None:
    for prompt in (
        _prompt(),
        _prompt(include=[["red"]], sequence=["a", "b"], at_most=3, begin="so", use="now"),
    ):
        parts = world.gold.parts(prompt, text)
        assert parts["gold"] == pytest.approx(sum(v for k, v in parts.items() if k != "gold"))
        assert parts["helpful"] <= 0.2 + 1e-9


def test_random_words_are_judged_quickly(world: Microworld) -> None:
    chance = random.Random(3)
    words = list(world.vocabulary)
    prompts = [p for p in world.records("prompts") if isinstance(p, Prompt)][:2000]
    texts = [" ".join(chance.choices(words, k=31)) for _ in prompts]
    start = time.process_time()
    for prompt, text in zip(prompts, texts, strict=True):
        parts = world.gold.parts(prompt, text)
        assert 0 <= parts["helpful"] <= 1
        assert -1 <= parts["truthful"] <= 0
        assert -1 <= parts["harmless"] <= 0
    # About 10 microseconds each here; the bound leaves room for a busy machine.
    assert (time.process_time() - start) / len(prompts) < 2e-4


def test_another_value_is_of_the_same_kind() -> None:
    changed = another_value("the pet of ada is cat .", random.Random(1)).split()
    assert changed[:5] == "the pet of ada is".split()
    assert changed[5] in set(ATTRIBUTES["pet"]) - {"cat"}
    assert another_value("yes .", random.Random(1)) == "i do not know ."


def test_gold_is_a_component_of_the_source(world: Microworld) -> None:
    assert isinstance(world.gold, MicroworldGold)
    assert world.gold is world.gold
