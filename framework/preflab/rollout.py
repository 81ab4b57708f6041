"""The token batch that everything scores; authors import it from `preflab.records`.

Shapes: B batch, Q prompt tokens, R response tokens, T = Q + R. Prompts are left-padded, responses
right-padded; lengths and ``terminated`` are stored, never inferred from pad tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from preflab.prompts import Prompt, Tokenizer


@dataclass(frozen=True)
class Rollout:
    """Responses to prompts, as tokens and as text: sampled by a policy or given. The one thing
    that reward models, labelers and evaluators score. Several samples of one prompt are in
    consecutive rows.

    prompt_ids [B, Q] left-padded, prompt_lengths [B]; response_ids [B, R] right-padded,
    response_lengths [B] tokens including the end token; terminated [B] bool: the response ended
    with an end token (else it was cut at the cap).

    log_probs [B, R] float32: of each response token under the distribution that the engine says it
    was drawn from, that is, after the temperature; 0 on pads; None if it does not say, and for
    responses that were given. weights: the `Policy.version` that it was drawn from; "" for engines
    that have no copy of the weights, since they read the policy itself.
    """

    prompts: tuple[Prompt, ...]
    texts: tuple[str, ...]
    prompt_ids: torch.Tensor
    prompt_lengths: torch.Tensor
    response_ids: torch.Tensor
    response_lengths: torch.Tensor
    terminated: torch.Tensor
    log_probs: torch.Tensor | None = None
    weights: str = ""

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def input_ids(self) -> torch.Tensor:
        """[B, T] prompt and response."""
        import torch

        return torch.cat([self.prompt_ids, self.response_ids], dim=1)

    @property
    def response_mask(self) -> torch.Tensor:
        """[B, R] bool: true on response tokens, the end token included."""
        import torch

        slots = torch.arange(self.response_ids.shape[1], device=self.response_ids.device)
        return slots[None, :] < self.response_lengths[:, None]

    @property
    def mask(self) -> torch.Tensor:
        """[B, T] bool: true on real tokens, from the stored lengths."""
        import torch

        width = self.prompt_ids.shape[1]
        slots = torch.arange(width, device=self.prompt_ids.device)
        return torch.cat(
            [slots[None, :] >= width - self.prompt_lengths[:, None], self.response_mask], dim=1
        )

    def rows(self, index: Sequence[int]) -> Rollout:
        """The chosen rows, trimmed to their longest prompt and response: [len(index), Q' + R']."""
        import torch

        at = torch.as_tensor(list(index), dtype=torch.long, device=self.prompt_ids.device)
        q, r = int(self.prompt_lengths[at].max()), int(self.response_lengths[at].max())
        return Rollout(
            prompts=tuple(self.prompts[i] for i in index),
            texts=tuple(self.texts[i] for i in index),
            prompt_ids=self.prompt_ids[at][:, self.prompt_ids.shape[1] - q :],
            prompt_lengths=self.prompt_lengths[at],
            response_ids=self.response_ids[at][:, :r],
            response_lengths=self.response_lengths[at],
            terminated=self.terminated[at],
            log_probs=None if self.log_probs is None else self.log_probs[at][:, :r],
            weights=self.weights,
        )

    def by_length(self, rows: Sequence[int] | None = None) -> list[int]:
        """The given rows (None: all), shortest first, so that micro-batches hold few pads."""
        lengths = (self.prompt_lengths + self.response_lengths).tolist()
        return sorted(range(len(self)) if rows is None else rows, key=lambda i: (lengths[i], i))

    def tokens(self) -> list[tuple[list[int], list[int]]]:
        """Prompt and response tokens of each row, without padding."""
        prompts = zip(self.prompt_ids.tolist(), self.prompt_lengths.tolist(), strict=True)
        responses = zip(self.response_ids.tolist(), self.response_lengths.tolist(), strict=True)
        return [(q[len(q) - n :], r[:m]) for (q, n), (r, m) in zip(prompts, responses, strict=True)]

    def drawn_by(self) -> list[list[float]] | None:
        """``log_probs`` of each row, without padding."""
        if self.log_probs is None:
            return None
        rows = zip(self.log_probs.tolist(), self.response_lengths.tolist(), strict=True)
        return [values[:length] for values, length in rows]

    @staticmethod
    def from_tokens(
        tokenizer: Tokenizer,
        prompts: Sequence[Prompt],
        prompt_tokens: Sequence[Sequence[int]],
        response_tokens: Sequence[Sequence[int]],
        device: torch.device | str = "cpu",
        texts: Sequence[str] | None = None,
        log_probs: Sequence[Sequence[float]] | None = None,
        weights: str = "",
    ) -> Rollout:
        """Pad token lists into a batch; a response is terminated if its last token is an end token.
        texts: what the responses decode to, where it is known; log_probs: one for each token of
        ``response_tokens``."""
        import torch

        q, r = max(map(len, prompt_tokens), default=0), max(map(len, response_tokens), default=0)
        pad, end_ids = tokenizer.pad_id, tokenizer.end_ids
        left = [[pad] * (q - len(ids)) + list(ids) for ids in prompt_tokens]
        right = [list(ids) + [pad] * (r - len(ids)) for ids in response_tokens]
        ends = [bool(ids) and ids[-1] in end_ids for ids in response_tokens]
        if texts is None:
            rows = zip(prompts, response_tokens, strict=True)
            texts = [tokenizer.decode_response(prompt, ids) for prompt, ids in rows]
        drawn_by = None
        if log_probs is not None:
            padded = [
                [*values] + [0.0] * (r - len(ids))
                for values, ids in zip(log_probs, response_tokens, strict=True)
            ]
            drawn_by = torch.tensor(padded, dtype=torch.float32, device=device)
            drawn_by = drawn_by.reshape(len(prompts), r)
        return Rollout(
            prompts=tuple(prompts),
            texts=tuple(texts),
            prompt_ids=torch.tensor(left, dtype=torch.long, device=device).reshape(len(prompts), q),
            prompt_lengths=torch.tensor(
                [len(ids) for ids in prompt_tokens], dtype=torch.long, device=device
            ),
            response_ids=torch.tensor(right, dtype=torch.long, device=device).reshape(
                len(prompts), r
            ),
            response_lengths=torch.tensor(
                [len(ids) for ids in response_tokens], dtype=torch.long, device=device
            ),
            terminated=torch.tensor(ends, dtype=torch.bool, device=device),
            log_probs=drawn_by,
            weights=weights,
        )

    @staticmethod
    def from_texts(
        tokenizer: Tokenizer,
        prompts: Sequence[Prompt],
        responses: Sequence[str],
        max_tokens: int | None = None,
        device: torch.device | str = "cpu",
    ) -> Rollout:
        """Given responses as a batch, each closed by the end token; with ``max_tokens`` cut to
        the cap (then not terminated, exactly as a sampled response would be)."""
        rows = zip(prompts, responses, strict=True)
        answers = [tokenizer.encode_response(prompt, text)[:max_tokens] for prompt, text in rows]
        asked = [tokenizer.encode_prompt(prompt) for prompt in prompts]
        return Rollout.from_tokens(tokenizer, prompts, asked, answers, device)
