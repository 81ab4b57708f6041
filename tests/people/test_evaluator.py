"""People's comparison of runs as measures of one of them, and that it is about this very run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from people.rounds_in_files import closed_round, snapshot, task
from preflab import UserError
from preflab.interfaces import Evaluation, Subject
from preflab.records import Prompt, Rollout
from preflab.testing import TinyReward
from preflab_people.config import ComparedConfig, Judge
from preflab_people.evaluator import Compared, inspect
from preflab_people.judgments import Answer, Judgment, Person, Task, canonical_digest
from preflab_people.rounds import frozen_of
from preflab_people.statistics.agreement import ranking
from preflab_people.statistics.votes import SIDES, Answered, pair_votes, table
from support import FakeContext

NAMES = ("1", "2", "3", "4")
PROMPTS = tuple(Prompt(name, f"say {name} .", split="train") for name in NAMES)
MINE, BASE, THIRD = ("good", "good", "bad", "one"), ("bad", "two", "good", "one"), ("red",) * 4
PEOPLE = tuple(Person(f"labeler-{letter}", "north") for letter in "abcd")
RANKS: tuple[dict[str, Sequence[int]], ...] = (
    # Ranks of my response, of the baseline's, of the third run's, by person.
    {"a": (1, 2, 3), "b": (2, 1, 3)},
    {"a": (1, 1, 2)},
    {"b": (3, 1, 2), "c": (2, 1, 3)},
)


def asked(number: int) -> Task:
    texts = (MINE[number], BASE[number], THIRD[number])
    return task(NAMES[number], *texts, kind="compare", arms=[["mine"], ["sft"], ["third"]], want=2)


TASKS = [asked(number) for number in range(3)]
SAID = [
    (TASKS[n], letter, Answer(ranks=tuple(ranks), likert=(n + 4, 2, 3), flags=(("rude",), (), ())))
    for n, by_person in enumerate(RANKS)
    for letter, ranks in by_person.items()
]


def judged(
    folder: Path,
    responses: Sequence[str] = MINE,
    baseline: Sequence[str] | None = BASE,
    prompts: Sequence[Prompt] = PROMPTS,
    context: FakeContext | None = None,
    **config: object,
) -> Evaluation:
    """What a run with these responses measures in the round of `folder`."""
    context = context or FakeContext(folder)
    rollouts = [
        None if texts is None else Rollout.from_texts(context.tokenizer, prompts, texts)
        for texts in (responses, baseline)
    ]
    settings = _config(folder, **config)
    assert rollouts[0] is not None
    subject = Subject(None, rollouts[0], rollouts[1], None)  # type: ignore[arg-type]
    return Compared(settings, context).evaluate(subject)


def _config(folder: Path, **config: object) -> ComparedConfig:
    return ComparedConfig(round=f"{folder}/labels/round-1", **config)  # type: ignore[arg-type]


@pytest.fixture
def round_(tmp_path: Path) -> Path:
    """Three prompts that people compared, and a fourth to which all gave one text."""
    given = snapshot(TASKS, SAID, PEOPLE, "compare")
    closed_round(tmp_path, given, {PROMPTS[3].text: canonical_digest("one")})
    return tmp_path


def test_win_rates_by_hand(round_: Path) -> None:
    """First prompt: one of two people prefers mine. Second: a tie. Third: nobody does. Fourth: the
    same text, a tie that nobody was asked for. (0.5 + 0.5 + 0 + 0.5) / 4."""
    found = judged(round_)
    assert found.values["win_rate/people"] == [0.5, 0.5, 0.0, 0.5]
    rate = found.measures["win_rate/people"]
    assert rate.value == pytest.approx(1.5 / 4)
    assert (rate.least, rate.most, rate.n) == (0.0, 1.0, 4)
    assert rate.low < rate.value < rate.high
    # Three people: fewer than 12, so that their own means stand beside it.
    assert found.measures["over_labelers/people"].n == 3


def test_removed_people_have_no_say(tmp_path: Path) -> None:
    people = (*PEOPLE[:3], Person("labeler-d", state="removed"))
    said = [*SAID, (TASKS[0], "d", Answer(ranks=(1, 2, 3)))]
    given = snapshot(TASKS, said, people, "compare")
    closed_round(tmp_path, given, {PROMPTS[3].text: canonical_digest("one")})
    assert judged(tmp_path).values["win_rate/people"][0] == 0.5


def test_ratings_and_flags_of_this_run(round_: Path) -> None:
    found = judged(round_)
    # Two people gave the first prompt a 4, one the second a 5, two the third a 6.
    assert found.values["likert/people"][:3] == [4.0, 5.0, 6.0]
    assert math.isnan(found.values["likert/people"][3])  # nobody saw it
    assert found.measures["likert/people"].value == pytest.approx(5.0)
    assert found.measures["flags/rude"].value == 1.0
    assert found.values["flags/rude"][:3] == [1.0, 1.0, 1.0]  # so that a claim pairs by prompt
    assert math.isnan(found.values["flags/rude"][3])
    other = judged(round_, BASE)
    assert other.measures["flags/rude"].value == 0.0
    assert other.values["flags/rude"][:3] == [0.0, 0.0, 0.0]
    assert other.measures["likert/people"].value == 2.0


def test_three_runs_have_strengths_and_two_have_none(round_: Path, tmp_path: Path) -> None:
    mine, third = (
        judged(round_, texts).measures["bradley_terry/people"].value
        for texts in (MINE, ("red", "red", "red", "one"))
    )
    assert mine > third
    # Nobody ranked the baseline below the third run, nor below mine in sum: it leads.
    assert judged(round_, BASE).measures["bradley_terry/people"].value > mine
    two = [task(t.prompt.id, *t.responses[:2], kind="compare", arms=t.arms[:2]) for t in TASKS]
    said = [(two[TASKS.index(t)], who, Answer(ranks=a.ranks[:2])) for t, who, a in SAID]
    closed_round(tmp_path / "two", snapshot(two, said, PEOPLE, "compare"))
    assert "bradley_terry/people" not in judged(tmp_path / "two").measures


def test_agreement_of_people_and_of_the_reward_model(round_: Path) -> None:
    """Sided pairs of mine, baseline, third. First prompt: a prefers 0 to 1, 0 to 2, 1 to 2; b 1 to
    0, 0 to 2, 1 to 2: two of three alike. Third: b prefers 1 to 0, 2 to 0, 1 to 2; c 1 to 0, 0 to
    2, 1 to 2: two of three. The tiny reward counts words that are good less those that are bad:
    good is 1, bad -1, others 0."""
    found = judged(round_, context=FakeContext(round_, reward=TinyReward()), judge=Judge.reward)
    assert found.measures["agreement/labelers"].value == pytest.approx(4 / 6)
    assert 0.0 <= found.measures["agreement/people"].value <= 1.0
    assert "agreement/people" not in judged(round_).measures


def test_against_another_run_of_the_round(round_: Path) -> None:
    found = judged(round_, baseline=None, versus="third")
    # All prefer mine on the first two prompts, one of two on the third; the fourth is a tie.
    assert found.values["win_rate/people"] == [1.0, 1.0, 0.5, 0.5]
    # The opponent is no part of the name, which claims use, and is said beside it.
    assert found.against == {"win_rate/people": "third"}
    assert judged(round_).against == {}
    assert not [name for name in found.measures if "versus" in name]
    for refused in (judged, lambda folder, versus: inspect(_config(folder, versus=versus))):
        with pytest.raises(UserError, match=r"compared no 'thrid'.*Did you mean 'third'\?"):
            refused(round_, versus="thrid")
    assert "win_rate/people" not in judged(round_, baseline=None).measures


def test_of_two_runs_the_other_is_the_opponent_where_nobody_judged_the_baseline(
    tmp_path: Path,
) -> None:
    """What 'preflab label A B --task compare' makes, and the command that its close prints. Mine
    against the second run: one of two people prefers mine, a tie, nobody: (0.5 + 0.5 + 0) / 3."""
    two = [task(t.prompt.id, *t.responses[:2], kind="compare", arms=t.arms[:2]) for t in TASKS]
    said = [(two[TASKS.index(t)], who, Answer(ranks=a.ranks[:2])) for t, who, a in SAID]
    closed_round(tmp_path, snapshot(two, said, PEOPLE, "compare"))
    for baseline in (None, ("zero",) * 4):
        found = judged(tmp_path, baseline=baseline)
        assert found.values["win_rate/people"][:3] == [0.5, 0.5, 0.0]
        assert found.against == {"win_rate/people": "sft"}
    assert judged(tmp_path, BASE, None).against == {"win_rate/people": "mine"}
    assert judged(tmp_path).against == {}  # people judged the baseline itself
    assert "win_rate/people" not in judged(tmp_path, versus="").measures


def test_a_reader_learns_who_judged(round_: Path) -> None:
    """Three people judged three prompts; the fourth, equal for all, nobody was asked about."""
    (who, *others) = judged(round_).notes
    frozen = frozen_of(f"{round_}/labels/round-1")
    assert frozen is not None
    assert "Real people compared responses blindly" in who
    assert frozen.digest[:12] in who
    assert "3 people judged 3 prompts" in who
    # Two people on a prompt each: agreement about prompts alone, and that is said.
    assert any("agreement/labelers is about other prompts alone" in note for note in others)


def test_agreement_is_about_other_people_where_there_are_enough(tmp_path: Path) -> None:
    """Four people on twelve prompts; d takes the other side on every third, c on every fourth."""
    tasks = [
        task(str(n), "good", "bad", kind="compare", arms=[["mine"], ["sft"]], want=4)
        for n in range(12)
    ]
    said = [
        (one, who, Answer(ranks=(2, 1) if n % {"c": 4, "d": 3}.get(who, 5) == 0 else (1, 2)))
        for n, one in enumerate(tasks)
        for who in "abcd"
    ]
    closed_round(tmp_path, snapshot(tasks, said, PEOPLE, "compare"))
    prompts = [one.prompt for one in tasks]
    mine, other = ([one.responses[i] for one in tasks] for i in (0, 1))
    found = judged(tmp_path, mine, other, prompts)
    votes = table(list(pair_votes(_answered(tasks, said))), SIDES)
    sides, _, alpha = ranking(votes)
    assert found.measures["agreement/labelers"] == sides.with_people
    assert found.measures["agreement/alpha"] == alpha.with_people
    assert math.isfinite(sides.with_people.low)
    assert not any("prompts alone" in note for note in found.notes)


def test_a_flag_that_nobody_set_is_a_share_of_none(tmp_path: Path) -> None:
    said = [(one, who, Answer(ranks=a.ranks, flags=((), (), ()))) for one, who, a in SAID]
    closed_round(tmp_path, snapshot(TASKS, said, PEOPLE, "compare", flags=["rude"]))
    share = judged(tmp_path, MINE[:3], BASE[:3], PROMPTS[:3]).measures["flags/rude"]
    assert share.value == share.low == 0.0
    assert 0 < share.high < 1


def test_a_reader_learns_why_there_are_no_strengths(tmp_path: Path) -> None:
    said = [(one, who, Answer(ranks=(1, 2, 3))) for one, who, _ in SAID]
    closed_round(tmp_path, snapshot(TASKS, said, PEOPLE, "compare"))
    found = judged(tmp_path, MINE[:3], BASE[:3], PROMPTS[:3])
    assert "bradley_terry/people" not in found.measures
    assert any("No strengths: some runs never lose" in note for note in found.notes)


def _answered(tasks: Sequence[Task], said: Sequence[tuple[Task, str, Answer]]) -> list[Answered]:
    """What people said as statistics take it."""
    return [
        Answered(one, f"labeler-{who}", answer, Judgment(one.id, f"labeler-{who}", answer))
        for one, who, answer in said
    ]


@pytest.mark.parametrize(
    ("responses", "prompts", "message"),
    [
        (("new", "good", "bad", "one"), PROMPTS, "judged other responses.*: 1 of 4 prompts"),
        (("good", "good", "bad", "two"), PROMPTS, "judged other responses.*: 1 of 4 prompts"),
        (MINE[:3], PROMPTS[:3], "judged prompts that this run did not answer: 1 of 4"),
        (("good", "two", "red", "one"), PROMPTS, "judged other responses.*what another one did"),
    ],
)
def test_other_responses_than_those_judged_are_refused(
    round_: Path, responses: Sequence[str], prompts: Sequence[Prompt], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        judged(round_, responses, BASE[: len(prompts)], prompts)


def test_a_baseline_that_nobody_judged_is_named(round_: Path) -> None:
    with pytest.raises(UserError, match=r"did not judge what this run is compared with.*3 prompts"):
        judged(round_, baseline=("zero",) * 4)


def test_prompts_that_nobody_was_asked_about_have_no_value(round_: Path) -> None:
    more = (*PROMPTS, Prompt("5", "say 5 ."))
    found = judged(round_, (*MINE, "x"), (*BASE, "y"), more)
    assert math.isnan(found.values["win_rate/people"][4])
    assert found.measures["win_rate/people"].n == 4


def test_groups_and_held_out_people(tmp_path: Path) -> None:
    """Three in the north prefer mine, three held-out ones in the south the other; two in the east
    are too few to be shown."""
    one = task("1", "good", "bad", kind="compare", arms=[["mine"], ["sft"]], want=8)
    groups = {"abc": "north", "def": "south", "gh": "east"}
    people = [
        Person(f"labeler-{letter}", group, held_out=group == "south")
        for letters, group in groups.items()
        for letter in letters
    ]
    said = [
        (one, person.id[-1], Answer(ranks=(2, 1) if person.held_out else (1, 2)))
        for person in people
    ]
    closed_round(tmp_path, snapshot([one], said, people, "compare"))
    measures = judged(tmp_path, MINE[:1], BASE[:1], PROMPTS[:1]).measures
    rates = {name: m.value for name, m in measures.items() if name.startswith("win_rate/")}
    assert rates == {
        "win_rate/people": 1.0,
        "win_rate/people_held_out": 0.0,
        "win_rate/people_north": 1.0,
        "win_rate/people_south": 0.0,
    }


def test_a_round_that_there_is_not_is_refused_with_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no round 'mine'.*without the evaluator.*--name mine"):
        inspect(ComparedConfig(round="mine"))
