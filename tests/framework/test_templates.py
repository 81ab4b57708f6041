"""Fields in braces, which are filled in as they are."""

from __future__ import annotations

import re

import pytest

from preflab.templates import pieces


def test_braces_that_are_doubled_stay_text() -> None:
    found = pieces("{{a}} {b}{c.d}, {{{e}}}")
    assert "".join(text + f"<{name}>" * bool(name) for text, name in found) == "{a} <b><c.d>, {<e>}"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{a", "expected"),
        ("a}", "Single"),
        ("Return {} of {a}", "names no field"),
        ("{:>5}", "names no field"),
        ("{a!r}", "{a} is filled in as it is"),
        ("{a:>5}", "{a} is filled in as it is"),
        ("{a!r:>5}", "{a} is filled in as it is"),
        ("{a:{b}}", "{a} is filled in as it is"),
        ("{a:}", "a field has a :"),
    ],
)
def test_what_python_would_format_is_refused(template: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        pieces(template)
