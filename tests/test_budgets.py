"""Budgets that keep the code readable, and the declared plugins."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(
    p for folder in ("framework", "plugins", "tests") for p in (ROOT / folder).rglob("*.py")
)
SOURCES = [p for p in FILES if "tests" not in p.relative_to(ROOT).parts]


def _nodes(path: Path, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
    return (
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8")))
        if isinstance(node, kinds)
    )


def test_files_have_400_lines_and_a_docstring_functions_60_and_configs_15_fields() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf8")
        tree = ast.parse(text)
        assert text.count("\n") <= 400, path
        assert ast.get_docstring(tree), f"{path} has no docstring"
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                fields = sum(isinstance(item, ast.AnnAssign) for item in node.body)
                assert fields <= 15, f"{path}:{node.lineno} {node.name} has {fields} fields"
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 60, f"{path}:{node.lineno} {node.name} has {length} lines"


ON_POLICY = {"ppo": 60, "expert_iteration": 60, "online_dpo": 60, "group": 70}
"""Lines of code that an algorithm on the core may have beside its config and pre-flight; `group` is
five algorithms."""


def _code_lines(path: Path) -> int:
    """Lines that are neither blank nor a comment nor part of a docstring."""
    texts = set[int]()
    for node in _nodes(path, ast.Expr):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            texts.update(range(node.lineno, (node.end_lineno or 0) + 1))
    lines = enumerate(path.read_text(encoding="utf8").splitlines(), 1)
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in texts
        for number, line in lines
    )


@pytest.mark.parametrize("name", ON_POLICY)
def test_an_algorithm_on_the_core_is_short(name: str) -> None:
    folder = ROOT / "plugins" / "preflab_builtin" / name
    beside = {"__init__", "config", "preflight"}
    lines = sum(_code_lines(path) for path in folder.glob("*.py") if path.stem not in beside)
    assert 10 < lines <= ON_POLICY[name]


def test_no_module_is_called_utils() -> None:
    assert not [p for p in FILES if p.stem in {"utils", "common", "misc", "helpers"}]


def test_the_framework_never_imports_a_built_in_plugin() -> None:
    for path in (ROOT / "framework").rglob("*.py"):
        assert "preflab_builtin" not in path.read_text(encoding="utf8"), path


def test_built_in_plugins_are_the_declared_entry_points() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"][
        "entry-points"
    ]["preflab"]
    folders = {p.parent.name for p in (ROOT / "plugins" / "preflab_builtin").glob("*/__init__.py")}
    for name in ("people", "serve"):  # packages beside them, with their own extras
        assert declared.pop(name) == f"preflab_{name}"
    folders -= {"on_policy", "training"}  # what algorithms import: they have no component
    assert set(declared) == folders
    assert all(module == f"preflab_builtin.{name}" for name, module in declared.items())


DECLARATIONS = {
    *(
        "__main__",
        "components",
        "evaluating",
        "interfaces",
        "models",
        "prompts",
        "sampling",
        "settings",
        "sources",
        "version",
    ),
    *("door/choice", "door/plugin", "planning/asking", "rows/row"),
}
"""Modules of the framework that declare things; the tests of what uses them test them."""


def test_every_module_of_the_framework_has_a_test_file() -> None:
    """In the folder that mirrors its room; testing/ and scaffold/ are tested as wholes."""
    package = ROOT / "framework" / "preflab"
    modules = {
        path.relative_to(package).with_suffix("")
        for path in package.rglob("*.py")
        if path.name != "__init__.py"
    }
    missing = [
        str(module)
        for module in sorted(modules)
        if module.parts[0] not in ("testing", "scaffold")
        and str(module) not in DECLARATIONS
        and not (ROOT / "tests" / "framework" / module.with_name(f"test_{module.name}.py")).exists()
    ]
    assert missing == []
