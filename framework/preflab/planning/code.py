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
_LOGS = {"log", "logger", "logging", "_log", "_logger"}
_UNREAD = {"ctx", "kind", "type_comment", "type_params", "type_ignores"}
"""Fields of a syntax tree that say nothing more, or that not every version of Python has."""


@dataclass(frozen=True)
class Source:
    """A file of Python. meaning: digest of all but what only people read; imports: (level, name) of
    what it imports, modules and names in them alike; reads_docs: whether it reads docstrings."""

    meaning: str
    imports: frozenset[tuple[int, str]]
    reads_docs: bool


def read_source(path: Path, docstrings: bool = False) -> Source:
    """Read a file. docstrings: whether they count; they do in a file that reads docstrings."""
    return _read_source(path.read_bytes(), docstrings)


@cache
def _read_source(source: bytes, docstrings: bool) -> Source:
    reads_docs = b"__doc__" in source or b"getdoc" in source
    reader = _Reader(docstrings or reads_docs)
    reader.read(ast.parse(source))
    digest = hashlib.sha256("\x1f".join(reader.words).encode("utf8", "surrogatepass"))
    return Source(digest.hexdigest(), frozenset(reader.imports), reads_docs)


class _Reader:
    """Writes a syntax tree down as words, without the texts that the program shows to people."""

    def __init__(self, docstrings: bool) -> None:
        self.docstrings = docstrings
        self.words: list[str] = []
        self.imports: set[tuple[int, str]] = set()

    def read(self, node: ast.AST, message: bool = False) -> None:
        """message: the node is an argument that only people read: its text is left out, but not
        what is formatted into it."""
        if isinstance(node, ast.Expr) and _is_text(node) and not self.docstrings:
            return  # also the texts that document constants and fields: a bare string does nothing
        if isinstance(node, ast.Constant):
            text = message and isinstance(node.value, str)
            self.words.append("text" if text else f"constant {node.value!r}")
            return
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self._note_imports(node)
        self.words.append(type(node).__name__)
        call = _message_call(node)
        for field in node._fields:
            if field not in _UNREAD:
                inner = message and isinstance(node, ast.JoinedStr)
                self._read_field(getattr(node, field, None), call, inner)
        self.words.append(")")

    def _read_field(self, value: Any, call: ast.Call | None, message: bool) -> None:
        if value is call and call is not None:
            self._read_call(call)
        elif isinstance(value, ast.Call) and self._is_option(value):
            self._read_option(value)
        elif isinstance(value, ast.AST):
            self.read(value, message)
        elif isinstance(value, list):
            for item in value:
                self._read_field(item, call, message)
            self.words.append("]")
        else:
            self.words.append(repr(value))

    def _read_call(self, call: ast.Call) -> None:
        """A call whose direct arguments are messages."""
        self.read(call.func)
        for argument in call.args:
            self.read(argument, message=isinstance(argument, (ast.Constant, ast.JoinedStr)))
        self._read_field(call.keywords, None, False)

    def _is_option(self, call: ast.Call) -> bool:
        known = {(0, "preflab.option"), (0, "preflab.options.option")} & self.imports
        return bool(known) and isinstance(call.func, ast.Name) and call.func.id == "option"

    def _read_option(self, call: ast.Call) -> None:
        """`preflab.option` without its documentation: the config, with its defaults, is in the
        recipe itself."""
        self.words.append("option")
        self._read_field([*call.args[:1], *call.args[2:]], None, False)
        self._read_field([word for word in call.keywords if word.arg != "doc"], None, False)

    def _note_imports(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            self.imports |= {(0, alias.name) for alias in node.names}
            return
        module = node.module or ""
        self.imports.add((node.level, module))
        self.imports |= {(node.level, f"{module}.{alias.name}".lstrip(".")) for alias in node.names}


def _message_call(node: ast.AST) -> ast.Call | None:
    """The call within a statement whose texts are for people: of a raised error, or of print to the
    terminal, `warnings.warn` and a logger where nothing is done with the result."""
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        name = ast.unparse(node.exc.func)
        return node.exc if name.endswith(("Error", "Exit", "Exception")) else None
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return None
    call = node.value
    name, _, method = ast.unparse(call.func).rpartition(".")
    files = [ast.unparse(word.value) for word in call.keywords if word.arg == "file"]
    printed = (name, method) == ("", "print") and files in ([], ["sys.stderr"])
    warned = (name, method) == ("warnings", "warn")
    return call if printed or warned or name in _LOGS else None


def _is_text(node: ast.Expr) -> bool:
    return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@cache
def framework_digest(root: Path = _FRAMEWORK) -> str:
    """Digest of the framework's rooms that compute results."""
    files = {p.relative_to(root): p for p in sorted(root.rglob("*.py"))}
    counted = {
        str(n): read_source(p).meaning for n, p in files.items() if n.parts[0] not in WITHOUT_EFFECT
    }
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()


def source_digest(modules: Iterable[str], packages: Iterable[str]) -> str:
    """Digest of the source of a plugin's modules (of a package: all its files) and of all that they
    import from the given top-level packages, those of plugins."""
    return _source_digest(tuple(modules), tuple(sorted(set(packages))))


@cache
def _source_digest(modules: tuple[str, ...], packages: tuple[str, ...]) -> str:
    pending = [*_files(modules[0]), *(path for m in modules[1:] for path in _module_file(m))]
    sources: dict[Path, Source] = {}
    while pending:
        path = pending.pop()
        if path in sources:
            continue
        sources[path] = read_source(path)
        for name in _absolute(sources[path].imports, path):
            if name.split(".")[0] in packages:
                pending.extend(_module_file(name))
    docs = any(source.reads_docs for source in sources.values())
    meanings = sorted(read_source(path, docs).meaning for path in sources)
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
