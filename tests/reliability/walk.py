"""A small procedure that writes everything a stage can write: state, a log, files next to
checkpoints, model folders, an artifact."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from preflab.engine.loop import CheckpointConfig, Loop
from preflab.randomness import Streams
from preflab.storage.artifacts import Store, file_digest, files_below
from preflab_builtin.causal_lm.saving import replace_folder, save_model
from preflab_builtin.causal_lm.vocabularies import byte_tokenizer

RECIPE = "a" * 64
STAGE = "sft"
TOKENIZER = byte_tokenizer()


class Walk:
    """A random walk from its state, a stream and torch's global one; every other step writes a
    file, as SFT writes the weights of an epoch."""

    total_steps = 6

    def __init__(self, streams: Streams, folder: Path) -> None:
        self.streams, self.folder = streams, folder
        self.position, self.weights = torch.zeros(4), torch.zeros(300)

    def step(self, index: int) -> Mapping[str, float]:
        self.position = (
            self.position * 0.9 + torch.randn(4, generator=self.streams["steps"]) + torch.randn(4)
        )
        self.weights = self.weights + self.position.sum()
        if index % 2:
            self._write(self.folder / "epochs" / str(index))
        return {"loss/walk": float(self.position.sum())}

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position, self.weights = state["position"].clone(), state["weights"].clone()

    def save(self, folder: Path) -> None:
        """A model folder, as the built-in models save themselves."""
        torch.manual_seed(int(self.position.abs().sum() * 1e4))
        config = LlamaConfig(
            vocab_size=11,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
        )
        save_model(
            LlamaForCausalLM(config),
            TOKENIZER,
            folder / "model",
            "policy",
            {"position": self.position.tolist()},
        )

    def _write(self, folder: Path) -> None:
        temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        temporary.mkdir(parents=True)
        (temporary / "position.txt").write_text(repr(self.position.tolist()))
        replace_folder(temporary, folder)


def make(root: Path, limit: float = 600.0, **settings: Any) -> None:
    """The whole stage as `preflab.engine.stages` does it: lock, partial folder, loop, artifact."""
    torch.manual_seed(5)
    streams, store = Streams(1, "walk"), Store(root)
    if found := store.find(STAGE, RECIPE):
        found.verify()
        store.sweep(found)
        return
    with store.making(STAGE, RECIPE) as partial:
        partial.mkdir(exist_ok=True)
        checkpoint = CheckpointConfig(every_seconds=1e9, every_steps=1, limit_seconds=limit)
        Loop(
            STAGE,
            Walk(streams, partial),
            streams,
            partial,
            checkpoint,
            lambda hook, **a: None,
            **settings,
        ).run()
        store.commit(
            STAGE,
            RECIPE,
            {"created": "2026-01-01", "component": "walk", "seed": 1, "cost": {"seconds": 0}},
        )


def contents(root: Path) -> dict[str, str]:
    """Digests of all files below a folder but locks."""
    return {
        str(p.relative_to(root)): file_digest(p) for p in files_below(root) if p.suffix != ".lock"
    }
