"""What determines a stage's result, hashed: configs, inputs, data, and the source of the code that computes it."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib.util
import json
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from preflab.door.choice import Choice

FORMAT = 1
_FRAMEWORK = Path(__file__).parents[1]
_WITHOUT_EFFECT = {"errors.py", "scaffold", "testing", "console"}


def digest(value: Any) -> str:
    """sha256 of a value's canonical JSON.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(value: Any) -> Any:
    """A typed config as JSON values, without the fields that do not affect a result."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = [f for f in dataclasses.fields(value) if f.metadata.get("affects_result", True)]
        return {f.name: canonical(getattr(value, f.name)) for f in kept}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): canonical(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [canonical(v) for v in value]
    return value


@cache
def framework_digest() -> str:
    """Digest of the framework's source (messages, command line, and what only authors of plugins use left out)."""
    files = {p.relative_to(_FRAMEWORK): p for p in sorted(_FRAMEWORK.rglob("*.py"))}
    kept = {name: p for name, p in files.items() if name.parts[0] not in _WITHOUT_EFFECT}
    return digest(
        {str(name): hashlib.sha256(p.read_bytes()).hexdigest() for name, p in kept.items()}
    )


def source_digest(module: str, packages: Iterable[str]) -> str:
    """Digest of a plugin's source files and of all they import from the given top-level packages (those of plugins)."""
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
    return digest(sorted(hashlib.sha256(p.read_bytes()).hexdigest() for p in seen))


def _files(module: str) -> list[Path]:
    """The files of a plugin: its whole folder if it is a package, else its file."""
    if Path(module).is_file():
        return [Path(module)]
    found = _module_file(module)
    return (
        sorted(found[0].parent.rglob("*.py")) if found and found[0].name == "__init__.py" else found
    )


def _module_file(name: str) -> list[Path]:
    """The file of a module, found without importing its parents; [] if the name is no module (but a name in one)."""
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


def code_of(choice: Choice, packages: Iterable[str]) -> dict[str, str]:
    """Plugin and source digest of a choice and of everything nested in it."""
    found = {}
    for c in choice.all():
        found[f"{c.component.kind}/{c.name}"] = (
            f"{c.plugin.distribution} {source_digest(c.plugin.module, packages)}"
        )
    return found


def identity(choice: Choice, packages: Iterable[str]) -> dict[str, Any]:
    """What a choice contributes to a recipe: its config, its code and what its inputs contain."""
    # A list: nested components stand in an order, which decides (reward shapings), and mappings are hashed without theirs.
    content = [[c.key.removeprefix(choice.key), c.inspect().content] for c in choice.all()]
    return {
        "config": canonical(choice.config),
        "code": code_of(choice, packages),
        "content": content,
    }
