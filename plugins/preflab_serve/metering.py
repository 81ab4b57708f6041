"""What a policy computes for one request: it is counted, and it ends once nobody waits for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preflab.interfaces import Policy

Told = Callable[[int], None]
"""Hears how many tokens a model is about to read. What it raises ends the work."""
_LISTENS: ContextVar[Told | None] = ContextVar("listens", default=None)


class Left(Exception):
    """Nobody waits any more for what is computed."""


@contextlib.contextmanager
def listening(told: Told) -> Iterator[None]:
    """Within it every call of a metered policy tells its tokens first."""
    before = _LISTENS.set(told)
    try:
        yield
    finally:
        _LISTENS.reset(before)


def metered(policy: Policy) -> None:
    """From now on the policy's calls tell those who listen how many tokens they read: of decoding
    step by step (``prefill``, ``extend``), and of engines that call the module itself."""
    made: Any = policy
    if hasattr(made.prefill, "metered"):
        return
    prefill, extend = made.prefill, made.extend

    def told_prefill(ids: Any, mask: Any) -> Any:
        _tell(int(mask.sum()))
        return prefill(ids, mask)

    def told_extend(tokens: Any, cache: Any) -> Any:
        _tell(len(tokens))
        return extend(tokens, cache)

    def before_forward(module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        ids = named.get("input_ids", given[0] if given else None)
        _tell(0 if ids is None else ids.numel())

    setattr(told_prefill, "metered", True)  # noqa: B010
    made.prefill, made.extend = told_prefill, told_extend
    made.module.register_forward_pre_hook(before_forward, with_kwargs=True)


def _tell(tokens: int) -> None:
    if (told := _LISTENS.get()) is not None:
        told(tokens)
