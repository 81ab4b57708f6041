"""Tokenizers: closed words, bytes, pads, and what is written to the disk."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from preflab.errors import UserError
from preflab_builtin.causal_lm.sources import FolderSource
from preflab_builtin.causal_lm.tokenizer import distinct_pad, folder_tokenizer
from preflab_builtin.causal_lm.vocabularies import byte_tokenizer, word_tokenizer


def test_ids_follow_the_order_of_the_vocabulary() -> None:
    tokenizer = word_tokenizer(["red", "blue", "."])
    # <unk> 0, red 1, blue 2, "." 3, <pad> 4, <eos> 5
    assert tokenizer.encode("blue  red\n.") == [2, 1, 3]
    assert (tokenizer.size, tokenizer.pad_id, tokenizer.eos_id) == (6, 4, 5)
    assert tokenizer.decode([2, 1, 3, 5, 4]) == "blue red ."


def test_text_cannot_spell_special_tokens() -> None:
    assert word_tokenizer(["red"]).encode("red <eos> <pad>") == [1, 0, 0]
    assert byte_tokenizer().encode("<eos>") == list(b"<eos>")


@pytest.mark.parametrize("text", ["", " a  b ", "é\n\t日本 🙂", "\x00\x7f", "<eos>"])
def test_bytes_are_lossless(text: str) -> None:
    tokenizer = byte_tokenizer()
    assert tokenizer.encode(text) == list(text.encode())
    assert tokenizer.decode([*tokenizer.encode(text), tokenizer.eos_id]) == text


@pytest.mark.parametrize("kind", ["words", "bytes"])
def test_a_saved_tokenizer_is_the_same_in_transformers(kind: str, tmp_path: Path) -> None:
    tokenizer = byte_tokenizer() if kind == "bytes" else word_tokenizer(["red", "blue"])
    tokenizer.save(tmp_path)
    again, wrapper = folder_tokenizer(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    for text in ("red blue", "red <eos> other"):
        assert again.encode(text) == tokenizer.encode(text) == wrapper(text)["input_ids"]
    assert (again.pad_id, again.eos_id, again.size) == (
        tokenizer.pad_id,
        tokenizer.eos_id,
        tokenizer.size,
    )
    assert (
        again.digest
        == tokenizer.digest
        == hashlib.sha256((tmp_path / "tokenizer.json").read_bytes()).hexdigest()
    )


def _like_gpt2(folder: Path, **special: str) -> Path:
    """Bytes, and a special token that plain text may spell, as in folders of third parties."""
    backend = Tokenizer.from_str(byte_tokenizer().backend.to_str())
    backend.add_special_tokens(["<|endoftext|>", "<|other|>"])  # 258 and 259, after <pad> and <eos>
    make: Any = PreTrainedTokenizerFast
    names = {"eos_token": "<|endoftext|>", **special}
    make(tokenizer_object=backend, **names).save_pretrained(folder)
    return folder


def test_text_cannot_spell_the_end_token_of_a_folder(tmp_path: Path) -> None:
    folder = _like_gpt2(tmp_path)
    text = "a<|endoftext|>b<pad>"
    # transformers reads the end token.
    assert 258 in AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
    tokenizer = folder_tokenizer(folder)
    assert tokenizer.eos_id == 258
    assert tokenizer.encode(text) == list(text.encode())
    assert tokenizer.decode([*tokenizer.encode(text), 258]) == text


def test_a_model_with_another_end_token_is_refused(tmp_path: Path) -> None:
    """tokenizer.json is the same: which tokens are special is in tokenizer_config.json."""
    policy, other, padded = (
        _like_gpt2(tmp_path / name, **special)
        for name, special in (
            ("a", {}),
            ("b", {"eos_token": "<|other|>"}),
            ("c", {"pad_token": "<|other|>"}),
        )
    )
    assert (policy / "tokenizer.json").read_bytes() == (other / "tokenizer.json").read_bytes()
    source = FolderSource(policy)
    source._check_tokenizer(policy)
    source._check_tokenizer(padded)  # no length is inferred from pads
    with pytest.raises(UserError, match=r"has the end token 259, the policy has 258: set"):
        source._check_tokenizer(other)


def test_pad_differs_from_what_ends_a_response() -> None:
    # Like GPT-2: the only special token is the end. U+0120 stands for a space in byte-level
    # vocabularies, so that no text spells "\u0120b".
    make: Any = PreTrainedTokenizerFast
    backend = Tokenizer(models.WordLevel({"a": 0, "\u0120b": 1, "c": 2, "<end>": 3}, unk_token="a"))
    wrapper = make(tokenizer_object=backend, eos_token="<end>", pad_token="<end>")
    assert distinct_pad(wrapper, {3}) == 1
    # With another special token that is neither begin nor end, that one.
    backend = Tokenizer(models.WordLevel({"a": 0, "<other>": 1, "<end>": 2}, unk_token="a"))
    wrapper = make(tokenizer_object=backend, eos_token="<end>", unk_token="<other>")
    assert distinct_pad(wrapper, {2}) == 1
    # The tokenizer's own pad does not serve where a response ends with it.
    wrapper = make(tokenizer_object=backend, eos_token="<end>", pad_token="<other>")
    assert distinct_pad(wrapper, {2}) == 1
    assert distinct_pad(wrapper, {1, 2}) == 0


@pytest.mark.parametrize("words", [["red", "red"], ["red", "<eos>"], ["two words"], [""]])
def test_bad_vocabularies_are_refused(words: list[str]) -> None:
    with pytest.raises(UserError, match="vocabulary"):
        word_tokenizer(words)


def test_the_file_that_other_programs_read_is_kept(tmp_path: Path) -> None:
    """tokenizer.model, in a folder that began with it; a folder without one gets none."""
    word_tokenizer(["red"]).save(tmp_path / "published")
    for name, files in (("published", []), ("kept", ["tokenizer.model"])):
        folder_tokenizer(tmp_path / "published").save(tmp_path / name)
        assert [file.name for file in (tmp_path / name).glob("*.model")] == files
        (tmp_path / "published" / "tokenizer.model").write_bytes(b"pieces")
    assert (tmp_path / "kept" / "tokenizer.model").read_bytes() == b"pieces"
