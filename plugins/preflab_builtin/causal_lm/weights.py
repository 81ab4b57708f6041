"""What the weight files of a model folder hold, by their headers: without torch, and without
reading the weights except to look for values that are not finite."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from preflab import UserError
from preflab.rows.pointers import POINTER, check_fetched
from preflab.storage.durable import cached_digest
from preflab.storage.once import once_here

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_EMBEDDING = re.compile(
    r"(?:^|\.)(?:embed_tokens|wte|embed_in|word_embeddings|tok_embeddings|embeddings?|shared)"
    r"\.weight$"
)
_BLOCK = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")
_EXPONENTS = {"F64": ("<u8", 0x7FF << 52), "F32": ("<u4", 0xFF << 23)}
_EXPONENTS |= {"F16": ("<u2", 0x1F << 10), "BF16": ("<u2", 0xFF << 7)}
"""By type: how its numbers are read as integers, and the bits of which NaN and infinity have
all."""
_PIECE = 1 << 24
"""Numbers that are looked at together."""


@dataclass(frozen=True)
class Weight:
    """A tensor in a file. dtype: as safetensors calls it; start: byte of the file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int


def check_whole(file: Path) -> None:
    """`UserError` for a file that is empty, or stands for one that Git LFS has not fetched."""
    with file.open("rb") as stream:
        start = stream.read(len(POINTER))
    if not start:
        raise UserError(f"{file} is empty. Copy or download it again.")
    check_fetched(str(file), start)


def weights(folder: Path) -> Mapping[str, Weight]:
    """The tensors that transformers reads from a folder, by name: those of model.safetensors, else
    of the shards that its index names; none where there are no weights, only a config. `UserError`
    for a file that is missing, cut or damaged."""
    if (folder / WHOLE).is_file():
        return _header(folder / WHOLE)
    if not (folder / INDEX).is_file():
        return {}
    index = json.loads((folder / INDEX).read_text(encoding="utf8"))["weight_map"]
    shards = {name: folder / name for name in sorted(set(index.values()))}
    missing = [name for name, file in shards.items() if not file.is_file()]
    if missing:
        raise UserError(
            f"{folder} lacks {missing[0]}, one of the {len(shards)} shards that {INDEX} names "
            f"({len(missing)} missing): copy or download it."
        )
    found = {name: weight for file in shards.values() for name, weight in _header(file).items()}
    absent = sorted(index.keys() - found.keys())
    if absent:
        raise UserError(
            f"{folder}: {index[absent[0]]} lacks {absent[0]}, which {INDEX} says it has: the "
            "shards are of another model. Copy or download them again."
        )
    return found


def _header(file: Path) -> dict[str, Weight]:
    check_whole(file)
    status = file.stat()
    return _read_header(file, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _read_header(file: Path, size: int, changed: int) -> dict[str, Weight]:
    damaged = f"{file} is not a whole safetensors file"
    advice = "Copy or download it again."
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > size - 8:
            raise UserError(f"{damaged}: it ends within its header, after {size:,} bytes. {advice}")
        header = stream.read(length)
    try:
        entries: dict[str, Any] = json.loads(header)
        entries.pop("__metadata__", None)
        facts = {name: (e["dtype"], e["shape"], e["data_offsets"]) for name, e in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{damaged}: its header cannot be read. {advice}") from None
    end = 8 + length + max((offsets[1] for _, _, offsets in facts.values()), default=0)
    if end != size:
        raise UserError(f"{damaged}: it has {size:,} bytes and should have {end:,}. {advice}")
    return {
        name: Weight(file, dtype, tuple(shape), 8 + length + start)
        for name, (dtype, shape, (start, _)) in facts.items()
    }


def embedding(found: Mapping[str, Weight]) -> tuple[str, Weight] | None:
    """The table of token embeddings and its name, by its usual names; None if there is no such
    table."""
    tables = [(n, w) for n, w in found.items() if _EMBEDDING.search(n) and len(w.shape) == 2]
    return max(tables, key=lambda table: table[1].shape[0], default=None)


def parameters(folder: Path) -> int:
    """How many numbers the tensors of a folder are."""
    return sum(math.prod(weight.shape) for weight in weights(folder).values())


def blocks(found: Mapping[str, Weight]) -> int:
    """Number of transformer blocks; 0 if the names do not tell."""
    numbers = (match for name in found if (match := _BLOCK.search(name)))
    return max((int(match[1]) + 1 for match in numbers), default=0)


def check_finite(folder: Path) -> None:
    """`UserError` if a weight is NaN or infinite. A file is looked through once by the processes of
    a job on a machine, whatever its name, while its content stays the same."""
    found = weights(folder)
    bad: list[str] = []
    for file in sorted({weight.file for weight in found.values()}):
        digest = cached_digest(file)
        if digest not in _not_finite:
            look = partial(_found_bad, found, file)
            _not_finite[digest] = once_here(f"not finite {digest}", look)
        bad += _not_finite[digest]
    if bad:
        others = f" and {len(bad) - 1} more weights" if len(bad) > 1 else ""
        raise UserError(
            f"{folder}: {bad[0]}{others} of {len(found)} hold NaN or infinity: the model is "
            "broken, most likely by a training that diverged. Use an earlier checkpoint."
        )


def _found_bad(found: Mapping[str, Weight], file: Path) -> list[str]:
    return [name for name, w in found.items() if w.file == file and not _is_finite(w)]


_not_finite: dict[str, list[str]] = {}
"""By digest of a file: names of its tensors that hold NaN or infinity."""


def _is_finite(weight: Weight) -> bool:
    """Whether no number of a tensor has all bits of its exponent set; true for whole numbers."""
    import numpy as np

    if weight.dtype not in _EXPONENTS or 0 in weight.shape:
        return True
    kind, exponent = _EXPONENTS[weight.dtype]
    numbers = np.memmap(weight.file, kind, "r", weight.start, weight.shape).reshape(-1)
    mask = numbers.dtype.type(exponent)
    pieces = (numbers[i : i + _PIECE] for i in range(0, len(numbers), _PIECE))
    return all(((piece & mask) != mask).all() for piece in pieces)
