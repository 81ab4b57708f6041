"""Rows of Parquet files, and of folders that `datasets` saved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preflab.errors import UserError
from preflab.rows.csv_files import check_column_names
from preflab.rows.json_files import named, with_columns
from preflab.rows.pointers import POINTER, check_fetched
from preflab.rows.row import BadRow, Row
from preflab.rows.streams import Watch

_BATCH = 1024


def parquet_rows(path: Path, watch: Watch) -> Iterator[Row]:
    """The rows of a Parquet file, a batch at a time."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(
            f"{path}: reading Parquet needs pyarrow. "
            "Install it with: pip install 'preflab[parquet]'"
        ) from None
    number, size = 0, path.stat().st_size
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            check_column_names(file.schema_arrow.names, str(path))
            for batch in file.iter_batches(batch_size=_BATCH):
                yield from _rows(batch, path, number + 1)
                number += batch.num_rows
                watch(size * batch.num_rows // max(file.metadata.num_rows, 1))
    except (pyarrow.ArrowException, OSError) as error:
        with path.open("rb") as stream:
            check_fetched(str(path), stream.read(len(POINTER)))
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: Parquet: cannot be read after row {number}: {reason}") from None


def _rows(batch: Any, path: Path, first: int) -> Iterator[Row]:
    """The rows of a batch at once; one by one only if a value in it cannot be read. first: the
    number of its first row."""
    try:
        found = [
            Row(f"{path}:row {n}", values) for n, values in enumerate(batch.to_pylist(), first)
        ]
    except ValueError:
        found = [
            named(f"{path}:row {first + i}", _arrow_row, batch, i) for i in range(batch.num_rows)
        ]
    yield from found


def _arrow_row(batch: Any, index: int) -> dict[str, Any]:
    values = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            values[name] = column[index].as_py()
        except UnicodeDecodeError as error:
            raise BadRow(name, f"is not valid UTF-8 (byte {error.start})") from None
        except ValueError as error:
            raise BadRow(name, f"is no value that can be read: {error}") from None
    return values


def is_saved_dataset(path: Path) -> bool:
    """Whether `datasets` saved this folder."""
    return any((path / name).is_file() for name in ("dataset_info.json", "dataset_dict.json"))


def saved_dataset(path: Path) -> Iterator[Row]:
    """The rows of a folder that `datasets` saved; the splits of a dict become a column."""
    try:
        from datasets import load_from_disk
    except ImportError:
        raise UserError(
            f"{path}: a datasets folder needs datasets. "
            "Install it with: pip install 'preflab[datasets]'"
        ) from None
    try:
        loaded = load_from_disk(str(path))
        parts = dict(loaded) if (path / "dataset_dict.json").is_file() else {"": loaded}
    except Exception as error:  # whatever a damaged folder makes the library raise
        raise UserError(f"{path}: datasets cannot read this folder: {error}") from None
    for split, part in parts.items():
        for number, values in enumerate(part, 1):
            place = f"{path / split if split else path}:row {number}"
            yield with_columns(Row(place, dict(values)), {"split": split} if split else {})
