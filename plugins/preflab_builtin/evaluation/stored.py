"""Responses in a file as a baseline: those of another run (its samples.jsonl) or another model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from preflab.components import Inspection
from preflab.errors import UserError, nearest
from preflab.records import Prompt
from preflab.rows import path_digest, read_rows
from preflab_builtin.evaluation.config import FILE, SuiteConfig


def inspect_stored(config: SuiteConfig) -> Inspection:
    """The digest of the baseline's file, if it is one; the recipe does not hold its path."""
    if config.baseline != FILE:
        return Inspection()
    return Inspection(content=path_digest(Path(config.baseline_path)))


def stored_name(path: str) -> str:
    """Their name in a report: the file and its folder.

    >>> stored_name("runs/x/artifacts/evaluation-1a2b/samples.jsonl"), stored_name("gpt.csv")
    ('evaluation-1a2b/samples.jsonl', 'gpt.csv')
    """
    return "/".join(Path(path).parts[-2:])


def stored_responses(path: str, prompts: Sequence[Prompt]) -> list[str]:
    """The response to each prompt, found by the text of the prompt. `UserError` if one is missing
    or two differ."""
    texts = {prompt.text for prompt in prompts}
    responses: dict[str, str] = {}
    for row in read_rows(Path(path)):
        if row.problem is not None:
            raise UserError(f"{row.place}: {row.problem}")
        for column in ("prompt", "response"):
            if not isinstance(row.values.get(column), str):
                columns = nearest(column, map(str, row.values))
                raise UserError(
                    f"{row.place}: {column}: is not a text, but the rows of a baseline need the "
                    f"texts prompt and response. {columns}"
                )
        prompt, response = row.values["prompt"], row.values["response"]
        if prompt in texts and responses.setdefault(prompt, response) != response:
            raise UserError(
                f"{row.place}: response: the file has another response to the same prompt; leave "
                "one of them out."
            )
    missing = [prompt for prompt in prompts if prompt.text not in responses]
    if missing:
        raise UserError(
            f"{path}: has no response to {len(missing)} of {len(prompts)} prompts, for example "
            f"{missing[0].text!r:.80}. Answer them, or evaluate with the data, evaluation.split "
            "and evaluation.prompts that the responses were made with."
        )
    return [responses[prompt.text] for prompt in prompts]
