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
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FRAMEWORK = Path(__file__).parents[1]
WITHOUT_EFFECT = ("composing", "console", "door", "jobs", "planning", "scaffold", "testing")
"""Rooms of the framework that change no result: what they decide is in the recipe itself."""
_TALK = {"print", "warn", "warning", "info", "debug", "error", "exception"}
"""Functions whose texts are read by people: print, `warnings.warn` and those of a logger."""
_UNREAD = {"ctx", "kind", "type_comment", "type_params", "type_ignores"}
"""Fields of a syntax tree that say nothing more, or that not every version of Python has."""


@dataclass(frozen=True)
class Source:
    """What a file of Python comes to. meaning: digest of all but what only people read; imports:
    absolute or relative names of what it imports, modules and names in them alike."""

    meaning: str
    imports: frozenset[tuple[int, str]]


def read_source(path: Path) -> Source:
    """Read a file. One that reads docstrings (``__doc__``) keeps them in its meaning."""
    return _read_source(path.read_bytes())


@cache
def _read_source(source: bytes) -> Source:
    reader = _Reader(docstrings=b"__doc__" in source)
    reader.read(ast.parse(source))
    digest = hashlib.sha256("\x1f".join(reader.words).encode("utf8", "surrogatepass"))
    return Source(digest.hexdigest(), frozenset(reader.imports))


class _Reader:
    """Writes a syntax tree down as words, without what the program says to people."""

    def __init__(self, docstrings: bool) -> None:
        self.docstrings = docstrings
        self.words: list[str] = []
        self.imports: set[tuple[int, str]] = set()
        self.silent = 0
        """More than 0 within what is said to people: texts are left out, but not what is formatted
        into them."""

    def read(self, node: ast.AST) -> None:
        if isinstance(node, ast.Expr) and _is_text(node) and not self.docstrings:
            return  # also the texts that document constants and fields: a bare string does nothing
        if isinstance(node, ast.Constant):
            text = isinstance(node.value, str) and self.silent
            self.words.append("text" if text else repr(node.value))
            return
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self._note_imports(node)
        name = _called(node)
        says = isinstance(node, ast.Raise) or name in _TALK
        self.silent += says
        self.words.append(type(node).__name__)
        for field in node._fields:
            if field not in _UNREAD:
                value = getattr(node, field, None)
                if name == "option":  # the config itself, with its defaults, is in the recipe
                    value = _without_help(field, value)
                self._read_field(value)
        self.words.append(")")
        self.silent -= says

    def _read_field(self, value: Any) -> None:
        if isinstance(value, ast.AST):
            self.read(value)
        elif isinstance(value, list):
            for item in value:
                self._read_field(item)
            self.words.append("]")
        else:
            self.words.append(repr(value))

    def _note_imports(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            self.imports |= {(0, alias.name) for alias in node.names}
            return
        module = node.module or ""
        self.imports.add((node.level, module))
        self.imports |= {(node.level, f"{module}.{alias.name}".lstrip(".")) for alias in node.names}


def _called(node: ast.AST) -> str:
    """The name of the function that a node calls, without what is before its last dot."""
    if not isinstance(node, ast.Call):
        return ""
    return str(getattr(node.func, "attr", getattr(node.func, "id", "")))


def _is_text(node: ast.Expr) -> bool:
    return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _without_help(field: str, value: Any) -> Any:
    """The arguments of a call of `preflab.option` without its documentation."""
    if field == "args":
        return [*value[:1], *value[2:]]
    return [word for word in value if word.arg != "doc"] if field == "keywords" else value


@cache
def framework_digest(root: Path = _FRAMEWORK) -> str:
    """Digest of the framework's rooms that compute results."""
    files = {p.relative_to(root): p for p in sorted(root.rglob("*.py"))}
    counted = {
        str(n): read_source(p).meaning for n, p in files.items() if n.parts[0] not in WITHOUT_EFFECT
    }
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()


def source_digest(module: str, packages: Iterable[str]) -> str:
    """Digest of a plugin's source files and of all they import from the given top-level packages
    (those of plugins)."""
    return _source_digest(module, tuple(sorted(set(packages))))


@cache
def _source_digest(module: str, packages: tuple[str, ...]) -> str:
    pending, sources = _files(module), dict[Path, Source]()
    while pending:
        path = pending.pop()
        if path in sources:
            continue
        sources[path] = read_source(path)
        for name in _absolute(sources[path].imports, path):
            if name.split(".")[0] in packages:
                pending.extend(_module_file(name))
    meanings = sorted(source.meaning for source in sources.values())
    return hashlib.sha256("\n".join(meanings).encode()).hexdigest()


def _files(module: str) -> list[Path]:
    """The files of a plugin: its whole folder if it is a package, else its file."""
    if Path(module).is_file():
        return [Path(module)]
    files = _module_file(module)
    return (
        sorted(files[0].parent.rglob("*.py")) if files and files[0].name == "__init__.py" else files
    )


def _module_file(name: str) -> list[Path]:
    """The file of a module, found without importing its parents; [] if the name is not a module
    (but a name in one)."""
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


def _absolute(imports: Iterable[tuple[int, str]], path: Path) -> set[str]:
    """Absolute names of what a file imports."""
    package = _package(path) if any(level for level, _ in imports) else []
    names = set()
    for level, name in imports:
        above = package[: len(package) - level + 1] if level else []
        names.add(".".join([*above, *([name] if name else [])]))
    return names


def _package(path: Path) -> list[str]:
    """Names of the packages that a file is in, outermost first."""
    names: list[str] = []
    folder = path.parent
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return names
