"""Finished runs, opened by folder or name: commands that serve them read them as ``preflab chat``
does."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab.composing.search_path import registry
from preflab.door.blame import blamed
from preflab.door.choice import Choice
from preflab.engine.answering import AnsweringRun as AnsweringRun
from preflab.engine.opened import conversation as conversation
from preflab.errors import UserError, nearest
from preflab.options import problems, typed
from preflab.planning.reading import choose
from preflab.runtime import Runtime, RuntimeConfig
from preflab.storage.runs import folder_of

if TYPE_CHECKING:
    from preflab_serve.guarding import Checking

OPTIONS = ("guard", "refusal", "resamples")
"""Of the file that describes a server's guard."""
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
    """The guard that a YAML file describes: guard (its name and options), and refusal and resamples
    as in ``algorithm=guarded``. `UserError` for what it may not say."""
    from preflab_builtin.guard.config import GuardedConfig
    from preflab_serve.guarding import Checking

    values = _options(path)
    try:
        _check_names(values)
        guard = choose(registry(), "guard", values["guard"], "guard").config
        made = typed(GuardedConfig, values | {"guard": None}, "")
        made.guard = guard
        _check_read(values, made, "")
        if wrong := [f"{name} {message}" for name, message in problems(made)]:
            raise UserError("\n".join(wrong))
        if values.get("resamples") and not _resamples(guard):
            raise UserError(
                f"resamples is {made.resamples}, but no guard here samples again: write action: "
                "resample among the options of a guard of responses, or leave resamples out."
            )
        return Checking(_NoRun().component("guard", guard), made.refusal, made.resamples, seconds)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _options(path: Path) -> dict[Any, Any]:
    """What a guard's file holds; `UserError` if there is no guard in it."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        text = path.read_text(encoding="utf8")
        plain = OmegaConf.to_container(OmegaConf.create(text))
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"The guard in {path} cannot be read: {error}") from None
    if not isinstance(plain, dict) or "${" in text:
        raise UserError(f"{path} must hold options, without references: guard: {{name: words}}.")
    if plain.get("guard") is None:
        raise UserError(f"{path} has no guard: write guard: {{name: words, words: [idiot]}}.")
    return plain


def _check_names(values: dict[Any, Any]) -> None:
    """`UserError` for an option that a server's guard does not have, and for names of options that
    YAML does not read as texts."""
    if "seconds" in values:
        raise UserError(
            f"seconds is an option of a run. A server is told so: --guard-seconds "
            f"{values['seconds']}"
        )
    if values.pop("name", "guarded") != "guarded":
        raise UserError("name is not an option: the guard's own name stands in guard: {name: ...}.")
    for name in values:
        if name not in OPTIONS:
            raise UserError(f"{_read_name(name)} is not an option. {nearest(str(name), OPTIONS)}")
    guard = values["guard"]
    if isinstance(guard, str):
        raise UserError(f"guard is a name alone: write guard: {{name: {guard}}}, and its options.")
    _check_texts(guard, "guard")


def _check_texts(node: Any, place: str) -> None:
    for name, value in node.items() if isinstance(node, dict) else ():
        if not isinstance(name, str):
            raise UserError(f"{place}: {_read_name(name)} is not an option.")
        if name != "harmless":  # holds names of columns and their values
            _check_texts(value, f"{place}.{name}")


def _check_read(given: Mapping[Any, Any], made: Any, place: str) -> None:
    """`UserError` for texts that YAML has read as something else: a refusal of `no` would be
    False. A whole number may be one of a label, and is the text that it looks like."""
    from preflab_builtin.guard.config import not_texts

    for name, value in given.items():
        read = made.get(name) if isinstance(made, Mapping) else getattr(made, name, None)
        if isinstance(value, Mapping) and read is not None and name != "harmless":
            _check_read(value, read, f"{place}{name}.")
        elif isinstance(value, bool | float) and isinstance(read, str):
            ((_, wrong),) = not_texts(name, [value])
            raise UserError(f"{place}{name} {wrong}")


def _read_name(name: Any) -> str:
    """How a name is shown that YAML may have read as something else."""
    if isinstance(name, str):
        return name
    spelled = {True: "on, yes or true", False: "off, no or false"}.get(name, str(name))
    return f"{spelled}, without quotes,"


def _resamples(guard: Any) -> bool:
    """Whether a guard, by its options, may have other responses sampled. One that has no option
    that says so may; of prompts alone there is none."""
    from preflab_builtin.guard.config import Action, ChainConfig, Part

    if isinstance(guard, ChainConfig):
        return any(map(_resamples, guard.guards.values()))
    if getattr(guard, "checks", Part.both) is Part.prompt:
        return False
    return getattr(guard, "action", Action.resample) is Action.resample
