"""Every hook as the engine calls it: when, and with which arguments. Each test is named after its
hook; test_public.py checks that none is missing."""

from __future__ import annotations

import inspect
import typing
from pathlib import Path
from typing import Any

import pytest

from framework.faulty_plugins import HEAD, ONE, SCHEMA, load, registered, written_hook
from preflab import hookspecs
from preflab.composing import compose as composition
from preflab.composing import search_path
from preflab.console import commands
from preflab.door.registry import Registry
from preflab.hookspecs import OBSERVER_HOOKS
from preflab.records import Rollout
from preflab.testing.fast_run import FastRun, fast_run

pytestmark = pytest.mark.slow

WORDS = (
    "algorithm=ppo",
    "reward_model=length",
    "sft=none",
    "evaluation=none",
    "checkpoint.every_steps=1",
    "policy.layers=1",
    "policy.width=16",
    "policy.heads=2",
)
STAGES = ["pretrain", "algorithm"]
Calls = dict[str, list[dict[str, Any]]]
"""The arguments of each call, by hook."""
RECORDER = """

class Observer:
{methods}

@hookimpl
def preflab_observers(folder, config, stages):
    note("preflab_observers", locals())
    return [Observer()]
"""


class Observed(typing.NamedTuple):
    """A run, the same run again (everything is reused), and a third time, interrupted at the first
    stage; and the calls of a plugin with every observer hook. of_objects: those of the observer
    objects that it returns."""

    first: FastRun
    of_plugin: Calls
    of_objects: Calls

    @property
    def folders(self) -> list[Path]:
        """The three run folders."""
        return [self.first.folder.parent / str(number) for number in range(3)]

    def calls(self, hook: str, *names: str) -> list[tuple[Any, ...]]:
        """Of each call of a hook: the arguments of those names."""
        return [tuple(arguments[name] for name in names) for arguments in self.of_plugin[hook]]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Observed:
    """Three runs of the real engine under a plugin that has every observer hook with all its
    documented arguments, as functions and as the methods of an object."""
    hooks = {
        hook: ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
        for hook in OBSERVER_HOOKS
    }
    given, of_plugin, of_objects = (
        Calls({hook: [] for hook in ("preflab_observers", *hooks)}) for _ in range(3)
    )

    def note(hook: str, arguments: dict[str, Any]) -> None:
        if arguments.pop("self", None):
            of_objects[hook].append(arguments)
            return
        of_plugin[hook].append(arguments)
        if hook == "preflab_checkpoint_saved":  # later it is removed, when the stage is complete
            assert any(arguments["folder"].iterdir())
        if hook == "preflab_stage_reused" and len(of_plugin["preflab_run_started"]) == 3:
            raise KeyboardInterrupt

    observe = Registry.observe

    def spy(self: Registry, hook: str, **arguments: Any) -> None:
        given[hook].append(arguments)
        observe(self, hook, **arguments)

    source, methods = "", ""
    for hook, names in hooks.items():
        source += written_hook(hook, names, f"note('{hook}', locals())")
        methods += f"    @hookimpl\n    def {hook}(self, {names}):\n"
        methods += f"        note('{hook}', locals())\n\n"
    folder = tmp_path_factory.mktemp("hooks")
    search_path.registry.cache_clear()
    try:
        recorder = registered(
            search_path.registry(), "recorder", source + RECORDER.format(methods=methods)
        )
        vars(recorder)["note"] = note
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Registry, "observe", spy)
            first = fast_run(folder, WORDS)
            fast_run(folder, WORDS)
            with pytest.raises(KeyboardInterrupt):
                fast_run(folder, WORDS)
    finally:
        search_path.registry.cache_clear()
    for hook, names in hooks.items():
        _is_as_documented(hook, given[hook])
        expected = [names.split(", ")] * len(given[hook])
        assert [list(arguments) for arguments in of_plugin[hook]] == expected  # none was missed
    return Observed(first, of_plugin, of_objects)


def _is_as_documented(hook: str, calls: list[dict[str, Any]]) -> None:
    """The engine gives these arguments, of these types, and no other."""
    types_by_name = typing.get_type_hints(getattr(hookspecs, hook), localns={"Rollout": Rollout})
    del types_by_name["return"]
    assert calls, f"{hook} was never called"
    for arguments in calls:
        assert sorted(arguments) == sorted(types_by_name), hook
        for name, kind in types_by_name.items():
            assert isinstance(arguments[name], typing.get_origin(kind) or kind), f"{hook}: {name}"


def test_hook_preflab_observers(observed: Observed) -> None:
    # It has the arguments of preflab_run_started, and its objects see what the functions see. An
    # object is called before the functions, so it sees the stage at which they interrupt the run
    # too.
    of_plugin, of_objects = dict(observed.of_plugin), dict(observed.of_objects)
    assert of_plugin.pop("preflab_observers") == of_plugin["preflab_run_started"]
    assert of_objects.pop("preflab_observers") == []
    assert of_objects == of_plugin


def test_hook_preflab_run_started(observed: Observed) -> None:
    assert observed.calls("preflab_run_started", "folder", "stages") == [
        (folder, STAGES) for folder in observed.folders
    ]
    for (config,) in observed.calls("preflab_run_started", "config"):
        assert (config["algorithm"]["name"], config["policy"]["layers"]) == ("ppo", 1)  # composed


def test_hook_preflab_stage_started(observed: Observed) -> None:
    steps = {stage: len(observed.first.metrics(stage)) for stage in STAGES}
    assert observed.calls("preflab_stage_started", "stage", "total_steps", "history") == [
        (s, steps[s], []) for s in STAGES
    ]


def test_hook_preflab_stage_reused(observed: Observed) -> None:
    made = [
        (stage, observed.first.stages[stage], observed.first.metrics(stage)) for stage in STAGES
    ]
    # All of the second run, and the stage at which the third is interrupted.
    assert observed.calls("preflab_stage_reused", "stage", "artifact", "history") == [
        *made,
        made[0],
    ]


def test_hook_preflab_step_finished(observed: Observed) -> None:
    rows = [
        (stage, row.pop("step"), row) for stage in STAGES for row in observed.first.metrics(stage)
    ]
    assert [step for _, step, _ in rows][:2] == [0, 1]
    assert observed.calls("preflab_step_finished", "stage", "step", "metrics") == rows


def test_hook_preflab_rollout_finished(observed: Observed) -> None:
    steps = len(observed.first.metrics("algorithm"))
    assert observed.calls("preflab_rollout_finished", "stage", "step") == [
        ("algorithm", step) for step in range(steps)
    ]
    for rollout, values in observed.calls("preflab_rollout_finished", "rollout", "values"):
        assert {"score", "kl"} <= set(values)
        assert {len(numbers) for numbers in values.values()} == {len(rollout.texts)}


def test_hook_preflab_checkpoint_saved(observed: Observed) -> None:
    # checkpoint.every_steps=1: after each step but a stage's last, behind which its artifact comes.
    done = [
        (stage, step) for stage in STAGES for step in range(1, len(observed.first.metrics(stage)))
    ]
    assert observed.calls("preflab_checkpoint_saved", "stage", "step") == done


def test_hook_preflab_stage_finished(observed: Observed) -> None:
    assert observed.calls("preflab_stage_finished", "stage", "artifact") == list(
        observed.first.stages.items()
    )
    assert all(seconds > 0 for (seconds,) in observed.calls("preflab_stage_finished", "seconds"))


def test_hook_preflab_run_finished(observed: Observed) -> None:
    (folder, summary), (again, reused) = observed.calls("preflab_run_finished", "folder", "summary")
    assert [folder, again] == observed.folders[:2]
    assert summary == observed.first.summary
    assert (summary["computed"], reused["computed"], reused["reused"]) == (STAGES, [], STAGES)


def test_hook_preflab_run_failed(observed: Observed) -> None:
    ((folder, error),) = observed.calls("preflab_run_failed", "folder", "error")
    assert folder == observed.folders[2]
    assert isinstance(error, KeyboardInterrupt)


def test_hook_preflab_components(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry, plugin = load(
        tmp_path, SCHEMA.format(name="mine", type="int", default="1", returned=ONE), monkeypatch
    )
    assert plugin.components == (registry.component("algorithm", "mine"),)
    assert registry.provider("algorithm", "mine").label == "plugin 'faulty' (faulty-dist 2.5)"


def test_hook_preflab_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = "StageSpec('distill', makes='distilled', after='sft')"
    source = HEAD + "from preflab.kinds import StageSpec\n"
    source += written_hook("preflab_stages", "", f"return [{spec}]")
    registry, plugin = load(tmp_path, source, monkeypatch)
    assert not plugin.problem
    graph = registry.stage_graph
    assert [s.name for s in graph][:3] == ["pretrain", "sft", "distill"]
    assert graph.roles == ["result", "initial", "distilled", "sft", "base"]
    assert graph.makers("initial") == ["select", "distill", "sft", "pretrain"]
    assert graph.groups["distill"] == "distill"
    assert "distill" in graph.used("algorithm")
    assert "distill" not in graph.used("sft")
    assert "none" in registry.names("distill")


def test_hook_preflab_config_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preset = tmp_path / "presets_of_mine" / "conf" / "algorithm" / "gentle.yaml"
    preset.parent.mkdir(parents=True)
    preset.write_text("defaults: [ppo, _self_]\nkl:\n  coef: 0.75\n")
    for folder in (preset.parents[1], preset.parents[2]):
        (folder / "__init__.py").touch()
    source = HEAD + written_hook("preflab_config_packages", "", "return ['presets_of_mine.conf']")
    registry, plugin = load(tmp_path, source, monkeypatch)
    assert plugin.problem == ""
    search_path.registry()  # Hydra knows the schemas
    monkeypatch.setattr(search_path, "registry", lambda: registry)
    assert composition.compose(["algorithm=gentle"]).algorithm.kl.coef == 0.75


def test_hook_preflab_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = "\n\ndef count_words(words):\n    return {('a', 'b'): 2}[tuple(words)]\n"
    registry, _ = load(
        tmp_path,
        HEAD + command + written_hook("preflab_commands", "", "return [count_words]"),
        monkeypatch,
    )
    monkeypatch.setattr(search_path, "registry", lambda: registry)
    # The words alone, without the command's name.
    assert commands.run("count-words", ["a", "b"]) == 2


def test_hook_preflab_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = HEAD + written_hook("preflab_report", "folders, out", "return f'{folders} to {out}'")
    registry, plugin = load(tmp_path, source, monkeypatch)
    registry.manager.unregister(name="report")  # the built-in one would come first
    text = registry.report((Path("a"),), Path("b"))
    assert text == f"{[Path('a')]} to b\n(This report is by {plugin.label}.)"


def test_hook_preflab_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "return {'tax': f'holds in {len(folders)} runs'}"
    source = HEAD + written_hook("preflab_verdicts", "folders", body)
    registry, _ = load(tmp_path, source, monkeypatch)
    registry.manager.unregister(name="report")  # the built-in one would come first
    assert registry.verdicts((Path("a"), Path("b"))) == {"tax": "holds in 2 runs"}


def test_hook_preflab_seeds_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = HEAD + written_hook("preflab_seeds_needed", "folders", "return {'tax': len(folders)}")
    registry, _ = load(tmp_path, source, monkeypatch)
    registry.manager.unregister(name="power")  # the built-in one would come first
    assert registry.seeds_needed((Path("a"), Path("b"))) == {"tax": 2}
