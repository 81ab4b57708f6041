"""Named random streams: every draw comes from a generator that has a name, a seed and a place in
the checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from names and numbers, the same on every machine.

    >>> derive_seed(1, "ppo") == derive_seed(1, "ppo") != derive_seed(2, "ppo")
    True
    """
    text = "\x1f".join(f"{type(p).__name__}:{p}" for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def permutation(size: int, *parts: int | str) -> list[int]:
    """A permutation of range(size) that is a pure function of the named parts (seed, stream,
    epoch)."""
    import torch

    generator = torch.Generator().manual_seed(derive_seed(*parts))
    return torch.randperm(size, generator=generator).tolist()


def draw_order(size: int, start: int, count: int, *parts: int | str) -> list[int]:
    """Indices of draws start .. start+count-1 from an endless stream of epochs, each epoch its
    own permutation. Which record is draw number i is a pure function of (parts, i): resuming
    needs no cursor, world size changes nothing."""
    if size <= 0:
        raise ValueError("cannot draw from an empty set of records")
    picked: list[int] = []
    epoch, offset = divmod(start, size)
    while len(picked) < count:
        picked.extend(permutation(size, *parts, epoch)[offset : offset + count - len(picked)])
        epoch, offset = epoch + 1, 0
    return picked


class Streams:
    """Generators by name, each seeded from (seed, stage, name) at its first use; on the CPU, so
    that a draw does not depend on the device."""

    def __init__(self, *seed: int | str) -> None:
        self.seed: Sequence[int | str] = seed
        self._generators: dict[str, torch.Generator] = {}

    def __getitem__(self, name: str) -> torch.Generator:
        import torch

        if name not in self._generators:
            self._generators[name] = torch.Generator().manual_seed(derive_seed(*self.seed, name))
        return self._generators[name]

    def within(self, name: str) -> Streams:
        """The same streams under names that begin with another one: for a part of a stage. The
        whole stage's state holds them."""
        return _Part(self, name)

    def state_dict(self) -> dict[str, Any]:
        """The streams used so far, and torch's global one (dropout draws from it)."""
        import torch

        named = {name: g.get_state() for name, g in self._generators.items()}
        return {"named": named, "global": torch.get_rng_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue every stream from a saved state."""
        import torch

        for name, value in state["named"].items():
            self[name].set_state(value)
        torch.set_rng_state(state["global"])


class _Part(Streams):
    """Streams of another one, under a name of their own."""

    def __init__(self, whole: Streams, name: str) -> None:
        super().__init__(*whole.seed, name)
        self._whole, self._name = whole, name

    def __getitem__(self, name: str) -> torch.Generator:
        return self._whole[f"{self._name}/{name}"]

    def state_dict(self) -> dict[str, Any]:
        return self._whole.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._whole.load_state_dict(state)
