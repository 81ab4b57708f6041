"""Reward models outside a run: those that read texts alone judge stored samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from preflab.composing.search_path import registry
from preflab.door.blame import blamed
from preflab.errors import UserError
from preflab.options import problems, typed
from preflab.planning.reading import choose
from preflab.records import Prompt, Rollout
from preflab.runtime import Runtime, RuntimeConfig
from preflab_builtin.stored_samples.samples import Sample


class OutsideRun:
    """In the place of a run's context: it has devices and threads, and refuses a reward that asks
    for anything else."""

    gold = None

    def __init__(self, settings: Sequence[str]) -> None:
        self._config = typed(RuntimeConfig, _values(settings, "--runtime"), "--runtime")
        wrong = next(problems(self._config, "--runtime."), None)
        if self._config.processes != 1:
            wrong = "--runtime.processes", "is not 1: samples are judged by one process"
        if wrong:
            raise UserError(" ".join(wrong))

    @cached_property
    def runtime(self) -> Runtime:
        """Built when a reward asks for it: it imports torch."""
        return Runtime(self._config)

    def __getattr__(self, name: str) -> Any:
        raise UserError(
            f"This reward asks its run for '{name}', and stored samples have no run: "
            "evaluate it in one."
        )


def reward(
    name: str, settings: Sequence[str], context: OutsideRun
) -> Callable[[Sequence[Sample]], list[float]]:
    """A reward_model component, with settings that its schema checks, as a function of samples."""
    from preflab_builtin.causal_lm.vocabularies import byte_tokenizer

    values = _values(settings, f"--reward {name}")
    if "name" in values:
        raise UserError(
            f"evaluate-samples: --reward {name} has its name already: leave out "
            f"name={values['name']}."
        )
    choice = choose(registry(), "reward_model", {"name": name, **values}, f"--reward {name}")
    build: Callable[[Any, Any], Any] | None = choice.component.build
    if build is None:
        raise UserError(
            f"evaluate-samples: reward_model '{name}' is trained in a run. Give one that only "
            "reads texts."
        )
    with blamed(choice):
        model = build(choice.config, context)

    def scores(samples: Sequence[Sample]) -> list[float]:
        prompts = [Prompt(str(i), s.prompt, split="test") for i, s in enumerate(samples)]
        texts = [sample.prediction for sample in samples]
        rollout = Rollout.from_texts(byte_tokenizer(), prompts, texts)
        with blamed(choice):
            return [float(value) for value in model.score(rollout)]

    return scores


def _values(words: Sequence[str], where: str) -> dict[str, Any]:
    """Words KEY=VALUE as plain values, read as YAML; a dot leads into a nested setting."""
    for word in words:
        if not word.partition("=")[0] or "=" not in word or "${" in word:
            raise UserError(
                f"evaluate-samples: {where}: '{word}' is not a setting: write KEY=VALUE, without "
                "references."
            )
    try:
        plain = OmegaConf.to_container(OmegaConf.from_dotlist(list(words)))
    except (YAMLError, OmegaConfBaseException, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"evaluate-samples: {where} {' '.join(words)}: {reason}") from None
    return {str(key): value for key, value in plain.items()} if isinstance(plain, dict) else {}
