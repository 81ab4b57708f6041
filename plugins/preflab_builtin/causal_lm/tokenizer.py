"""The tokenizer of a model folder, obeyed as transformers obeys it: how a text begins, how a
conversation is laid out, which tokens are special, how a response ends."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tokenizers import Tokenizer as Backend

from preflab.errors import UserError
from preflab.records import Message, Prompt
from preflab_builtin.causal_lm import chat
from preflab_builtin.causal_lm.chat import ChatTemplate, Rendered
from preflab_builtin.causal_lm.folders import generation_ends

FILE, PIECES = "tokenizer.json", "tokenizer.model"
_NONE: Mapping[str, Any] = MappingProxyType({})
_CONTEXT = 64
"""Characters in front of a response that its tokens may depend on."""
_BREAK = "\n"
"""A text that ends a line: what follows it is in the middle of a row."""


class TextTokenizer:
    """Text to tokens and back (`preflab.interfaces.Tokenizer`).

    wrapper: the transformers tokenizer. content: the bytes of its tokenizer.json. ends: tokens
    besides its end token at which transformers' ``generate`` ends (generation_config.json).
    arguments: variables of the chat template. pieces: the bytes of its tokenizer.model, which other
    programs read: llama.cpp's converter splits texts otherwise without it.

    What is spelled like a special token in a text is text, except in a prompt that was rendered
    beforehand. pad_id differs from eos_id: if a model has no pad token of its own, `distinct_pad`
    picks an id, because transformers' classification heads find a row's last token by its pad id.
    digest: sha256 of tokenizer.json, which `save` writes byte for byte; the end and pad ids are in
    other files and are compared separately.
    """

    def __init__(
        self,
        wrapper: Any,
        content: bytes | None = None,
        ends: Iterable[int] = (),
        arguments: Mapping[str, Any] = _NONE,
        pieces: bytes | None = None,
    ) -> None:
        self.wrapper, self.pieces = wrapper, pieces
        self.backend: Backend = wrapper.backend_tokenizer
        self.content = content if content is not None else self.backend.to_str(pretty=True).encode()
        self.digest = hashlib.sha256(self.content).hexdigest()
        self.size = len(wrapper)
        self.eos_id: int = wrapper.eos_token_id
        self.begin, self._suffix = self._put_around()
        bos = wrapper.bos_token_id
        default = chat.default(bos is not None and bos in self.begin)
        own = wrapper.chat_template not in (None, default)
        if not own:
            wrapper.chat_template = default
        self.chat = ChatTemplate(wrapper, arguments, own)
        self._before = self._tokens_before()
        self._ends = (self.eos_id, *ends)

    # --- rows that models read ---

    def encode(self, text: str) -> list[int]:
        """Token ids of a text within a row. A tokenizer that puts a space in front of every text
        (Llama 2, T5) puts none in front of this one."""
        return self._within(text)[0] if self._before else self._ids(text)

    def encode_document(self, text: str) -> list[int]:
        """What transformers makes of the text, and the end token, once."""
        return [*self._beginning(text), self.eos_id]

    def encode_prompt(self, prompt: Prompt) -> list[int]:
        """A text: what transformers makes of it, without an end token. A conversation: what
        ``apply_chat_template`` makes of it, with the generation prompt. A text that was rendered
        beforehand: its tokens, and what begins a row if it is not there."""
        if prompt.messages:
            return self._rendered(self.chat.render(prompt.messages, asks=True))[0]
        if not prompt.rendered:
            return self._beginning(prompt.text)
        ids = self._ids(prompt.text, control=True)
        begins = ids[: len(self.begin)] == self.begin
        return ids if begins else [*self.begin, *ids]

    def encode_response(self, prompt: Prompt, response: str) -> list[int]:
        """The response as it follows the prompt, up to its end token."""
        if prompt.messages:
            ids = self._answer(prompt.messages, response)
        else:
            # Where every text has the same tokens everywhere, what comes before does not matter.
            context = prompt.text[-_CONTEXT:] if self._before else ""
            ids = self._after(context, response, control=prompt.rendered)
        at = next((i for i, token in enumerate(ids) if token in self.end_ids), None)
        return [*ids, self.eos_id] if at is None else ids[: at + 1]

    def encode_turns(self, prompt: Prompt, response: str) -> tuple[list[int], list[bool]]:
        """Prompt and response in one row, and which tokens the assistant wrote: by the template's
        own mask, if it has one; else the content of its turns and the tokens that end them."""
        asked, answered = self.encode_prompt(prompt), self.encode_response(prompt, response)
        row, earlier = [*asked, *answered], [False] * len(asked)
        if prompt.messages:
            own = self.chat.mask((*prompt.messages, Message("assistant", response)))
            if own is not None and own[0][: len(row)] == row:
                return row, own[1][: len(row)]
            ids, starts = self._rendered(self.chat.render(prompt.messages, asks=True))
            earlier = self._written(ids, starts, self.chat.earlier_answers(prompt.messages))
        return row, [*earlier, *[True] * len(answered)]

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """The tokenizer's end token, those of generation_config.json, and the token with which the
        chat template ends a turn of the assistant."""
        tail, _ = self._within(self.chat.around[1], control=True)
        special = {i for i, token in self.wrapper.added_tokens_decoder.items() if token.special}
        return frozenset([*self._ends, *[token for token in tail if token in special][:1]])

    @cached_property
    def pad_id(self) -> int:
        """Fills unused slots; it ends nothing."""
        return distinct_pad(self.wrapper, self.end_ids)

    # --- back to text ---

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, special tokens left out."""
        text: str = self.backend.decode(list(ids), skip_special_tokens=True)
        return text

    def decode_response(self, prompt: Prompt, ids: Sequence[int]) -> str:
        """The text of a response: what `encode_response` takes."""
        ended = bool(ids) and ids[-1] in self.end_ids
        text = self._decode_within(ids[:-1] if ended else ids)
        return text.removeprefix(self._before_content) if prompt.messages else text

    def _decode_within(self, ids: Sequence[int]) -> str:
        """The text of ids in the middle of a row, with a space at its beginning if it has one."""
        word = self._ids("a") if self._before else []
        return self.decode([*word, *ids]).removeprefix(self.decode(word))

    @cached_property
    def _before_content(self) -> str:
        """What the chat template puts between its generation prompt and the content, as it is
        decoded."""
        return self._decode_within(self._within(self.chat.around[0], control=True)[0])

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files, the chat template among them: AutoTokenizer reads them."""
        try:
            self.wrapper.save_pretrained(folder)
        except Exception as error:  # the tokenizer's own code reports a full disk as plain words
            number = re.search(r"\(os error (\d+)\)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(folder)) from error
        (folder / FILE).write_bytes(self.content)
        if self.pieces is not None:
            (folder / PIECES).write_bytes(self.pieces)

    def facts(self) -> str:
        """What this tokenizer does with texts and conversations, for people."""
        name = self.wrapper.convert_ids_to_tokens
        begins = " ".join(name(self.begin))
        ends = " or ".join(name(sorted(self.end_ids, key=lambda i: (i != self.eos_id, i))))
        layout = (
            "the chat template of the model"
            if self.chat.own
            else ("the default chat template (Human:, Assistant:), because the model has none")
        )
        first = f"texts begin with {begins}" if begins else "nothing is put in front of texts"
        return f"Conversations are laid out by {layout}; {first}; responses end at {ends}."

    # --- how the tokenizer works ---

    def _ids(self, text: str, control: bool = False) -> list[int]:
        """Ids of a text, nothing added. control: what is spelled like a special token is one."""
        self.backend.encode_special_tokens = not control
        ids: list[int] = self.backend.encode(text, add_special_tokens=False).ids
        return ids

    def _encoding(self, text: str, control: bool = False) -> tuple[list[int], list[int]]:
        """The same, and the position in the text at which each id begins."""
        self.backend.encode_special_tokens = not control
        encoding = self.backend.encode(text, add_special_tokens=False)
        return encoding.ids, [start for start, _ in encoding.offsets]

    def _within(self, text: str, control: bool = False) -> tuple[list[int], list[int]]:
        """The same in the middle of a row."""
        if self._before:
            ids, starts = self._encoding(f"{_BREAK}{text}", control)
            count = len(self._before)
            if ids[:count] == self._before:
                return ids[count:], [start - len(_BREAK) for start in starts[count:]]
        return self._encoding(text, control)

    def _after(self, context: str, text: str, control: bool) -> list[int]:
        """Ids of a text that follows another one, unless a token would reach over both."""
        if context:
            before, both = self._ids(context, control), self._ids(f"{context}{text}", control)
            if both[: len(before)] == before:
                return both[len(before) :]
        return self._within(text, control)[0]

    def _tokens_before(self) -> list[int]:
        """Tokens of a line's end, behind which a text is in the middle of a row; none if a text has
        the same tokens everywhere."""
        before, both, alone = map(self._ids, (_BREAK, f"{_BREAK}a", "a"))
        joined = both[: len(before)] == before
        return before if joined and both[len(before) :] != alone else []

    def _put_around(self) -> tuple[list[int], list[int]]:
        """What transformers puts in front of a text and behind it."""
        plain = self._ids("a")
        whole: list[int] = self.backend.encode("a", add_special_tokens=True).ids
        at = next((i for i in range(len(whole)) if whole[i : i + len(plain)] == plain), len(whole))
        return whole[:at], whole[at + len(plain) :]

    def _beginning(self, text: str) -> list[int]:
        """What transformers makes of a text, without an end token behind it."""
        return [*self.begin, *self._ids(text)]

    def _rendered(self, rendered: Rendered, within: bool = False) -> tuple[list[int], list[int]]:
        """Ids of a rendered conversation and their positions in its text; within: of a part that
        follows another. Words of people that are spelled like special tokens are letters."""
        if not rendered.mark:
            return (self._within if within else self._encoding)(rendered.text, control=True)
        ids: list[int] = []
        starts: list[int] = []
        at = 0
        for text, special in self.chat.pieces(rendered):
            kept = [i for i, character in enumerate(text) if character != rendered.mark]
            plain = text.replace(rendered.mark, "")
            encode = self._within if (at or within) and not special else self._encoding
            new, places = encode(plain, special)
            ids += new
            starts += [at + kept[max(0, place)] for place in places]
            at += len(text)
        return ids, starts

    def _answer(self, messages: Sequence[Message], response: str) -> list[int]:
        """What the template makes of an answer, behind its generation prompt."""
        asked = self.chat.render(messages, asks=True)
        whole = self.chat.render((*messages, Message("assistant", response)), asks=False)
        if whole.text.startswith(asked.text):
            rest = Rendered(whole.text[len(asked.text) :], whole.mark)
        else:
            rest = self.chat.wrapped(response)
        if rest.mark:
            return self._rendered(rest, within=True)[0]
        return self._after(self.chat.end_of(asked), rest.text, control=True)

    def _written(
        self, ids: Sequence[int], starts: Sequence[int], spans: Sequence[tuple[int, int]]
    ) -> list[bool]:
        """Which tokens are in the spans, each up to its first end token."""
        mask = [False] * len(ids)
        for first, end in spans:
            for i, start in enumerate(starts):
                if first <= start < end:
                    mask[i] = True
                    if ids[i] in self.end_ids:
                        break
        return mask


def distinct_pad(wrapper: Any, ends: Collection[int]) -> int:
    """An id for padding that ends nothing: the tokenizer's own pad, else a special token, one that
    is named as a pad or as unused first, else an id that hardly any text contains: byte 0xC0, which
    UTF-8 never uses, or the last id of the vocabulary that no text can spell."""
    own = wrapper.pad_token_id
    if own is not None and own not in ends:
        return int(own)
    names = {i: t.content for i, t in wrapper.added_tokens_decoder.items() if t.special}
    names |= dict(zip(wrapper.all_special_ids, wrapper.all_special_tokens, strict=True))
    spare = [i for i in sorted(names) if i not in ends and i != wrapper.bos_token_id]
    spare.sort(key=lambda i: not re.search("pad|unused|reserved|unk", names[i], re.IGNORECASE))
    vocabulary = wrapper.get_vocab()
    unused = [vocabulary["<0xC0>"]] if "<0xC0>" in vocabulary else []
    # In byte-level vocabularies a space is written as U+0120, which no text has.
    unspelled = [i for token, i in vocabulary.items() if "\u0120" in token and i not in ends]
    last = max(i for i in vocabulary.values() if i not in ends)
    return int([*spare, *unused, *sorted(unspelled)[-1:], last][0])


def read_wrapper(folder: Path) -> Any:
    """The transformers tokenizer of a folder, read without running the folder's code; `UserError`
    if it cannot be read."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # a damaged file may raise anything
        reason = (str(error).strip() or "it is damaged").splitlines()[0]
        raise UserError(f"{folder}: the tokenizer cannot be read: {reason}") from error


def folder_tokenizer(folder: Path, arguments: Mapping[str, Any] = _NONE) -> TextTokenizer:
    """The tokenizer of a model folder; `UserError` if it has none, or no end token. arguments:
    variables of its chat template."""
    wrapper = read_wrapper(folder)
    if getattr(wrapper, "backend_tokenizer", None) is None:
        raise UserError(
            f"{folder}: the tokenizer has no fast form ({type(wrapper).__name__}); "
            f"save it with a {FILE} first."
        )
    ends = generation_ends(folder)
    if wrapper.eos_token_id is None and ends:
        wrapper.eos_token = wrapper.convert_ids_to_tokens(ends[0])
    if wrapper.eos_token_id is None:
        raise UserError(
            f"{folder}: the tokenizer has no end token. Set eos_token in tokenizer_config.json."
        )
    wrapper.backend_tokenizer.no_truncation()
    wrapper.backend_tokenizer.no_padding()
    content, pieces = (
        file.read_bytes() if file.is_file() else None for file in (folder / FILE, folder / PIECES)
    )
    return TextTokenizer(wrapper, content, ends, arguments, pieces)
