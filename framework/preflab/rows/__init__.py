"""Strict reading of rows, for plugins that read files: JSON lines, JSON, CSV, Parquet, paragraphs
of text, folders that `datasets` saved, and sets on the hub.

Every row knows its place, and a row that cannot be read says what is wrong with which field:

    def prompt(row: Mapping[str, Any]) -> Prompt:
        return Prompt(fields.identifier(row, "id"), fields.text(row, "prompt"))

    prompts = list(read_table(path, prompt))  # UserError: mine.jsonl:3: prompt: is empty

`read_rows` gives the rows one by one with their problems, to count bad rows instead of stopping at
the first. `fields` checks columns, `Spool` holds the records of files larger than the memory,
`read_once` keeps a process from reading a file twice, and `path_digest` is the digest that a
component's `preflab.Inspection` needs.
"""

from preflab.rows import fields as fields
from preflab.rows.paths import files_of, path_digest, read_once
from preflab.rows.reading import READERS, ending_of, read_rows, read_table
from preflab.rows.row import BadRow, Row, shown, type_name
from preflab.rows.spool import Spool
from preflab.rows.strict_json import parse_json

__all__ = [
    "READERS",
    "BadRow",
    "Row",
    "Spool",
    "ending_of",
    "fields",
    "files_of",
    "parse_json",
    "path_digest",
    "read_once",
    "read_rows",
    "read_table",
    "shown",
    "type_name",
]
