"""Finished runs, opened by folder or name: commands that serve them read them as ``preflab chat``
does."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab.composing.search_path import registry
from preflab.door.blame import blamed
from preflab.door.choice import Choice
from preflab.engine.answering import AnsweringRun as AnsweringRun
from preflab.engine.opened import conversation as conversation
from preflab.errors import UserError
from preflab.planning.reading import choose
from preflab.runtime import Runtime, RuntimeConfig
from preflab.storage.runs import folder_of

if TYPE_CHECKING:
    from preflab_serve.guarding import Checking

PACKAGES = ("starlette", "uvicorn", "limits")


def need_extra() -> None:
    """`UserError` if the packages of the extra ``serve`` are not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"preflab serve needs packages that are not installed ({', '.join(missing)}): "
            "pip install 'preflab[serve]'"
        )


def open_run(path: Path) -> AnsweringRun:
    """A finished run by its folder, or by the name that its owner gave it."""
    return AnsweringRun(path if path.is_dir() else folder_of(str(path)))


class _NoRun:
    """In the place of a run's context: a guard has devices, and other guards."""

    def __init__(self) -> None:
        self.runtime = Runtime(RuntimeConfig())

    def component(self, kind: str, config: Any) -> Any:
        """A nested guard."""
        known = registry()
        component = known.component(kind, config.name)
        choice = Choice(kind, component, known.provider(kind, config.name), config)
        with blamed(choice):
            component.inspect(config)
            assert component.build is not None
            return component.build(config, self)

    def __getattr__(self, name: str) -> Any:
        raise UserError(f"The guard asks its run for '{name}', and a server's guard has no run.")


def open_guard(path: Path, seconds: float) -> Checking:
    """The guard that a YAML file describes by the options of ``algorithm=guarded``: guard (its name
    and options), refusal, resamples. `UserError` for what it may not say."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from preflab_serve.guarding import Checking

    try:
        plain = OmegaConf.to_container(OmegaConf.create(path.read_text(encoding="utf8")))
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"The guard in {path} cannot be read: {error}") from None
    if not isinstance(plain, dict) or "${" in path.read_text(encoding="utf8"):
        raise UserError(f"{path} must hold options, without references: guard: {{name: words}}.")
    values = {str(key): value for key, value in plain.items()}
    if values.get("guard") is None:
        raise UserError(f"{path} has no guard: write guard: {{name: words, words: [idiot]}}.")
    choice = choose(registry(), "algorithm", {**values, "name": "guarded"}, f"{path}")
    made = choice.config
    guard = _NoRun().component("guard", made.guard)
    return Checking(guard, made.refusal, made.resamples, seconds)
