"""Supervised fine-tuning as a procedure (InstructGPT section 3.5 and C.1; its PPO initialisation,
C.3, with a mix)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from preflab.interfaces import Context, State
from preflab.optimization import Optimization, require_finite
from preflab.randomness import draw_order
from preflab.records import Split
from preflab.runtime import weight
from preflab.sharding import is_sharded
from preflab_builtin.causal_lm.losses import nll_sum
from preflab_builtin.pretrain.stream import PretrainingStream, targets_in, window_nll
from preflab_builtin.sft.batches import Example, examples, padded
from preflab_builtin.sft.config import EPOCH, SFTConfig
from preflab_builtin.sft.dropout import residual_dropout

CHECKPOINTS = "checkpoints"


class SupervisedFineTuning:
    """`preflab.interfaces.Procedure`: step i reads draws i * batch .. (i + 1) * batch - 1 of an
    endless shuffled stream; the last step reads the rest of the last epoch. At the end of each
    epoch the model is kept in checkpoints/epoch-N, so that `select` can choose."""

    def __init__(self, config: SFTConfig, context: Context) -> None:
        self.config, self.context, self.runtime = config, context, context.runtime
        with self.runtime.dividing():
            self.policy = context.policy("base")
        self.runtime.shard(self.policy.module)
        self.examples = self._examples("train")
        self.validation = self._examples("validation")
        self.draws = config.epochs * len(self.examples)
        if config.steps is not None:
            self.draws = config.steps * config.batch
        self.total_steps = -(-self.draws // config.batch)
        parameters = self.policy.module.parameters()
        self.optimization = Optimization(
            config.optimizer, parameters, self.total_steps, self.runtime, "sft"
        )
        self.mix: PretrainingStream | None = None
        if config.mix_coef:
            documents = context.records("documents", "train")
            self.mix = PretrainingStream(
                documents, context.tokenizer, config.mix_window, context.seed, "sft", "mix"
            )
        self.tokens = 0

    def step(self, index: int) -> Mapping[str, float]:
        """One optimizer step. loss/sft, loss/sft_mix, sft/validation_loss: nats per token;
        sft/tokens: those with loss, so far."""
        draws = self._draws(index)
        metrics = self._demonstrations(draws)
        if self.mix is not None:
            metrics |= self.optimization.add("sft_mix", partial(self._mix, self.mix, index))
        require_finite(
            f"sft, step {index}",
            {name: value for name, value in metrics.items() if name.startswith("loss/")},
        )
        metrics |= self.optimization.step(index)
        epochs_before, epochs_now = (n // len(self.examples) for n in (draws.start, draws.stop))
        ended = list(range(epochs_before + 1, epochs_now + 1))
        if index == self.total_steps - 1 and draws.stop % len(self.examples):
            ended.append(epochs_now + 1)  # the last step is within an epoch: that is kept too
        if ended:
            metrics |= self._validation_loss()
        for epoch in ended:
            self._keep(f"{EPOCH}{epoch}")
        return metrics

    def batch(self, index: int) -> State:
        """The demonstrations (and windows of the mix) of a step, as tokens and as text."""
        decode, count = self.context.tokenizer.decode, self.config.mix_windows
        rows = [self.examples[i] for i in self._order(self._draws(index))]
        return {
            "demonstrations": [
                {"text": decode(row.ids), "ids": list(row.ids), "loss": list(row.loss)}
                for row in rows
            ],
            "mix": self.mix.draw(index * count, count).tolist() if self.mix else [],
        }

    def accounting(self, history: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
        """A demonstration that is too long is refused, so none is cut; what the mix leaves out is
        counted."""
        eos = self.context.tokenizer.eos_id
        mix = self.mix.accounting() if self.mix is not None else {}
        return {
            "demonstrations": len(self.examples),
            "tokens": sum(len(row.ids) for row in self.examples),
            "missing end tokens": sum(row.ids[-1] != eos for row in self.examples),
            **{f"mix: {name}": value for name, value in mix.items()},
        }

    def state_dict(self) -> State:
        """Weights, moments and the token counter; the sample order and dropout follow from the
        step."""
        return {
            "model": self.policy.module.state_dict(),
            "optimizer": self.optimization.state_dict(),
            "tokens": self.tokens,
        }

    def load_state_dict(self, state: State) -> None:
        """Restore them."""
        self.policy.module.load_state_dict(state["model"])
        self.optimization.load_state_dict(state["optimizer"])
        self.tokens = int(state["tokens"])

    def save(self, folder: Path) -> None:
        """Write the last model."""
        self.policy.save(folder / "model")

    def _examples(self, split: Split) -> list[Example]:
        demonstrations = self.context.records("demonstrations", split)
        limit = self.policy.max_positions
        return examples(demonstrations, self.context.tokenizer, self.config.loss_on, limit)

    def _draws(self, index: int) -> range:
        """The numbers of a step's draws."""
        first = index * self.config.batch
        return range(first, min(first + self.config.batch, self.draws))

    def _order(self, draws: range) -> list[int]:
        """The examples that are drawn."""
        size, seed = len(self.examples), self.context.seed
        return draw_order(size, draws.start, len(draws), seed, "sft", "order")

    def _demonstrations(self, draws: range) -> dict[str, float]:
        """Add the gradient of the demonstrations' mean token loss."""
        # Similar lengths share a micro-batch: fewer pads. Within one optimizer step this changes no
        # result.
        step = sorted(
            zip(draws, self._order(draws), strict=True),
            key=lambda pair: len(self.examples[pair[1]].ids),
        )
        denominator = sum(self.examples[i].targets for _, i in step)
        total = torch.zeros((), device=self.runtime.device)
        for group in self.runtime.passes(step):
            rows = [self.examples[i] for _, i in group]
            seeds = [(self.context.seed, "sft", "dropout", draw) for draw, _ in group]
            with residual_dropout(
                self.policy.module, self.config.dropout, [len(row.ids) for row in rows], seeds
            ):
                nll = self._nll(rows)
            torch.autograd.backward(weight(group) * nll / denominator)
            total += weight(group) * nll.detach()
        self.tokens += denominator
        return {
            "loss/sft": float(self.runtime.sum(total)) / denominator,
            "sft/tokens": float(self.tokens),
        }

    def _mix(self, stream: PretrainingStream, index: int) -> dict[str, float]:
        """Add mix_coef times the gradient of the pretraining windows' mean token loss."""
        count = self.config.mix_windows
        denominator = targets_in(count, self.config.mix_window)
        numbers = range(index * count, (index + 1) * count)
        total = torch.zeros((), device=self.runtime.device)
        for group in self.runtime.passes(numbers):
            windows = stream.pick(group).to(self.runtime.device)
            seeds = [(self.context.seed, "sft", "mix dropout", number) for number in group]
            lengths = [self.config.mix_window] * len(seeds)
            with (
                residual_dropout(self.policy.module, self.config.dropout, lengths, seeds),
                self.runtime.autocast(),
            ):
                nll = window_nll(self.policy, windows)
            coef = weight(group) * (self.config.mix_coef or 0.0)
            torch.autograd.backward(coef / denominator * nll)
            total += weight(group) * nll.detach()
        return {"loss/sft_mix": float(self.runtime.sum(total)) / denominator}

    def _nll(self, rows: Sequence[Example]) -> torch.Tensor:
        ids, mask, targets = padded(rows, self.context.tokenizer.pad_id, self.runtime.device)
        with self.runtime.autocast():
            return nll_sum(self.policy, ids, mask, targets)

    def _validation_loss(self) -> dict[str, float]:
        """Mean token loss of the validation demonstrations, without dropout."""
        if not self.validation:
            return {}
        total = torch.zeros((), device=self.runtime.device)
        with torch.no_grad():
            ordered = sorted(self.validation, key=lambda row: len(row.ids))
            for group in self.runtime.passes(ordered):
                total += weight(group) * self._nll(group)
        targets = sum(row.targets for row in self.validation)
        return {"sft/validation_loss": float(self.runtime.sum(total)) / targets}

    def _keep(self, name: str) -> None:
        """Write a checkpoint that `Context.policy("sft/NAME")` reads; one from before a kill is
        replaced."""
        if self.runtime.rank == 0 or is_sharded(self.policy.module):
            self.policy.save(self.context.folder / CHECKPOINTS / name)
