"""Real people, in a frozen round, keep the contracts that third parties keep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from people.rounds_in_files import PEOPLE, closed_round, snapshot, task
from preflab.records import Prompt
from preflab.testing import DataSourceContract, EvaluatorContract, FakeContext, LabelerContract
from preflab.testing.evaluators import subject
from preflab.testing.labelers import ANSWERS
from preflab.testing.world import tiny_records
from preflab_people.judgments import Answer, Task, canonical_digest, task_id


class TestPeople(LabelerContract):
    name = "people"

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        prompts = [r for r in tiny_records() if isinstance(r, Prompt)][:6]
        ranks = (1, 3, 2, 2, 1)  # the first text and the last are the same
        tasks, said = [], []
        for prompt in prompts:
            for number in (5, 2, 1):
                shown = ANSWERS[:number]
                asked = Task(task_id("rank", prompt, shown), "rank", prompt, shown, want=2)
                tasks.append(asked)
                said += [(asked, letter, Answer(ranks=ranks[:number])) for letter in "ab"]
        closed_round(folder, snapshot(tasks, said, PEOPLE[:2]))
        return [f"labeler.round={folder}/labels/round-1"]


class TestWritten(DataSourceContract):
    name = "people"

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        tasks = [task(str(i), kind="demonstrate") for i in range(3)]
        said = [(t, letter, Answer(written=f"please {letter} .")) for t in tasks for letter in "ac"]
        closed_round(folder, snapshot(tasks, said, kind="demonstrate"))
        return [f"data.round={folder}/labels/round-1"]


class TestCompared(EvaluatorContract):
    """People compared what the contract will sample, and some of them agree."""

    name = "people"
    required = ("round",)

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        context = FakeContext(folder, tiny_records(), seed=1, initialisation=1, stage="evaluator")
        judged = subject(context)
        assert judged.baseline is not None
        rows = zip(judged.rollout.prompts, judged.rollout.texts, judged.baseline.texts, strict=True)
        tasks, equal, said = [], {}, []
        for number, (prompt, own, other) in enumerate(rows):
            if own == other:
                equal[prompt.text] = canonical_digest(own)
                continue
            name = task_id("compare", prompt, (own, other))
            arms = (("mine",), ("other",))
            asked = Task(name, "compare", prompt, (own, other), arms, want=2)
            tasks.append(asked)
            for letter, ranks in (("a", (1, 2)), ("b", (1, 2) if number % 2 else (2, 1))):
                said.append((asked, letter, Answer(ranks=ranks, likert=(5, 3))))
        given = snapshot(tasks, said, PEOPLE[:2], "compare")
        closed_round(folder, given, equal=equal)
        return [
            "+evaluator@evaluation.evaluators.x=people",
            f"evaluation.evaluators.x.round={folder}/labels/round-1",
        ]
