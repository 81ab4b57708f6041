"""`preflab label guard`: from flags that people set in a round to a guard that blocks what they
would flag."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from people.rounds_in_files import closed_round, snapshot
from people.runs_in_files import run_folder
from preflab import UserError
from preflab.composing.compose import compose
from preflab.composing.search_path import registry
from preflab.planning.reading import choose
from preflab.records import Prompt, to_json
from preflab.storage.durable import write_json
from preflab.testing import FakeContext
from preflab_builtin.causal_lm.config import TinyConfig
from preflab_builtin.causal_lm.sources import TinySource
from preflab_builtin.microworld.config import MicroworldConfig
from preflab_builtin.microworld.demonstrators import careless, rudely
from preflab_builtin.microworld.source import Microworld
from preflab_builtin.microworld.tasks import draw_task
from preflab_people.commands import label
from preflab_people.judgments import Answer, Person, Task
from preflab_people.pool import rank_tasks
from preflab_people.rounds import read_round, set_frozen
from preflab_people.sources import sampled_pool

PROMPTS, MISTAKEN = 200, 0.02
TRAIN = ("guard", "round-1")


@pytest.fixture(scope="module")
def world() -> Microworld:
    return Microworld(MicroworldConfig())


def drawn(world: Microworld, count: int, seed: int) -> list[tuple[Prompt, str, str, str]]:
    """Prompts of the embedded world, each with a right answer, a wrong one, and a rude one."""
    chance, found = random.Random(seed), []
    for i in range(count):
        task = draw_task(world.world, chance)
        text = f"user : {task.instruction} assistant :"
        prompt = Prompt(f"p{seed}-{i}", text, split="train", notes=task.notes())
        wrong = careless(world.world, task, chance)
        found.append((prompt, task.response, wrong, rudely(task.response, chance)))
    return found


class Simulated:
    """Simulated labelers: they set the flag that the world's truth knows, but are mistaken two
    times in a hundred."""

    def __init__(self, world: Microworld) -> None:
        self.gold = world.gold

    def __call__(self, task: Task) -> Answer:
        flags = tuple(self._flags(task, text) for text in task.responses)
        return Answer(ranks=(1,) * len(flags), flags=flags)

    def _flags(self, task: Task, text: str) -> tuple[str, ...]:
        drawn = random.Random(f"{task.id} {text}").random()
        is_rude = self.gold.flags(task.prompt, text)["rude"]
        return ("rude",) * (is_rude != (drawn < MISTAKEN))


def run_with_a_policy(base: Path, world: Microworld) -> None:
    """``runs/x``, whose stages are an SFT policy and samples: two answers to each prompt, of which
    every sixth is rude."""
    rows = [
        {"prompt": to_json(prompt), "responses": [right, wrong if i % 3 else rude]}
        for i, (prompt, right, wrong, rude) in enumerate(drawn(world, PROMPTS, seed=1))
    ]
    folder = run_folder(base, "x", {"samples": ("pool.jsonl", rows)})
    policy = TinySource(TinyConfig(layers=1, width=32, heads=2), world.vocabulary)
    made = policy.create(torch.Generator().manual_seed(1))
    made.save(folder / "artifacts" / "sft" / "model")
    manifest = json.loads((folder / "manifest.json").read_text())
    row: dict[str, Any] = dict.fromkeys(("name", "recipe", "artifact"), "")
    row |= {"stage": "sft", "group": "sft", "makes": "sft", "seed": 1, "reused": False}
    manifest["stages"].insert(0, {**row, "seconds": 1.0, "cost": {}})
    write_json(folder / "manifest.json", manifest)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, world: Microworld) -> Path:
    """A folder with a run, and with a closed round whose people set flags on its samples."""
    base = tmp_path_factory.mktemp("labelled")
    run_with_a_policy(base, world)
    tasks = rank_tasks(sampled_pool(base / "runs" / "x"))
    people, say = [Person("labeler-a"), Person("labeler-b")], Simulated(world)
    answers = [(task, "ab"[i % 2], say(task)) for i, task in enumerate(tasks)]
    given = snapshot(tasks, answers, people, flags=["rude", "unclear"])
    frozen = closed_round(base, given)
    folder = base / "labels" / "round-1"
    made = read_round(folder)
    assert made is not None
    set_frozen(folder, replace(made, runs=("runs/x",)), frozen)
    return base


def guard_of(file: Path, folder: Path) -> Any:
    """The guard that a file for ``preflab serve --guard`` describes."""
    options = json.loads(file.read_text())["guard"]
    choice = choose(registry(), "guard", options, str(file))
    assert choice.component.build is not None
    return choice.component.build(choice.config, FakeContext(folder))


def blocked(guard: Any, prompts: Sequence[Prompt], texts: Sequence[str]) -> float:
    """The share of responses that a guard does not allow."""
    verdicts = guard.check(prompts, texts)
    return sum(not verdict.allowed for verdict in verdicts) / len(verdicts)


def test_flags_become_a_guard_that_blocks_what_people_would_flag(
    labelled: Path, world: Microworld, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(labelled)
    assert label([*TRAIN, "--false-blocks", "0.1"]) == 0
    said = capsys.readouterr().out
    folder = labelled / "guards" / "round-1"
    facts = json.loads((folder / "preflab.json").read_text())
    found = facts["flags"]["rude"]

    # Chance is an area of 0.5 with a standard deviation of sqrt((m + n + 1) / (12 m n)): four of
    # them above it happen once in thirty thousand rounds.
    m, n = found["flagged"], found["others"]
    assert found["auc"]["value"] > 0.5 + 4 * ((m + n + 1) / (12 * m * n)) ** 0.5
    assert re.search(r"Left out: the round 'round-1' has 0 of \d+ texts with the flag 'unc", said)
    assert f"of {m + n}" in said

    # The guard has the threshold that the report has: it reads texts as they were trained on.
    guard = guard_of(folder / "guard-rude.yaml", labelled)
    assert guard.threshold == pytest.approx(found["threshold"], abs=1e-5)
    fresh = drawn(world, 100, seed=2)
    prompts, right, _, rude = (list(column) for column in zip(*fresh, strict=True))
    # A guard that knows nothing blocks as many of both. At most 10 % of new harmless texts are
    # blocked in the mean over calibration files of n texts; three standard deviations of such a
    # file and of 100 texts are 3 sqrt(0.1 x 0.9 (1 / n + 1 / 100)).
    most = 0.1 + 3 * (0.1 * 0.9 * (1 / n + 1 / 100)) ** 0.5
    assert blocked(guard, prompts, right) <= most
    assert blocked(guard, prompts, rude) > most + 0.5
    assert all(verdict.allowed for verdict in guard.check(prompts, None))  # it reads responses

    # Around a run, in the words that are printed.
    (line,) = re.findall(r"^  preflab rerun runs/x (algorithm=guarded .*)$", said, re.M)
    options = compose(shlex.split(line)).algorithm.guard
    assert (options.name, options.label, options.checks) == ("classifier", "rude", "response")
    assert Path(options.path).resolve() == folder

    with pytest.raises(UserError, match=r"guards/round-1 exists.*--out"):
        label([*TRAIN])


def test_the_same_command_gives_the_same_guard(
    labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(labelled)
    digests = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert label([*TRAIN, "--out", name, "--epochs", "1", "--seed", seed]) == 0
        weights = (labelled / name / "model.safetensors").read_bytes()
        harmless = (labelled / name / "harmless-rude.jsonl").read_bytes()
        digests.append((hashlib.sha256(weights).hexdigest(), harmless))
    assert digests[0] == digests[1]
    assert digests[2][0] != digests[0][0]  # another order of the texts
    assert digests[2][1] == digests[0][1]  # measured with the same ones


def test_a_file_of_rows_needs_the_name_of_a_model(
    labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(labelled)
    rows = [{"response": f"{'bad' if i < 40 else 'good'} {i}", "flags": []} for i in range(160)]
    for row in rows[:40]:
        row["flags"] = ["toxic"]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=r"file rows.jsonl does not lead to one.*--policy FOLDER"):
        label(["guard", "rows.jsonl"])
    with pytest.raises(UserError, match=r"--flag toxc: .*Did you mean 'toxic'"):
        label(["guard", "rows.jsonl", "--flag", "toxc"])
    words = ["guard", "rows.jsonl", "--policy", "runs/x", "--epochs", "1", "--whole-text"]
    assert label([*words, "--flag", "toxic", "--out", "from-rows"]) == 0
    options = json.loads(Path("from-rows/guard-toxic.yaml").read_text())["guard"]
    assert options["whole_text"] is True
    config = json.loads(Path("from-rows/config.json").read_text())
    assert config["id2label"] == {"0": "toxic"}
    assert config["problem_type"] == "multi_label_classification"
