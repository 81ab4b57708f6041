"""Conversations as the text that a model's chat template makes of them.

The model's own template is used as transformers uses it. A model without one gets `default`: the
form of the HH-RLHF transcripts, "Human:" and "Assistant:" after a blank line each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from itertools import takewhile
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError

from preflab.errors import UserError
from preflab.records import Message

DEFAULT = (
    "{%- for message in messages %}"
    "{%- if message.role == 'system' %}{{ message.content }}"
    "{%- elif message.role == 'user' %}{{ '\\n\\nHuman: ' + message.content }}"
    "{%- else %}{{ '\\n\\nAssistant: ' + message.content }}"
    "{%- if loop.last %}{{ eos_token }}{%- endif %}"
    "{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '\\n\\nAssistant:' }}{%- endif %}"
)
_ANSWER = "ANSWER"
_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_PRIVATE = [chr(code) for code in range(0xE000, 0xE010)]
"""Characters for private use: one that a conversation does not contain marks its words that are
spelled like special tokens."""


def default(begins_with_bos: bool) -> str:
    """The template of a model that has none. Earlier turns carry no end token, as in HH-RLHF."""
    return f"{{{{- bos_token }}}}{DEFAULT}" if begins_with_bos else DEFAULT


@dataclass(frozen=True)
class Rendered:
    """A conversation as text. mark: the character in it that breaks words of people which are
    spelled like special tokens, "" if there are none; it is no part of the text."""

    text: str
    mark: str = ""


class ChatTemplate:
    """A chat template with the tokenizer that it belongs to.

    wrapper: the transformers tokenizer. arguments: variables of the template, such as
    ``enable_thinking``. own: whether the model brought the template. A template that writes the
    current date is given the day on which this process began.
    """

    def __init__(self, wrapper: Any, arguments: Mapping[str, Any], own: bool) -> None:
        self.own, self._wrapper = own, wrapper
        try:
            self.source: str = wrapper.get_chat_template()
        except ValueError:
            names = ", ".join(map(repr, wrapper.chat_template))
            raise UserError(
                f"{wrapper.name_or_path}: the tokenizer has several chat templates ({names}), none "
                "of them called 'default'. Keep the one that is meant, as chat_template.jinja."
            ) from None
        self._arguments = dict(arguments)
        if "strftime_now" in self.source:
            self._arguments.setdefault("strftime_now", datetime.now().strftime)
        special = [t.content for t in wrapper.added_tokens_decoder.values() if t.special]
        self._special = re.compile("|".join(map(re.escape, special))) if special else None
        self._render = lru_cache(maxsize=1024)(self._uncached)

    def render(self, messages: Sequence[Message], asks: bool) -> Rendered:
        """The conversation as text; asks: with the generation prompt, after which the assistant is
        to speak. `UserError` with the template's own words where it refuses the conversation."""
        return self._render(tuple(messages), asks)

    def _uncached(self, messages: tuple[Message, ...], asks: bool) -> Rendered:
        mark = self._mark([m.content for m in messages])
        turns = [{"role": m.role, "content": self._marked(m.content, mark)} for m in messages]
        try:
            text: str = self._wrapper.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=asks, **self._arguments
            )
        except TemplateSyntaxError as error:
            raise UserError(
                f"{self._wrapper.name_or_path}: the chat template cannot be read: {error}. Correct "
                "it (chat_template.jinja, or chat_template in tokenizer_config.json)."
            ) from None
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            roles = ", ".join(m.role for m in messages)
            cure = "Leave the row out, or give the conversation in a form that it accepts"
            if messages and messages[0].role == "system":
                cure += ", for example with the system message at the beginning of the first user's"
            raise UserError(
                f"The chat template of the model refuses a conversation with the roles {roles}: "
                f"{error}. {cure}."
            ) from None
        return Rendered(text, mark)

    def wrapped(self, content: str) -> Rendered:
        """The content of an answer with what the template puts `around` it."""
        (before, after), mark = self.around, self._mark([content])
        return Rendered(f"{before}{self._marked(content, mark)}{after}", mark)

    def _mark(self, contents: Sequence[str]) -> str:
        """A character that no content has, if one of them is spelled like a special token."""
        if not self._special or not any(map(self._special.search, contents)):
            return ""
        return next(c for c in _PRIVATE if not any(c in content for content in contents))

    def _marked(self, content: str, mark: str) -> str:
        """The content with the mark within each word that is spelled like a special token."""
        if not mark or not self._special:
            return content
        return self._special.sub(lambda m: f"{m[0][0]}{mark}{m[0][1:]}", content)

    def end_of(self, rendered: Rendered) -> str:
        """The end of a rendered conversation, from its last special token or line on."""
        found = list(self._special.finditer(rendered.text)) if self._special else []
        last = found[-1].start() if found else 0
        return rendered.text[max(last, 0 if found else rendered.text.rfind("\n")) :]

    def pieces(self, rendered: Rendered) -> list[tuple[str, bool]]:
        """A rendered conversation with marks as (text, whether it is a special token)."""
        assert self._special is not None
        found, end = [], 0
        for match in self._special.finditer(rendered.text):
            found += [(rendered.text[end : match.start()], False), (match[0], True)]
            end = match.end()
        return [(text, token) for text, token in [*found, (rendered.text[end:], False)] if text]

    @cached_property
    def around(self) -> tuple[str, str]:
        """What the template puts between its generation prompt and the content of an answer, and
        what it puts behind the content; "" twice for a template that shows an answer in another
        place than behind the generation prompt."""
        question = (Message("user", "question"),)
        try:
            asked = self.render(question, asks=True).text
            whole = self.render((*question, Message("assistant", _ANSWER)), asks=False).text
        except UserError:
            return "", ""
        before, found, after = whole.removeprefix(asked).partition(_ANSWER)
        return (before, after) if found and whole.startswith(asked) else ("", "")

    def mask(self, messages: Sequence[Message]) -> tuple[list[int], list[bool]] | None:
        """Tokens of a conversation, and which of them the assistant wrote, where the template says
        so itself (``{% generation %}``); None where it does not."""
        if not _GENERATION.search(self.source):
            return None
        turns = [{"role": m.role, "content": m.content} for m in messages]
        found = self._wrapper.apply_chat_template(
            turns,
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            **self._arguments,
        )
        return list(found["input_ids"]), list(map(bool, found["assistant_masks"]))

    def earlier_answers(self, messages: Sequence[Message]) -> list[tuple[int, int]]:
        """Positions [start, end) in ``render(messages, asks=True)`` of what the assistant wrote and
        of what the template puts behind that. `UserError` where it is not shown as it was
        written."""
        whole, spans = self.render(messages, asks=True), []
        for i, message in enumerate(messages):
            if message.role != "assistant":
                continue
            start = len(self.render(messages[:i], asks=True).text)
            alone = self.render(messages[: i + 1], asks=False).text
            same = takewhile(lambda pair: pair[0] == pair[1], zip(alone, whole.text, strict=False))
            end = sum(1 for _ in same)
            shown = whole.text[start:end].replace(whole.mark, "") if whole.mark else ""
            if message.content.strip() not in (shown or whole.text[start:end]):
                raise UserError(
                    "The chat template of the model shows earlier turns of the assistant in "
                    "another form than that in which they were written: use "
                    "sft.loss_on=completion, which trains on the last turn alone."
                )
            spans.append((start, end))
        return spans
