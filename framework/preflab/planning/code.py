"""Digests of source code: what it computes counts, what it says does not.

Comments, layout, docstrings, and the texts of raised errors, warnings and printed lines are left
out, so that rewording them recomputes nothing.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

_FRAMEWORK = Path(__file__).parents[1]
WITHOUT_EFFECT = ("composing", "console", "door", "jobs", "planning", "scaffold", "testing")
"""Rooms of the framework that change no result: what they decide is in the recipe itself."""
_TALK = {"print", "warn", "warning", "info", "debug", "error", "exception"}
"""Functions whose texts are read by people: print, `warnings.warn` and those of a logger."""


class _Silent(ast.NodeTransformer):
    """Takes out what a program says to people."""

    def __init__(self, docstrings: bool) -> None:
        self.docstrings = docstrings

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        node.exc = _without_texts(node.exc)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        )
        if name in _TALK:
            emptied: ast.AST = _without_texts(node)
            return emptied
        if name == "option":  # the config itself, with its defaults, is in the recipe
            node.args[1:2] = []
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "doc"]
        return self.generic_visit(node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        body = getattr(node, "body", None)
        if self.docstrings and isinstance(body, list):
            # Also the texts that document constants and fields: a bare string does nothing.
            kept = [item for item in body if not _is_text(item)]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
        return super().generic_visit(node)


def _is_text(node: ast.AST) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _without_texts(node: Any) -> Any:
    """The same expression with every piece of text in it empty; what is formatted into a text
    stays."""
    for inner in ast.walk(node) if node is not None else ():
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            inner.value = ""
    return node


def meaning(path: Path) -> str:
    """Digest of a file of Python, without what only people read. A file that reads docstrings
    (``__doc__``) keeps them."""
    return _meaning(path.read_bytes())


@cache
def _meaning(source: bytes) -> str:
    tree = _Silent(docstrings=b"__doc__" not in source).visit(ast.parse(source))
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()


@cache
def framework_digest(root: Path = _FRAMEWORK) -> str:
    """Digest of the framework's rooms that compute results."""
    files = {p.relative_to(root): p for p in sorted(root.rglob("*.py"))}
    counted = {str(n): meaning(p) for n, p in files.items() if n.parts[0] not in WITHOUT_EFFECT}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()


def source_digest(module: str, packages: Iterable[str]) -> str:
    """Digest of a plugin's source files and of all they import from the given top-level packages
    (those of plugins)."""
    return _source_digest(module, tuple(sorted(set(packages))))


@cache
def _source_digest(module: str, packages: tuple[str, ...]) -> str:
    pending, seen = _files(module), set()
    while pending:
        path = pending.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in _imports(path):
            if name.split(".")[0] in packages:
                pending.extend(_module_file(name))
    return hashlib.sha256("\n".join(sorted(map(meaning, seen))).encode()).hexdigest()


def _files(module: str) -> list[Path]:
    """The files of a plugin: its whole folder if it is a package, else its file."""
    if Path(module).is_file():
        return [Path(module)]
    files = _module_file(module)
    return (
        sorted(files[0].parent.rglob("*.py")) if files and files[0].name == "__init__.py" else files
    )


def _module_file(name: str) -> list[Path]:
    """The file of a module, found without importing its parents; [] if the name is no module (but
    a name in one)."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    if not rest:
        return [Path(spec.origin)] if spec.origin and spec.origin.endswith(".py") else []
    places = [Path(folder).joinpath(*rest) for folder in spec.submodule_search_locations or []]
    return [
        f
        for place in places
        for f in (place.with_suffix(".py"), place / "__init__.py")
        if f.is_file()
    ]


def _imports(path: Path) -> set[str]:
    """Absolute names of what a file imports, modules and names in them alike."""
    names: set[str] = set()
    package = _package(path)
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            names.add(module)
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def _package(path: Path) -> list[str]:
    """Names of the packages that a file stands in, outermost first."""
    names: list[str] = []
    folder = path.parent
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return names
