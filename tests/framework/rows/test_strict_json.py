"""JSON as data should be: any bytes are a value or a reason."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflab.rows import BadRow, parse_json

BROKEN = {
    "no JSON": (b"hello", "JSON: Expecting value"),
    "half an object": (b'{"text": "a"', "JSON: Expecting ',' delimiter"),
    "two objects": (b'{"text": "a"} {"text": "b"}', "JSON: Extra data: another object begins here"),
    "single quotes": (b"{'text': 'a'}", "JSON: Expecting property name"),
    "trailing comma": (b'{"text": "a",}', "JSON: "),
    "NaN": (b'{"text": "a", "x": NaN}', "JSON: NaN is not a JSON number"),
    "Infinity": (b'{"text": "a", "x": Infinity}', "JSON: Infinity is not"),
    "minus Infinity": (b'{"text": "a", "x": [-Infinity]}', "JSON: -Infinity is not"),
    "overflow": (b'{"text": "a", "x": 1e999}', "1e999 is too large"),
    "minus overflow": (b'{"text": "a", "x": -1e999}', "-1e999 is too large"),
    "huge integer": (b'{"text": "a", "x": ' + b"9" * 5000 + b"}", "5000 digits is too large"),
    "duplicate key": (b'{"text": "a", "text": "b"}', "text: occurs twice"),
    "inner duplicate key": (b'{"text": "a", "x": {"y": 1, "y": 2}}', "y: occurs twice"),
    "deep list": (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is nested too deeply"),
    "deep object": (b'{"x": ' * 100_000 + b"1" + b"}" * 100_000, "is nested too deeply"),
    "bad UTF-8": (b'{"text": "a\xff"}', "UTF-8: byte 0xff at position 11"),
    "cut UTF-8": (b'{"text": "\xe2\x80"}', "UTF-8: byte 0xe2"),
    "overlong UTF-8": (b'{"text": "\xc0\xaf"}', "UTF-8: byte 0xc0"),
    "surrogate bytes": (b'{"text": "\xed\xa0\x80"}', "UTF-8: byte 0xed"),
    "raw NUL": (b'{"text": "a\x00"}', "JSON: Invalid control character"),
    "NUL line": (b"\x00\x00", "JSON: Expecting value"),
    "raw tab": (b'{"text": "a\tb"}', "JSON: Invalid control character"),
    "BOM in the middle": (b'\xef\xbb\xbf{"text": "a"}', "JSON: "),
    "bad escape": (b'{"text": "\\x"}', "JSON: Invalid"),
}
"""By kind: bytes that are not a JSON value, and the reason."""


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_not_json_has_a_reason(kind: str) -> None:
    data, expected = BROKEN[kind]
    with pytest.raises(BadRow, match=expected):
        parse_json(data)


def test_a_cut_value_says_so() -> None:
    with pytest.raises(BadRow, match=r"\(column \d+\); the file ends here without a newline"):
        parse_json(b'{"text": "the la', ends_file=True)
    with pytest.raises(BadRow, match=r"\(line 2, column \d+\)$"):
        parse_json(b'{"text":\n "the la')


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_a_reason(data: bytes) -> None:
    with contextlib.suppress(BadRow):
        json.dumps(parse_json(data), allow_nan=False)  # raises if a value is not finite


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda v: st.lists(v) | st.dictionaries(st.text(), v),
    )
)
@pytest.mark.slow
def test_what_python_writes_is_read_back_or_refused(value: Any) -> None:
    text = json.dumps(value)
    if re.search(r"NaN|Infinity", re.sub(r'"(?:[^"\\]|\\.)*"', "", text)):
        with pytest.raises(BadRow, match="is not a JSON number"):
            parse_json(text.encode())
    else:
        assert parse_json(text.encode()) == value


@pytest.mark.parametrize("text", ['{"a": 1}', ' {"a": 1}', '{"a": 1} ', '\t{"a":\t1 }\r\n'])
def test_white_space_around_a_value(text: str) -> None:
    assert parse_json(text.encode()) == {"a": 1}
    with pytest.raises(BadRow, match="Extra data"):
        parse_json((text + "{}").encode())
