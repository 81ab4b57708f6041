"""Texts that were rendered with a chat template, which only the model's tokenizer recognises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from preflab import UserError
from preflab.interfaces import Context
from preflab.records import Document, Prompt, Record
from preflab_builtin.files.config import FilesConfig
from preflab_builtin.files.source import FileSource

LOOKED_AT = 1000
"""Prompts of a file that are compared, from its beginning."""
MOST = 0.5
"""Share of prompts with special tokens above which somebody must say how they are meant."""


def rendered_texts(config: FilesConfig, context: Context) -> Iterator[str]:
    """`UserError` if most prompts are spelled with special tokens of the model and nobody said
    whether these are tokens or letters; a sentence if some are."""
    if config.rendered is not None:
        return
    source = FileSource(config)
    for record_type in config.paths():
        prompts = _prompts(source.records(record_type)[:LOOKED_AT])
        spelled = [prompt for prompt in prompts if _spells_tokens(prompt, context)]
        if not spelled:
            continue
        said = (
            f"{spelled[0].place}: {len(spelled)} of {len(prompts)} prompts hold text that is "
            "spelled like a special token of the model."
        )
        if len(spelled) <= MOST * len(prompts):
            yield f"{said} It is read as text."
            continue
        key = context.stage
        raise UserError(
            f"{said} If they were rendered with its chat template, give {key}.rendered=true, and "
            f"they are read as transformers reads them; {key}.rendered=false reads them as text."
        )


def _prompts(records: Sequence[Record]) -> list[Prompt]:
    """The prompts of records that are texts."""
    found = [
        r if isinstance(r, Prompt) else r.prompt for r in records if not isinstance(r, Document)
    ]
    return [prompt for prompt in found if not prompt.messages]


def _spells_tokens(prompt: Prompt, context: Context) -> bool:
    encode = context.tokenizer.encode_prompt
    return encode(prompt) != encode(replace(prompt, rendered=True))
