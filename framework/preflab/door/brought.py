"""What the import of a plugin file really brought in, whatever way its code found it: along a path
that it added, by a name that it computed, or by a file's place."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

_STDLIB = tuple(Path(sysconfig.get_paths()[key]) for key in ("stdlib", "platstdlib"))
_FRAMEWORK = Path(__file__).resolve().parents[1]


@dataclass
class Brought:
    """Source that somebody edits, as it was when a plugin file had been imported. named: the files
    of all modules by their names, of other plugins too; files: those that its import added, and
    those that its modules hold something of."""

    named: dict[str, Path] = field(default_factory=dict)
    files: set[Path] = field(default_factory=set)


_brought: dict[Path, Brought] = {}


def installed(path: Path) -> bool:
    """Whether a file or folder belongs to an installed package, also behind a link."""
    return bool({"site-packages", "dist-packages"} & {*path.parts, *path.resolve().parts})


def brought_by(file: Path) -> Brought:
    """What the imports of a plugin file in this process brought in; nothing if there was none."""
    return _brought.get(file.resolve(), Brought())


def note(file: Path, module: ModuleType, before: set[str]) -> None:
    """Note what a plugin file brought in, right after its import: what is imported later is not
    the same in every process. before: names of the modules that there were. Imports add up: a
    worker may import a file twice, and the second time adds no modules."""
    named = {name: path for name, m in list(sys.modules.items()) if (path := _own(_space(m)))}
    brought = _brought.setdefault(file.resolve(), Brought())
    brought.named |= named
    brought.files |= {path for name, path in named.items() if name not in before}
    brought.files |= _held(vars(module))


def is_own(path: Path) -> bool:
    """Whether a file is source that somebody edits: not of an installed package, the standard
    library, or the framework (whose digest is in every recipe)."""
    if path.suffix != ".py" or installed(path):
        return False
    return not any(path.is_relative_to(folder) for folder in (*_STDLIB, _FRAMEWORK))


def _held(start: Mapping[str, Any]) -> set[Path]:
    """Files of the modules, functions, classes and instances that a module holds, and so on."""
    found: set[Path] = set()
    pending = [start]
    while pending:
        for value in _values(pending.pop()):
            space = _space(value)
            path = _own(space)
            if path and path not in found:
                found.add(path)
                pending.append(space)
    return found


def _values(space: Mapping[str, Any]) -> Iterator[Any]:
    for value in list(space.values()):
        if isinstance(value, ModuleType) and value.__name__.startswith(f"{space.get('__name__')}."):
            continue  # a package gets a variable for each module of it that somebody imports
        if type(value) is dict:
            yield from list(value.values())
        elif type(value) in (list, tuple, set, frozenset):
            yield from list(value)
        else:
            yield value


def _space(value: Any) -> Mapping[str, Any]:
    """The variables of the module that a value is, or comes from."""
    if isinstance(value, ModuleType):
        return vars(value)
    if isinstance(value, FunctionType):
        return value.__globals__
    name = (value if isinstance(value, type) else type(value)).__module__
    module = sys.modules.get(name) if isinstance(name, str) else None
    return vars(module) if isinstance(module, ModuleType) else {}


def _own(space: Mapping[str, Any]) -> Path | None:
    place = space.get("__file__")
    if not isinstance(place, str) or not is_own(Path(place)):
        return None  # before its links are followed: there are thousands
    path = Path(place).resolve()
    return path if is_own(path) else None
