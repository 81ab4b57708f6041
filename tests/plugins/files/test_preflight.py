"""Prompts that look rendered: refused until somebody says how they are meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.records import Prompt
from preflab_builtin.causal_lm.vocabularies import byte_tokenizer
from preflab_builtin.files.config import FilesConfig
from preflab_builtin.files.preflight import special_tokens
from preflab_builtin.files.source import FileSource


class Asked:
    """The context of a preflight: bytes, with the special token "<eos>"."""

    stage = "prompts"
    tokenizer = byte_tokenizer()


def said(path: Path, texts: list[Any], rendered: bool | None = None) -> list[str]:
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    config = FilesConfig(prompts=str(path), rendered=rendered)
    return list(special_tokens(config, Asked()))  # type: ignore[arg-type]


def test_most_prompts_hold_special_tokens(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    texts = ["<eos>one", "<eos>two", "three"]
    with pytest.raises(UserError) as refused:
        said(file, texts)
    assert f"{file}:1: 2 of 3 prompts" in str(refused.value)
    assert "prompts.rendered=true" in str(refused.value)
    assert "prompts.rendered=false" in str(refused.value)
    assert said(file, texts, rendered=True) == said(file, texts, rendered=False) == []


def test_a_few_are_read_as_text_and_stated(tmp_path: Path) -> None:
    (notice,) = said(tmp_path / "prompts.jsonl", ["one", "what is <eos>?", "three"])
    assert "prompts.jsonl:2: 1 of 3 prompts" in notice
    assert said(tmp_path / "prompts.jsonl", ["one", [{"role": "user", "content": "<eos>"}]]) == []


def test_answers_that_end_with_the_end_token_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [{"prompt": "q", "completion": f"{i}<eos>"} for i in range(3)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=r"rows\.jsonl:1: 3 of 3 answers .*Take them off"):
        list(special_tokens(FilesConfig(demonstrations=str(file)), Asked()))  # type: ignore[arg-type]
    as_text = FilesConfig(demonstrations=str(file), rendered=False)
    assert list(special_tokens(as_text, Asked())) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("rendered,first", [(True, 257), (None, ord("<")), (False, ord("<"))])
def test_what_the_option_means(rendered: bool | None, first: int, tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "<eos>one"}\n')
    source = FileSource(FilesConfig(prompts=str(file), rendered=rendered))
    (prompt,) = source.records("prompts")
    assert isinstance(prompt, Prompt)
    # <pad> is 256 and <eos> 257; the byte "<" is itself.
    assert Asked.tokenizer.encode_prompt(prompt)[0] == first
