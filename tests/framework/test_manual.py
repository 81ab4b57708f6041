"""Every indented block of plugins/README.md works: its code is run, its commands compose."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from preflab import __version__, scaffold
from preflab.composing import compose as composition
from preflab.composing import search_path
from preflab.composing.compose import parse
from preflab.console import commands
from preflab.door import discovery
from preflab.door.discovery import take_plugin_flags
from preflab.planning.reading import check_jobs
from preflab.testing import AlgorithmContract

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "plugins" / "README.md").read_text(encoding="utf8")
CODE = re.sub(r"^```.*?^```", "", PAGE, flags=re.MULTILINE | re.DOTALL)  # without printed output
BLOCKS = [
    textwrap.dedent(m[0]).strip("\n")
    for m in re.finditer(r"(?:^ {4}.*\n(?:\n+(?= {4}))*)+", CODE, re.MULTILINE)
]
TESTED = (
    "pip install dist/",
    "# my_rewards.py",
    "preflab new-plugin",
    "# src/my_idea/__init__.py",
    "def advantages(",
    "def group_advantages",
    "# tests/test_my_idea.py",
    "# studies/my_study.yaml",
    "# my_package/__init__.py",
    "pip install 'preflab[wandb]'",
    "# my_observer.py",
    "# tests/third_party/src/preflab_pairs/__init__.py",
    "printf ",
)
COMMAND = re.compile(r"^ *preflab (.*?)(?: +#.*)?$|`preflab ([^`]*=[^`]*)`", re.MULTILINE)


def _block(first: str) -> str:
    (block,) = (block for block in BLOCKS if block.startswith(first))
    return block


def _body(first: str) -> str:
    """A block without its first line, which names the file."""
    return _block(first).partition("\n")[2]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The two plugins in one file, loaded as --plugin FILE would."""
    (tmp_path / "my_file.py").write_text(_block("# my_package").partition("# pyproject.toml")[0])
    (tmp_path / "my_rewards.py").write_text(_block("# my_rewards").partition("preflab --plugin")[0])
    monkeypatch.chdir(tmp_path)
    names = ("my_file.py", "my_rewards.py")
    monkeypatch.setenv(discovery.FILES, os.pathsep.join(str(tmp_path / name) for name in names))
    search_path.registry.cache_clear()
    yield tmp_path
    search_path.registry.cache_clear()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package that the tutorial's first command writes."""
    folder = tmp_path_factory.mktemp("tutorial")
    scaffold.write("my-idea", "algorithm", folder)
    return folder / "my-idea"


def _scores(name: str, **options: Any) -> list[float]:
    component = search_path.registry().component("reward_model", name)
    assert component.build is not None
    reward: Any = component.build(component.config_class(**options), None)  # type: ignore[arg-type]
    rollout = SimpleNamespace(
        texts=["hey!!", "", "one two!"],
        prompts=[SimpleNamespace(text="say it") for _ in range(3)],
        prompt_ids=SimpleNamespace(device="cpu"),
    )
    scores: list[float] = reward.score(rollout).tolist()
    return scores


def test_no_block_is_untested() -> None:
    starts = [next((t for t in TESTED if block.startswith(t)), block) for block in BLOCKS]
    assert starts == list(TESTED)


def test_the_wheel_has_the_printed_name() -> None:
    install, listing = _block("pip install dist/").splitlines()
    assert install == f"pip install dist/preflab-{__version__}-py3-none-any.whl"
    assert listing.split()[1] in commands.COMMANDS


def test_the_two_plugins_of_one_file_work(files: Path) -> None:
    assert _scores("shout", weight=2.0) == [4.0, 0.0, 2.0]  # 2 per exclamation mark
    assert _scores("short") == [-1.0, 0.0, -2.0]  # minus the number of words
    entry = tomllib.loads(_block("# my_package").partition("# pyproject.toml")[2])
    assert entry == {"project": {"entry-points": {"preflab": {"my_package": "my_package"}}}}


def test_the_observer_watches_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_observer.py").write_text(_block("# my_observer.py"))
    monkeypatch.setenv(discovery.FILES, str(tmp_path / "my_observer.py"))
    monkeypatch.setenv(discovery.BLOCKED, "progress")
    search_path.registry.cache_clear()
    try:
        registry = search_path.registry()
        with registry.run_observers(folder=tmp_path, config={}, stages=["sft"]):
            registry.observe("preflab_step_finished", stage="sft", step=0, metrics={"loss": 1.0})
    finally:
        search_path.registry.cache_clear()
    assert (tmp_path / "steps.txt").read_text() == "sft 0 {'loss': 1.0}\n"


def test_every_command_line_composes(files: Path) -> None:
    lines = [a or b for a, b in COMMAND.findall(PAGE)]
    skipped = ("my_idea", "my_study", "KIND", "evaluate-samples", "+average")
    runs = [
        line.split() for line in lines if "=" in line and not any(word in line for word in skipped)
    ]
    assert len(runs) >= 4
    for words in runs:
        rest, _ = take_plugin_flags(words, {})
        assert composition.compose(rest).algorithm.name == "ppo"


def test_the_three_commands_are_those_of_the_package(written: Path) -> None:
    """tests/packaging gives them for every kind."""
    new, install, run = (
        line.partition("#")[0].split() for line in _block("preflab new-plugin").splitlines()
    )
    assert (new[1:], written.name) == (["new-plugin", "my-idea", "--kind", "algorithm"], new[2])
    readme = (written / "README.md").read_text(encoding="utf8")
    printed = [line.strip() for line in readme.splitlines() if line.startswith("    ")]
    assert " ".join(install) == f"cd {new[2]} && {printed[0]} && {printed[1]}"
    assert " ".join(run) == printed[2]


def test_the_tutorial_shows_the_written_package(written: Path) -> None:
    package = written / "src" / "my_idea"
    assert _body("# src/my_idea/__init__.py") in (package / "__init__.py").read_text()
    written_training = (package / "training.py").read_text()
    functions = textwrap.indent(_block("def advantages("), "    ", lambda line: bool(line.strip()))
    assert functions in written_training


def test_the_edit_and_its_test_work(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the tutorial says: replace a function and its call, then test by contract and by hand."""
    training = written / "src" / "my_idea" / "training.py"
    before, _, rest = training.read_text().partition("def leave_one_out")
    after = rest[rest.index("\n\n\ndef my_idea(") :].replace("leave_one_out(", "group_advantages(")
    training.write_text(before + _block("def group_advantages") + after)
    monkeypatch.syspath_prepend(str(written / "src"))
    names: dict[str, Any] = {"__name__": "test_my_idea"}
    try:
        exec(_body("# tests/test_my_idea.py"), names)
    finally:  # another test writes a package of this name
        for name in [name for name in sys.modules if name.partition(".")[0] == "my_idea"]:
            del sys.modules[name]
    names["test_advantages_by_hand"]()
    assert names["group_advantages"](torch.arange(8.0), 2).shape == (8,)
    contract = names["TestMyIdea"]
    assert issubclass(contract, AlgorithmContract)
    assert (contract.name, contract.overrides) == ("my_idea", ("algorithm.policy.lr=0.01",))


@pytest.mark.slow
def test_the_study_composes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("studies").mkdir()
    yaml, _, lines = _body("# studies/my_study.yaml").partition("\npreflab plan")
    # Any other algorithm stands for my_idea, which is not installed here.
    Path("studies", "my_study.yaml").write_text(yaml.replace("my_idea", "best_of_n"))
    plan, run = (shlex.split(line) for line in f"plan{lines}".splitlines())
    assert plan[1:] == run[1:]
    jobs = check_jobs(parse(run[1:]))
    study = jobs[0].run.study
    assert len(jobs) == 9
    assert study is not None
    assert set(study.claims) == {"gains", "beats_ppo"}


def test_the_third_party_hooks_are_those_of_the_example() -> None:
    path = ROOT / "tests" / "third_party" / "src" / "preflab_pairs" / "__init__.py"
    assert _body("# tests/third_party") == path.read_text(encoding="utf8").rstrip()


def test_every_built_in_plugin_is_listed() -> None:
    table = PAGE.partition("## The built-in plugins")[2]
    folders = (ROOT / "plugins" / "preflab_builtin").glob("*/__init__.py")
    assert [f.parent.name for f in folders if f"`{f.parent.name}/`" not in table] == []


def test_stored_responses_are_judged_by_the_printed_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write, judge = _block("printf ").splitlines()
    subprocess.run(["bash", "-c", write], check=True)
    command, *words = shlex.split(judge)[1:]
    assert commands.run(command, words) == 0
    # Exact match without case and punctuation: A has 1 of 2, B 1 of 2.
    assert "50" in capsys.readouterr().out
