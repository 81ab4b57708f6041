"""The pytest plugin as an author of plugins gets it: fixtures by entry point, and no heavy import
at pytest's start."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from preflab import UserError
from preflab.testing import FastRun

ROOT = Path(__file__).parents[3]
TESTS = """
from preflab.testing import ComponentContract


class TestNone(ComponentContract):
    kind = "algorithm"
    name = "none"


class TestUnsaid(ComponentContract):
    kind = "algorithm"
"""


def _python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_plugin_is_declared() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"][
        "entry-points"
    ]["pytest11"]
    assert declared == {"preflab": "preflab.testing.pytest_plugin"}


def test_importing_it_imports_nothing_heavy(tmp_path: Path) -> None:
    heavy = ("torch", "transformers", "accelerate", "scipy", "numpy", "hydra", "omegaconf")
    code = "import sys, preflab.testing.pytest_plugin; "
    code += f"print([m for m in {heavy} if m in sys.modules])"
    done = _python(tmp_path, "-c", code)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.slow
def test_a_test_file_of_three_lines(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(TESTS)
    done = _python(
        tmp_path,
        "-m",
        "pytest",
        "-p",
        "preflab.testing.pytest_plugin",
        "-p",
        "no:cacheprovider",
        "-q",
    )
    # The tests of ComponentContract, for the one that says its name.
    assert "9 passed" in done.stdout
    assert "TestUnsaid is a contract and must say what it tries: name = '...'" in done.stdout


@pytest.mark.slow
def test_a_run_gives_stages_metrics_and_measures(preflab_run: Callable[..., FastRun]) -> None:
    words = (
        "policy.layers=1",
        "policy.width=16",
        "policy.heads=2",
        "algorithm=none",
        "evaluation=samples",
    )
    first = preflab_run(*words)
    stages = "pretrain sft samples comparisons reward_model evaluation"
    assert list(first.stages) == stages.split()
    # Debug=fast: three steps.
    assert [row["step"] for row in first.metrics("pretrain")] == [
        0,
        1,
        2,
    ]
    assert first.measures["reward/proxy"]["n"] == 8  # debug=fast: eight prompts
    # What is typed counts more than debug=fast's own 8.
    assert preflab_run(*words, "evaluation.prompts=4").summary["computed"] == ["evaluation"]
    assert preflab_run(*words, "algorithm=best_of_n").summary["computed"] == ["evaluation"]
    with pytest.raises(UserError, match="Did you mean 'ppo'"):
        preflab_run("algorithm=pp0")
