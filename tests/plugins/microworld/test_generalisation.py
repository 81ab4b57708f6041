"""Labeler groups and public tasks: what only a world with known people and facts can measure."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from preflab.errors import UserError
from preflab.interfaces import Subject
from preflab.records import Demonstration, Document, Prompt, Ranking, Rollout
from preflab.testing import TinyLabeler
from preflab_builtin.microworld import generalisation, ratings
from preflab_builtin.microworld.config import (
    LabelerGroupsConfig,
    MicroworldConfig,
    RatingsConfig,
    SimulatedConfig,
    TaskDemonstrationsConfig,
)
from preflab_builtin.microworld.generalisation import LabelerGroups
from preflab_builtin.microworld.labelers import SimulatedLabelers
from preflab_builtin.microworld.ratings import Ratings, likert
from preflab_builtin.microworld.source import Microworld
from preflab_builtin.microworld.task_demonstrations import TaskDemonstrations
from support import FakeContext

WORLD = Microworld(MicroworldConfig(documents=100, prompts=50, demonstrations=10))
PROMPT = Prompt("1", "user : hello assistant :", notes={"include": [["red"]]}, split="validation")
ANSWERS = ("red .", "liar !", "blue please .")


class Fixed:
    """Scores that are given."""

    def __init__(self, *scores: float) -> None:
        self.scores = torch.tensor(scores)

    def score(self, rollout: Rollout) -> torch.Tensor:
        return self.scores[: len(rollout)]


def groups(
    folder: Path, *scores: float, held_out: int | None = 4
) -> tuple[LabelerGroups, SimulatedLabelers, Subject]:
    labelers = SimulatedLabelers(SimulatedConfig(held_out_group=held_out), WORLD.gold)
    ranking = Ranking(PROMPT, ANSWERS, ((0, 1),), "labeler-0-0", "group-0")
    # The ranking is there twice: one prompt counts once.
    context = FakeContext(folder, [ranking, ranking], labelers=labelers, reward=Fixed(*scores))
    empty = Rollout.from_tokens(context.tokenizer, [], [], [])
    subject = Subject(context.responder("result"), empty, None, None)
    return LabelerGroups(LabelerGroupsConfig(), context), labelers, subject


def test_accuracy_is_the_expected_share_of_single_verdicts(tmp_path: Path) -> None:
    evaluator, labelers, subject = groups(tmp_path, 2.0, 0.0, 1.0)  # red > blue > liar
    measures = evaluator.evaluate(subject).measures
    for name, group in (("training", None), ("held_out", "group-4")):
        pairs = [(PROMPT, ANSWERS[i], ANSWERS[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
        votes = [labelers.votes(pair, group) for pair in pairs]
        # of the third pair the second response is scored higher
        right = votes[0][0] + votes[1][0] + votes[2][1]
        cast = sum(w + v for w, v in votes)
        assert measures[f"labeler_groups/{name}"].value == pytest.approx(right / cast)
        ceiling = measures[f"labeler_groups/{name}_ceiling"].value
        assert ceiling == pytest.approx(sum(max(v) for v in votes) / cast)
        assert ceiling == pytest.approx(labelers.ceiling(pairs, group))


def test_a_model_that_says_nothing_is_right_half_the_time(tmp_path: Path) -> None:
    evaluator, _, subject = groups(tmp_path, 1.0, 1.0, 1.0)
    measures = evaluator.evaluate(subject).measures
    assert measures["labeler_groups/held_out"].value == pytest.approx(0.5)


def test_without_a_held_out_group_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="held_out_group=null"):
        groups(tmp_path, 2.0, 0.0, 1.0, held_out=None)


def test_public_tasks_are_right_and_in_the_instruction_frame() -> None:
    config = TaskDemonstrationsConfig(demonstrations=300)
    source = TaskDemonstrations(config)
    tasks = [d for d in source.records("demonstrations") if isinstance(d, Demonstration)]
    assert tasks == list(TaskDemonstrations(config).records("demonstrations"))
    assert list(source.records("prompts")) == []
    held_out = {
        d.text for d in WORLD.records("documents") if isinstance(d, Document) and d.split != "train"
    }
    sums = [d for d in tasks if d.prompt.tags == ("sums",)]
    assert len(sums) > 20
    for demonstration in sums:
        # user : A + B = assistant :
        _, _, first, _, second, _, *_ = demonstration.prompt.text.split()
        assert demonstration.response == f"{int(first) + int(second)} ."
    questions = {
        f"{d.prompt.text.removeprefix('user : ').removesuffix(' assistant :')} {d.response}"
        for d in tasks
    }
    assert not questions & held_out  # what accuracy is measured on is not shown


def test_ratings_and_flags_by_hand(tmp_path: Path) -> None:
    prompt = Prompt(
        "1", "user : hello assistant :", notes={"include": [["red"]], "begin": "well"}, split="test"
    )
    labelers = SimulatedLabelers(SimulatedConfig(), WORLD.gold)
    context = FakeContext(
        tmp_path, [prompt], labelers=labelers, gold=WORLD.gold, vocabulary=WORLD.vocabulary
    )
    texts = ("well red .", "liar 1 + 1 = 3 .", "red .")
    rollout = Rollout.from_texts(context.tokenizer, [prompt] * 3, texts)
    subject = Subject(context.responder("result"), rollout, None, None)
    result = Ratings(RatingsConfig(), context).evaluate(subject)
    shares = {name: m.value for name, m in result.measures.items() if name.startswith("flags/")}
    # the second fails the task, states a false sum, is rude and does not begin with "well"; the
    # third does not begin with it either
    assert shares == pytest.approx(
        {
            "flags/fails_task": 1 / 3,
            "flags/hallucination": 1 / 3,
            "flags/rude": 1 / 3,
            "flags/violates_constraint": 2 / 3,
        }
    )
    likes = [
        sum(likert(labelers.utility(p, prompt, t)) for p in labelers.people) / len(labelers.people)
        for t in texts
    ]
    assert result.values["likert/training"] == pytest.approx(likes)
    assert result.values["likert/training"][0] > result.values["likert/training"][1]
    assert set(result.values) == {"likert/training", "likert/held_out"}


def test_people_who_cannot_be_asked_are_told_before_the_first_stage(tmp_path: Path) -> None:
    for labeler, says in (
        (TinyLabeler(), "asks simulated people"),
        (SimulatedLabelers(SimulatedConfig(held_out_group=None), WORLD.gold), "name a group"),
    ):
        with pytest.raises(UserError, match=says):
            list(
                generalisation.preflight(
                    LabelerGroupsConfig(), FakeContext(tmp_path, labelers=labeler)
                )
            )
    with pytest.raises(UserError, match="ratings asks the people of the embedded world"):
        list(ratings.preflight(RatingsConfig(), FakeContext(tmp_path, labelers=TinyLabeler())))
