"""The wheel in a clean environment: what a person who installs it gets. Slow: `make test-install`."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging
ROOT = Path(__file__).parents[2]


def _call(words: Sequence[str | Path], folder: Path, **environment: str) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PREFLAB"))}
    done = subprocess.run(
        list(map(str, words)), cwd=folder, capture_output=True, text=True, env={**clean, **environment}, check=False
    )
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist, as an index would get it."""
    folder = tmp_path_factory.mktemp("dist")
    backend: list[str | Path] = [
        sys.executable,
        "-c",
        "import sys, hatchling.build as b; print(getattr(b, sys.argv[1])(sys.argv[2]))",
    ]
    sdist = folder / _call([*backend, "build_sdist", folder], ROOT).strip().splitlines()[-1]
    _call(["tar", "xzf", sdist, "-C", folder], folder)
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    return folder / _call([*backend, "build_wheel", folder], unpacked).strip().splitlines()[-1]


@pytest.fixture(scope="module")
def binaries(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a clean environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _call([*pip, "torch==2.13.0"], folder)
    _call([*pip, "-c", ROOT / "constraints.txt", wheel], folder)
    return folder / "bin"


def test_the_wheel_holds_only_names_of_ours(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"preflab", "preflab_builtin"}
    for inside in ("preflab/conf/config.yaml", "preflab/sweeps/ladder.yaml", "preflab/py.typed", "preflab_builtin/py.typed"):
        assert inside in names


def test_nothing_generic_is_importable(binaries: Path, tmp_path: Path) -> None:
    code = "import importlib.util as u; print([n for n in ('framework', 'plugins', 'conf', 'sweeps', 'tests') if u.find_spec(n)])"
    assert _call([binaries / "python", "-c", code], tmp_path).strip() == "[]"


def test_help_lists_algorithms_without_torch_in_under_a_second_of_cpu(binaries: Path, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = _call([binaries / "preflab", "--help"], tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    algorithms = next(line for line in text.splitlines() if line.strip().startswith("algorithm:"))
    assert {"best_of_n", "none", "ppo", "ppo_ptx"} <= set(algorithms.replace(",", " ").split())
    # CPU time, not the clock; about 0.3 s, while importing torch alone costs 1.7 s
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 1.0


def test_a_run_a_plan_and_a_study_work_from_the_wheel(binaries: Path, tmp_path: Path) -> None:
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2"}
    assert "5 job(s)" in _call([binaries / "preflab", "plan", "-cn", "ladder", "debug=fast"], tmp_path, **offline)
    assert "PPO-ptx" in _call([binaries / "preflab", "-cn", "ladder", "debug=fast"], tmp_path, **offline)
    assert "ok" in _call([binaries / "preflab", "plugins"], tmp_path)
