"""Windows of tokens, looked at before the first stage."""

from __future__ import annotations

from collections.abc import Iterator

from preflab.errors import UserError
from preflab.interfaces import Context
from preflab_builtin.pretrain.config import PretrainConfig


def preflight(config: PretrainConfig, context: Context) -> Iterator[str]:
    """`UserError` if a window does not fit into the policy, or the documents do not fill one."""
    check_window(context, config.window, "pretrain.window")
    yield from ()


def check_window(context: Context, window: int, key: str) -> None:
    """`UserError` if a window of tokens is longer than the policy, or than all training documents
    together. key: of the window in the config."""
    limit = context.max_positions
    if limit is not None and window > limit:
        raise UserError(
            f"{key} is {window} tokens, more than the {limit} positions of the policy. Set "
            f"{key}={limit} or less."
        )
    documents, tokens = context.records("documents", "train"), 0
    for document in documents:
        tokens += len(context.tokenizer.encode_document(document.text))
        if tokens >= window:
            return
    raise UserError(
        f"The {len(documents)} training documents hold {tokens} tokens, fewer than one window "
        f"({key}={window}). Give more text, or set {key}={tokens} or less."
    )
