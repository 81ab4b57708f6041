"""data=pydoc: paragraphs of Python's own language reference."""

from __future__ import annotations

from preflab.records import Document
from preflab_builtin.public_sets.config import PydocConfig
from preflab_builtin.public_sets.pydoc import PydocSource, inspect, paragraphs


def test_paragraphs_of_pythons_help() -> None:
    config = PydocConfig()
    documents = [d for d in PydocSource(config).records("documents") if isinstance(d, Document)]
    assert len(documents) > 300
    assert all(200 <= len(d.text) <= 600 for d in documents)
    assert not [d for d in documents if "\n" in d.text or ">>>" in d.text]
    assert len({d.text for d in documents}) == len(documents)
    assert {d.split for d in documents} == {"train", "validation", "test"}
    assert inspect(config).records == {"documents": len(documents)}
    assert inspect(PydocConfig(seed=1)).content == inspect(config).content


def test_a_paragraph_ends_at_a_blank_line_and_grammar_is_left_out() -> None:
    text = "First line\n   goes on.\n   \nstmt ::= expression here\n\nshort\n\n>>> a long session"
    assert paragraphs(text, 10, 40) == ["First line goes on."]
