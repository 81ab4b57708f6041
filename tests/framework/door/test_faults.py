"""Faults of plugins at start-up: the plugin, its distribution and version and the hook are named,
and the other plugins are used. Faults are crossed with hooks. The checks do not depend on the
hook, so that ``make test`` takes three hooks for each fault and ``make reliability`` all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from framework.faulty_plugins import (
    ASKED_AT_A_RUN,
    HEAD,
    HOOKS,
    OBSERVERS,
    ONE,
    RAISED,
    REGISTRATION,
    RETURNED,
    SCHEMA,
    crossed,
    install,
    load,
    reported,
    written_hook,
)

AT_IMPORT = {
    "a missing dependency": (
        "import absent_package\n",
        "No module named 'absent_package'",
    ),
    "a syntax error": ("def broken(:\n", "SyntaxError"),
    "an exit": ("raise SystemExit(7)\n", "SystemExit: 7"),
    "a base exception": ("raise BaseException('odd')\n", "BaseException: odd"),
    "another API": ("PREFLAB_API = 99\n", "needs plugin API 99, this preflab has 1"),
}
OFFERS = {
    "a schema with an unusable type": (
        SCHEMA.format(name="mine", type="complex", default="1j", returned=ONE),
        "is not a usable schema",
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
    "nested as a list": (
        SCHEMA.format(
            name="mine", type="int", default="1", returned=ONE.replace("C)", "C, nested=['x'])")
        ),
        "nested is ['x']: it must map config fields to kinds",
    ),
    "needs as a number": (
        SCHEMA.format(
            name="mine", type="int", default="1", returned=ONE.replace("C)", "C, needs=3)")
        ),
        "needs is 3: it must be a list of words or a function",
    ),
    "no config class": (
        SCHEMA.format(name="mine", type="int", default="1", returned=ONE.replace("C)", "None)")),
        "is not a usable schema",
    ),
}


@pytest.mark.parametrize("hook,fault", crossed(list(HOOKS), list(AT_IMPORT)))
def test_a_module_that_cannot_be_used(
    hook: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, message = AT_IMPORT[fault]
    source = HEAD + written_hook(hook, "", "return []") + source
    registry, plugin = load(tmp_path, source, monkeypatch)
    reported(registry, plugin, message)


@pytest.mark.parametrize("hook", crossed(list(HOOKS)))
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


@pytest.mark.parametrize("hook", crossed(list(HOOKS)))
def test_a_misspelt_hook(hook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry, plugin = load(tmp_path, HEAD + written_hook(f"{hook}x", "", "return []"), monkeypatch)
    reported(registry, plugin, f"a hook '{hook}x'", f"Did you mean '{hook}'")


@pytest.mark.parametrize("hook", crossed(list(HOOKS)))
def test_a_hook_that_would_never_be_called(
    hook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, plugin = load(tmp_path, f"def {hook}():\n    return []\n", monkeypatch)
    reported(
        registry,
        plugin,
        f"a function '{hook}' that is not marked as a hook: write @preflab.hookimpl above it",
    )


@pytest.mark.parametrize("hook,how", crossed(list(HOOKS), ["wrapper=True", "hookwrapper=True"]))
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


@pytest.mark.parametrize("hook,raised", crossed(REGISTRATION, RAISED))
def test_a_registration_hook_that_raises(
    hook: str, raised: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, plugin = load(tmp_path, HEAD + written_hook(hook, "", f"raise {raised}"), monkeypatch)
    reported(registry, plugin, f"raised in {hook}: {raised.partition('(')[0]}")


@pytest.mark.parametrize("hook,returned", crossed(REGISTRATION, RETURNED))
def test_a_wrong_return_value(
    hook: str, returned: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, plugin = load(
        tmp_path, HEAD + written_hook(hook, "", f"return {returned}"), monkeypatch
    )
    reported(registry, plugin, hook, "must be a list of")


@pytest.mark.parametrize("hook", crossed(REGISTRATION))
def test_an_interrupt_during_registration_is_raised(
    hook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path, HEAD + written_hook(hook, "", "raise KeyboardInterrupt"), monkeypatch)
    monkeypatch.delitem(sys.modules, "faulty", raising=False)


@pytest.mark.parametrize("fault", OFFERS)
def test_a_component_that_cannot_be_used(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, message = OFFERS[fault]
    registry, plugin = load(tmp_path, source, monkeypatch)
    reported(registry, plugin, message, "offers algorithm")


def test_presets_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = HEAD + written_hook("preflab_config_packages", "", "return ['nowhere_at_all']")
    registry, plugin = load(tmp_path, source, monkeypatch)
    reported(registry, plugin, "'nowhere_at_all' in preflab_config_packages")


def test_every_hook_is_in_one_of_the_groups_above() -> None:
    assert sorted(HOOKS) == sorted([*REGISTRATION, *OBSERVERS, *ASKED_AT_A_RUN])


@pytest.mark.slow
def test_tools_work_with_every_kind_of_fault_installed(tmp_path: Path) -> None:
    """All faults together, in processes of their own: exit 0, each named, and valid JSON although a
    module prints."""
    sources = [HEAD + source for source, _ in AT_IMPORT.values()] + [
        source for source, _ in OFFERS.values()
    ]
    sources += [
        HEAD + written_hook(hook, "", f"raise {r}") for hook in REGISTRATION for r in RAISED
    ]
    for i, source in enumerate(sources):
        install(tmp_path, f"fault{i}", source)
    install(tmp_path, "loud", "PREFLAB_API = 1\nprint('noise [')\n")
    path = os.pathsep.join([str(tmp_path), *sys.path])

    def tool(*words: str) -> str:
        command = [sys.executable, "-m", "preflab", *words]
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert "noise [" in done.stderr
        return done.stdout

    status = {row["name"]: row["status"] for row in json.loads(tool("plugins", "--json"))}
    assert status["loud"] == status["ppo"] == "ok"
    findings = tool("doctor")
    for i in range(len(sources)):
        assert status[f"fault{i}"] != "ok"
        assert f"plugin 'fault{i}' (fault{i}-dist 2.5) is not used: " in findings
        assert f"leave it out with --no-plugin fault{i}\n" in findings
    assert f"{len(sources)} finding(s)" in findings
    assert "fault0-dist" in tool("plugins")
    assert "Not loaded: plugin 'fault0' (fault0-dist 2.5)" in tool("--help")
