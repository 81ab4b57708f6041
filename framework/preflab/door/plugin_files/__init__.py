"""Where plugins in single files are imported: FILE of ``--plugin FILE`` is the module
``preflab.door.plugin_files.STEM``, and what it imports from beside it lies below that name.

A module of a package that exists can be found by every process that is given something of it, in
whatever order: a launcher (joblib, submitit) pickles configs, and with them the files' config
classes, for workers that have imported nothing yet. Modules beside two files never mix, even if
they are called the same.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from functools import cache, partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from preflab.door.brought import note

VARIABLE = "PREFLAB_PLUGIN_FILES"
"""Environment variable with the files' paths; workers inherit it."""

__path__ = []  # `_Finder` alone finds what is below


def files() -> list[Path]:
    """The files that ``--plugin`` names in this process."""
    words = os.environ.get(VARIABLE, "").split(os.pathsep)
    return list(dict.fromkeys(Path(word.strip()) for word in words if word.strip()))


def module_name(file: Path) -> str:
    """The name of a file's module."""
    return f"{__name__}.{file.stem.replace('.', '_')}"


def spec_of(file: Path) -> ModuleSpec:
    """How a file is imported. It counts as a package that holds what is beside it."""
    name = module_name(file)
    return _spec(name, _Loader(name, str(file)), [str(file.parent)])


@cache
def beside(folder: Path, top: str) -> Path | None:
    """The file, or the folder of files, that a plugin file in ``folder`` means by the module
    ``top``; None if it means one from elsewhere. As for ``python FILE``, what is beside it comes
    first."""
    if top == "preflab" or top in sys.builtin_module_names:
        return None
    spec = PathFinder.find_spec(top, [str(folder)])
    if spec is None:
        return None
    with contextlib.suppress(ImportError, ValueError):
        elsewhere = importlib.util.find_spec(top)
        if elsewhere is not None and (spec.origin is None or _same(spec, elsewhere)):
            return None  # a folder without __init__.py stands back, as Python has it
    return Path(spec.origin) if spec.origin else folder / top


def _same(one: ModuleSpec, other: ModuleSpec) -> bool:
    paths = [spec.origin for spec in (one, other) if spec.origin]
    return len(paths) == 2 and os.path.realpath(paths[0]) == os.path.realpath(paths[1])


class _Loader(SourceFileLoader):
    """Imports a plugin file or a module beside it. Compiled anew each time: a cached one may be
    older than an edit of the same second."""

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code

    def exec_module(self, module: ModuleType) -> None:
        family = ".".join(module.__name__.split(".")[: __name__.count(".") + 2])
        # Python asks the module's own builtins to import, also for an import within a function.
        own = {**vars(builtins), "__import__": partial(_import, family)}
        vars(module)["__builtins__"] = own
        before = set(sys.modules)
        super().exec_module(module)
        if module.__name__ == family:
            note(Path(self.path), module, before)


def _import(
    family: str,
    name: str,
    variables: Any = None,
    local: Any = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> Any:
    """``import`` in a plugin file and in the modules beside it. family: name of the file's
    module."""
    top = name.partition(".")[0]
    folder = Path(sys.modules[family].__path__[0])
    if level or beside(folder, top) is None:
        return builtins.__import__(name, variables, local, fromlist or (), level)
    module = builtins.__import__(f"{family}.{name}", variables, local, fromlist or (), 0)
    return module if fromlist else sys.modules[f"{family}.{top}"]


class _Finder(MetaPathFinder):
    """Finds plugin files by the environment, and what is beside them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{__name__}."):
            return None
        if "." not in fullname.removeprefix(f"{__name__}."):
            return next((spec_of(f) for f in files() if module_name(f) == fullname), None)
        found = PathFinder.find_spec(fullname, path)
        if found is None or type(found.loader) is not SourceFileLoader:
            return found
        places = found.submodule_search_locations
        return _spec(fullname, _Loader(fullname, found.loader.path), places)


def _spec(name: str, loader: _Loader, places: list[str] | None) -> ModuleSpec:
    spec = importlib.util.spec_from_file_location(
        name, loader.path, loader=loader, submodule_search_locations=places
    )
    assert spec is not None
    return spec


if not any(type(finder).__name__ == "_Finder" for finder in sys.meta_path):
    sys.meta_path.insert(0, _Finder())
