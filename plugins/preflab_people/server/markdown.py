"""A researcher's Markdown as a tree of allowed elements, which the page builds node by node: no
HTML goes to the browser as text, so there is none to get wrong."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

Node = str | dict[str, Any]
"""A text, or {tag, children}, with href for a link and start for a list that is continued."""
TAGS = {
    **{tag: tag for tag in ("p", "ul", "ol", "li", "blockquote", "em", "strong", "code", "pre")},
    **{tag: tag for tag in ("table", "thead", "tbody", "tr", "th", "td", "hr", "br", "s", "a")},
    # The page has one h1 of its own; levels must not be jumped.
    "h1": "h2",
    "h2": "h3",
    "h3": "h4",
    "h4": "h5",
    "h5": "h6",
    "h6": "h6",
}
SCHEMES = ("http", "https", "mailto")


def markdown_tree(source: str) -> list[Node]:
    """The elements of a Markdown text. HTML in it stays text; a picture becomes its description.

    >>> markdown_tree("**a** <b>")
    [{'tag': 'p', 'children': [{'tag': 'strong', 'children': ['a']}, ' <b>']}]
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    return _children(SyntaxTreeNode(parser.parse(source)))


def _children(node: SyntaxTreeNode) -> list[Node]:
    nodes: list[Node] = []
    for child in node.children:
        for made in _nodes(child):
            if isinstance(made, str) and nodes and isinstance(nodes[-1], str):
                nodes[-1] += made
            elif made != "":  # an empty text stands between two marks
                nodes.append(made)
    return nodes


def _nodes(node: SyntaxTreeNode) -> list[Node]:
    if node.type in ("text", "html_inline", "html_block"):
        return [node.content]
    if node.type == "softbreak":
        return ["\n"]
    if node.type == "image":
        return [node.content]
    if node.type in ("fence", "code_block"):
        return [{"tag": "pre", "children": [node.content]}]
    if node.type == "code_inline":
        return [{"tag": "code", "children": [node.content]}]
    children = _children(node)
    tag = TAGS.get(node.tag)
    if tag is None or node.hidden:  # the paragraph of a tight list
        return children
    element: dict[str, Any] = {"tag": tag, "children": children}
    if tag == "ol" and "start" in node.attrs:
        element["start"] = node.attrs["start"]
    if tag == "a":
        href = str(node.attrs.get("href", ""))
        if urlsplit(href).scheme.lower() not in SCHEMES:
            return children
        element["href"] = href
    return [element]
