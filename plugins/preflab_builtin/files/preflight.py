"""Texts that hold special tokens of the model, which only its tokenizer recognises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from preflab import UserError
from preflab.interfaces import Context
from preflab.records import Demonstration, Document, Prompt, Ranking, Record
from preflab_builtin.files.config import FilesConfig
from preflab_builtin.files.source import FileSource

LOOKED_AT = 1000
"""Records of a file that are looked at, from its beginning."""
MOST = 0.5
"""Share of texts with special tokens above which somebody must say how they are meant."""


def special_tokens(config: FilesConfig, context: Context) -> Iterator[str]:
    """`UserError` if most prompts or answers are spelled with special tokens of the model and
    nobody said whether these are tokens or letters; a sentence if some are."""
    if config.rendered is not None:
        return
    source, key = FileSource(config), context.stage
    for record_type in config.paths():
        records = list(islice(source.records(record_type), LOOKED_AT))
        prompts = [(p.place, p.text) for p in map(_prompt, records) if p and not p.messages]
        cure = (
            f"If they were rendered with its chat template, give {key}.rendered=true, and they are "
            f"read as transformers reads them; {key}.rendered=false reads them as text."
        )
        yield from _judged("prompts", prompts, cure, context)
        given = [(p.place, text) for r in records if (p := _prompt(r)) for text in _answers(r)]
        cure = (
            "Take them off: the tokenizer puts the end token behind every answer. "
            f"{key}.rendered=false reads them as text."
        )
        yield from _judged("answers", given, cure, context)


def _judged(
    kind: str, texts: Sequence[tuple[str, str]], cure: str, context: Context
) -> Iterator[str]:
    """texts: (place, text)."""
    spelled = [place for place, text in texts if _spells_tokens(text, context)]
    if not spelled:
        return
    said = (
        f"{spelled[0]}: {len(spelled)} of {len(texts)} {kind} hold text that is spelled like a "
        "special token of the model."
    )
    if len(spelled) > MOST * len(texts):
        raise UserError(f"{said} {cure}")
    yield f"{said} It is read as text."


def _prompt(record: Record) -> Prompt | None:
    if isinstance(record, Document):
        return None
    return record if isinstance(record, Prompt) else record.prompt


def _answers(record: Record) -> Sequence[str]:
    if isinstance(record, Ranking):
        return record.responses
    return (record.response,) if isinstance(record, Demonstration) else ()


def _spells_tokens(text: str, context: Context) -> bool:
    encode = context.tokenizer.encode_prompt
    return encode(Prompt("", text)) != encode(Prompt("", text, rendered=True))
