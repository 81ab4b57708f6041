"""In every form of file that is read: kept + rejected = rows, each rejected row has its place, and
the kept ones are the same records."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab_builtin.files.config import FilesConfig, OnBadRow
from preflab_builtin.files.source import Parsed, parse_file

Rows = list[dict[str, Any]]


def _lines(rows: Rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _table(rows: Rows, mark: str) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["prompt", "completion"], delimiter=mark, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _parquet(rows: Rows) -> bytes:
    import pyarrow
    import pyarrow.parquet

    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink, row_group_size=7)
    return bytes(sink.getvalue())


FORMS: dict[str, Callable[[Rows], dict[str, bytes]]] = {
    "lines": lambda rows: {"a.jsonl": _lines(rows)},
    "lines in .json": lambda rows: {"a.json": _lines(rows)},
    "compressed lines": lambda rows: {"a.ndjson.gz": gzip.compress(_lines(rows))},
    "a list": lambda rows: {"a.json": json.dumps(rows).encode()},
    "a list over lines": lambda rows: {"a.jl": json.dumps(rows, indent=1).encode()},
    "a key": lambda rows: {"a.json": json.dumps({"data": rows}).encode()},
    "a table": lambda rows: {"a.csv": _table(rows, ",")},
    "a table of Excel's": lambda rows: {"a.csv": b"sep=;\r\n" + _table(rows, ";")},
    "a compressed table": lambda rows: {"a.tsv.gz": gzip.compress(_table(rows, "\t"))},
    "Parquet": lambda rows: {"a.parquet": _parquet(rows)},
    "shards": lambda rows: {
        f"data/part-{i:05d}-of-00003.jsonl": _lines(rows[i * 10 : i * 10 + 10]) for i in range(3)
    },
    "shards of Parquet": lambda rows: {
        f"part-{i}.parquet": _parquet(rows[i * 10 : i * 10 + 10]) for i in range(3)
    },
}


def _read(folder: Path, files: dict[str, bytes]) -> Parsed:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    path = folder if len(files) > 1 else folder / next(iter(files))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = FilesConfig(on_bad_row=OnBadRow.skip)
        return parse_file(path, config.row_settings("demonstrations"))


@pytest.mark.parametrize("form", FORMS)
def test_no_row_is_lost_in_any_form(tmp_path: Path, form: str) -> None:
    """Thirty rows, of which five have an empty prompt: 25 records in the order of the file."""
    bad = set(random.Random(form).sample(range(30), 5))
    rows = [
        {"prompt": "" if i in bad else f"q{i}; or, \t é\n?", "completion": f'"a" {i}'}
        for i in range(30)
    ]
    parsed = _read(tmp_path, FORMS[form](rows))
    assert (parsed.total, len(parsed.rejected)) == (30, 5)
    records = [(record.prompt.text, record.response) for record in parsed.records]  # type: ignore[union-attr]
    assert records == [(r["prompt"], r["completion"]) for i, r in enumerate(rows) if i not in bad]
    assert all(reason.startswith(str(tmp_path)) for reason in parsed.rejected)


@pytest.mark.parametrize("seed", range(100))
def test_damaged_forms_are_counted_or_named(tmp_path: Path, seed: int) -> None:
    """One to three damages anywhere in a file of thirty rows: kept + rejected = rows read, and all
    that is kept is a row that was written; or one error that names the file."""
    draw = random.Random(seed)
    form = draw.choice([form for form in FORMS if "arquet" not in form])
    rows = [{"prompt": f"question {i}", "completion": f"answer {i}"} for i in range(30)]
    files = FORMS[form](rows)
    name = draw.choice(sorted(files))
    data = bytearray(files[name])
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(data))
        junk = draw.choice(
            [b"", b"\0", b"\xff", b"\r", b"\n", b"NaN", b'"', b"{", b"[", b";", b","]
        )
        data[at : at + draw.randint(0, 4)] = junk
    try:
        parsed = _read(tmp_path, {**files, name: bytes(data)})
    except UserError as error:
        message, parsed = str(error), Parsed()
    else:
        message = ""
    assert not message or str(tmp_path) in message
    assert len(parsed.records) + len(parsed.rejected) == parsed.total
    assert all(reason.startswith(str(tmp_path)) for reason in parsed.rejected)
    whole = {(row["prompt"], row["completion"]) for row in rows}
    kept = [(record.prompt.text, record.response) for record in parsed.records]  # type: ignore[union-attr]
    assert sum(record not in whole for record in kept) <= 3 * 4  # damages inside texts are texts
