"""Imports run one way: each room of the framework imports only from rooms below it, and no
modules import each other in a circle. Imports for type checking and inside functions count."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "framework"
ORDER = (
    "desk",
    "storage",
    "rows",
    "door",
    "composing",
    "planning",
    "engine",
    "jobs",
    "console",
    "session",
)
"""Rooms from the ground up; plugins import the desk, which is the top level of the package, and
rows."""
AUTHORS = ("testing", "scaffold")
"""For authors of plugins: they may import any room but the console, and only the console imports
them."""
NAMES_FOR_ALL = ("preflab", "preflab.__main__")
"""The names that the package gives away, and the entry point."""


def _modules(root: Path = ROOT) -> dict[str, Path]:
    paths = root.rglob("*.py")
    names = {p: ".".join(p.relative_to(root).with_suffix("").parts) for p in paths}
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


MODULES = _modules()


def _imports(name: str, within: Mapping[str, Path] = MODULES) -> set[str]:
    """Modules among some, by default the framework's, that one of them imports."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(within[name].read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            modules |= inner & set(within) or {node.module}
    return modules & set(within) - {name}


IMPORTS = {name: _imports(name) for name in MODULES}


def _room(name: str) -> str:
    parts = name.split(".")
    inside = len(parts) > 1 and (ROOT / "preflab" / parts[1]).is_dir()
    return parts[1] if inside and parts[1] in (*ORDER, *AUTHORS) else "desk"


def _allowed(importer: str, imported: str) -> bool:
    if importer in AUTHORS:
        return imported != "console" and (imported not in AUTHORS or imported == importer)
    if imported in AUTHORS:
        return importer == "console"
    return ORDER.index(imported) <= ORDER.index(importer)


def test_a_module_imports_from_rooms_below_it() -> None:
    for name in sorted(set(MODULES) - set(NAMES_FOR_ALL)):
        upward = [m for m in IMPORTS[name] if not _allowed(_room(name), _room(m))]
        assert not upward, f"{name} in {_room(name)} imports {', '.join(sorted(upward))}"


@pytest.mark.parametrize("root", ["framework", "plugins"])
def test_no_modules_import_each_other_in_a_circle(root: str) -> None:
    modules = _modules(ROOT.with_name(root))
    remaining = {name: _imports(name, modules) for name in modules}
    while leaves := {name for name, imports in remaining.items() if not imports & set(remaining)}:
        for name in leaves:
            del remaining[name]
    assert not remaining, f"in a circle, or above one: {sorted(remaining)}"


def test_every_room_has_modules_and_says_what_it_is_for() -> None:
    for room in (*ORDER[1:], *AUTHORS):
        assert len([name for name in MODULES if _room(name) == room]) > 1 or room == "scaffold"
        text = MODULES[f"preflab.{room}"].read_text(encoding="utf8")
        assert ast.get_docstring(ast.parse(text))


def test_the_page_of_the_architecture_names_every_module() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf8")
    for name, path in MODULES.items():
        if _room(name) not in AUTHORS and name not in NAMES_FOR_ALL and path.stem != "__init__":
            assert f"`{name.rpartition('.')[2]}`" in page, name


OPENS_RUNS = "preflab_serve/opening.py"
"""A command that serves the models of finished runs, opened as preflab chat opens them."""


PLUGINS = Path(__file__).parents[1] / "plugins"
BUILDS_A_REWARD = "preflab_builtin/stored_samples/rewards.py"
"""A command that builds a reward outside of any run: it reads a component's config as planning
does."""


READS_A_RUN = "preflab_people/prompts.py"
"""A command that reads the prompts of a run as the run does, filters included."""


def test_a_plugin_imports_desk_storage_rows_and_other_plugins() -> None:
    for path in sorted(PLUGINS.rglob("*.py")):
        rooms, allowed = _rooms(path), _allowed_to(path)
        assert rooms <= allowed, f"{path}: {sorted(rooms - allowed)}"


def _rooms(path: Path) -> set[str]:
    """Those of the framework that a plugin's file imports from."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {_room(name) for name in names if name.startswith("preflab.")}


def _allowed_to(path: Path) -> set[str]:
    allowed = {"desk", "storage", "rows"}
    if path.as_posix().endswith(BUILDS_A_REWARD):
        allowed |= {"door", "composing", "planning"}
    if path.as_posix().endswith(READS_A_RUN):
        allowed |= {"composing", "planning", "engine"}
    if path.as_posix().endswith(OPENS_RUNS):
        allowed |= {"door", "composing", "planning", "engine"}
    if path.parent.name == "examples":
        allowed |= {"testing"}  # a page needs records and models in memory
    return allowed
