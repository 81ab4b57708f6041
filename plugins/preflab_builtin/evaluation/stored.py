"""Responses that were made elsewhere as a baseline: those of another run (its samples.jsonl), or of any other model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from preflab.components import Inspection
from preflab.errors import UserError, nearest
from preflab.records import Prompt
from preflab.rows import content_digest, read_rows
from preflab_builtin.evaluation.config import BaselineRole, SuiteConfig


def inspect_stored(config: SuiteConfig) -> Inspection:
    """The digest of the responses, where the baseline is some; its path is in no recipe."""
    return Inspection(
        content=content_digest(Path(config.baseline_path))
        if config.baseline is BaselineRole.file
        else ""
    )


def stored_name(path: str) -> str:
    """What a report calls them: the file and its folder.

    >>> stored_name("runs/x/artifacts/evaluation-1a2b/samples.jsonl"), stored_name("gpt.csv")
    ('evaluation-1a2b/samples.jsonl', 'gpt.csv')
    """
    return "/".join(Path(path).parts[-2:])


def stored_responses(path: str, prompts: Sequence[Prompt]) -> list[str]:
    """The response to each prompt, found by the prompt's text; `UserError` where one is missing, or two differ."""
    wanted = {prompt.text for prompt in prompts}
    found: dict[str, str] = {}
    for row in read_rows(Path(path)):
        if row.problem is not None:
            raise UserError(f"{row.place}: {row.problem}")
        for column in ("prompt", "response"):
            if not isinstance(row.values.get(column), str):
                known = nearest(column, map(str, row.values))
                raise UserError(
                    f"{row.place}: {column}: is no text, but a baseline's rows have prompt and response. {known}"
                )
        prompt, response = row.values["prompt"], row.values["response"]
        if prompt in wanted and found.setdefault(prompt, response) != response:
            raise UserError(
                f"{row.place}: response: another one to the same prompt stands in the file; leave one of them out."
            )
    missing = [prompt for prompt in prompts if prompt.text not in found]
    if missing:
        raise UserError(
            f"{path}: has no response to {len(missing)} of {len(prompts)} prompts, for example {missing[0].text!r:.80}. Answer "
            "them, or evaluate with the data, evaluation.split and evaluation.prompts that the responses were made with."
        )
    return [found[prompt.text] for prompt in prompts]
