"""The tools: plugins, plugins show, doctor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from preflab import UserError, option
from preflab.composing.search_path import config_root, registry
from preflab.console import commands, listing
from preflab.console.listing import Option
from preflab.door.discovery import import_file
from preflab.door.plugin import Plugin
from preflab.door.registry import Registry


@dataclass
class Inner:
    rate: float = option(0.5, "a share", ge=0, le=1)


@dataclass
class Config:
    name: str = option("mine", "component")
    steps: int = option("???", "optimizer steps", gt=0)
    word: str | None = option(None, "a word")
    inner: Inner = field(default_factory=Inner)


def test_options_have_keys_types_defaults_limits_and_docs() -> None:
    assert list(listing.options(Config)) == [
        Option("steps", "int", "required", "optimizer steps", "> 0"),
        Option("word", "str | None", "null", "a word"),
        Option("inner.rate", "float", "0.5", "a share", ">= 0, <= 1"),
    ]


def test_every_setting_is_in_a_table() -> None:
    """The leaves of conf/config.yaml, which names every setting but those of studies."""
    config = yaml.safe_load((config_root() / "config.yaml").read_text(encoding="utf8"))
    settings = {k: v for k, v in config.items() if k not in ("defaults", "hydra")}
    keys = [
        f"{key}.{inner}" if inner else key
        for key, value in settings.items()
        for inner in (value if isinstance(value, dict) else [""])
    ]
    assert {"name", "seed", "runtime.sharding", "checkpoint.sharded", "artifacts.dir"} <= {*keys}
    text = listing.reference(Registry())
    assert [key for key in keys if f"\n| `{key}` | " not in text] == []
    for key in ("study.seeds.at_most", "study.search.trials", "study.claims.NAME.margin"):
        assert f"\n| `{key}` | " in text


def test_json_has_every_plugin_with_what_it_offers(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run("plugins", ["--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["ppo"]["distribution"] == "preflab"
    assert rows["ppo"]["status"] == "ok"
    ppo = next(c for c in rows["ppo"]["components"] if c["name"] == "ppo")
    assert ppo["kind"] == "algorithm"
    assert ppo["options"]["kl.coef"]["default"] == "0.02"  # InstructGPT's beta
    # An enum by the name that Hydra takes.
    assert ppo["options"]["kl.controller"]["default"] == "fixed"
    assert "preflab_observers" in rows["progress"]["hooks"]


def test_one_component_is_shown_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run("plugins", ["show", "algorithm", "ppo"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("algorithm/ppo from plugin 'ppo' (preflab ")
    assert "  kl.coef: float = 0.02 (>= 0)  beta" in shown


def test_an_observer_is_listed_with_its_hooks(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run("plugins", []) == 0
    assert "observer/progress (observers)" in capsys.readouterr().out
    assert commands.run("plugins", ["--json"]) == 0
    (row,) = (p for p in json.loads(capsys.readouterr().out) if p["name"] == "progress")
    (listed,) = row["components"]
    assert (listed["kind"], listed["name"], listed["options"]) == ("observer", "progress", {})
    assert listed["hooks"] == ["preflab_observers"]
    assert commands.run("plugins", ["show", "observer", "progress"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("observer/progress from plugin 'progress' (preflab ")
    assert "  preflab_observers: Observers of one run.\n" in shown
    assert "--no-plugin progress" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("show observer progres", "Did you mean 'progress'"),
        ("show tracker tensorbord", "Did you mean 'tensorboard'"),
        ("show observer ppo", "no observer 'ppo'"),
        ("show algorithm pqo", "Did you mean 'ppo'"),
        ("show algorithm ppo_ptx", "a preset, .*--cfg job -p algorithm algorithm=ppo_ptx"),
        ("show sft instructgpt", "a preset, .*--cfg job -p sft sft=instructgpt"),
        ("show algoritm ppo", "Did you mean 'algorithm'"),
        ("shw algorithm ppo", "plugins show KIND NAME"),
        ("show ppo", "plugins show KIND NAME"),
    ],
)
def test_what_cannot_be_shown(words: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        commands.run("plugins", words.split())


def test_a_shadowed_preset_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("conf_of_a", "conf_of_b"):
        (tmp_path / package / "algorithm").mkdir(parents=True)
        (tmp_path / package / "__init__.py").touch()
        (tmp_path / package / "algorithm" / "best.yaml").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry([Plugin(n, n, n, "1", config_packages=(f"conf_of_{n}",)) for n in "ab"])
    assert listing.findings(registry) == [
        "preset algorithm=best of plugin 'b' is shadowed by the one of plugin 'a': rename it",
    ]


def test_a_preset_that_a_built_in_one_shadows_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf_of_c" / "algorithm").mkdir(parents=True)
    (tmp_path / "conf_of_c" / "__init__.py").touch()
    (tmp_path / "conf_of_c" / "algorithm" / "ppo.yaml").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry([Plugin("c", "c", "c", "1", config_packages=("conf_of_c",))])
    (finding,) = listing.findings(registry)
    assert (
        finding
        == "preset algorithm=ppo of plugin 'c' is shadowed by the one of preflab itself: rename it"
    )


def test_a_version_out_of_its_range_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        listing,
        "_requirements",
        lambda: [("a", "a>=2,<3", "1.9"), ("b", "b>=2", "2.0"), ("c", "c", "")],
    )
    assert listing.findings(Registry()) == [
        "a is 1.9, which does not fit (preflab needs a>=2,<3): pip install 'a>=2,<3'",
        "c is not installed (preflab needs c): pip install 'c'",
    ]


def test_a_plugin_that_states_no_api_version_is_told(tmp_path: Path) -> None:
    for name, line in (("silent", ""), ("stating", "PREFLAB_API = 1\n")):
        (tmp_path / f"{name}.py").write_text(line)
    registry = Registry()
    for name in ("silent", "stating"):
        registry.add(Plugin(name, name, f"{name}-dist", "1"), import_file(tmp_path / f"{name}.py"))
    assert listing.findings(registry) == [
        "plugin 'silent' (silent-dist 1) does not state its API version: add PREFLAB_API = 1 to "
        "silent",
    ]


@pytest.mark.parametrize(
    ("problem", "fix"),
    [
        (
            "needs plugin API 99, this preflab has 1",
            "install a release of x-dist that is made for this preflab",
        ),
        (
            "offers algorithm 'ppo', which plugin 'ppo' already provides",
            "ask the author of x-dist for another name",
        ),
        ("cannot be imported", "pip install --upgrade x-dist"),
    ],
)
def test_the_fix_is_for_the_problem(problem: str, fix: str) -> None:
    (finding,) = listing.findings(Registry([Plugin("x", "x", "x-dist", "1", problem=problem)]))
    assert f"Fix: {fix}" in finding
    assert "--no-plugin x" in finding


def test_a_kind_that_nothing_asks_for_is_found(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(ZEBRA.replace('"reward_model"', '"reward_modle"'))
    registry = Registry()
    registry.add(Plugin("odd", "odd", "odd-dist", "1"), import_file(tmp_path / "odd.py"))
    (finding,) = listing.findings(registry)
    assert finding.startswith(
        "plugin 'odd' (odd-dist 1) offers reward_modle 'zebra', a kind that nothing asks for."
    )
    assert "Did you mean 'reward_model'" in finding


def test_a_healthy_installation_has_no_findings(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run("doctor", []) == 0
    text = capsys.readouterr().out
    assert "Nothing is wrong." in text
    assert "CPU cores, GPUs: " in text
    assert "\nnetwork:" in text
    assert all(f"\n{name}:" in text for name in ("torch", "transformers", "hydra-core"))


def test_doctor_says_how_several_machines_find_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cards = [(1, "lo"), (2, "eth7"), (3, "docker0")]
    monkeypatch.setattr("socket.if_nameindex", lambda: cards)
    for name in listing.SOCKETS:
        monkeypatch.delenv(name, raising=False)
    assert dict(listing.environment())["network"] == (
        "eth7, docker0; several machines that do not find each other need GLOO_SOCKET_IFNAME and "
        "NCCL_SOCKET_IFNAME=eth7"
    )
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "docker0")
    assert dict(listing.environment())["network"] == "eth7, docker0; GLOO_SOCKET_IFNAME=docker0"


HEAVY = (
    "torch",
    "transformers",
    "accelerate",
    "numpy",
    "scipy",
    "matplotlib",
    "tokenizers",
    "pyarrow",
    "IPython",
)
"""What no tool that only shows something imports."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "words,more",
    [
        ("--help", "rich filelock preflab.jobs.job preflab.planning.run preflab.console.listing"),
        (
            "--cfg job",
            "rich filelock preflab.jobs.job preflab.planning.run preflab.console.listing",
        ),
        ("plugins", "filelock preflab.jobs.job preflab.planning.run"),
        ("plugins --json", "filelock preflab.jobs.job preflab.planning.run"),
        ("plugins show algorithm ppo", "filelock preflab.jobs.job preflab.planning.run"),
        ("doctor", "rich filelock preflab.jobs.job preflab.planning.run"),
    ],
)
def test_the_tools_import_only_what_they_need(words: str, more: str) -> None:
    script = (
        "import sys\nfrom preflab.console.cli import main\ntry:\n    main(sys.argv[1:])\nexcept "
        f"SystemExit as e:\n    assert not e.code\nfound = {{*{HEAVY}, *{more.split()}}} & "
        "set(sys.modules)\nassert not found, found\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words.split()], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_reference_in_conf_is_what_the_schemas_say() -> None:
    page = (config_root() / "README.md").read_text(encoding="utf8")
    assert page == listing.with_reference(page, listing.reference(registry())), (
        "stale: make reference"
    )
    assert "| `kl.coef` | `float` | `0.02` | >= 0 | beta" in page


ZEBRA = """\
PREFLAB_API = 1
from dataclasses import dataclass
from preflab import Component, hookimpl, option


@dataclass
class C:
    name: str = option("zebra", "component")
    stripes: int = option(3, "number")


@hookimpl
def preflab_components():
    return [Component("reward_model", "zebra", C)]
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("preflab reward_model=z", "reward_model=zebra"),  # somebody else's name
        # And its config key.
        ("preflab reward_model=zebra reward_model.s", "reward_model.stripes="),
        ("preflab algorithm=ppo algorithm.kl.c", "algorithm.kl.coef="),
    ],
)
def test_completion_knows_names_and_keys_of_plugins(
    line: str, completed: str, tmp_path: Path
) -> None:
    (tmp_path / "zebra.py").write_text(ZEBRA)
    variables = {
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "PREFLAB_PLUGIN_FILES": str(tmp_path / "zebra.py"),
    }
    command = [sys.executable, "-m", "preflab", "-sc", "query=bash"]
    done = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert completed in done.stdout.split()
