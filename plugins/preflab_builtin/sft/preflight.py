"""Demonstrations, looked at before the first stage."""

from __future__ import annotations

from collections.abc import Iterator

from preflab.interfaces import Context
from preflab.lengths import check_rows
from preflab_builtin.pretrain.preflight import check_window
from preflab_builtin.sft.config import LossOn, SFTConfig


def preflight(config: SFTConfig, context: Context) -> Iterator[str]:
    """`UserError` for demonstrations that do not fit into the policy, or that its chat template
    refuses; for a pretraining mix that is too short."""
    rows = [
        row for split in ("train", "validation") for row in context.records("demonstrations", split)
    ]
    check_rows(context, "demonstrations", rows)
    if config.loss_on is LossOn.all_turns:
        for row in rows:  # a template may show earlier turns in another form
            if any(message.role == "assistant" for message in row.prompt.messages):
                context.tokenizer.encode_turns(row.prompt, row.response)
    if config.mix_coef:
        check_window(context, config.mix_window, "sft.mix_window")
    yield from ()
