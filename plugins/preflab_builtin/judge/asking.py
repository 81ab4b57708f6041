"""A language model is asked, and answers by its probabilities; nothing is sampled.

Shapes: B questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from preflab.errors import UserError
from preflab.likelihood import response_log_probs
from preflab.records import Message, Prompt, Rollout
from preflab.runtime import Runtime, weight
from preflab.templates import pieces
from preflab_builtin.causal_lm.folders import locate
from preflab_builtin.causal_lm.sources import FolderSource
from preflab_builtin.judge.config import AskedModel

ANSWER = "\n\nAnswer:"
"""Behind the question to a model that has no chat template."""


class Asked:
    """The model of a config. A model with a chat template is asked in a conversation, another one
    by a text."""

    def __init__(self, config: AskedModel, runtime: Runtime) -> None:
        self.config, self.runtime = config, runtime
        self.folder = locate(config.path, config.revision, "path of the judge")
        settings = runtime.config
        source = FolderSource(self.folder, runtime.device, settings.fast_paths)
        self.policy = source.create(torch.Generator())
        self.policy.module.requires_grad_(False)
        self.tokenizer = source.tokenizer
        self.chats = self.tokenizer.chat.own
        self.answers = [self._answer_tokens(answer) for answer in config.answers]
        if self.answers[0] == self.answers[1]:
            raise UserError(
                f"The judge {self.folder} reads the answers {' and '.join(config.answers)} as the "
                "same tokens (words that it does not know, most likely): give answers that it "
                "tells apart, or another judge."
            )

    def log_odds(self, rows: Sequence[Mapping[str, str]]) -> torch.Tensor:
        """log P(first answer) - log P(second answer) after each question, [B] float32. rows: what
        is filled in, by field."""
        asked = [self.prompt(row) for row in rows]
        lengths = [len(self.tokenizer.encode_prompt(prompt)) for prompt in asked]
        found = torch.zeros(len(rows), device=self.runtime.device)
        order = sorted(range(len(rows)), key=lambda i: lengths[i])
        size = max(1, self.runtime.micro_batch // 2)  # a question is read with both answers
        with torch.no_grad(), self.runtime.autocast():
            for part in self.runtime.read(order, size):
                odds = self._of([asked[i] for i in part])
                if weight(part):
                    found[torch.as_tensor(list(part), device=found.device)] = odds
        return self.runtime.sum(found)

    def prompt(self, row: Mapping[str, str]) -> Prompt:
        """The question with everything filled in, once: braces in what is filled in stay text."""
        cut = {name: text if name == "prompt" else self._cut(text) for name, text in row.items()}
        parts = pieces(self.config.asked)
        text = "".join(written + (cut[name] if name else "") for written, name in parts)
        if self.chats:
            return Prompt("question", text, messages=(Message("user", text),))
        return Prompt("question", f"{text}{ANSWER}")

    def _of(self, asked: Sequence[Prompt]) -> torch.Tensor:
        twice = [prompt for prompt in asked for _ in self.answers]
        questions = [self.tokenizer.encode_prompt(prompt) for prompt in asked]
        rows = Rollout.from_tokens(
            self.tokenizer,
            twice,
            [ids for ids in questions for _ in self.answers],
            [list(ids) for _ in asked for ids in self.answers],
            self.runtime.device,
            [""] * len(twice),
        )
        totals = response_log_probs(self.policy, rows).sum(-1).view(-1, 2)
        return (totals[:, 0] - totals[:, 1]).float()

    def _answer_tokens(self, answer: str) -> list[int]:
        """The tokens of an answer as it follows the question, without what ends it."""
        if not self.chats:
            return self.tokenizer.encode(f" {answer}")
        prompt = Prompt("question", "?", messages=(Message("user", "?"),))
        ids = self.tokenizer.encode_response(prompt, answer)
        while ids and ids[-1] in self.tokenizer.end_ids:
            ids = ids[:-1]
        return ids

    def _cut(self, text: str) -> str:
        ids = self.tokenizer.encode(text)
        limit = self.config.max_tokens
        return text if len(ids) <= limit else self.tokenizer.decode(ids[:limit])
