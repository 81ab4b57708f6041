"""The windows of the ptx term, looked at before the first stage."""

from __future__ import annotations

from collections.abc import Iterator

from preflab.interfaces import Context
from preflab_builtin.pretrain.preflight import check_window
from preflab_builtin.ptx.config import PtxConfig


def preflight(config: PtxConfig, context: Context) -> Iterator[str]:
    """`UserError` if a window does not fit into the policy, or the documents do not fill one."""
    if config.coef:
        check_window(context, config.window, "algorithm.terms.ptx.window")
    yield from ()
