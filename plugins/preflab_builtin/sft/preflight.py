"""Demonstrations, looked at before the first stage."""

from __future__ import annotations

from collections.abc import Iterator

from preflab.errors import UserError
from preflab.interfaces import Context
from preflab.lengths import check_rows, place
from preflab.records import SPLITS, Demonstration
from preflab_builtin.pretrain.preflight import check_window
from preflab_builtin.sft.config import LossOn, SFTConfig


def preflight(config: SFTConfig, context: Context) -> Iterator[str]:
    """`UserError` for demonstrations that do not fit into the policy, that are empty, or that its
    chat template refuses; for a pretraining mix that is too short."""
    check_rows(context, "demonstrations", _demonstrations(context))
    for row in _demonstrations(context):
        if not (row.prompt.messages or row.prompt.text.strip() or row.response.strip()):
            refuse_empty(row, len(context.tokenizer.encode_prompt(row.prompt)))
    if config.loss_on is LossOn.all_turns:
        for row in _demonstrations(context):  # a template may show earlier turns in another form
            if any(message.role == "assistant" for message in row.prompt.messages):
                context.tokenizer.encode_turns(row.prompt, row.response)
    if config.mix_coef:
        check_window(context, config.mix_window, "sft.mix_window")
    yield from ()


def refuse_empty(row: Demonstration, tokens: int) -> None:
    """`UserError` for a demonstration of which the end token is all. tokens: those besides it."""
    if not tokens:
        raise UserError(
            f"The demonstration of {place(row.prompt)} is empty: neither prompt nor response."
        )


def _demonstrations(context: Context) -> Iterator[Demonstration]:
    for split in SPLITS[:2]:  # those for testing are not read
        yield from context.records("demonstrations", split)
