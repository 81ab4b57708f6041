"""Reward models outside a run: those that read texts, and trained ones in a folder, judge stored
samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from preflab.composing.search_path import registry
from preflab.door.blame import blamed
from preflab.door.choice import Choice
from preflab.errors import UserError
from preflab.interfaces import ScalarModel, Tokenizer
from preflab.options import problems, typed
from preflab.planning.reading import choose
from preflab.records import Prompt, Rollout
from preflab.runtime import Precision, Runtime, RuntimeConfig
from preflab_builtin.evaluation.forward import range_of
from preflab_builtin.evaluation.scored import RowScores, Scores
from preflab_builtin.stored_samples.samples import Sample

CHUNK = 1024
"""Samples that are tokenised at a time."""


class OutsideRun:
    """In the place of a run's context: it has devices and threads, reads trained reward models from
    their folders, and refuses a reward that asks for anything else."""

    gold = None

    def __init__(self, settings: Sequence[str]) -> None:
        self._config = typed(RuntimeConfig, _values(settings, "--runtime"), "--runtime")
        wrong = next(problems(self._config, "--runtime."), None)
        if self._config.processes != 1:
            wrong = "--runtime.processes", "is not 1: samples are judged by one process"
        if self._config.precision is Precision.auto:
            wrong = "--runtime.precision", "is auto, which a run decides: give float32 or bfloat16"
        if wrong:
            raise UserError(" ".join(wrong))
        self.read: Tokenizer | None = None
        """The tokenizer of the trained model that was read last."""

    @cached_property
    def runtime(self) -> Runtime:
        """Built when a reward asks for it: it imports torch."""
        return Runtime(self._config)

    def load_scalar(self, folder: Path) -> ScalarModel:
        """The trained reward model of a folder, which reads texts with its own tokenizer."""
        from preflab_builtin.causal_lm.sources import FolderSource

        config = self.runtime.config
        source = FolderSource(folder, self.runtime.device, config.fast_paths, config.decode_graphs)
        model = source.load_scalar(folder)
        self.read = model.tokenizer
        return model

    def __getattr__(self, name: str) -> Any:
        raise UserError(
            f"This reward asks its run for '{name}', and stored samples have no run: "
            "evaluate it in one, or give the folder of a trained model: --reward pretrained "
            "path=artifacts/reward_model-ID/model."
        )


def reward(
    name: str, settings: Sequence[str], context: OutsideRun, has_prompt: bool
) -> Callable[[Sequence[Sample]], Scores]:
    """A reward_model component, with settings that its schema checks, as a function of samples.
    has_prompt: samples have prompts; a model that reads them is refused without."""
    from preflab_builtin.causal_lm.vocabularies import byte_tokenizer

    values = _values(settings, f"--reward {name}")
    if "name" in values:
        raise UserError(
            f"evaluate-samples: --reward {name} has its name already: leave out "
            f"name={values['name']}."
        )
    choice = choose(registry(), "reward_model", {"name": name, **values}, f"--reward {name}")
    model = _built(choice, context)
    tokenizer, context.read = context.read, None
    if not has_prompt and (tokenizer or getattr(choice.config, "whole_text", False)):
        raise UserError(
            f"evaluate-samples: --reward {name} reads the prompt and the response together: add "
            "--prompt COLUMN, with the prompts as the model was trained on them."
        )
    reads = tokenizer or byte_tokenizer()

    def scores(samples: Sequence[Sample]) -> Scores:
        numbers: list[float] = []
        for start in range(0, len(samples), CHUNK):
            part = samples[start : start + CHUNK]
            prompts = [s.prompt or Prompt(s.place, "", split="test", place=s.place) for s in part]
            texts = [sample.prediction for sample in part]
            device = context.runtime.device if tokenizer else "cpu"
            rollout = Rollout.from_texts(reads, prompts, texts, device=device)
            with blamed(choice):
                numbers += [float(value) for value in model.score(rollout)]
        return RowScores(numbers, *range_of(model))

    return scores


def _built(choice: Choice, context: OutsideRun) -> Any:
    """The reward model; `UserError` if it is trained in a run, or its folder is none."""
    build: Callable[[Any, Any], Any] | None = choice.component.build
    if build is None:
        raise UserError(
            f"evaluate-samples: reward_model '{choice.name}' is trained in a run. Give one that "
            "only reads texts, or the folder of a trained one: --reward pretrained path=FOLDER."
        )
    with blamed(choice):
        choice.component.inspect(choice.config)
        return build(choice.config, context)


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
