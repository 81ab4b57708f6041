"""Training a reward model on rankings: a batch element is a prompt with its K completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import torch

from preflab.errors import UserError
from preflab.interfaces import Context, State
from preflab.optimization import Optimization, require_finite
from preflab.randomness import draw_order
from preflab.records import Ranking, Rollout, to_json
from preflab.runtime import weight
from preflab_builtin.reward_model.config import (
    NO_PREFERENCE,
    Element,
    KwiseConfig,
    RankingLoss,
)
from preflab_builtin.reward_model.examples import (
    Example,
    accounting,
    examples,
    rollout,
    whole_prompts,
)
from preflab_builtin.reward_model.heads import Heads, OneHead
from preflab_builtin.reward_model.loss import Scale, correct_pairs, ranking_loss
from preflab_builtin.reward_model.refusing import refuse_contradictions, refuse_unrated
from preflab_builtin.reward_model.scoring import last_values, raw_scores

T = TypeVar("T")


class Watched(NamedTuple, Generic[T]):
    """What is watched of a step: the loss (mean over prompts), and over its pairs the number in the
    right order and the sum of margins; how many responses are cut."""

    loss: T
    right: T
    margin: T
    cut: T


class KwiseTraining:
    """`preflab.interfaces.Procedure`: step i reads rankings i * batch .. of an endless shuffled
    stream."""

    def __init__(self, config: KwiseConfig, context: Context, heads: Heads | None = None) -> None:
        self.config, self.context, self.runtime = config, context, context.runtime
        self.heads: Heads = OneHead() if heads is None else heads
        given, key = context.rankings("train"), context.key_of(config)
        ranked = [r for r in given if r.preferences]
        self.tied = len(given) - len(ranked)
        if not ranked:
            raise UserError(NO_PREFERENCE)
        if config.loss is RankingLoss.plackett_luce:
            refuse_contradictions(ranked, key)
        self.scale = Scale()
        if config.loss is RankingLoss.regression:
            refuse_unrated(ranked, key)
            self.scale = Scale.of(ranked)
        with self.runtime.dividing():
            self.heads.make(context.policy(config.start.value), context.streams["head"], ranked)
        self.model = self.heads.model
        limits = (config.max_tokens, self.model.max_positions, key)
        self.examples = examples(ranked, context.tokenizer, *limits)
        validation = [r for r in context.rankings("validation") if r.preferences]
        self.validation = examples(validation, context.tokenizer, *limits)
        if config.element is Element.pair:
            self.examples = [pair for example in self.examples for pair in example.pairs()]
        self.draws = config.epochs * len(self.examples)
        if config.steps is not None:
            self.draws = config.steps * config.batch
        self.total_steps = -(-self.draws // config.batch)
        freeze_below(self.model.module, config.trainable_layers, key)
        self.runtime.shard(self.model.module)
        self.optimizations = self._optimizations()

    def _optimizations(self) -> dict[str, Optimization]:
        """That of the network; heads that learn faster than the rest have one of their own."""
        config, module = self.config.optimizer, self.model.module
        parts = {"reward_model": (config, list(module.parameters()))}
        if self.heads.rate != 1:
            own = list(module.get_submodule("score").parameters())
            rest = [p for p in module.parameters() if all(p is not head for head in own)]
            faster = replace(config, lr=self.heads.rate * config.lr)
            parts = {"reward_model": (config, rest), "reward_model_heads": (faster, own)}
        return {
            name: Optimization(optimizer, parameters, self.total_steps, self.runtime, name)
            for name, (optimizer, parameters) in parts.items()
            if any(p.requires_grad for p in parameters)
        }

    def step(self, index: int) -> Mapping[str, float]:
        """One optimizer step. loss/reward_model is the mean over prompts; accuracy and margin are
        over pairs."""
        draws = self._draws(index)
        batch = self._drawn(draws)
        watched = self._gradients(batch)
        require_finite(f"reward_model, step {index}", {"the loss": watched.loss})
        pairs = sum(len(example.preferences) for example in batch)
        metrics = {
            "loss/reward_model": watched.loss,
            "reward_model/accuracy": watched.right / pairs,
            "reward_model/margin": watched.margin / pairs,
            "reward_model/responses_cut": watched.cut,
        }
        if self.config.loss is RankingLoss.regression:
            metrics |= {
                "reward_model/rating_mean": self.scale.mean,
                "reward_model/rating_std": self.scale.std,
            }
        metrics |= self.heads.metrics()
        for optimization in self.optimizations.values():
            optimization.norm()  # raises before any weight is changed
        for optimization in self.optimizations.values():
            metrics |= optimization.step(index)
        epochs_before, epochs_now = (n // len(self.examples) for n in (draws.start, draws.stop))
        if epochs_now > epochs_before and self.validation:
            metrics |= self._validated()
        return metrics

    def _draws(self, index: int) -> range:
        """The numbers of a step's draws."""
        first = index * self.config.batch
        return range(first, min(first + self.config.batch, self.draws))

    def _drawn(self, draws: range) -> list[Example]:
        """The examples that are drawn."""
        size, seed = len(self.examples), self.context.seed
        order = draw_order(size, draws.start, len(draws), seed, "reward_model", "order")
        return [self.examples[i] for i in order]

    def batch(self, index: int) -> State:
        """The rankings of a step, as rankings.jsonl has them."""
        drawn = self._drawn(self._draws(index))
        return {"rankings": [to_json(example.ranking) for example in drawn]}

    def accounting(self, history: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
        """Rankings without a preference are left out; what max_tokens cuts is counted once, not in
        every epoch."""
        rankings = {"rankings": len(self.examples), "rankings without a preference": self.tied}
        return {**rankings, **self.heads.accounting(), **accounting(self.examples)}

    def _gradients(self, batch: Sequence[Example]) -> Watched[float]:
        """Add the gradient of the mean loss over the prompts of the step; what is watched, of all
        processes. A prompt's completions are always in one micro-batch: they share the prompt,
        which is read once, and the pairs need the scores of all of them."""
        sums = torch.zeros(len(Watched._fields), device=self.runtime.device)
        zero = sums.new_zeros(())
        ordered = sorted(batch, key=lambda example: example.length)
        for group in self._passes(ordered):
            counts = weight(group)
            rows = self._rollout(group)
            with self.runtime.autocast():
                values = last_values(self.model, rows)
            losses, start = [], 0
            for example in group:
                scores = values[start : start + len(example.responses)]
                start += len(example.responses)
                rewards = self.heads.rewards(scores, example.ranking)
                losses.append(self._loss(scores, example.ranking))
                right, margin = self._correct(rewards, example)
                right, margin = counts * right, counts * margin
                sums += torch.stack(Watched(loss=zero, right=right, margin=margin, cut=zero))
            loss = counts * torch.stack(losses).sum() / len(batch)
            torch.autograd.backward(loss)
            cut = counts * (~rows.terminated).sum()
            sums += torch.stack(Watched(loss=loss.detach(), right=zero, margin=zero, cut=cut))
        penalty = self.heads.penalty()
        if penalty is not None and self.runtime.rank == 0:  # gradients are summed over processes
            torch.autograd.backward(penalty)
        return Watched[float](*self.runtime.sum(sums).tolist())

    def _loss(self, values: torch.Tensor, ranking: Ranking) -> torch.Tensor:
        """The loss of a ranking, whose responses have these values, by the heads that it trains."""
        own = partial(ranking_loss, ranking=ranking, config=self.config, scale=self.scale)
        return self.heads.loss(values, ranking, own)

    def _correct(
        self, rewards: Sequence[torch.Tensor], example: Example
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`correct_pairs` by the mean of the heads that a ranking trains."""
        return correct_pairs(torch.stack(list(rewards)).detach().mean(0), example.preferences)

    def _passes(self, ordered: Sequence[Example]) -> Sequence[Sequence[Example]]:
        """This process's share of a step in micro-batches of whole prompts."""
        mine = list(whole_prompts(self.runtime.share(ordered), self.runtime.micro_batch))
        if not self.runtime.is_sharded:
            return mine
        most = max(self.runtime.gather([len(mine)]))
        return self.runtime.filled(mine, ordered[:1], most)

    def _rollout(self, rows: Sequence[Example]) -> Rollout:
        """All completions of some rankings, one row each."""
        return rollout(rows, self.context.tokenizer, self.runtime.device)

    def _validated(self) -> dict[str, float]:
        """Share of validation pairs in the right order, and the mean loss of the rankings."""
        right, loss, start = 0.0, 0.0, 0
        scores = raw_scores(self.model, self._rollout(self.validation), self.runtime)
        for example in self.validation:
            end = start + len(example.responses)
            rewards = self.heads.rewards(scores[start:end], example.ranking)
            right += float(self._correct(rewards, example)[0])
            loss += float(self._loss(scores[start:end], example.ranking))
            start = end
        pairs = sum(len(example.preferences) for example in self.validation)
        return {
            "reward_model/validation_accuracy": right / pairs,
            "reward_model/validation_loss": loss / len(self.validation),
        }

    def state_dict(self) -> State:
        """Weights and moments; the order follows from the step."""
        return {
            "model": self.model.module.state_dict(),
            "optimizers": {name: o.state_dict() for name, o in self.optimizations.items()},
        }

    def load_state_dict(self, state: State) -> None:
        """Restore them."""
        self.model.module.load_state_dict(state["model"])
        for name, optimization in self.optimizations.items():
            optimization.load_state_dict(state["optimizers"][name])

    def save(self, folder: Path) -> None:
        """The network, with the offset that centres it (InstructGPT C.2: demonstrations have mean
        score 0)."""
        if self.config.centre:
            self.heads.centre(self._mean_scores())
        self.heads.trained(self._by_ranking)
        self.model.save(folder / "model")

    def _by_ranking(self) -> Sequence[torch.Tensor]:
        """Values of the responses of training rankings, of at most ``centre_on``."""
        some = self.examples[: self.config.centre_on]
        scores = raw_scores(self.model, self._rollout(some), self.runtime).double()
        return list(scores.split_with_sizes([len(example.responses) for example in some]))

    def _mean_scores(self) -> list[float]:
        """Of each head."""
        context, most = self.context, self.config.centre_on
        if context.has("demonstrations"):
            shown = context.records("demonstrations", "train")[:most]
            prompts, texts = [d.prompt for d in shown], [d.response for d in shown]
            arguments = (context.tokenizer, prompts, texts, self.config.max_tokens)
            rows = Rollout.from_texts(*arguments, self.runtime.device)
        else:
            rows = self._rollout(self.examples[:most])
        scores = raw_scores(self.model, rows, self.runtime).double()
        columns = scores[:, None] if scores.dim() == 1 else scores
        return [float(column.mean()) for column in columns.unbind(1)]


def freeze_below(module: torch.nn.Module, trainable_layers: int | None, key: str) -> None:
    """Leave only the last blocks, what follows the blocks in their parent (the final norm) and the
    head trainable; `UserError` if the model has fewer blocks. key: of the component."""
    if trainable_layers is None:
        return
    path, blocks = blocks_of(module, trainable_layers, key)
    parent, _, name = path.rpartition(".")
    siblings = dict(module.get_submodule(parent).named_children())
    after = list(siblings)[list(siblings).index(name) + 1 :]
    trained = [*blocks[len(blocks) - trainable_layers :], *(siblings[n] for n in after)]
    parts = (*trained, module.get_submodule("score"))
    stay = {id(parameter) for part in parts for parameter in part.parameters()}
    for parameter in module.parameters():  # of blocks with adapters, only these are trained
        parameter.requires_grad_(parameter.requires_grad and id(parameter) in stay)


def blocks_of(
    module: torch.nn.Module, trainable_layers: int, key: str
) -> tuple[str, Sequence[torch.nn.Module]]:
    """The blocks of a model and their path; `UserError` if there are fewer than are to be
    trained."""
    lists = ((n, m) for n, m in module.named_modules() if isinstance(m, torch.nn.ModuleList))
    path, blocks = next(lists, ("", torch.nn.ModuleList()))
    if not blocks or trainable_layers > len(blocks):
        raise UserError(
            f"{key}.trainable_layers={trainable_layers}, but the model has {len(blocks)} blocks."
        )
    return path, list(blocks)
