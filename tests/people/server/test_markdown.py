"""Tests of instructions as trees."""

from __future__ import annotations

import json
from typing import Any

import pytest

from preflab_people.server.markdown import TAGS, markdown_tree


def test_markdown_becomes_elements() -> None:
    source = "# Title\n\n- *one*\n- `two`\n\n3. three\n\n[a](https://example.org)"
    assert markdown_tree(source) == [
        {"tag": "h2", "children": ["Title"]},  # the page has an h1
        {
            "tag": "ul",
            "children": [
                {"tag": "li", "children": [{"tag": "em", "children": ["one"]}]},
                {"tag": "li", "children": [{"tag": "code", "children": ["two"]}]},
            ],
        },
        {"tag": "ol", "children": [{"tag": "li", "children": ["three"]}], "start": 3},
        {
            "tag": "p",
            "children": [{"tag": "a", "children": ["a"], "href": "https://example.org"}],
        },
    ]


def test_a_table_and_code() -> None:
    table, code = markdown_tree("|a|b|\n|-|-|\n|1|2|\n\n```js\nx < 1\n```")
    assert table["tag"] == "table"  # type: ignore[index]
    assert json.dumps(table).count('"td"') == 2
    assert code == {"tag": "pre", "children": ["x < 1\n"]}


@pytest.mark.parametrize(
    "source",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](vbscript:x)",
        "[x](//evil.example)",
        "![x](https://evil.example/pixel.png)",
        "<a href='javascript:alert(1)'>x</a>",
        "<javascript:alert(1)>",
        '[x](https://example.org "onmouseover=alert(1)")',
        "<svg><animate onbegin=alert(1)></svg>",
    ],
)
def test_nothing_but_allowed_elements_and_links_leaves_it(source: str) -> None:
    def check(nodes: list[Any]) -> None:
        for node in nodes:
            if isinstance(node, str):
                continue
            assert node["tag"] in TAGS.values()
            assert set(node) <= {"tag", "children", "href", "start"}
            assert node.get("href", "https://").startswith(("http://", "https://", "mailto:"))
            check(node["children"])

    check(markdown_tree(source))


def test_a_picture_is_its_description_and_fetches_nothing() -> None:
    tree = markdown_tree("See ![a cat](https://evil.example/pixel.png).")
    assert tree == [{"tag": "p", "children": ["See a cat."]}]
