"""What plugins may rely on: names and signatures. A change here breaks other people's code: raise hookspecs.API_VERSION."""

from __future__ import annotations

import inspect
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

import preflab
from preflab import hookspecs, plugins

if TYPE_CHECKING:
    from preflab.interfaces import Context

HOOKS = {n: inspect.signature(f) for n, f in vars(hookspecs).items() if n.startswith("preflab_")}
API_1 = {
    "preflab_components": "",
    "preflab_config_packages": "",
    "preflab_commands": "",
    "preflab_run_started": "folder config stages",
    "preflab_stage_started": "stage total_steps history",
    "preflab_stage_reused": "stage artifact history",
    "preflab_step_finished": "stage step metrics",
    "preflab_rollout_finished": "stage step rollout values",
    "preflab_checkpoint_saved": "stage step folder",
    "preflab_stage_finished": "stage artifact seconds",
    "preflab_run_finished": "folder summary",
    "preflab_run_failed": "folder error",
    "preflab_report": "folders out",
}
NAMES_1 = {
    "Component": "kind name config_class build procedure needs nested inspect",
    "Inspection": None,
    "NumericError": None,
    "PluginError": None,
    "PreflabError": None,
    "StorageError": None,
    "UserError": None,
    "compose": "overrides config_name",
    "hookimpl": None,
    "option": "default doc factory ge gt le lt fast affects_result",
    "reward": None,
}


def test_hooks_of_api_1() -> None:
    assert hookspecs.API_VERSION == 1
    assert {name: " ".join(signature.parameters) for name, signature in HOOKS.items()} == API_1


def test_public_names_of_api_1() -> None:
    assert sorted(preflab.__all__) == sorted(NAMES_1)
    for name, parameters in NAMES_1.items():
        if parameters is not None:
            assert " ".join(inspect.signature(getattr(preflab, name)).parameters) == parameters, name


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_arguments(hook: str) -> None:
    page = (Path(__file__).parents[2] / "plugins" / "README.md").read_text(encoding="utf8")
    signature = str(HOOKS[hook]).replace("'", "")
    assert f"- `{hook}{signature}`" in page


def test_the_component_in_one_file_of_the_manual_works_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of plugins/README.md, cut out word for word, as a file plugin."""
    page = (Path(__file__).parents[2] / "plugins" / "README.md").read_text(encoding="utf8")
    code = page.partition("    # my_package/__init__.py\n")[2].partition("    # pyproject.toml\n")[0]
    (tmp_path / "shouting.py").write_text(textwrap.dedent(code))
    monkeypatch.setenv("PREFLAB_PLUGIN_FILES", str(tmp_path / "shouting.py"))
    component = plugins.load().component("reward_model", "shout")
    assert component.build is not None
    judge = component.build(component.config_class(weight=2.0), cast("Context", None))  # it reads none
    scores = judge.score(SimpleNamespace(texts=["hey!!", "hey", "!"]))
    assert scores.tolist() == [4.0, 0.0, 2.0]  # 2 an exclamation mark: 2 of them, none, one
