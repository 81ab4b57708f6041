"""Values that a process makes once and copies for whoever asks again. What is kept are bytes:
nobody has a value that somebody else may change."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kept:
    """A value of which anybody may have a copy; two are equal if all that is in them is. classes:
    those in it, by identity: a file of plugins that is imported again has others of the same
    names."""

    written: bytes
    classes: tuple[type, ...]

    @classmethod
    def of(cls, value: object) -> Kept | None:
        """A value; None if something in it cannot be written (an open file, a lambda)."""
        stream = io.BytesIO()
        writer = _Writer(stream)
        try:
            writer.dump(value)
        except (pickle.PicklingError, AttributeError, TypeError, RecursionError):
            return None
        return cls(stream.getvalue(), tuple(writer.classes))

    def copied(self) -> Any:
        """A copy: for a config it costs a seventh of what `copy.deepcopy` does."""
        return _Reader(self).load()


class _Writer(pickle.Pickler):
    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL)
        self.classes: dict[type, int] = {}

    def persistent_id(self, obj: Any) -> int | None:
        return self.classes.setdefault(obj, len(self.classes)) if isinstance(obj, type) else None


class _Reader(pickle.Unpickler):
    def __init__(self, kept: Kept) -> None:
        super().__init__(io.BytesIO(kept.written))
        self.classes = kept.classes

    def persistent_load(self, pid: int) -> type:
        return self.classes[pid]


class Shelf:
    """Kept values by what they were made of. most: so many, those that were asked for last."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._values: OrderedDict[Hashable, Kept] = OrderedDict()

    def find(self, key: Hashable) -> Kept | None:
        """What was made of the same before, if it is still kept."""
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: Hashable, value: object) -> Kept | None:
        """Keep a value; None if that is not possible."""
        kept = Kept.of(value)
        if kept is not None:
            self._values[key] = kept
            if len(self._values) > self.most:
                self._values.popitem(last=False)
        return kept

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()

    def __len__(self) -> int:
        return len(self._values)
