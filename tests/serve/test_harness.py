"""Tasks of lm-evaluation-harness over HTTP, against the evaluator of the run itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

import preflab
from preflab_serve.arms import Arm
from serve.conftest import WORDS

pytestmark = pytest.mark.serve
ROWS = [
    {"q": f"user : what is the color of {name} ? assistant :", "a": colors[k], "c": colors, "k": k}
    for i, name in enumerate(("gus", "ada", "ben", "eva", "dan", "finn", "cora"))
    for colors, k in [(("red", "blue"), i % 2), (("green", "no red"), (i + 1) % 2)]
]
TASKS = {
    "choices": """
output_type: multiple_choice
doc_to_text: "{{q}}"
doc_to_choice: c
doc_to_target: k
metric_list: [{metric: acc}, {metric: acc_norm}]
""",
    "answers": """
output_type: loglikelihood
doc_to_text: "{{q}}"
doc_to_target: "{{a}}"
metric_list: [{metric: perplexity}, {metric: acc}]
""",
    "texts": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{q}} {{a}}"
metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]
""",
}
"""The three kinds of likelihood that the harness asks for. Perplexities differ where accuracies may
agree by chance."""


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the tasks and their rows: nothing is fetched."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tasks"
    folder.mkdir()
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for name, text in TASKS.items():
        data = f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: {rows}}}}}\n"
        (folder / f"{name}.yaml").write_text(f"task: {name}\n{data}test_split: test{text}")
    return folder


def test_numbers_of_tasks_are_those_of_the_runs_own_evaluator(
    run: Path, client: httpx.Client, arms: Mapping[str, Arm], tasks: Path, tmp_path: Path
) -> None:
    """A run measures them with ``evaluator=lm_eval``, which has the policy in memory; the harness
    then asks `preflab serve` for the same policy, as ``local-completions``."""
    pytest.importorskip("lm_eval", reason="lm-eval is installed by make test-serve")
    own = [word for word in WORDS if not word.startswith(("evaluation=", "name="))]
    harness = "evaluation.evaluators.harness"
    words = (
        *own,
        *("name=measured", "algorithm=none", "reward_model=none", "evaluation=files"),
        f"+evaluator@{harness}=lm_eval",
        *(f"{harness}.tasks=[{','.join(TASKS)}]", f"{harness}.include={tasks}"),
        f"{harness}.rows=100",
    )
    folder = run.parents[2]
    # No fork: the server has threads by now, and a child would wait for what one of them held.
    command = [sys.executable, "-m", "preflab", *words]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-2000:]
    measured = preflab.load(folder / "runs" / "config" / "measured").measures
    expected = {name: value for name, value in measured.items() if name.startswith("lm_eval/")}
    assert len(expected) == 2 * len(TASKS)

    arms["bon:base"].policy.save(tmp_path / "model")
    found = over_http(client, tasks, tmp_path / "model")
    assert found == pytest.approx(expected, abs=1e-4)
    assert 1 < found["lm_eval/answers/perplexity"] < 1e6
    assert found["lm_eval/choices/acc"] not in (0, 1)  # an accuracy that says nothing


def over_http(client: httpx.Client, tasks: Path, tokenizer: Path) -> dict[str, float]:
    """What the harness measures of the served model, by our names."""
    from lm_eval import simple_evaluate
    from lm_eval.models.openai_completions import LocalCompletionsAPI
    from lm_eval.tasks import TaskManager

    model: Any = LocalCompletionsAPI(
        model="bon:base",
        base_url=f"{client.base_url}".rstrip("/") + "/v1/completions",
        tokenizer=str(tokenizer),
        tokenizer_backend="huggingface",
        max_length=512,
        batch_size=3,
        num_concurrent=4,
    )
    report: Any = simple_evaluate(
        model=model,
        tasks=[*TASKS],
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        bootstrap_iters=0,
        log_samples=False,
    )
    return {
        f"lm_eval/{task}/{metric.removesuffix(',none')}": value
        for task, row in report["results"].items()
        for metric, value in row.items()
        if metric.endswith(",none") and "_stderr" not in metric
    }
