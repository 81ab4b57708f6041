"""What holds for a component of any kind: its registration is light, its config is typed,
documented and checked."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from preflab.components import NEEDS, Component, Place
from preflab.errors import PluginError
from preflab.options import problems
from preflab.planning.asking import needs
from preflab.testing.runs import refusal

if TYPE_CHECKING:
    from preflab.testing.case import Case
    from preflab.testing.context import FakeContext

HEAVY = ("torch", "transformers", "accelerate", "scipy", "matplotlib")
_REGISTER = """
import importlib, json, sys
from preflab.door.discovery import import_file
from pathlib import Path
name = sys.argv[1]
module = import_file(Path(name)) if name.endswith(".py") else importlib.import_module(name)
for hook in ("components", "stages", "config_packages", "commands"):
    getattr(module, f"preflab_{hook}", list)()
print(json.dumps([heavy for heavy in sys.argv[2:] if heavy in sys.modules]))
"""


class ComponentContract:
    """Subclass it (or a contract of a kind) in a test file, as ``class
    TestMine(ComponentContract)``.

    kind, name: of the component. overrides: what the command line would say in addition to
    GROUP=NAME, or, for a component that is inside another (a gradient term, an evaluator, a
    filter), to choose a preset that holds it.
    required: config fields without a usable default (a path); ``overrides`` or ``files`` give them.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    overrides: ClassVar[Sequence[str]] = ()
    required: ClassVar[Sequence[str]] = ()

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        """Overrides that name files, which it writes into the folder: ``[f"data.path={path}"]``."""
        return ()

    @classmethod
    def arrange(cls, context: FakeContext) -> None:
        """Give every context what the component needs in addition to the tiny world, for example
        ``context.policies``."""

    def test_registering_imports_no_heavy_library(self, preflab_case: Case) -> None:
        heavy = heavy_imports(preflab_case.choice.plugin.module)
        assert not heavy, (
            f"importing and registering {preflab_case.choice.plugin.label} imports "
            f"{', '.join(heavy)}, which makes every command slow: import it inside build and "
            "procedure, and keep it out of the config's module"
        )

    def test_needs_are_words_that_the_engine_knows(self, preflab_case: Case) -> None:
        unknown = {need.partition(":")[0] for need in needs(preflab_case.choice)} - set(NEEDS)
        assert not unknown, f"needs names {sorted(unknown)}. Allowed: {', '.join(NEEDS)}"

    def test_functions_given_by_place_take_the_config(self, preflab_case: Case) -> None:
        wrong = wrong_places(preflab_case.component)
        assert not wrong, "; ".join(wrong)

    def test_every_field_is_documented(self, preflab_case: Case) -> None:
        config_class = preflab_case.component.config_class
        silent = [key for key, field, _ in _fields(config_class()) if not field.metadata.get("doc")]
        assert not silent, (
            f"no documentation: {', '.join(silent)}. Write option(default, 'what it does, with its "
            "unit')"
        )
        generated = f"{config_class.__name__}("  # what dataclass writes where nobody wrote anything
        assert config_class.__doc__, f"{config_class.__name__} has no docstring"
        assert not config_class.__doc__.startswith(generated), (
            f"{config_class.__name__} has no docstring"
        )

    def test_defaults_are_valid(self, preflab_case: Case) -> None:
        wrong = [
            f"{key} {what}"
            for key, what in problems(preflab_case.component.config_class())
            if key not in self.required
        ]
        assert not wrong, f"the defaults are refused: {'; '.join(wrong)}"

    def test_an_unknown_key_is_refused(self, preflab_case: Case) -> None:
        self._refused(preflab_case, "no_such_key", 1, "no_such_key is not an option")

    def test_a_value_out_of_range_is_refused(self, preflab_case: Case) -> None:
        for key, field, _ in _fields(preflab_case.choice.config):
            for value in _outside(field.metadata):
                self._refused(preflab_case, key, value, key)

    def test_a_value_of_the_wrong_type_is_refused(self, preflab_case: Case) -> None:
        for key, _, value in _fields(preflab_case.choice.config):
            if isinstance(value, (bool, int, float, Enum)):
                self._refused(preflab_case, key, "no such value", key)

    def test_the_config_is_plain_data(self, preflab_case: Case) -> None:
        from preflab.planning.recipes import canonical

        config = preflab_case.choice.config
        text = json.dumps(canonical(config), sort_keys=True)
        again = choose_again(preflab_case, dataclasses.asdict(config))
        assert json.dumps(canonical(again), sort_keys=True) == text, (
            "the config changes when it is read from its own values"
        )

    def _refused(self, case: Case, key: str, value: Any, expected: str) -> None:
        node = dataclasses.asdict(case.choice.config)
        place = node
        *path, last = key.split(".")
        for part in path:
            place = place[part]
        place[last] = value
        message = refusal(lambda: choose_again(case, node))
        assert message, (
            f"{key}={value!r} is accepted. Give the field its range, or the config a 'check' method"
        )
        assert expected in message, f"{key}={value!r} is refused without naming it: {message}"


def wrong_places(component: Component) -> list[str]:
    """What is wrong with the functions that a component gives as places: each must exist and take
    the component's config, annotated with its class, and a context (``inspect``: nothing
    else; ``checkpoint``: the name of one)."""
    problems = []
    config_classes = {config_class.__name__ for config_class in component.config_class.__mro__}
    for field, arguments in (
        ("build", ("config", "context")),
        ("procedure", ("config", "context")),
        ("inspect", ("config",)),
        ("preflight", ("config", "context")),
        ("checkpoint", ("config", "name")),
    ):
        place = getattr(component, field)
        if not isinstance(place, Place):
            continue
        where = f"{field} of {component.kind} '{component.name}' is '{place.place}', which"
        try:
            signature = inspect.signature(place.target())
            signature.bind(*arguments)
        except (ImportError, PluginError) as error:
            problems.append(f"{where} cannot be imported: {error}")
        except TypeError:
            problems.append(f"{where} takes {signature}: it is called with {arguments}")
        else:
            annotation = str(next(iter(signature.parameters.values())).annotation)
            if not config_classes & set(re.findall(r"\w+", annotation)):
                problems.append(
                    f"{where} takes {signature}: annotate the config as "
                    f"{component.config_class.__name__}"
                )
    return problems


def choose_again(case: Case, node: Mapping[str, Any]) -> Any:
    """The typed config that plain values become."""
    from preflab.composing.search_path import registry
    from preflab.planning.reading import choose

    return choose(registry(), case.kind, node, case.kind).config


def _fields(config: Any, path: str = "") -> Iterator[tuple[str, dataclasses.Field[Any], Any]]:
    """(key, field, value) of a config and the configs nested in it."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        yield f"{path}{field.name}", field, value
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from _fields(value, f"{path}{field.name}.")


def _outside(bounds: Mapping[str, Any]) -> Iterator[float]:
    """A value just outside each bound of a field."""
    for name, value in (("ge", -1), ("gt", 0), ("le", 1), ("lt", 0)):
        if bounds.get(name) is not None:
            yield bounds[name] + value


@cache
def heavy_imports(module: str) -> list[str]:
    """The heavy libraries that registering a plugin imports, seen in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _REGISTER, module, *HEAVY]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (
        f"{module} cannot be registered in a process of its own:\n{done.stderr[-2000:]}"
    )
    return list(json.loads(done.stdout.splitlines()[-1]))
