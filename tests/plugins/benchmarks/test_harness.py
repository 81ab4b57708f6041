"""lm-evaluation-harness on a policy: a task in local files gives what our own evaluator gives."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from preflab.errors import UserError
from preflab.interfaces import Subject
from preflab.records import Rollout
from preflab_builtin.benchmarks import config as c
from preflab_builtin.benchmarks.likeliest import MultipleChoice
from support import FakeContext

needs_harness = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None, reason="needs the extra lm-eval"
)
TASK = """
task: tiny_sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {path}}}}}
output_type: multiple_choice
test_split: test
doc_to_text: "{{{{q}}}}"
doc_to_choice: choices
doc_to_target: k
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one task and its rows."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tasks"
    folder.mkdir()
    choices = [
        ["two words", "four"],
        ["seven", "ten words more"],
        ["red", "green"],
        ["no", "yes"],
        ["up", "far down"],
    ]
    rows = [{"q": f"question {i} is", "choices": two, "k": i % 2} for i, two in enumerate(choices)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "tiny.yaml").write_text(TASK.format(path=folder / "rows.jsonl"))
    return folder


@needs_harness
def test_the_harness_and_our_own_evaluator_agree(tasks: Path, tmp_path: Path) -> None:
    from preflab_builtin.benchmarks.harness import Harness

    context = FakeContext(tmp_path, vocabulary=None)
    subject = Subject(
        context.responder("result"), Rollout.from_tokens(context.tokenizer, [], [], []), None, None
    )
    theirs = (
        Harness(c.HarnessConfig(tasks=["tiny_sums"], include=str(tasks)), context)
        .evaluate(subject)
        .measures
    )
    ours = MultipleChoice(
        c.MultipleChoiceConfig(
            path=str(tasks / "rows.jsonl"),
            template="{q}",
            choices="choices",
            correct="k",
            likelihood=c.Likelihood.sum,
        ),
        context,
    )
    expected = ours.evaluate(subject).measures["multiple_choice/plain/accuracy"]
    assert theirs["lm_eval/tiny_sums/acc"].value == pytest.approx(expected.value)
    assert theirs["lm_eval/tiny_sums/acc"].n == 5
    assert theirs["lm_eval/tiny_sums/acc"].low <= expected.value


@needs_harness
def test_an_unknown_task_is_refused_with_the_nearest_name(tasks: Path, tmp_path: Path) -> None:
    from preflab_builtin.benchmarks.harness import Harness

    with pytest.raises(UserError, match=r"knows no task 'tiny_sum'\. Did you mean 'tiny_sums'"):
        Harness(c.HarnessConfig(tasks=["tiny_sum"], include=str(tasks)), FakeContext(tmp_path))


@needs_harness
def test_a_changed_task_is_another_recipe(tasks: Path) -> None:
    from preflab_builtin.benchmarks.harness import inspect_tasks

    config = c.HarnessConfig(tasks=["tiny_sums"], include=str(tasks))
    before = inspect_tasks(config).content
    (tasks / "tiny.yaml").write_text((tasks / "tiny.yaml").read_text() + "num_fewshot: 1\n")
    assert inspect_tasks(config).content != before


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    from preflab_builtin.benchmarks.harness import inspect_tasks

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(UserError, match=r"pip install 'preflab\[lm-eval\]'"):
        inspect_tasks(c.HarnessConfig(tasks=["hellaswag"]))


def test_numbers_of_the_harness_become_measures() -> None:
    from preflab_builtin.benchmarks.harness import measures_of

    numbers = {
        "alias": "squad",
        "f1,none": 50.0,
        "f1_stderr,none": "N/A",
        "em,strict-match": 0.25,
        "em_stderr,strict-match": 0.1,
    }
    measures = measures_of(numbers, 20)
    assert set(measures) == {"f1", "em_strict_match"}
    # Wilson's centre (.25 + 3.8415 / 40) / (1 + 3.8415 / 20) = .2903, half-width 1.96 / 1.1921 *
    # sqrt(.1^2 * 19 / 20 + (1.96 / 40)^2) = .1794
    assert measures["em_strict_match"].high == pytest.approx(0.2903 + 0.1794, abs=1e-3)
    certain = measures_of({"acc,none": 1.0, "acc_stderr,none": 0.0}, 10)["acc"]
    assert certain.low == pytest.approx(0.7225, abs=1e-4)  # 10 of 10 is not certain
    assert measures["f1"].low != measures["f1"].low  # nan: no error, no interval
