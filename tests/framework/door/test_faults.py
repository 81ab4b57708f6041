"""Every hook with every fault: the plugin, its distribution and version and the hook are named, and the others go on."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from preflab import hookspecs
from preflab.door import discovery, watching
from preflab.door.plugin import Plugin
from preflab.door.registry import Registry
from preflab.errors import PluginError, UserError

HOOKS = {n: inspect.signature(f) for n, f in vars(hookspecs).items() if n.startswith("preflab_")}
REGISTRATION = (
    "preflab_components",
    "preflab_stages",
    "preflab_config_packages",
    "preflab_commands",
)
OBSERVERS = hookspecs.OBSERVER_HOOKS
HEAD = "from preflab import hookimpl\n"
AT_IMPORT = {
    "a missing dependency": (
        "import absent_package_of_nobody\n",
        "No module named 'absent_package_of_nobody'",
    ),
    "a syntax error": ("def broken(:\n", "SyntaxError"),
    "an exit": ("raise SystemExit(7)\n", "SystemExit: 7"),
    "a base exception": ("raise BaseException('odd')\n", "BaseException: odd"),
    "another API": ("PREFLAB_API = 99\n", "needs plugin API 99, this preflab has 1"),
}
SCHEMA = (
    "from dataclasses import dataclass\nfrom preflab import Component, hookimpl\n\n\n@dataclass\nclass C:\n"
    "    name: str = '{name}'\n    thing: {type} = {default}\n\n\n@hookimpl\ndef preflab_components():\n    return {returned}\n"
)
ONE = "[Component('algorithm', 'mine', C)]"
OFFERS = {
    "a schema with an unusable type": (
        SCHEMA.format(name="mine", type="complex", default="1j", returned=ONE),
        "no usable schema",
    ),
    "another name in the schema": (
        SCHEMA.format(name="hers", type="int", default="1", returned=ONE),
        "name = 'hers': it must be 'mine'",
    ),
    "a taken name": (
        SCHEMA.format(name="ppo", type="int", default="1", returned=ONE.replace("mine", "ppo")),
        "algorithm 'ppo', which plugin 'ppo' (preflab ",
    ),
    "one name twice": (
        SCHEMA.format(name="mine", type="int", default="1", returned=f"2 * {ONE}"),
        "'mine' twice",
    ),
    "nested that is no mapping": (
        SCHEMA.format(
            name="mine", type="int", default="1", returned=ONE.replace("C)", "C, nested=['x'])")
        ),
        "nested is ['x']: it must map config fields to kinds",
    ),
    "needs that is no function": (
        SCHEMA.format(
            name="mine", type="int", default="1", returned=ONE.replace("C)", "C, needs=3)")
        ),
        "needs is 3: it must be a list of words or a function",
    ),
    "a config that is no class": (
        SCHEMA.format(name="mine", type="int", default="1", returned=ONE.replace("C)", "None)")),
        "no usable schema",
    ),
}


def install(
    folder: Path, name: str, source: str, monkeypatch: pytest.MonkeyPatch | None = None
) -> None:
    """A distribution by its metadata alone: a module, and a dist-info folder with the entry point."""
    (folder / f"{name}.py").write_text(source)
    info = folder / f"{name}_dist-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text(f"[preflab]\n{name} = {name}\n")
    if monkeypatch:
        monkeypatch.syspath_prepend(str(folder))


def load(folder: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Registry, Plugin]:
    install(folder, "faulty", source, monkeypatch)
    monkeypatch.delitem(sys.modules, "faulty", raising=False)
    registry = discovery.load()
    monkeypatch.delitem(sys.modules, "faulty", raising=False)
    return registry, next(p for p in registry.plugins if p.name == "faulty")


def reported(registry: Registry, plugin: Plugin, *said: str) -> None:
    assert plugin.label == "plugin 'faulty' (faulty-dist 2.5)"
    assert all(words in plugin.problem for words in said), plugin.problem
    assert [p.name for p in registry.plugins if p.problem] == ["faulty"]  # the others go on
    assert "ppo" in registry.names("algorithm")
    assert registry.provider("algorithm", "ppo").distribution == "preflab"
    assert not registry.manager.has_plugin("faulty")


def written_hook(name: str, arguments: str, body: str) -> str:
    return f"\n\n@hookimpl\ndef {name}({arguments}):\n    {body}\n"


@pytest.mark.parametrize("fault", AT_IMPORT)
@pytest.mark.parametrize("hook", HOOKS)
def test_a_module_that_cannot_be_used(
    hook: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, said = AT_IMPORT[fault]
    registry, plugin = load(
        tmp_path, HEAD + written_hook(hook, "", "return []") + source, monkeypatch
    )
    reported(registry, plugin, said)


@pytest.mark.parametrize("hook", HOOKS)
def test_an_unknown_argument(hook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A hook before it is right: it must not stay behind when the plugin is refused.
    source = (
        HEAD
        + written_hook("preflab_run_started", "folder", "raise AssertionError")
        + written_hook(hook, "wrongly", "return []")
    )
    registry, plugin = load(tmp_path, source, monkeypatch)
    reported(registry, plugin, hook)
    started = registry.manager.hook.preflab_run_started.get_hookimpls()
    assert "faulty" not in {implementation.plugin_name for implementation in started}


@pytest.mark.parametrize("hook", HOOKS)
def test_a_misspelt_hook(hook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry, plugin = load(tmp_path, HEAD + written_hook(f"{hook}x", "", "return []"), monkeypatch)
    reported(registry, plugin, f"a hook '{hook}x'", f"Did you mean '{hook}'")


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_that_would_never_be_called(
    hook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, plugin = load(tmp_path, f"def {hook}():\n    return []\n", monkeypatch)
    reported(
        registry,
        plugin,
        f"a function '{hook}' that is not marked as a hook: write @preflab.hookimpl above it",
    )


@pytest.mark.parametrize("how", ["wrapper=True", "hookwrapper=True"])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_wrapper_of_a_hook(
    hook: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = HEAD + f"\n\n@hookimpl({how})\ndef {hook}():\n    return (yield)\n"
    registry, plugin = load(tmp_path, source, monkeypatch)
    reported(
        registry,
        plugin,
        f"the hook '{hook}' as a wrapper, which would never be called: write plain @hookimpl",
    )


RAISED = ("ValueError('full')", "SystemExit(3)", "BaseException('odd')")
RETURNED = ("None", "3", "float('nan')", "[3]", "'text'")


@pytest.mark.parametrize("raised", RAISED)
@pytest.mark.parametrize("hook", REGISTRATION)
def test_a_registration_hook_that_raises(
    hook: str, raised: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, plugin = load(tmp_path, HEAD + written_hook(hook, "", f"raise {raised}"), monkeypatch)
    reported(registry, plugin, f"raised in {hook}: {raised.partition('(')[0]}")


@pytest.mark.parametrize("returned", RETURNED)
@pytest.mark.parametrize("hook", REGISTRATION)
def test_a_wrong_return_value(
    hook: str, returned: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, plugin = load(
        tmp_path, HEAD + written_hook(hook, "", f"return {returned}"), monkeypatch
    )
    reported(registry, plugin, hook, "must be a list of")


@pytest.mark.parametrize("hook", REGISTRATION)
def test_an_interrupt_is_the_users_and_goes_through(
    hook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path, HEAD + written_hook(hook, "", "raise KeyboardInterrupt"), monkeypatch)
    monkeypatch.delitem(sys.modules, "faulty", raising=False)


@pytest.mark.parametrize("fault", OFFERS)
def test_a_component_that_cannot_be_used(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, said = OFFERS[fault]
    registry, plugin = load(tmp_path, source, monkeypatch)
    reported(registry, plugin, said, "offers algorithm")


def test_presets_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = HEAD + written_hook("preflab_config_packages", "", "return ['nowhere_at_all']")
    registry, plugin = load(tmp_path, source, monkeypatch)
    reported(registry, plugin, "'nowhere_at_all' in preflab_config_packages")


def test_a_hook_is_for_registration_for_observing_or_for_the_report() -> None:
    assert sorted(HOOKS) == sorted([*REGISTRATION, *OBSERVERS, "preflab_report"])


Observed = tuple[Registry, Callable[[], None], list[int]]


@pytest.fixture
def observed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str], Observed]]:
    """observed(hook, body): a registry of two observers with that hook, one with that body and, called after it, one that notes
    its calls; a function that calls the hook; the notes."""

    def made(hook: str, body: str) -> Observed:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        install(
            tmp_path / "a",
            "attentive",
            HEAD + "SEEN = []" + written_hook(hook, "", "SEEN.append(1)"),
            monkeypatch,
        )
        monkeypatch.delitem(sys.modules, "attentive", raising=False)
        registry, plugin = load(tmp_path / "b", HEAD + written_hook(hook, "", body), monkeypatch)
        assert plugin.problem == ""
        for name in [p.name for p in registry.plugins if p.built_in]:  # they would write files
            if registry.manager.has_plugin(name):
                registry.manager.unregister(name=name)
        arguments: dict[str, Any] = dict.fromkeys(HOOKS[hook].parameters)
        return registry, lambda: registry.observe(hook, **arguments), sys.modules["attentive"].SEEN

    yield made
    monkeypatch.delitem(sys.modules, "attentive", raising=False)
    watching.WATCH.stop()


def _silently(call: Callable[[], None]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call()


@pytest.mark.parametrize("raised", RAISED)
@pytest.mark.parametrize("hook", OBSERVERS)
def test_an_observer_that_raises(
    hook: str, raised: str, observed: Callable[[str, str], Observed]
) -> None:
    _, call, seen = observed(hook, f"raise {raised}")
    with pytest.warns(
        UserWarning,
        match=rf"plugin 'faulty' \(faulty-dist 2.5\) raised in {hook} and is switched off",
    ):
        call()
    _silently(call)
    assert seen == [1, 1]  # both times


@pytest.mark.parametrize("returned", RETURNED)
@pytest.mark.parametrize("hook", OBSERVERS)
def test_what_an_observer_returns_is_nobodys(
    hook: str, returned: str, observed: Callable[[str, str], Observed]
) -> None:
    registry, call, seen = observed(hook, f"return {returned}")
    _silently(call)
    assert seen == [1]
    assert registry.manager.has_plugin("faulty")


@pytest.mark.parametrize("hook", OBSERVERS)
def test_an_interrupt_in_an_observer_goes_through(
    hook: str, observed: Callable[[str, str], Observed]
) -> None:
    registry, call, _ = observed(hook, "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        call()
    assert registry.manager.has_plugin("faulty")


LATER = (
    "import time; from preflab.door.watching import WATCH; WATCH.look(time.monotonic() + {seconds})"
)
"""The body of a hook that hangs, without waiting: the watch is told that it is so much later."""


@pytest.mark.parametrize("hook", OBSERVERS)
def test_an_observer_that_hangs(hook: str, observed: Callable[[str, str], Observed]) -> None:
    registry, call, seen = observed(hook, LATER.format(seconds=31))
    with pytest.warns(
        UserWarning, match=rf"plugin 'faulty' \(faulty-dist 2.5\) has been in {hook} for 31 s and "
    ):
        call()
    assert seen == [1]
    assert registry.manager.has_plugin("faulty")  # it did come back: it is not switched off


def test_an_observer_that_takes_its_time_is_left_alone(
    observed: Callable[[str, str], Observed],
) -> None:
    _, call, _ = observed("preflab_step_finished", LATER.format(seconds=29))
    _silently(call)


@pytest.mark.parametrize("hook", OBSERVERS)
def test_an_observer_that_prints_without_end(
    hook: str, observed: Callable[[str, str], Observed], capsys: pytest.CaptureFixture[str]
) -> None:
    _, call, seen = observed(hook, "print('noise ' * 100_000)")
    with pytest.warns(
        UserWarning,
        match=rf"plugin 'faulty' \(faulty-dist 2.5\) printed 600,001 characters .* of {hook}",
    ):
        call()
    assert seen == [1]
    assert len(capsys.readouterr().out) == watching.MANY_CHARACTERS


@pytest.mark.parametrize("hook", REGISTRATION)
def test_a_registration_hook_that_hangs_or_prints(
    hook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = f"{LATER.format(seconds=31)}; print('noise ' * 100_000); return []"
    with pytest.warns(UserWarning, match=hook) as caught:
        _, plugin = load(tmp_path, HEAD + written_hook(hook, "", body), monkeypatch)
    told = [str(w.message) for w in caught]
    assert plugin.problem == ""
    assert any(
        f"plugin 'faulty' (faulty-dist 2.5) has been in {hook} for 31 s" in text for text in told
    )
    assert any(
        f"plugin 'faulty' (faulty-dist 2.5) printed 600,001 characters or more in one call of {hook}"
        in t
        for t in told
    )


def test_an_import_that_hangs_or_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(UserWarning, match="its import") as caught:
        load(tmp_path, f"{LATER.format(seconds=31)}\nprint('noise ' * 100_000)\n", monkeypatch)
    told = [str(w.message) for w in caught]
    assert any(
        "plugin 'faulty' (faulty-dist 2.5) has been in its import for 31 s" in text for text in told
    )
    assert any(
        "plugin 'faulty' (faulty-dist 2.5) printed 600,001 characters" in text for text in told
    )


REPORTS = {
    "raise ValueError('full')": "raised in preflab_report: ValueError: full",
    "raise SystemExit(3)": "raised in preflab_report: SystemExit: 3",
    "raise BaseException('odd')": "raised in preflab_report: BaseException: odd",
    "open('/nowhere/at/all')": "raised in preflab_report: FileNotFoundError",
    "return 3": "returned 3 from preflab_report, which must be a text",
    "return float('nan')": "returned nan from preflab_report",
    LATER.format(seconds=31) + "; return ''": "has been in preflab_report for 31 s",
    "print('noise ' * 100_000)": "printed 600,001 characters or more in one call of preflab_report",
}


@pytest.mark.parametrize("body", [*REPORTS, "return None"])
def test_a_report_that_fails_leaves_it_to_the_next(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, plugin = load(tmp_path, HEAD + written_hook("preflab_report", "", body), monkeypatch)
    registry.manager.unregister(name="report")
    _add_report(registry)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert (
            registry.report([Path("a")], Path("b"))
            == f"{[Path('a')]} to b\n(This report is by plugin 'other' (other-dist 1).)"
        )
    told = [str(w.message) for w in caught]
    assert told == [] if body == "return None" else f"{plugin.label} {REPORTS[body]}" in told[0]


def _add_report(registry: Registry) -> None:
    other = types.ModuleType("other")
    exec(
        HEAD + written_hook("preflab_report", "folders, out", "return f'{folders} to {out}'"),
        vars(other),
    )
    registry.add(Plugin("other", "other", "other-dist", "1"), other)


def test_the_built_in_report_is_not_replaced_by_an_installed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = discovery.load()
    _add_report(registry)
    with pytest.raises(UserError):  # the built-in one's: there are no runs in an empty folder
        registry.report([tmp_path], tmp_path / "page.html")


def test_a_report_that_fails_and_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, plugin = load(
        tmp_path, HEAD + written_hook("preflab_report", "", "raise ValueError('full')"), monkeypatch
    )
    registry.manager.unregister(name="report")
    with pytest.raises(PluginError, match="raised in preflab_report: ValueError: full") as raised:
        registry.report([], Path())
    assert str(raised.value).startswith(plugin.label)


@pytest.mark.parametrize(
    "error", ["KeyboardInterrupt", "UserError('no run folder')", "OSError(28, 'full')"]
)
def test_what_is_wrong_with_the_runs_or_the_disk_comes_through_a_report(
    error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        "from preflab import UserError\n"
        + HEAD
        + written_hook("preflab_report", "", f"raise {error}")
    )
    registry, _ = load(tmp_path, source, monkeypatch)
    with pytest.raises((KeyboardInterrupt, UserError, OSError)):
        registry.report([], Path())


def test_tools_work_with_every_kind_of_fault_installed(tmp_path: Path) -> None:
    """All faults together, in processes of their own: exit 0, valid JSON although a module prints, each named."""
    sources = [HEAD + source for source, _ in AT_IMPORT.values()] + [
        source for source, _ in OFFERS.values()
    ]
    sources += [
        HEAD + written_hook(hook, "", f"raise {r}") for hook in REGISTRATION for r in RAISED
    ]
    for i, source in enumerate(sources):
        install(tmp_path, f"fault{i}", source)
    install(tmp_path, "loud", "PREFLAB_API = 1\nprint('noise [' * 100_000)\n")
    path = os.pathsep.join([str(tmp_path), *sys.path])

    def tool(*words: str) -> str:
        command = [sys.executable, "-m", "preflab", *words]
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        loud.append(done.stderr)
        return done.stdout

    loud: list[str] = []
    status = {row["name"]: row["status"] for row in json.loads(tool("plugins", "--json"))}
    assert status["loud"] == status["ppo"] == "ok"
    found = tool("doctor")
    for i in range(len(sources)):
        assert status[f"fault{i}"] != "ok"
        assert f"plugin 'fault{i}' (fault{i}-dist 2.5) is not used: " in found
        assert f"leave it out with --no-plugin fault{i}\n" in found
    assert f"{len(sources)} finding(s)" in found
    assert "fault0-dist" in tool("plugins")
    assert "Not loaded: plugin 'fault0' (fault0-dist 2.5)" in tool("--help")
    assert loud
    assert all(
        "plugin 'loud' (loud-dist 2.5) printed 700,001 characters or more" in errors
        for errors in loud
    )
