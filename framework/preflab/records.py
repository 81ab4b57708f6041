"""What flows between stages: frozen records of text, and the token batch that everything scores.

Shape legend, used everywhere: B batch, K ranked answers, Q prompt tokens, R response tokens, T =
Q + R, V vocabulary, D model width. Prompts are left-padded, responses right-padded; lengths and
``terminated`` are stored, never inferred from pad tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

    from preflab.models import Tokenizer

RecordType = Literal["prompts", "demonstrations", "rankings", "documents"]
Split = Literal["train", "validation", "test"]
RECORD_TYPES: tuple[RecordType, ...] = ("prompts", "demonstrations", "rankings", "documents")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
RANKINGS_FILE = "rankings.jsonl"
"""In the artifact of the comparisons stage: a ranking per line, as `to_json` writes it."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is asked: ``text`` is exactly what it sees, byte for byte.

    ``group`` is the unit, next to the user, that must not cross splits (a debate, a document);
    ``notes`` is for judges (the task behind a simulated prompt) and is never shown to a model.
    ``split`` is "" until a filter assigns one.
    """

    id: str
    text: str
    user: str = ""
    tags: tuple[str, ...] = ()
    group: str = ""
    split: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A prompt and the response that a person wrote for it (the end-of-text token is added by the
    tokenizer)."""

    prompt: Prompt
    response: str

    @property
    def split(self) -> str:
        return self.prompt.split


@dataclass(frozen=True, slots=True)
class Ranking:
    """K responses to one prompt and the preferences among them, one batch element of the reward
    model.

    ``preferences`` holds (better, worse) index pairs; a ranking of K without ties has K(K-1)/2,
    tied answers have none, and a pair that several labelers judged is in it once per vote.
    """

    prompt: Prompt
    responses: tuple[str, ...]
    preferences: tuple[tuple[int, int], ...]
    labeler: str = ""
    group: str = ""

    @property
    def split(self) -> str:
        return self.prompt.split


@dataclass(frozen=True, slots=True)
class Document:
    """A piece of pretraining text. With ``answer_start`` (a character index) the text after it is
    what a greedy continuation of the text before it must equal: an accuracy probe of its
    ``family``."""

    id: str
    text: str
    family: str = ""
    split: str = ""
    answer_start: int | None = None


Record = Prompt | Demonstration | Ranking | Document


def preferences_from_ranks(ranks: Sequence[float]) -> tuple[tuple[int, int], ...]:
    """(better, worse) pairs of a ranking, rank 1 best; equal ranks are ties and give no pair.

    >>> preferences_from_ranks([1, 2, 2])
    ((0, 1), (0, 2))
    """
    return tuple((i, j) for i, a in enumerate(ranks) for j, b in enumerate(ranks) if a < b)


def with_split(record: Record, split: str) -> Record:
    """The same record, assigned to a split."""
    if isinstance(record, (Prompt, Document)):
        return replace(record, split=split)
    return replace(record, prompt=replace(record.prompt, split=split))


def to_json(record: Record) -> dict[str, Any]:
    """A record as JSON-ready values; `from_json` reverses it."""
    return asdict(record)


def ranking_from_json(row: Mapping[str, Any]) -> Ranking:
    """The ranking that `to_json` wrote."""
    prompt = {**row["prompt"], "tags": tuple(row["prompt"]["tags"])}
    preferences = tuple((int(i), int(j)) for i, j in row["preferences"])
    return Ranking(
        Prompt(**prompt), tuple(row["responses"]), preferences, row["labeler"], row["group"]
    )


@dataclass(frozen=True)
class Rollout:
    """Responses to prompts, as tokens and as text: sampled by a policy or given. The one thing
    that reward models, labelers and evaluators score. Several samples of one prompt are in
    consecutive rows.

    prompt_ids [B, Q] left-padded, prompt_lengths [B]; response_ids [B, R] right-padded,
    response_lengths [B] tokens including the end token; terminated [B] bool: the response ended
    with the end token (else it was cut at the cap).
    """

    prompts: tuple[Prompt, ...]
    texts: tuple[str, ...]
    prompt_ids: torch.Tensor
    prompt_lengths: torch.Tensor
    response_ids: torch.Tensor
    response_lengths: torch.Tensor
    terminated: torch.Tensor

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

    @staticmethod
    def from_tokens(
        tokenizer: Tokenizer,
        prompts: Sequence[Prompt],
        prompt_tokens: Sequence[Sequence[int]],
        response_tokens: Sequence[Sequence[int]],
        device: torch.device | str = "cpu",
        texts: Sequence[str] | None = None,
    ) -> Rollout:
        """Pad token lists into a batch; a response is terminated if its last token is the end
        token.
        texts: what the responses decode to, where it is known."""
        import torch

        q, r = max(map(len, prompt_tokens), default=0), max(map(len, response_tokens), default=0)
        pad, eos = tokenizer.pad_id, tokenizer.eos_id
        left = [[pad] * (q - len(ids)) + list(ids) for ids in prompt_tokens]
        right = [list(ids) + [pad] * (r - len(ids)) for ids in response_tokens]
        ends = [bool(ids) and ids[-1] == eos for ids in response_tokens]
        if texts is None:
            rows = zip(response_tokens, ends, strict=True)
            texts = [tokenizer.decode(ids[:-1] if end else ids) for ids, end in rows]
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
        answers = [[*tokenizer.encode(text), tokenizer.eos_id][:max_tokens] for text in responses]
        return Rollout.from_tokens(
            tokenizer, prompts, [tokenizer.encode(p.text) for p in prompts], answers, device
        )
