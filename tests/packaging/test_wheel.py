"""The wheel in a clean environment: what a person who installs it gets (`make test-install`)."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging
Call = Callable[..., str]
Several = Callable[..., list[str]]


def test_the_wheel_has_three_top_level_names(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"preflab", "preflab_builtin", "preflab_people", "preflab_serve"}
    for inside in (
        "preflab/conf/config.yaml",
        "preflab/sweeps/ladder.yaml",
        "preflab/py.typed",
        "preflab_builtin/py.typed",
        "preflab_builtin/report/templates/page.html.jinja",
        "preflab_builtin/report/templates/page.css",
        "preflab_people/py.typed",
        "preflab_people/server/templates/task.html.jinja",
        "preflab_people/server/static/task.js",
        "preflab_people/server/static/page.css",
        "preflab_people/server/locales/ar.json",
    ):
        assert inside in names
    assert "preflab/scaffold/templates/shared/pyproject.toml.template" in names
    templates = [name for name in names if name.endswith(".template")]
    assert len(templates) == 2 + 6 * 6  # two shared files, and six files for each of six kinds
    assert not [name for name in names if name.endswith(".png")]


def test_nothing_generic_or_undeclared_is_importable(
    binaries: Path, tmp_path: Path, call: Call
) -> None:
    code = (
        "import importlib.util as u\n"
        "names = 'framework plugins conf sweeps tests pytest hypothesis ruff'.split()\n"
        "print([n for n in names if u.find_spec(n)])"
    )
    assert call([binaries / "python", "-c", code], tmp_path).strip() == "[]"


@pytest.mark.parametrize("extra, package", [("lora", "peft"), ("qlora", "bitsandbytes")])
def test_an_extra_is_looked_for_in_the_preflab_that_is_installed(
    extra: str, package: str, binaries: Path, tmp_path: Path, call: Call
) -> None:
    """preflab is on no index, and here there is none: what pip cannot find is the package of the
    extra, and not preflab."""
    pip = f"'{binaries}/python' -m pip install --no-index 'preflab[{extra}]' 2>&1"
    said = call(["sh", "-c", pip], tmp_path, expected=1)
    assert f"No matching distribution found for {package}" in said


def test_help_lists_algorithms(binaries: Path, tmp_path: Path, call: Call) -> None:
    text = call([binaries / "preflab", "--help"], tmp_path)
    algorithms = next(line for line in text.splitlines() if line.strip().startswith("algorithm:"))
    assert {"best_of_n", "none", "ppo", "ppo_ptx"} <= set(algorithms.replace(",", " ").split())


def test_a_study_runs_from_the_wheel(
    binaries: Path, tmp_path: Path, call: Call, several: Several
) -> None:
    study = ("-cn", "ladder", "debug=fast", "runtime.threads=1")
    planned, made = several([(tmp_path, {}, ("plan", *study), 0), (tmp_path, {}, study, 0)])
    assert "5 jobs" in planned
    assert "PPO-ptx" in made
    assert "ok" in call([binaries / "preflab", "plugins"], tmp_path)
