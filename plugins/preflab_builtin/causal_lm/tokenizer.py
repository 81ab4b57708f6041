"""Tokenizers: words of a closed vocabulary, bytes, or the one of a model folder; one class around
the `tokenizers` library."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from preflab.errors import UserError
from preflab.records import Prompt

PAD, EOS, UNK = "<pad>", "<eos>", "<unk>"
FILE = "tokenizer.json"


class TextTokenizer:
    """Text to tokens and back (`preflab.interfaces.Tokenizer`).

    pad_id differs from eos_id: if a model has no pad token of its own, `distinct_pad` picks an id
    that no text contains, because transformers' classification heads find a row's last token by its
    pad id. digest: sha256 of tokenizer.json, which `save` writes byte for byte; the end and pad ids
    are in other files and are compared separately.
    """

    def __init__(self, wrapper: Any, content: bytes | None = None) -> None:
        self.wrapper = wrapper
        self.backend: Backend = wrapper.backend_tokenizer
        self.content = content if content is not None else self.backend.to_str(pretty=True).encode()
        self.digest = hashlib.sha256(self.content).hexdigest()
        self.size = len(wrapper)
        self.eos_id: int = wrapper.eos_token_id
        self.pad_id = distinct_pad(wrapper)

    def encode(self, text: str) -> list[int]:
        """Token ids, no special token added."""
        ids: list[int] = self.backend.encode(text, add_special_tokens=False).ids
        return ids

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end a response."""
        return frozenset({self.eos_id})

    def encode_document(self, text: str) -> list[int]:
        """The text and the end token."""
        return [*self.encode(text), self.eos_id]

    def encode_prompt(self, prompt: Prompt) -> list[int]:
        """The prompt's text."""
        return self.encode(prompt.text)

    def encode_response(self, prompt: Prompt, response: str) -> list[int]:
        """The response and the end token."""
        return [*self.encode(response), self.eos_id]

    def encode_turns(self, prompt: Prompt, response: str) -> tuple[list[int], list[bool]]:
        """Prompt and response, and which tokens are of the response."""
        asked, answered = self.encode_prompt(prompt), self.encode_response(prompt, response)
        return [*asked, *answered], [False] * len(asked) + [True] * len(answered)

    def decode_response(self, prompt: Prompt, ids: Sequence[int]) -> str:
        """The text of a response."""
        return self.decode(ids[:-1] if ids and ids[-1] in self.end_ids else ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, special tokens left out."""
        text: str = self.backend.decode(list(ids), skip_special_tokens=True)
        return text

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files: AutoTokenizer reads them."""
        self.wrapper.save_pretrained(folder)
        (folder / FILE).write_bytes(self.content)


def distinct_pad(wrapper: Any) -> int:
    """An id for padding that is not the end token: the tokenizer's own pad, else a special token
    that plain text never contains, else the token of byte 0xC0, which UTF-8 never uses, else the
    last id."""
    eos = wrapper.eos_token_id
    if wrapper.pad_token_id is not None and wrapper.pad_token_id != eos:
        return int(wrapper.pad_token_id)
    added = [i for i, token in sorted(wrapper.added_tokens_decoder.items()) if token.special]
    special = [
        i for i in (*wrapper.all_special_ids, *added) if i not in (eos, wrapper.bos_token_id)
    ]
    vocabulary = wrapper.get_vocab()
    unused = [vocabulary[token] for token in ("<0xC0>", "À") if token in vocabulary]
    last = max(i for i in vocabulary.values() if i != eos)
    return int([*special, *unused, last][0])


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
    wrapper.backend_tokenizer.encode_special_tokens = True
    return TextTokenizer(wrapper)


def read_wrapper(folder: Path) -> Any:
    """The transformers tokenizer of a folder, read without running the folder's code; `UserError`
    if it cannot be read."""
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: the tokenizer cannot be read: {error}") from error


def folder_tokenizer(folder: Path) -> TextTokenizer:
    """The tokenizer of a model folder; `UserError` if it has none, or no end token."""
    wrapper = read_wrapper(folder)
    if getattr(wrapper, "backend_tokenizer", None) is None:
        raise UserError(
            f"{folder}: the tokenizer has no fast form ({type(wrapper).__name__}); "
            f"save it with a {FILE} first."
        )
    if wrapper.eos_token_id is None:
        raise UserError(
            f"{folder}: the tokenizer has no end token. Set eos_token in tokenizer_config.json."
        )
    wrapper.backend_tokenizer.no_truncation()
    wrapper.backend_tokenizer.no_padding()
    # A text that spells the end token is text and ends nothing.
    wrapper.backend_tokenizer.encode_special_tokens = True
    file = folder / FILE
    return TextTokenizer(wrapper, file.read_bytes() if file.is_file() else None)
