"""Training a reward model on rankings: a batch element is a prompt with its K completions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from preflab.errors import NumericError, UserError
from preflab.interfaces import Context, State
from preflab.optimization import Optimization
from preflab.randomness import draw_order
from preflab.records import Prompt, Ranking, Rollout, to_json
from preflab_builtin.reward_model.config import Element, KwiseConfig
from preflab_builtin.reward_model.cutting import measure_cut
from preflab_builtin.reward_model.loss import correct_pairs, kwise_loss
from preflab_builtin.reward_model.scoring import last_values, raw_scores


class KwiseTraining:
    """`preflab.interfaces.Procedure`: step i reads rankings i * batch .. of an endless shuffled stream."""

    def __init__(self, config: KwiseConfig, context: Context) -> None:
        self.config, self.context, self.runtime = config, context, context.runtime
        given = context.rankings("train")
        self.rankings = [r for r in given if r.preferences]
        self.tied = len(given) - len(self.rankings)
        if config.element is Element.pair:
            self.rankings = [pair for ranking in self.rankings for pair in single_pairs(ranking)]
        if not self.rankings:
            raise UserError("There is no ranking with a preference to train the reward model on.")
        self.validation = [r for r in context.rankings("validation") if r.preferences]
        self.draws = config.epochs * len(self.rankings)
        self.total_steps = -(-self.draws // config.batch)
        self.model = context.policy(config.start.value).scalar_model(context.streams["head"])
        limit = self.model.max_positions
        refuse_long([*self.rankings, *self.validation], context, config.max_tokens, limit)
        self.cut = measure_cut(self.rankings, context.tokenizer, config.max_tokens)
        measure_cut(
            self.validation, context.tokenizer, config.max_tokens
        )  # refuses what cannot be told apart
        freeze_below(self.model.module, config.trainable_layers)
        parameters = self.model.module.parameters()
        self.optimization = Optimization(
            config.optimizer, parameters, self.total_steps, self.runtime, "reward_model"
        )

    def step(self, index: int) -> Mapping[str, float]:
        """One optimizer step. loss/reward_model is the mean over prompts; accuracy and margin are over pairs."""
        first, last = index * self.config.batch, min((index + 1) * self.config.batch, self.draws)
        batch = self._drawn(index)
        loss, right, margin, cut = self._gradients(batch).tolist()
        if not math.isfinite(loss):
            raise NumericError(
                f"reward_model, step {index}: the loss is {loss}. No weight was changed."
            )
        pairs = sum(len(r.preferences) for r in batch)
        metrics = {
            "loss/reward_model": loss,
            "accuracy": right / pairs,
            "margin": margin / pairs,
            "responses/cut": cut,
        }
        metrics |= self.optimization.step(index)
        if last // len(self.rankings) > first // len(self.rankings) and self.validation:
            metrics["val/accuracy"] = self._validation_accuracy()
        return metrics

    def _drawn(self, index: int) -> list[Ranking]:
        """The rankings of a step."""
        first, last = index * self.config.batch, min((index + 1) * self.config.batch, self.draws)
        order = draw_order(
            len(self.rankings), first, last - first, self.context.seed, "reward_model", "order"
        )
        return [self.rankings[i] for i in order]

    def batch(self, index: int) -> State:
        """The rankings of a step, as rankings.jsonl has them."""
        return {"rankings": [to_json(ranking) for ranking in self._drawn(index)]}

    def accounting(self, history: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
        """Rankings that say nothing are left out; what max_tokens cuts is counted once, whatever the epochs."""
        cut = self.cut
        rows = {
            "rankings": len(self.rankings),
            "rankings without a preference": self.tied,
            "responses": cut.responses,
        }
        return {
            **rows,
            "tokens": cut.tokens,
            "responses cut": cut.cut,
            "tokens lost": cut.lost,
            "missing end tokens": cut.cut,
        }

    def _gradients(self, batch: Sequence[Ranking]) -> torch.Tensor:
        """Add the gradient of the mean loss over the prompts of the step; [loss, right pairs, sum of margins, responses that
        were cut], of all processes. A prompt's completions are always in one micro-batch: they share the prompt, which is read
        once, and the pairs need the scores of all of them."""
        totals = torch.zeros(4, device=self.runtime.device)
        for group in whole_prompts(self.runtime.share(by_length(batch)), self.runtime.micro_batch):
            rows = self._rollout(group)
            with self.runtime.autocast():
                rewards = last_values(self.model, rows)
            losses, start = [], 0
            for ranking in group:
                scores = rewards[start : start + len(ranking.responses)]
                start += len(ranking.responses)
                losses.append(kwise_loss(scores, ranking.preferences))
                right, margin = correct_pairs(scores.detach(), ranking.preferences)
                totals += torch.tensor([0.0, right, margin, 0.0], device=totals.device)
            loss = torch.stack(losses).sum() / len(batch)
            torch.autograd.backward(loss)
            totals += torch.stack(
                [
                    loss.detach(),
                    totals.new_zeros(()),
                    totals.new_zeros(()),
                    (~rows.terminated).sum(),
                ]
            )
        return self.runtime.sum(totals)

    def _rollout(self, rankings: Sequence[Ranking]) -> Rollout:
        """All completions of some rankings, one row each."""
        prompts = [r.prompt for r in rankings for _ in r.responses]
        texts = [text for r in rankings for text in r.responses]
        return self._batch(prompts, texts)

    def _batch(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> Rollout:
        """Given responses, cut where the config says."""
        return Rollout.from_texts(
            self.context.tokenizer, prompts, texts, self.config.max_tokens, self.runtime.device
        )

    def _validation_accuracy(self) -> float:
        """Share of validation pairs in the right order."""
        right, start = 0.0, 0
        scores = raw_scores(self.model, self._rollout(self.validation), self.runtime)
        for ranking in self.validation:
            end = start + len(ranking.responses)
            right += correct_pairs(scores[start:end], ranking.preferences)[0]
            start = end
        return right / sum(len(r.preferences) for r in self.validation)

    def state_dict(self) -> State:
        """Weights and moments; the order follows from the step."""
        return {
            "model": self.model.module.state_dict(),
            "optimizer": self.optimization.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Take them over."""
        self.model.module.load_state_dict(state["model"])
        self.optimization.load_state_dict(state["optimizer"])

    def save(self, folder: Path) -> None:
        """The network, with the offset that centres it (InstructGPT C.2: demonstrations have mean score 0)."""
        if self.config.centre:
            self.model.offset = self._mean_score()
        self.model.save(folder / "model")

    def _mean_score(self) -> float:
        if self.context.has("demonstrations"):
            shown = self.context.records("demonstrations", "train")
            rollout = self._batch([d.prompt for d in shown], [d.response for d in shown])
        else:
            rollout = self._rollout(self.rankings)
        return float(raw_scores(self.model, rollout, self.runtime).double().mean())


def by_length(rankings: Sequence[Ranking]) -> list[Ranking]:
    """Shortest first: those in a micro-batch are of like length."""
    return sorted(rankings, key=lambda r: len(r.prompt.text) + max(map(len, r.responses)))


def whole_prompts(rankings: Sequence[Ranking], size: int) -> list[list[Ranking]]:
    """Consecutive rankings in micro-batches of at most ``size`` completions (one ranking at least): none is divided."""
    groups: list[list[Ranking]] = []
    for ranking in rankings:
        if not groups or sum(len(r.responses) for r in groups[-1]) + len(ranking.responses) > size:
            groups.append([])
        groups[-1].append(ranking)
    return groups


def single_pairs(ranking: Ranking) -> list[Ranking]:
    """Each preference as a ranking of its own two responses."""
    responses = ranking.responses
    return [
        replace(ranking, responses=(responses[a], responses[b]), preferences=((0, 1),))
        for a, b in ranking.preferences
    ]


def refuse_long(
    rankings: Sequence[Ranking], context: Context, max_tokens: int | None, limit: int | None
) -> None:
    """`UserError` naming the first ranking with a response that the model has no positions for."""
    if limit is None:
        return
    encode = context.tokenizer.encode
    for ranking in rankings:
        prompt = len(encode(ranking.prompt.text))
        longest = max(len(encode(text)) + 1 for text in ranking.responses)
        tokens = prompt + (longest if max_tokens is None else min(longest, max_tokens))
        if tokens > limit:
            raise UserError(
                f"The ranking of prompt {ranking.prompt.id!r} has a response that makes {tokens} tokens with its prompt, more "
                f"than the model's {limit} positions. Set reward_model.max_tokens, or drop it with a filter."
            )


def freeze_below(module: torch.nn.Module, trainable_layers: int | None) -> None:
    """Leave only the last blocks, what stands after the blocks in their parent (the final norm) and the head trainable;
    `UserError` if the model has fewer blocks."""
    if trainable_layers is None:
        return
    found = next(
        ((name, m) for name, m in module.named_modules() if isinstance(m, torch.nn.ModuleList)),
        None,
    )
    if found is None or trainable_layers > len(found[1]):
        raise UserError(
            f"reward_model.trainable_layers={trainable_layers}, but the model has {len(found[1]) if found else 0} blocks."
        )
    path, blocks = found
    parent, _, own = path.rpartition(".")
    around = list(module.get_submodule(parent).named_children())
    after = [part for _, part in around[[name for name, _ in around].index(own) + 1 :]]
    module.requires_grad_(False)
    for part in (
        *list(blocks)[len(blocks) - trainable_layers :],
        *after,
        module.get_submodule("score"),
    ):
        part.requires_grad_(True)
