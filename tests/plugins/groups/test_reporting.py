"""What groups get and how far they agree: by hand, and against loops over people."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from preflab.errors import UserError
from preflab.interfaces import Measure, Subject
from preflab.records import Prompt, Ranking, Rollout
from preflab.testing.world import TinyLabeler
from preflab_builtin.groups.agreement import GroupAgreement, agreement, cases, votes_of
from preflab_builtin.groups.agreement import preflight as agreement_preflight
from preflab_builtin.groups.asking import groups, preflight
from preflab_builtin.groups.divided import Case, division
from preflab_builtin.groups.evaluators import GroupAgreementConfig, GroupsConfig
from preflab_builtin.groups.reporting import worst_first
from preflab_builtin.microworld.config import MicroworldConfig, SimulatedConfig
from preflab_builtin.microworld.labelers import SimulatedLabelers
from preflab_builtin.microworld.source import Microworld
from preflab_builtin.report.columns import columns
from support import FakeContext

PROMPTS = [Prompt(f"{i}", "user : hello assistant :", notes={"include": []}) for i in range(3)]
FIRST = ("please thanks please thanks", "red", "good")
SECOND = ("red", "please thanks please", "good")


@pytest.fixture(scope="module")
def people() -> SimulatedLabelers:
    config = SimulatedConfig(groups=3, per_group=2, held_out_group=2, conflict=0.2)
    return SimulatedLabelers(config, Microworld(MicroworldConfig()).gold)


def evaluated(
    people: SimulatedLabelers, folder: Path, texts: tuple[str, ...] = FIRST
) -> dict[str, Measure]:
    context = FakeContext(folder, labelers=people)
    first, second = (
        Rollout.from_texts(context.tokenizer, PROMPTS, each) for each in (texts, SECOND)
    )
    subject: Any = SimpleNamespace(rollout=first, baseline=second, responder=None)
    return dict(groups(GroupsConfig(), context).evaluate(subject).measures)


def test_each_group_is_asked_and_the_worst_comes_first(
    people: SimulatedLabelers, tmp_path: Path
) -> None:
    found = evaluated(people, tmp_path)
    everybody = [*people.people, *people.held_out]
    for kind in ("group_utility", "group_win_rate"):
        own = {name: m.value for name, m in found.items() if name.startswith(kind)}
        own = {n: v for n, v in own.items() if n.partition("/")[2] in people.groups}
        assert len(own) == 4  # three groups, one of them held out, and the minority
        assert list(own.values()) == sorted(own.values())
    assert next(iter(found)) == "group_utility/minority"  # the first response flatters
    for group in people.groups:
        members = [p for p in everybody if p.group == group]
        worth = [
            people.utility(person, prompt, text)
            for prompt, text in zip(PROMPTS, FIRST, strict=True)
            for person in members
        ]
        expected = sum(worth) / len(worth)
        assert found[f"group_utility/{group}"].value == pytest.approx(expected)
    rates = {n: m.value for n, m in found.items() if n.startswith("group_win_rate/")}
    others, _ = rates.pop("group_win_rate/others"), rates.pop("group_win_rate/everybody")
    assert others == pytest.approx((sum(rates.values()) - min(rates.values())) / 3)


def test_what_is_compared_with_itself_has_no_interval(
    people: SimulatedLabelers, tmp_path: Path
) -> None:
    same = evaluated(people, tmp_path, SECOND)
    rates = [m for name, m in same.items() if name.startswith("group_win_rate/")]
    assert len(rates) == 6  # four groups, everybody, others
    assert all(rate.value == 0.5 and math.isnan(rate.low) for rate in rates)


def test_agreement_equals_a_loop_over_people(people: SimulatedLabelers, tmp_path: Path) -> None:
    found = evaluated(people, tmp_path)
    everybody = [*people.people, *people.held_out]
    sums = {"within": [0.0, 0.0], "between": [0.0, 0.0]}
    ways = []
    for pair in zip(PROMPTS, FIRST, SECOND, strict=True):
        said = {p.id: people.votes(pair, p.group) for p in everybody}
        own = {p.id: people._verdicts(pair, p.group) for p in everybody}
        members = {g: [p for p in everybody if p.group == g] for g in people.groups}
        for a, b in itertools.permutations(everybody, 2):
            first, second = (own[p.id][members[p.group].index(p)] for p in (a, b))
            if a.group == b.group:
                name, weight = "within", 1.0
            else:  # groups count alike, whatever their size; each pair of them once
                name, weight = "between", 0.5 / len(members[a.group]) / len(members[b.group])
            sums[name][0] += weight * (first[0] * second[0] + first[1] * second[1])
            sums[name][1] += weight * sum(first) * sum(second)
        ways.append({w > v for w, v in said.values() if w != v})
    for name, (same, both) in sums.items():
        assert found[f"group_agreement/{name}"].value == pytest.approx(same / both)
    # The third prompt has one response twice, which divides nobody.
    divided = [len(way) == 2 for way in ways[:2]]
    assert any(divided)
    assert found["group_agreement/divided"].value == sum(divided) / 2


def test_other_people_cannot_be_asked(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, labelers=TinyLabeler())
    refused = r"simulated people.*group_agreement"
    with pytest.raises(UserError, match=refused):
        list(preflight(GroupsConfig(), context))
    with pytest.raises(UserError, match=refused):
        groups(GroupsConfig(), context)
    # A run in which they are asked only where somebody wants to know is not refused.
    (said,) = preflight(GroupsConfig(always=False), context)
    assert "simulated people" in said
    nothing: Any = None
    found = groups(GroupsConfig(always=False), context).evaluate(nothing)
    assert not found.measures
    assert found.notes == (said,)


def test_worst_first() -> None:
    found = worst_first({"a": Measure(0.5), "b": Measure(-1.0), "c": Measure(0.2)})
    assert list(found) == ["b", "c", "a"]


def test_the_report_has_the_worst_group_first() -> None:
    # By its lowest value of any arm: c has 0.1 in the second arm.
    arms: Any = [
        SimpleNamespace(measures={f"group_win_rate/{g}": Measure(v) for g, v in values.items()})
        for values in ({"a": 0.5, "b": 0.3, "c": 0.9}, {"a": 0.6, "c": 0.1})
    ]
    assert [column.heading for column in columns(arms)] == ["c", "b", "a"]


# --- rankings that people made ---


def said(labeler: str, group: str, *preferences: tuple[int, int], order: str = "xyz") -> Ranking:
    return Ranking(Prompt("p", "add", split="train"), tuple(order), preferences, labeler, group)


def test_agreement_by_hand() -> None:
    rankings = [
        said("1", "a", (0, 1), (0, 2), (1, 2)),  # x > y > z
        said("2", "a", (0, 1), (2, 1)),  # x > y, z > y, x and z tied
        said("3", "b", (0, 1), (0, 2), (1, 2), order="zyx"),  # z > y > x
        said("3", "b", (0, 1)),  # the same person again
    ]
    # 1 and 2: x y the same, y z not. 1 and 3: none of 3. 2 and 3: x y not, y z the same.
    # With the second ranking of 3: 1 and 2 both agree about x y. It is not compared with its first.
    (votes,) = votes_of(rankings)[1]
    assert agreement(votes) == {"within": (1.0, 2.0), "between": (3.0, 7.0)}


def test_majorities_by_hand() -> None:
    rankings = [
        said("1", "a", (0, 1), (0, 2), (1, 2)),  # x > y > z
        said("2", "a", (0, 1), (2, 1)),  # x > y, z > y
        said("3", "b", (1, 0)),  # y > x
        said("4", "b", (0, 1), (1, 2)),  # x > y > z
        said("5", "b", (1, 0)),
    ]
    # x and z: a alone. y and z: a has one vote for either, b one for y. x and y: a 2 to 0, b 1 to
    # 2.
    ((prompt,), (votes,)) = votes_of(rankings)
    assert {(case.first, case.second): dict(case.votes) for case in cases(prompt, votes)} == {
        ("x", "y"): {"a": (2, 0), "b": (1, 2)},
        ("y", "z"): {"a": (1, 1), "b": (1, 0)},
    }


def test_division_counts_by_tag_and_shows_the_furthest_apart_first() -> None:
    def case(name: str, tag: str, *votes: tuple[float, float]) -> Case:
        return Case(Prompt(name, name, tags=(tag,)), "x", "y", dict(zip("ab", votes, strict=True)))

    result = division(
        "divided",
        [
            case("near", "qa", (0.6, 0.4), (0.4, 0.6)),
            case("alike", "qa", (0.6, 0.4), (0.9, 0.1)),
            case("far", "chat", (1.0, 0.0), (0.0, 0.5)),  # half of b call it a tie
        ],
    )
    values = {name: measure.value for name, measure in result.measures.items()}
    assert values == {"divided": pytest.approx(2 / 3), "divided/chat": 1.0, "divided/qa": 0.5}
    (rows,) = result.examples.values()
    assert [row["prompt"] for row in rows] == ["far", "near"]
    assert rows[0]["tags"] == "chat"
    assert rows[0]["for the first : for the second"] == "a 1 : 0\nb 0 : 0.5"
    assert not division("divided", []).examples


def test_pairs_with_votes_for_both_sides_do_not_count() -> None:
    rankings = [said("1", "a", (0, 1), (1, 0), (1, 2)), said("2", "b", (0, 1), (1, 2))]
    (votes,) = votes_of(rankings)[1]
    assert agreement(votes) == {"within": (0.0, 0.0), "between": (1.0, 1.0)}


def test_rows_with_ids_of_their_own_are_of_one_prompt() -> None:
    rankings = [said("1", "a", (0, 1)), said("2", "b", (0, 1)), said("3", "b", (1, 0))]
    own = [replace(r, prompt=replace(r.prompt, id=f"row-{i}")) for i, r in enumerate(rankings)]
    prompts, votes = votes_of(own)
    # Between: 1 and 2 the same, 1 and 3 not. Within b: 2 and 3 not.
    assert [prompt.id for prompt in prompts] == ["row-0"]
    assert [agreement(one) for one in votes] == [{"within": (0.0, 1.0), "between": (1.0, 2.0)}]


def test_the_evaluator_reads_the_runs_rankings(tmp_path: Path) -> None:
    rankings = [said("1", "a", (0, 1)), said("2", "b", (1, 0)), said("3", "b", (1, 0))]
    context = FakeContext(tmp_path, rankings)
    subject: Any = Subject
    result = GroupAgreement(GroupAgreementConfig(), context).evaluate(subject)
    found = result.measures
    assert found["ranked_agreement/divided"].value == 1.0
    ((example,),) = result.examples.values()
    assert example["for the first : for the second"] == "a 1 : 0\nb 0 : 2"
    assert found["ranked_agreement/within"].value == 1.0
    assert found["ranked_agreement/between"].value == 0.0
    with pytest.raises(UserError, match="labelers_per_prompt=2"):
        list(agreement_preflight(GroupAgreementConfig(), FakeContext(tmp_path, rankings[:1])))
