"""A session from Python: what README.md prints, and the notebook; then what its run can do."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch

import preflab
from end_to_end.runs import ended
from preflab import UserError
from preflab.composing import search_path
from preflab.session.results import Run

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf8")
TEN_LINES = "\n".join(
    re.findall(
        r"^    (.*)", README.partition("## From Python\n")[2].partition("\n## ")[0], re.MULTILINE
    )
)
NOTEBOOK = json.loads((ROOT / "plugins/examples/from_python.ipynb").read_text(encoding="utf8"))
CELLS = ["".join(c["source"]) for c in NOTEBOOK["cells"] if c["cell_type"] == "code"]


def session(folder: Path, code: str) -> str:
    """What the code prints in a new process in a folder."""

    def work() -> None:
        os.chdir(folder)
        torch.set_num_threads(1)
        search_path.registry.cache_clear()
        with (folder / "log.txt").open("w", buffering=1) as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            sys.stdout = sys.stderr = log
            exec(compile(code, "session", "exec"), {"__name__": "__main__"})

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    code_of_exit = ended(child)
    text = (folder / "log.txt").read_text()
    assert code_of_exit == 0, text[-3000:]
    return text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the ten lines of README.md were given."""
    folder = tmp_path_factory.mktemp("session")
    session(folder, TEN_LINES + "\nimport sys; assert sys.argv[0] != 'preflab'")
    return folder


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(folder)
    return preflab.load("greeter")


def test_own_rankings_to_a_scored_sample_in_ten_lines(folder: Path, run: Run) -> None:
    """The last line prints the response and its score: the loaded run gives the same ones."""
    assert len(TEN_LINES.splitlines()) <= 10
    responses = run.sample(["Greet the visitor. "], temperature=0.7)
    scores = run.score(["Greet the visitor. "], responses)
    assert (folder / "log.txt").read_text().splitlines()[-1] == f"{responses} {scores}"


def test_samples_are_a_function_of_the_seed_and_scores_those_of_the_run(run: Run) -> None:
    assert run.sample("Greet guest 3. ", samples=3) == run.sample("Greet guest 3. ", samples=3)
    assert run.sample("Greet guest 3. ", seed=1) != run.sample("Greet guest 3. ", seed=2)
    greedy = run.sample(["Greet guest 3. "] * 2, temperature=0, role="result")
    assert greedy[0] == greedy[1]
    assert len(run.sample("Greet guest 3. ", max_tokens=2)[0].encode()) <= 6  # 2 bytes, or 2 signs
    first, second = run.score("Greet guest 3. ", "Hello!"), run.score("Greet guest 3. ", "Go away.")
    assert len(first) == len(second) == 1
    chosen, rejected = run.score(["Greet guest 3. "] * 2, ["Hello!", "Go away."])
    assert chosen == pytest.approx(first[0], abs=1e-5)
    assert rejected == pytest.approx(second[0], abs=1e-5)


def test_several_samples_of_each_prompt_are_scored_as_they_come(run: Run) -> None:
    """One flat list, those of a prompt in a row; what is scored in pairs is scored alone."""
    prompts = ["Greet guest 3. ", "Greet guest 4. "]
    responses = run.sample(prompts, samples=2)
    assert len(responses) == 4
    each = [prompt for prompt in prompts for _ in range(2)]
    assert run.score(prompts, responses, samples=2) == run.score(each, responses)
    assert run.roles == ["result"]


def test_metrics_and_samples_are_data_frames(run: Run) -> None:
    metrics = run.metrics("algorithm")
    assert isinstance(metrics, pandas.DataFrame)
    assert list(metrics["step"]) == [0, 1]  # debug=fast: 16 episodes, 8 a step
    assert set(run.metrics()["stage"]) == {"reward_model", "algorithm", "evaluation"}
    judged = run.samples()
    mean = judged["reward/proxy"].mean()
    assert mean == pytest.approx(run.measures["reward/proxy"])
    assert list(run.samples("algorithm")["step"]) == [0] * 4 + [1] * 4  # four of each are kept
    with pytest.raises(
        UserError,
        match=r"has no rows of the stage 'sft'\. Allowed: algorithm, evaluation, reward_model",
    ):
        run.metrics("sft")


def test_what_a_run_has_not_made_is_said(run: Run) -> None:
    untyped: Any = run
    ways: dict[str, Callable[[], object]] = {
        "has no model for 'base'. Allowed: result": lambda: run.sample("x", role="base"),
        "has no model for 'sft'. Allowed: result": lambda: run.sample("x", role="sft"),
        "has no model for 'sftt'. Allowed: result": lambda: run.sample("x", role="sftt"),
        "Did you mean 'result'": lambda: run.sample("x", role="reslt"),
        "There is no prompt": lambda: run.sample([]),
        "at least 1": lambda: run.sample("x", samples=0),
        "temperature is 'hot' but must be a number": lambda: untyped.sample("x", temperature="hot"),
        "prompts are a text or a list, not {": lambda: untyped.sample({"prompt": "x"}),
        "prompts are a text or a list, not None": lambda: untyped.sample(None),
        "A response is a text, not 3": lambda: untyped.score(["x"], [3]),
        "a list in a list": lambda: untyped.sample([{"role": "user", "content": "x"}]),
        "Did you mean 'algorithm'": lambda: run.samples("algoritm"),
        "2 prompts and 1 responses": lambda: run.score(["x", "y"], ["z"]),
        "score(prompts, responses, samples=2)": lambda: run.score(["x", "y"], [*"abcd"]),
        "samples is 0": lambda: run.score(["x"], ["z"], samples=0),
        "has no tokens": lambda: run.sample(""),
        "a list of messages": lambda: run.sample([[{"content": "x"}]]),
        "Allowed: auto, cpu, cuda": lambda: preflab.load("greeter", "gpu").sample("x"),
        "There is no run 'greter'": lambda: preflab.load("greter"),
        f"that can be read. It holds runs: give one run, for example {run.folder}": lambda: (
            preflab.load("runs")
        ),
    }
    for message, way in ways.items():
        with pytest.raises(UserError, match=re.escape(message)):
            way()


def test_an_export_opens_without_the_data(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from preflab.storage.keeping import export

    said = run.score("Greet guest 3. ", "Hello!")
    export(run.folder, tmp_path / "taken")
    monkeypatch.chdir(tmp_path)
    manifest = json.loads((tmp_path / "taken" / "manifest.json").read_text())
    manifest["where"]["cwd"] = "/nowhere"  # as on another machine
    for row in manifest["stages"]:
        row["artifact"] = "/nowhere"
    (tmp_path / "taken" / "manifest.json").write_text(json.dumps(manifest))
    taken = preflab.load("taken")
    assert (taken.name, taken.state) == ("greeter", "complete")
    assert taken.score("Greet guest 3. ", "Hello!") == said
    assert taken.sample("Greet guest 3. ") == run.sample("Greet guest 3. ")


def test_importing_preflab_imports_nothing_heavy() -> None:
    code = "import sys, preflab; print(*sorted({'torch', 'hydra', 'pandas'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "\n"


def test_without_pandas_the_cure_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r"pip install 'preflab\[frames\]'"):
        run.metrics()


def test_the_notebook_uses_what_there_is() -> None:
    """The short form of the next test."""
    for cell in CELLS:
        compile(cell, "cell", "exec")
    used = re.findall(r"preflab\.(\w+)", "\n".join(CELLS))
    assert {"run", "load", "study", "UserError"} <= set(used) <= set(preflab.__all__)
    assert all(not c.get("outputs") for c in NOTEBOOK["cells"])


@pytest.mark.reliability
def test_the_cells_of_the_notebook_run_in_order(tmp_path: Path) -> None:
    shown = session(tmp_path, "\n".join([*CELLS, "print(study.measures().shape, study.runs)"]))
    assert "Did you mean 'ppo'?" in shown
    assert "[<preflab run runs/config/grid/0: complete>, <preflab run runs/config/grid/1:" in shown
