"""Tokenizers of models made from scratch: words of a closed vocabulary, or bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from preflab.errors import UserError
from preflab_builtin.causal_lm.tokenizer import TextTokenizer

PAD, EOS, UNK = "<pad>", "<eos>", "<unk>"


def word_tokenizer(vocabulary: Sequence[str]) -> TextTokenizer:
    """Words of a closed world, separated by white space; other words become <unk>. V is the number
    of words plus 3."""
    words = [UNK, *vocabulary]
    repeated = sorted(word for word, times in Counter([PAD, EOS, *words]).items() if times > 1)
    if repeated:
        raise UserError(
            "The vocabulary of the data has words twice (or special tokens): "
            f"{', '.join(repeated[:5])}."
        )
    spaced = [word for word in vocabulary if word.split() != [word]]
    if spaced:
        raise UserError(
            "The vocabulary of the data has words with white space, which policy.tokenizer=words "
            f"cannot read: {spaced[:5]}."
        )
    # The model's own table lacks <pad> and <eos>, so that no text can spell them: they are added
    # separately.
    backend = Backend(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=UNK))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return _from_backend(backend, unk_token=UNK)


def byte_tokenizer() -> TextTokenizer:
    """UTF-8 bytes: lossless on any text, no data needed. Ids 0..255 are the bytes, then <pad> and
    <eos>: V = 258."""
    vocabulary = {symbol: byte for byte, symbol in enumerate(_byte_symbols())}
    backend = Backend(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return _from_backend(backend)


def _byte_symbols() -> list[str]:
    """The printable character that byte-level tokenizers write for each byte: itself, or the next
    free one from U+0100."""
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def _from_backend(backend: Backend, **special: str) -> TextTokenizer:
    """With the special tokens, which plain text cannot spell: "<eos>" in a prompt is text, not an
    end."""
    backend.add_special_tokens([PAD, EOS])
    make: Any = PreTrainedTokenizerFast
    names = {"pad_token": PAD, "eos_token": EOS, **special}
    wrapper = make(
        tokenizer_object=backend, split_special_tokens=True, padding_side="left", **names
    )
    return TextTokenizer(wrapper)
