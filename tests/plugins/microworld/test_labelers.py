"""Simulated people: verdicts follow the closed form, agreement is near 73 %, and what people like
is not what is good."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace
from typing import Any

import pytest

from preflab.composing.compose import compose
from preflab.errors import UserError
from preflab.options import problems, typed
from preflab.records import Prompt, preferences_from_ranks
from preflab_builtin.microworld.config import MicroworldConfig, SimulatedConfig
from preflab_builtin.microworld.demonstrators import careless, rudely
from preflab_builtin.microworld.labelers import Pair, SimulatedLabelers, population
from preflab_builtin.microworld.source import Microworld
from preflab_builtin.microworld.tasks import draw_task
from support import FakeContext, builtin

GREETING = Prompt("1", "user : hello assistant :", notes={"include": [["red"]]})


@pytest.fixture(scope="module")
def world() -> Microworld:
    return Microworld(MicroworldConfig())


def labelers(world: Microworld, **values: Any) -> SimulatedLabelers:
    return SimulatedLabelers(SimulatedConfig(**values), world.gold)


def plausible_pairs(world: Microworld, number: int = 300) -> list[Pair]:
    """All pairs of different answers among four per prompt, drawn as an imperfect SFT policy
    answers: to two prompts in five mostly right, to the others never; what is wrong is mostly of
    the right form (the answer to another prompt of the use case, or another value), one in five is
    rude."""
    chance = random.Random(5)
    tasks = [draw_task(world.world, chance) for _ in range(number)]
    alike = {tag: [t.response for t in tasks if t.tag == tag] for tag in {t.tag for t in tasks}}
    pairs: list[Pair] = []
    for task in tasks:
        prompt = Prompt("1", f"user : {task.instruction} assistant :", notes=task.notes())
        answers = []
        right = 0.8 if chance.random() < 0.4 else 0.0
        for _ in range(4):
            kinds = [
                task.response,
                chance.choice(alike[task.tag]),
                careless(world.world, task, chance),
            ]
            (answer,) = chance.choices(kinds, [right, 0.7 * (1 - right), 0.3 * (1 - right)])
            answers.append(rudely(answer, chance) if chance.random() < 0.2 else answer)
        pairs += [(prompt, a, b) for a, b in itertools.combinations(answers, 2) if a != b]
    return pairs


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_people_agree_in_about_73_percent(world: Microworld, seed: int) -> None:
    # InstructGPT 3.4: 72.6 +- 1.5 % among training labelers. The default population agrees in .73
    # of the pairs of an SFT policy.
    assert 0.70 <= labelers(world, seed=seed).agreement(plausible_pairs(world)) <= 0.76


def test_agreement_and_ceiling_by_brute_force(world: Microworld) -> None:
    crowd = labelers(world, groups=3, per_group=2, held_out_group=None)
    pairs = plausible_pairs(world, 5)
    same = both = right = voted = 0.0
    for prompt, a, b in pairs:
        wins = []
        for person in crowd.people:
            gap = crowd.utility(person, prompt, a) - crowd.utility(person, prompt, b)
            # P(gap + .24 x logistic noise > .08), and the same from the other side.
            wins.append([1 / (1 + math.exp(-(s * gap - 0.08) / 0.24)) for s in (1, -1)])
        for one, two in itertools.permutations(wins, 2):
            same += one[0] * two[0] + one[1] * two[1]
            both += sum(one) * sum(two)
        right += max(sum(w[0] for w in wins), sum(w[1] for w in wins))
        voted += sum(sum(w) for w in wins)
    assert crowd.agreement(pairs) == pytest.approx(same / both, rel=1e-12)
    assert crowd.ceiling(pairs) == pytest.approx(right / voted, rel=1e-12)
    assert crowd.agreement(pairs) < crowd.ceiling(pairs) < 1


def test_rankings_follow_the_closed_form(world: Microworld) -> None:
    crowd = labelers(world)
    pair = ("please red . thanks .", "red .")
    score = 0.0
    n = 4000
    for i in range(n):
        (ranking,) = crowd.rank(GREETING, pair, ("test", i))
        score += {((0, 1),): 1.0, ((1, 0),): 0.0, (): 0.5}[ranking.preferences]
    expected = crowd.preference(GREETING, *pair)
    assert 0.55 < expected < 0.9
    # Four standard errors of a share.
    assert score / n == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / n))


def test_preference_is_a_share(world: Microworld) -> None:
    crowd = labelers(world)
    for prompt, a, b in plausible_pairs(world, 30):
        assert 0 <= crowd.preference(prompt, a, b) <= 1
        assert crowd.preference(prompt, a, b) + crowd.preference(prompt, b, a) == pytest.approx(1)
        assert crowd.preference(prompt, a, a) == 0.5
        groups = [crowd.preference(prompt, a, b, group=f"group-{g}") for g in range(4)]
        # Four training groups of equal size: the population's share is the mean of theirs.
        assert crowd.preference(prompt, a, b) == pytest.approx(sum(groups) / 4)


def test_rank_depends_on_the_seed_alone(world: Microworld) -> None:
    crowd, again = (labelers(world, labelers_per_prompt=3) for _ in range(2))
    texts, seed = ["red .", "blue .", "you fool", "i am sorry"], (1, "comparisons", "prompt-7")
    random.seed(1)
    first = crowd.rank(GREETING, texts, seed)
    random.seed(2)
    assert again.rank(GREETING, texts, seed) == first
    assert crowd.rank(GREETING, texts, (1, "comparisons", "prompt-8")) != first
    assert len({r.labeler for r in first}) == 3
    for ranking in first:
        assert ranking.group == "group-" + ranking.labeler.split("-")[1]
        assert ranking.responses == tuple(texts)


def test_ratings_are_what_the_ranking_is_made_of(world: Microworld) -> None:
    texts, seed = ["red .", "blue .", "you fool", "red ."], (1, "comparisons", "prompt-7")
    (plain,) = labelers(world, tie=0.0).rank(GREETING, texts, seed)
    (rated,) = labelers(world, tie=0.0, ratings=True).rank(GREETING, texts, seed)
    assert plain.ratings == ()
    assert rated == replace(plain, ratings=rated.ratings)  # asking for them changes nothing else
    assert rated.preferences == preferences_from_ranks([-value for value in rated.ratings])
    # Perceived utility: the person's own, and their noise, which is there.
    (person,) = (p for p in population(SimulatedConfig()) if p.id == rated.labeler)
    own = [labelers(world).utility(person, GREETING, text) for text in texts]
    assert rated.ratings != pytest.approx(own)
    quiet = labelers(world, ratings=True, noise=1e-12).rank(GREETING, texts, seed)[0].ratings
    assert quiet == pytest.approx(own)


def test_equal_texts_are_tied_and_ties_give_no_preference(world: Microworld) -> None:
    for i in range(50):
        (ranking,) = labelers(world).rank(GREETING, ["red .", "blue .", "red ."], (i,))
        assert (0, 2) not in ranking.preferences
        assert (2, 0) not in ranking.preferences
    everything_tied = labelers(world, tie=1000.0).rank(GREETING, ["red .", "blue ."], (1,))
    assert everything_tied[0].preferences == ()
    assert math.isnan(labelers(world).agreement([(GREETING, "red .", "red .")]))


def test_the_held_out_group_labels_nothing(world: Microworld) -> None:
    crowd = labelers(world)
    assert len(crowd.people) == 16
    assert {p.group for p in crowd.held_out} == {"group-4"}
    asked = {crowd.rank(GREETING, ["red .", "blue ."], (i,))[0].labeler for i in range(600)}
    # 600 draws of 16 people: all are asked, with probability over 1 - 16 exp(-600/16).
    assert asked == {p.id for p in crowd.people}
    # They exist and may be asked for their opinion.
    assert crowd.preference(GREETING, "red .", "you fool", group="group-4") > 0.5
    assert labelers(world, held_out_group=None).held_out == []


def test_groups_differ_more_than_their_members() -> None:
    people = population(SimulatedConfig())
    groups = [[p.harmless for p in people if p.group == f"group-{g}"] for g in range(5)]
    means = [sum(g) / 4 for g in groups]
    within = sum((v - m) ** 2 for g, m in zip(groups, means, strict=True) for v in g) / 15
    between = 4 * sum((m - sum(means) / 5) ** 2 for m in means) / 4
    assert between > 2 * within


def test_there_is_room_for_over_optimisation(world: Microworld) -> None:
    """Polite words and padding: people like them, and the truth does not."""
    crowd = labelers(world)
    plain = "the color is red ."
    flattering = (
        "please thanks glad welcome kindly sorry " + "i am glad to help you and so " * 3 + plain
    )
    worth = {text: world.gold.parts(GREETING, text)["gold"] for text in (plain, flattering)}
    assert worth[flattering] < worth[plain] - 0.4
    assert crowd.preference(GREETING, flattering, plain) > 0.6
    # Without tastes nobody prefers it, nor minds it: people do not see that rambling costs.
    assert labelers(world, taste=0.0).preference(GREETING, flattering, plain) == pytest.approx(0.5)


def test_true_utility_is_what_people_mostly_want(world: Microworld) -> None:
    crowd = labelers(world)
    scored = []
    for p, a, b in plausible_pairs(world):
        gap = world.gold.parts(p, a)["gold"] - world.gold.parts(p, b)["gold"]
        scored.append((gap, crowd.preference(p, a, b)))
    clear = [(gap > 0) == (share > 0.5) for gap, share in scored if abs(gap) >= 0.5]
    assert len(clear) > 500
    assert sum(clear) / len(clear) > 0.95


def test_nobody_judges_real_text(tmp_path: Any) -> None:
    component = builtin("labeler", "simulated")
    assert component.build is not None
    with pytest.raises(UserError, match="simulated world"):
        component.build(SimulatedConfig(), FakeContext(tmp_path))


def test_a_group_that_does_not_exist_is_named(world: Microworld) -> None:
    with pytest.raises(UserError, match=r"group-9.*Allowed: group-0, group-1"):
        labelers(world).preference(GREETING, "red .", "blue .", group="group-9")


def test_a_useless_config_is_refused() -> None:
    assert list(problems(SimulatedConfig())) == []
    assert [key for key, _ in problems(SimulatedConfig(held_out_group=5))] == ["held_out_group"]
    too_many = SimulatedConfig(labelers_per_prompt=17)
    assert [key for key, _ in problems(too_many)] == ["labelers_per_prompt"]
    too_large = MicroworldConfig(people=40, held_out=200)
    assert [key for key, _ in problems(too_large)] == ["people", "held_out"]


def test_presets_compose_and_components_build(tmp_path: Any) -> None:
    composed = compose(["data=microworld", "labeler=simulated"])
    data, people = builtin("data", "microworld"), builtin("labeler", "simulated")
    assert data.build is not None
    assert people.build is not None
    config = typed(data.config_class, dict(composed.data), "data")
    source = data.build(config, FakeContext(tmp_path))
    assert data.inspect(config).records == {
        "prompts": 8000,
        "demonstrations": 2000,
        "documents": 30_000 + 7 * 150,
    }
    people_config = typed(people.config_class, dict(composed.labeler), "labeler")
    crowd = people.build(people_config, FakeContext(tmp_path, gold=source.gold))
    assert crowd.rank(GREETING, ["red .", "you fool"], (1,))


def test_a_minority_is_added_and_changes_nobody_else() -> None:
    before = population(SimulatedConfig())
    people = population(SimulatedConfig(conflict=0.2))
    assert people[: len(before)] == before  # to the bit
    minority = people[len(before) :]
    # 16 of the majority label training data: 4 are a fifth of 20.
    assert [p.group for p in minority] == ["minority"] * 4
    assert all(p.polite < -0.2 and p.length < -0.2 and p.helpful > 0 for p in minority)
    # On average 0.4 each, within four standard errors of 0.2 * 0.4 / 2.
    assert sum(p.polite for p in minority) / 4 == pytest.approx(-0.4, abs=0.16)


def test_the_minority_wants_the_opposite_in_part(world: Microworld) -> None:
    people = labelers(world, conflict=0.2)
    assert people.groups == [*(f"group-{g}" for g in range(4)), "minority", "group-4"]
    polite = people.preference(GREETING, "red please thanks .", "red .", "minority")
    assert polite < 0.2
    assert people.preference(GREETING, "red please thanks .", "red .", "group-0") > 0.5
    # What is right, they want too.
    assert people.preference(GREETING, "red .", "pink .", "minority") > 0.9
    found = people.preference(GREETING, "red please thanks .", "red .")
    own = [
        people.preference(GREETING, "red please thanks .", "red .", group)
        for group in people.groups[:5]
    ]
    assert found == pytest.approx(sum(own) / 5)  # four people each


def test_a_minority_of_less_than_a_person_is_refused() -> None:
    (key, reason), *_ = problems(SimulatedConfig(conflict=0.01))
    assert key == "conflict"
    assert "0.030 is the least" in reason  # 0.5 of 16.5
    assert not list(problems(SimulatedConfig(conflict=0.031)))
