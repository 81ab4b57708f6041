"""Digests of source code: what it computes counts, what it says does not.

Comments, layout, docstrings, and the texts of raised errors, warnings and printed lines are left
out, so that rewording them recomputes nothing.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from preflab.door import plugin_files
from preflab.door.brought import Brought, brought_by, installed
from preflab.storage.durable import cached_digest

_FRAMEWORK = Path(__file__).parents[1]
WITHOUT_EFFECT = (
    "composing",
    "console",
    "door",
    "jobs",
    "planning",
    "scaffold",
    "session",
    "testing",
)
"""Rooms of the framework that change no result: what they decide is in the recipe itself."""
_LOGS = {"log", "logger", "logging", "_log", "_logger"}
_UNREAD = {"ctx", "kind", "type_comment", "type_params", "type_ignores"}
"""Fields of a syntax tree that say nothing more, or that not every version of Python has."""


@dataclass(frozen=True)
class Source:
    """A file of Python. meaning: digest of all but what only people read; imports: (level, name) of
    what it imports, modules and names in them alike; texts: short strings in it, which may name
    files and modules; reads_docs: whether it reads docstrings."""

    meaning: str
    imports: frozenset[tuple[int, str]]
    texts: frozenset[str]
    reads_docs: bool


def read_source(path: Path, docstrings: bool = False) -> Source:
    """Read a file. docstrings: whether they count; they do in a file that reads docstrings."""
    return _read_source(path.read_bytes(), docstrings)


@cache
def _read_source(source: bytes, docstrings: bool) -> Source:
    reads_docs = b"__doc__" in source or b"getdoc" in source
    reader = _Reader(docstrings or reads_docs)
    try:
        reader.read(ast.parse(source))
    # Of another Python, which nothing that runs here imports, or nested too deeply for the reader.
    except (SyntaxError, ValueError, RecursionError):
        reader.words = [source.decode("utf8", "surrogateescape")]
    digest = hashlib.sha256("\x1f".join(reader.words).encode("utf8", "surrogatepass"))
    texts = frozenset(t for t in reader.texts if 0 < len(t) < 256 and t.isprintable())
    return Source(digest.hexdigest(), frozenset(reader.imports), texts, reads_docs)


class _Reader:
    """Writes a syntax tree down as words, without the texts that the program shows to people."""

    def __init__(self, docstrings: bool) -> None:
        self.docstrings = docstrings
        self.words: list[str] = []
        self.imports: set[tuple[int, str]] = set()
        self.texts: set[str] = set()

    def read(self, node: ast.AST, message: bool = False) -> None:
        """message: the node is an argument that only people read: its text is left out, but not
        what is formatted into it."""
        if isinstance(node, ast.Expr) and _is_text(node) and not self.docstrings:
            return  # also the texts that document constants and fields: a bare string does nothing
        if isinstance(node, ast.Constant):
            text = message and isinstance(node.value, str)
            self.words.append("text" if text else f"constant {node.value!r}")
            if isinstance(node.value, str) and not message:
                self.texts.add(node.value)
            return
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self._note_imports(node)
        if isinstance(node, ast.Call) and (module := _named_import(node)):
            self.imports.add((0, module))
        if isinstance(node, (ast.BinOp, ast.Call)):
            self.texts.add("/".join(_parts(node)))
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


def _named_import(call: ast.Call) -> str:
    """The module that ``importlib.import_module("NAME")`` or ``__import__("NAME")`` imports."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    first = call.args[0] if call.args else None
    if name not in ("import_module", "__import__") or not isinstance(first, ast.Constant):
        return ""
    return first.value if isinstance(first.value, str) else ""


def _parts(node: ast.AST) -> list[str]:
    """The parts of the path that ``X / "data" / "words.txt"`` or ``join(X, "data", "words.txt")``
    leads to from X."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return [*_parts(node.left), *_parts(node.right)]
    if isinstance(node, ast.Attribute):
        return _parts(node.value)
    if isinstance(node, ast.Call):
        return [part for inner in (node.func, *node.args) for part in _parts(inner)]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


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


def source_digest(modules: Iterable[str], packages: Iterable[str], all_own: bool = True) -> str:
    """Digest of the source of a plugin and of what it imports.

    modules: the plugin's module (of a package all its files count; or the path of its file), and
    those that hold its functions. packages: top-level packages of plugins, which count wherever
    they are. all_own: everything else that somebody edits counts too: modules beside a plugin
    file, editable installs, whatever lies outside of site-packages and the standard library; what
    the import of a plugin file brought in; and files, by their bytes, that a text in the source
    names and that are in its folder or below.
    """
    return _source_digest(tuple(modules), tuple(sorted(set(packages))), all_own)


@dataclass(frozen=True)
class _File:
    """A file of source. home: folder of the plugin file that it is beside, if it is."""

    path: Path
    home: Path | None = None


@cache
def _source_digest(modules: tuple[str, ...], packages: tuple[str, ...], all_own: bool) -> str:
    brought = brought_by(Path(modules[0]))
    of_packages = {p for name, p in brought.named.items() if name.partition(".")[0] in packages}
    home = Path(modules[0]).resolve().parent
    pending = _start(modules)
    for path in brought.files - of_packages:
        pending.append(_File(path, home if path.is_relative_to(home) else None))
    sources: dict[Path, Source] = {}
    data: set[Path] = set()
    while pending:
        file = pending.pop()
        path = file.path.resolve()
        if path in sources:
            continue
        source = sources[path] = read_source(path)
        for level, name in source.imports:
            pending += _imported(file, level, name, packages, all_own, brought)
        if all_own:
            named = [f for text in source.texts for f in _named(file, text, brought)]
            pending += [f for f in named if f.path.suffix == ".py"]
            data |= {f.path.resolve() for f in named if f.path.suffix != ".py"}
    docs = any(source.reads_docs for source in sources.values())
    meanings = sorted(read_source(path, docs).meaning for path in sources)
    meanings += sorted(cached_digest(path) for path in data)
    return hashlib.sha256("\n".join(meanings).encode()).hexdigest()


def _named(file: _File, text: str, brought: Brought) -> list[_File]:
    """The files that a text in a file names: one beside it or below, or a module."""
    with contextlib.suppress(OSError):  # no name of a file
        path = file.path.parent / text
        if path.is_file() and not Path(text).is_absolute():
            return [_File(path, file.home)]
    if not text.replace(".", "_").isidentifier() or not all(text.split(".")):
        return []
    if file.home and (near := _beside(file.home, text)):
        return near
    return _loaded(text, brought)


def _loaded(name: str, brought: Brought) -> list[_File]:
    """The files of a module, and of the packages that it is in, that a plugin file imported."""
    parts = name.split(".")
    names = [".".join(parts[:n]) for n in range(1, len(parts) + 1)]
    return [_File(brought.named[n]) for n in names if n in brought.named]


def _start(modules: Sequence[str]) -> list[_File]:
    """The files of a plugin: its whole folder if it is a package, else its file; and those of the
    modules that hold its functions."""
    plugin, *more = modules
    if Path(plugin).is_file():
        home = Path(plugin).parent
        found = [_File(Path(plugin), home)]
        return found + [f for m in more for f in _beside(home, m) or map(_File, _module_file(m))]
    files = _module_file(plugin)
    if files and files[0].name == "__init__.py":
        files = sorted(files[0].parent.rglob("*.py"))
    return [_File(path) for path in [*files, *(p for m in more for p in _module_file(m))]]


def _imported(
    file: _File,
    level: int,
    name: str,
    packages: Sequence[str],
    all_own: bool,
    brought: Brought,
) -> list[_File]:
    """The files that count of what a file imports: ``from {level dots}{name} import ...``."""
    top = name.partition(".")[0]
    if level:
        folder = file.path.parents[level - 1] if level <= len(file.path.parents) else None
        found = _in_folder(folder, name.split(".") if name else []) if folder else []
        return [_File(path, file.home) for path in found]
    if file.home and (near := _beside(file.home, name)):
        return near
    if top in packages:
        return [_File(path) for path in _module_file(name)]
    if not all_own:
        return []
    found = _module_file(name, parents=True) if _is_own(top) else []
    return [*_loaded(name, brought), *map(_File, found)]


def _beside(home: Path, name: str) -> list[_File]:
    """Files that a plugin file means by a module beside it, packages that it is in included."""
    top, *rest = name.split(".")
    place = plugin_files.beside(home, top)
    if place is None:
        return []
    folder = place.parent if place.name == "__init__.py" else place
    first = [place] if place.suffix == ".py" else []
    return [_File(path, home) for path in [*first, *_in_folder(folder, rest, parents=True)]]


def _in_folder(folder: Path, parts: Sequence[str], parents: bool = False) -> list[Path]:
    """The file of a module in a folder; parents: also the packages on the way to it."""
    if not parts:
        return [f for f in [folder / "__init__.py"] if f.is_file()]
    starts = range(1, len(parts) + 1) if parents else [len(parts)]
    places = [folder.joinpath(*parts[:n]) for n in starts]
    files = [f for p in places for f in (p.with_name(f"{p.name}.py"), p / "__init__.py")]
    return [f for f in files if f.is_file()]


@cache
def _is_own(top: str) -> bool:
    """Whether a top-level module is source that somebody edits: not of an installed package, the
    standard library, or the framework (whose digest is in every recipe)."""
    if top in sys.stdlib_module_names or top == _FRAMEWORK.name:
        return False
    return any(not installed(path) for path in _places(top))


def _places(top: str) -> list[Path]:
    """Where a top-level module is: its file, or the folders of a package."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return [Path(folder) for folder in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec.origin and spec.origin.endswith(".py") else []


def _module_file(name: str, parents: bool = False) -> list[Path]:
    """The file of a module, found without importing its parents; [] if the name is not a module
    (but a name in one). parents: also those of the packages that it is in."""
    top, *rest = name.split(".")
    places = _places(top)
    files = [place for place in places if place.suffix == ".py"]
    for folder in (place for place in places if place.suffix != ".py"):
        if parents or not rest:
            files += _in_folder(folder, [])
        files += _in_folder(folder, rest, parents) if rest else []
    return files
