"""What holds for observers: they survive any run, write into its folder only, and change nothing
that they are shown."""

from __future__ import annotations

import contextlib
import copy
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytest

from preflab.door.registry import Registry
from preflab.hookspecs import OBSERVER_HOOKS
from preflab.records import Prompt, Rollout
from preflab.testing.components import heavy_imports
from preflab.testing.context import FakeContext
from preflab.testing.runs import global_seed
from preflab.testing.world import tiny_records

if TYPE_CHECKING:
    from preflab.door.plugin import Plugin
    from preflab.testing.case import Case

ROWS: list[dict[str, Any]] = [{"loss/sft": 2.5, "policy/lr": 1e-3}, {"loss/sft": float("nan")}, {}]
"""Metrics of three steps: usual ones, one that is not a number, and no metrics."""
Call = Callable[..., None]


class ObserverContract:
    """``class TestMine(ObserverContract): name = "my_package"``, the name of the plugin's entry
    point. An observer is not a component: it is called in every run for which it is installed,
    without a line in the config."""

    kind: ClassVar[str] = "observer"
    name: ClassVar[str]

    def test_registering_imports_no_heavy_library(self, preflab_case: Case) -> None:
        plugin, _ = _installed(preflab_case)
        heavy = heavy_imports(plugin.module)
        assert not heavy, (
            f"importing {plugin.label} imports {', '.join(heavy)}, and so does every command: "
            "import it in the hooks"
        )

    def test_it_observes(self, preflab_case: Case) -> None:
        plugin, _ = _installed(preflab_case)
        hooks = ("preflab_observers", *OBSERVER_HOOKS)
        assert set(plugin.hooks) & set(hooks), (
            f"{plugin.label} has none of the hooks {', '.join(hooks)}"
        )

    def test_it_survives_any_run(self, preflab_case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
        observed = Observed(*_installed(preflab_case))
        for number, play in enumerate(
            (whole, killed_and_run_again, reused, failed_at_once, not_started)
        ):
            monkeypatch.chdir(preflab_case.fresh_folder("place"))
            folder = Path("runs") / str(number)
            folder.mkdir(parents=True)
            play(observed, folder, preflab_case)

    def test_it_writes_into_the_run_folder_only(
        self, preflab_case: Case, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = preflab_case.fresh_folder("place")
        monkeypatch.chdir(place)
        (place / "run").mkdir()
        whole(Observed(*_installed(preflab_case)), place / "run", preflab_case)
        others = [name for name in os.listdir(place) if name not in ("run", "artifact")]
        assert not others, f"it wrote {others} into the folder that the run was started in"
        assert not any((place / "artifact").iterdir()), (
            "it wrote into an artifact, whose digest is part of what others rely on"
        )

    def test_it_changes_nothing_and_draws_nothing(
        self, preflab_case: Case, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(preflab_case.fresh_folder("place"))
        Path("run").mkdir()
        unchanged(Observed(*_installed(preflab_case)), Path("run"), preflab_case)


class Observed:
    """Calls the observers of one plugin, its functions and the objects that it returns for each
    run, like a run does; what would switch one off is an error."""

    def __init__(self, plugin: Plugin, module: ModuleType) -> None:
        self.registry = Registry()
        self.registry.add(plugin, module)
        self.run = contextlib.ExitStack()

    def __call__(self, hook: str, **arguments: Any) -> None:
        """Call a hook."""
        with warnings.catch_warnings():
            warnings.filterwarnings("error", ".*is switched off for this run")
            if hook == "preflab_run_started":
                self.run.close()
                self.run.enter_context(self.registry.run_observers(**arguments))
            self.registry.observe(hook, **arguments)
            if hook in ("preflab_run_finished", "preflab_run_failed"):
                self.run.close()


def _installed(case: Case) -> tuple[Plugin, ModuleType]:
    """The plugin, and its module."""
    from preflab.composing.search_path import registry

    plugins = {plugin.name: plugin for plugin in registry().plugins}
    assert case.name in plugins, f"there is no plugin '{case.name}'. Allowed: {', '.join(plugins)}"
    plugin = plugins[case.name]
    assert not plugin.problem, f"{plugin.label}: {plugin.problem}"
    return plugin, cast("ModuleType", registry().manager.get_plugin(case.name))


def _plain(value: Any) -> Any:
    """A value whose text shows everything in it."""
    if isinstance(value, Rollout):
        return [value.prompts, value.texts, value.tokens(), value.terminated.tolist()]
    return copy.deepcopy(value)


def _started(call: Call, folder: Path) -> None:
    config = {
        "seed": 1,
        "arm": "",
        "algorithm": {"name": "ppo", "kl": {"coef": 0.1}, "ema": None},
        "filters": {},
    }
    call("preflab_run_started", folder=folder, config=config, stages=["sft", "algorithm"])


def _rollout(case: Case) -> Rollout:
    prompts = [r for r in tiny_records() if isinstance(r, Prompt)][:3]
    return Rollout.from_texts(
        FakeContext(case.fresh_folder()).tokenizer, prompts, ["good bad", "", "please thanks"]
    )


def _steps(call: Call, case: Case, folder: Path, first: int = 0) -> None:
    artifact = Path("artifact")
    artifact.mkdir(exist_ok=True)
    rollout = _rollout(case)
    for step, metrics in list(enumerate(ROWS))[first:]:
        values = {"score": [0.5, float("nan"), -1.0], "kl": [0.0, 1.0, 2.0]}
        call(
            "preflab_rollout_finished", stage="algorithm", step=step, rollout=rollout, values=values
        )
        call("preflab_step_finished", stage="algorithm", step=step, metrics=dict(metrics))
        call("preflab_checkpoint_saved", stage="algorithm", step=step + 1, folder=artifact)
    call("preflab_rollout_finished", stage="algorithm", step=3, rollout=rollout, values={})
    call("preflab_stage_finished", stage="algorithm", artifact=artifact.resolve(), seconds=0.5)


def _summary() -> Mapping[str, Any]:
    measures = {
        "gold": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 6},
        "kl": {"value": float("nan"), "low": 0.0, "high": 0.0, "n": 0},
    }
    return {
        "run": "1",
        "seed": 1,
        "computed": ["algorithm"],
        "reused": [],
        "evaluation": {"measures": measures},
    }


def unchanged(call: Call, folder: Path, case: Case) -> None:
    """A whole run: what an observer is shown stays as it is, and no global generator is used."""

    def compared(hook: str, **arguments: Any) -> None:
        before = repr({name: _plain(value) for name, value in arguments.items()})
        call(hook, **arguments)
        after = repr({name: _plain(value) for name, value in arguments.items()})
        assert after == before, f"{hook} changed what it was shown: {before} is now {after}"

    with global_seed(11):
        whole(compared, folder, case)


def whole(call: Call, folder: Path, case: Case) -> None:
    """A run from its first step to its last."""
    _started(call, folder)
    call("preflab_stage_started", stage="algorithm", total_steps=3, history=[])
    _steps(call, case, folder)
    call("preflab_run_finished", folder=folder, summary=_summary())


def killed_and_run_again(call: Call, folder: Path, case: Case) -> None:
    """The first process was killed, so that nothing was closed; the second is shown what it had
    done."""
    _started(call, folder)
    call("preflab_stage_started", stage="algorithm", total_steps=3, history=[])
    call("preflab_step_finished", stage="algorithm", step=0, metrics=dict(ROWS[0]))
    _started(call, folder)
    history = [{"step": 0, **ROWS[0]}, {"step": 1, **ROWS[1]}]
    call("preflab_stage_started", stage="algorithm", total_steps=3, history=history)
    _steps(call, case, folder, first=2)
    call("preflab_run_finished", folder=folder, summary=_summary())


def reused(call: Call, folder: Path, case: Case) -> None:
    """A run that computes nothing."""
    _started(call, folder)
    artifact = Path("artifact")
    artifact.mkdir(exist_ok=True)
    call("preflab_stage_reused", stage="sft", artifact=artifact, history=[{"step": 0, **ROWS[0]}])
    call("preflab_stage_reused", stage="algorithm", artifact=artifact, history=[])
    call("preflab_run_finished", folder=folder, summary={})


def failed_at_once(call: Call, folder: Path, case: Case) -> None:
    """A run that is stopped before its first stage."""
    _started(call, folder)
    call("preflab_run_failed", folder=folder, error=KeyboardInterrupt())


def not_started(call: Call, folder: Path, case: Case) -> None:
    """The start of the run was not observed: a function of the module has to bear that."""
    call("preflab_run_failed", folder=folder, error=ValueError("before the start"))
