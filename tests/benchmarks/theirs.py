"""The peers' side: TRL's trainers and transformers' generate, stopped between two steps until it
is their turn. Run as ``python -m benchmarks.theirs JOB`` in the peers' environment, which knows
nothing of preflab."""

from __future__ import annotations

import copy
import itertools
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from benchmarks.channel import Turns, forget_peak, job_of
from benchmarks.judging import ROWS, judged, together
from benchmarks.shapes import (
    LEARNING_RATE,
    STEPS,
    ppo_shape,
    ranking_shape,
    rollout_shape,
    sft_shape,
)

warnings.filterwarnings("ignore")


class Side:
    """What all measurements need: the job, the rows, the turns. folder: what `prepare` wrote."""

    def __init__(self, job: dict[str, Any], turns: Turns) -> None:
        import torch
        from transformers import AutoTokenizer

        torch.set_num_threads(job["threads"])
        self.job, self.turns, self.folder = job, turns, Path(job["folder"])
        self.size: str = job["size"]
        self.rows = json.loads((self.folder / "rows.json").read_text(encoding="utf8"))
        self.device: str = job["device"]
        self.tokenizer: Any = AutoTokenizer.from_pretrained(self.folder / "policy")

    def model(self, kind: str, name: str) -> Any:
        """A model of the folder."""
        import torch
        import transformers

        more = {"num_labels": 1} if kind == "AutoModelForSequenceClassification" else {}
        return getattr(transformers, kind).from_pretrained(
            self.folder / name, dtype=torch.float32, **more
        )

    def callback(self, facts: Any) -> Any:
        """A trainer's callback that answers after each step with ``facts()`` and waits for the
        next turn."""
        from transformers import TrainerCallback

        turns = self.turns

        class Pause(TrainerCallback):
            """Stops the trainer between two steps."""

            def on_step_end(self, *arguments: Any, **named: Any) -> None:
                turns.answer(metrics=facts())
                turns.wait()

        return Pause()

    def arguments(self) -> dict[str, Any]:
        """What all trainers get: device and precision, the optimizer that ours has, nothing
        logged or saved."""
        own: dict[str, Any] = {
            "output_dir": tempfile.mkdtemp(dir=self.job["scratch"]),
            "report_to": [],
        }
        own |= {
            "use_cpu": self.device == "cpu",
            "bf16": self.job["precision"] == "bfloat16",
            "save_strategy": "no",
            "disable_tqdm": True,
            "gradient_checkpointing": False,
        }
        own |= {
            "learning_rate": LEARNING_RATE,
            "lr_scheduler_type": "constant",
            "adam_beta2": 0.95,
            "max_grad_norm": 1.0,
        }
        return own

    def train(self, trainer: Any) -> None:
        """Let a trainer go when it is its turn."""
        self.turns.answer(ready=True)
        self.turns.wait()
        trainer.train()


def keeping_losses(trainer_class: Any) -> Any:
    """The trainer, its losses kept as they are computed (no synchronisation: they stay tensors)."""

    class Kept(trainer_class):  # type: ignore[misc]
        """Remembers the losses of the passes of a step."""

        kept: list[Any]

        def compute_loss(self, *arguments: Any, **named: Any) -> Any:
            """As the trainer does."""
            found = super().compute_loss(*arguments, **named)
            self.kept.append((found[0] if isinstance(found, tuple) else found).detach())
            return found

        def taken(self) -> list[float]:
            """The losses since the last call."""
            values = [float(value) for value in self.kept]
            self.kept.clear()
            return values

    return Kept


def ppo(side: Side) -> None:
    """TRL's PPOTrainer. With ``given`` the responses come out of the file, and a step is one
    minibatch (see `ours.ppo_words`)."""
    from datasets import Dataset
    from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

    shape, given = ppo_shape(side.size), bool(side.job.get("given"))
    if given:
        table = json.loads((side.folder / "given.json").read_text(encoding="utf8"))
        ppo_trainer.batch_generation = _given_generation(
            {tuple(row["prompt"]): row["response"] for row in table}
        )
    settings = {**side.arguments(), **({"vf_coef": 1.0} if given else {})}
    config = PPOConfig(
        per_device_train_batch_size=shape.batch,
        gradient_accumulation_steps=1,
        num_mini_batches=1 if given else shape.minibatches,
        num_ppo_epochs=1,
        total_episodes=shape.batch * STEPS,
        response_length=shape.response,
        num_sample_generations=0,
        temperature=1.0,
        kl_coef=0.02,
        local_rollout_forward_batch_size=shape.batch,
        stop_token="eos",
        **settings,
    )
    data = Dataset.from_dict({"input_ids": side.rows["check" if given else "prompts"]})
    policy, reference = (
        side.model("AutoModelForCausalLM", "policy"),
        side.model("AutoModelForCausalLM", "policy"),
    )
    value, reward = (side.model("AutoModelForSequenceClassification", "reward") for _ in range(2))
    seen: dict[str, float] = {}

    class Seen(PPOTrainer):  # type: ignore[misc]
        """Keeps the metrics that the trainer logs every iteration."""

        def log(self, logs: dict[str, float], *arguments: Any, **named: Any) -> None:
            """As the trainer does."""
            numbers = {k: float(v) for k, v in logs.items() if isinstance(v, (int, float))}
            seen.update(numbers)
            super().log(logs, *arguments, **named)

    trainer = Seen(
        args=config,
        processing_class=side.tokenizer,
        model=policy,
        ref_model=reference,
        reward_model=reward,
        value_model=value,
        train_dataset=data,
        eval_dataset=data.select(range(4)),
        callbacks=[side.callback(lambda: dict(seen))],
    )
    side.train(trainer)


def _given_generation(responses: dict[tuple[int, ...], list[int]]) -> Any:
    """In the place of TRL's ``batch_generation``: the given responses, and the model's logits on
    them."""
    import torch

    @torch.no_grad()
    def generation(model: Any, queries: Any, size: int, pad: int, config: Any) -> Any:
        whole = torch.tensor(
            [[*query, *responses[tuple(query)]] for query in queries.tolist()],
            device=queries.device,
        )
        logits = model(input_ids=whole).logits
        return whole, logits[:, queries.shape[1] - 1 : -1]

    return generation


def reward_model(side: Side) -> None:
    """TRL's RewardTrainer on the rankings written out as pairs."""
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    shape = ranking_shape(side.size)
    pairs = [
        {"chosen_ids": [*prompt, *better], "rejected_ids": [*prompt, *worse]}
        for prompt, completions in side.rows["rankings"][str(shape.k)]
        for better, worse in itertools.combinations(completions, 2)
    ]
    config = RewardConfig(
        per_device_train_batch_size=shape.pairs * shape.prompts // shape.pieces,
        gradient_accumulation_steps=shape.pieces,
        num_train_epochs=1,
        max_length=None,
        train_sampling_strategy="sequential",
        logging_steps=10**6,
        **side.arguments(),
    )
    side.tokenizer.padding_side = "right"
    trainer: Any = keeping_losses(RewardTrainer)(
        model=side.model("AutoModelForSequenceClassification", "reward"),
        args=config,
        processing_class=side.tokenizer,
        train_dataset=Dataset.from_list(pairs),
        callbacks=[side.callback(lambda: {"loss": sum(losses := trainer.taken()) / len(losses)})],
    )
    trainer.kept = []
    side.train(trainer)


def sft(side: Side) -> None:
    """TRL's SFTTrainer."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    shape = sft_shape(side.size)
    config = SFTConfig(
        per_device_train_batch_size=shape.batch // shape.pieces,
        gradient_accumulation_steps=shape.pieces,
        num_train_epochs=1,
        max_length=shape.longest,
        completion_only_loss=True,
        train_sampling_strategy="sequential",
        logging_steps=10**6,
        **side.arguments(),
    )
    # Without the mask the trainer divides by a number of tokens that counts the first of each
    # row, which nothing predicts.
    rows = [
        {"input_ids": ids, "completion_mask": [0] + [1] * (len(ids) - 1)}
        for ids in side.rows["sft"]
    ]
    side.tokenizer.padding_side = "right"
    trainer: Any = keeping_losses(SFTTrainer)(
        model=side.model("AutoModelForCausalLM", "policy"),
        args=config,
        processing_class=side.tokenizer,
        train_dataset=Dataset.from_list(rows),
        callbacks=[side.callback(lambda: {"loss": sum(trainer.taken())})],
    )
    trainer.kept = []
    side.train(trainer)


def rollout(side: Side) -> None:
    """transformers' generate: ``sample`` is one call, ``judge`` says what the model thinks of
    given tokens."""
    import torch

    shape, eos = rollout_shape(side.size), side.rows["eos"]
    name = "ragged" if side.job["name"] == "rollout_ragged" else "policy"
    model = side.model("AutoModelForCausalLM", name).eval().to(side.device)
    # In bfloat16 a user samples from weights of that format; what it thinks of tokens is judged
    # in float32 all the same.
    sampler = model if side.job["precision"] == "float32" else copy.deepcopy(model).bfloat16()
    settings: dict[str, Any] = {
        "do_sample": True,
        "top_k": 0,
        "temperature": 1.0,
        "pad_token_id": side.rows["pad"],
    }
    prompts, number = side.rows["prompts"], 0
    side.turns.answer(ready=True)
    while True:
        command = side.turns.wait()
        with torch.inference_mode():
            if command["do"] == "judge":
                rows, pad = command["rows"], side.rows["pad"]
                found = together(
                    _judge(model, rows[i : i + ROWS], pad, side.device)
                    for i in range(0, len(rows), ROWS)
                )
                side.turns.answer(**found)
                forget_peak()
                continue
            rows = [prompts[(number * shape.batch + i) % len(prompts)] for i in range(shape.batch)]
            ids = torch.tensor(rows, device=side.device)
            torch.manual_seed(number)
            number += 1
            mask = torch.ones_like(ids)
            whole = sampler.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=shape.response, **settings
            )
        answers = [_ended(row, eos) for row in whole[:, shape.prompt :].tolist()]
        side.turns.answer(
            lengths=[len(a) for a in answers],
            rows=[[q, a] for q, a in zip(ids.tolist(), answers, strict=True)],
        )


def _ended(ids: list[int], eos: int) -> list[int]:
    """Cut after the first end token."""
    return ids[: ids.index(eos) + 1] if eos in ids else ids


def _judge(model: Any, rows: list[list[list[int]]], pad: int, device: str) -> dict[str, Any]:
    import torch

    longest = max(len(response) for _, response in rows)
    whole = torch.tensor(
        [[*prompt, *response, *[pad] * (longest - len(response))] for prompt, response in rows],
        device=device,
    )
    mask = torch.tensor(
        [[True] * len(response) + [False] * (longest - len(response)) for _, response in rows],
        device=device,
    )
    first = whole.shape[1] - longest
    logits = model(input_ids=whole, attention_mask=torch.ones_like(whole)).logits[:, first - 1 : -1]
    return judged(logits, whole[:, first:], mask)


def main(arguments: Sequence[str]) -> None:
    """Build what the job names, then take turns."""
    turns = Turns()
    side = Side(job_of(arguments), turns)
    kinds = {"ppo_iteration": ppo, "reward_model": reward_model, "sft": sft}
    kinds.get(side.job["name"], rollout)(side)


if __name__ == "__main__":
    main(sys.argv)
