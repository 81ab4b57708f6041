"""`preflab new-plugin` writes packages that are clean, pass their own tests and run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from preflab import UserError, scaffold
from preflab.console import commands

KINDS = ("algorithm", "data", "evaluator", "gradient_term", "reward_model", "tracker")


def _installed(package: Path, site: Path) -> None:
    """What pip leaves of an editable install: the metadata with the entry point."""
    module = package.name.replace("-", "_")
    metadata = site / f"{module}-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package.name}\nVersion: 0.1.0\n"
    )
    (metadata / "entry_points.txt").write_text(f"[preflab]\n{module} = {module}\n")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package of each kind, and site/ with their metadata."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "site").mkdir()
    for kind in KINDS:
        name = f"new-{kind.replace('_', '-')}"
        scaffold.write(name, kind, folder)
        _installed(folder / name, folder / "site")
    return folder


def _python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    sources = [str(p) for p in sorted(folder.glob("new-*/src"))]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFLAB", "PYTEST"))}
    environment |= {
        "PYTHONPATH": os.pathsep.join([str(folder / "site"), *sources, *sys.path]),
        "OMP_NUM_THREADS": "1",
    }
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_there_is_a_template_of_each_kind() -> None:
    assert tuple(scaffold.kinds()) == KINDS
    assert all(kind in (commands.new_plugin.__doc__ or "") for kind in KINDS)


def test_nothing_is_left_to_fill_in(written: Path) -> None:
    files = [p for p in written.glob("new-*/**/*") if p.is_file()]
    assert len(files) == len(KINDS) * 8
    for path in files:
        assert "{{" not in str(path) + path.read_text(encoding="utf8"), path


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_is_clean_by_its_own_rules(written: Path, kind: str) -> None:
    package = written / f"new-{kind.replace('_', '-')}"
    for words in (["check"], ["format", "--check"]):
        done = _python(package, "-m", "ruff", *words, "--no-cache", ".")
        assert done.returncode == 0, done.stdout


def test_the_packages_are_listed(written: Path) -> None:
    done = _python(written, "-m", "preflab", "plugins", "--json")
    assert done.returncode == 0, done.stderr
    assert all(f'"new-{kind.replace("_", "-")}"' in done.stdout for kind in KINDS)
    assert "cannot be imported" not in done.stdout


@pytest.mark.reliability  # of the wheel: make test-install
@pytest.mark.parametrize("kind", KINDS)
def test_a_package_passes_its_own_tests(written: Path, kind: str) -> None:
    """Without their small runs of the engine, but for one; test_with_third_party.py has all, of
    every kind."""
    words = [
        "-m",
        "pytest",
        "-p",
        "preflab.testing.pytest_plugin",
        "--import-mode=importlib",
        "-p",
        "no:cacheprovider",
        "-q",
        "-k",
        "not one_override or rewards_with",
    ]
    done = _python(written, *words, f"new-{kind.replace('_', '-')}/tests")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_the_command_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert commands.run("new-plugin", ["My-Reward", "--kind", "reward_model"]) == 0
    printed = capsys.readouterr().out
    assert "My-Reward/src/my_reward/scoring.py" in printed
    assert 'pip install -e ".[test]"' in printed
    assert "preflab reward_model=my_reward algorithm=ppo debug=fast" in printed


@pytest.mark.parametrize(
    "name,message",
    [
        ("", "is not a distribution name"),
        ("-x", "is not a distribution name"),
        ("../x", "is not a distribution name"),
        ("a b", "is not a distribution name"),
        ("x" * 61, "at most 60"),
        ("2fast", "cannot be imported as '2fast'"),
        ("class", "is not a keyword"),
        ("Json", "has another meaning already"),
        ("null", "has another meaning already"),
        ("torch", "is installed already"),
        ("preflab", "is installed already"),
        ("PPO", "The name 'ppo' is taken"),
        ("best.of-n", "The name 'best_of_n' is taken"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        scaffold.write(name, "algorithm", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").write_text("x")
    with pytest.raises(UserError, match="exists already, and no file is overwritten"):
        scaffold.write("mine", "data", tmp_path)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["precious"]


@pytest.mark.parametrize(
    "kind,kind_meant", [("algoritm", "algorithm"), ("evaluation", "evaluator")]
)
def test_an_unknown_kind_gets_the_nearest(tmp_path: Path, kind: str, kind_meant: str) -> None:
    with pytest.raises(UserError, match=f"Did you mean '{kind_meant}'"):
        scaffold.write("other", kind, tmp_path)
