"""Where policies come from: made from scratch, or read from a folder; and how saved folders are read again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GPT2Config,
    LlamaConfig,
)
from transformers.utils.logging import disable_progress_bar

from preflab.errors import UserError
from preflab_builtin.causal_lm.config import Family, TinyConfig, TokenizerKind
from preflab_builtin.causal_lm.folders import check_model_config
from preflab_builtin.causal_lm.models import CausalPolicy, CausalScalarModel, borrowed_randomness
from preflab_builtin.causal_lm.saving import read_facts
from preflab_builtin.causal_lm.tokenizer import (
    FILE,
    TextTokenizer,
    byte_tokenizer,
    folder_tokenizer,
    word_tokenizer,
)

disable_progress_bar()  # type: ignore[no-untyped-call]  # a bar for every model folder that is read hides the run's own


class SavedModels:
    """Reads the folders that `CausalPolicy.save` and `CausalScalarModel.save` wrote (and others of the same tokenizer)."""

    tokenizer: TextTokenizer

    def __init__(self, device: torch.device | str, fast: bool = True, graphs: bool = False) -> None:
        self.device, self.fast, self.graphs = device, fast, graphs

    def _policy(self, module: Any) -> CausalPolicy:
        return CausalPolicy(module.to(self.device), self.tokenizer, self.fast, self.graphs)

    def load(self, folder: Path) -> CausalPolicy:
        """The policy of a folder; `UserError` if its tokenizer is another one or weights are missing."""
        self._check_tokenizer(folder)
        module = read_module(AutoModelForCausalLM, folder)
        policy = self._policy(module)
        _check_head(policy, folder)
        return policy

    def load_scalar(self, folder: Path) -> CausalScalarModel:
        """The scalar model of a folder, with its stored offset (0 if another program wrote it)."""
        self._check_tokenizer(folder)
        module = read_module(AutoModelForSequenceClassification, folder, num_labels=1)
        offset = float(read_facts(folder).get("offset", 0.0))
        return CausalScalarModel(module.to(self.device), self.tokenizer, offset, self.fast)

    def _check_tokenizer(self, folder: Path) -> None:
        file = folder / FILE
        if not file.is_file():
            raise UserError(f"{folder} holds no {FILE}: it is not a complete model folder.")
        ours, theirs = self.tokenizer, folder_tokenizer(folder)
        if theirs.digest != ours.digest and theirs.wrapper.get_vocab() != ours.wrapper.get_vocab():
            raise UserError(
                f"{folder} has another tokenizer than the policy: token ids of one mean other words to the other."
            )
        if (theirs.eos_id, theirs.pad_id) != (ours.eos_id, ours.pad_id):
            raise UserError(
                f"{folder} has the end and pad tokens {theirs.eos_id} and {theirs.pad_id}, the policy has {ours.eos_id} and "
                f"{ours.pad_id}: set eos_token and pad_token alike in both tokenizer_config.json."
            )


class TinySource(SavedModels):
    """Models made from scratch (`preflab.interfaces.PolicySource`). vocabulary: of the closed world, for words."""

    def __init__(
        self,
        config: TinyConfig,
        vocabulary: Sequence[str] | None,
        device: torch.device | str = "cpu",
        fast: bool = True,
        graphs: bool = False,
    ) -> None:
        super().__init__(device, fast, graphs)
        self.config = config
        if config.tokenizer is TokenizerKind.bytes:
            self.tokenizer = byte_tokenizer()
        elif vocabulary is None:
            raise UserError(
                "policy.tokenizer=words needs data with a closed vocabulary, and this data has none. Use policy.tokenizer=bytes."
            )
        else:
            self.tokenizer = word_tokenizer(vocabulary)

    def create(self, generator: torch.Generator) -> CausalPolicy:
        """A fresh model, its weights drawn from the generator with the family's own initialiser."""
        with borrowed_randomness(generator):
            config = tiny_config(self.config, self.tokenizer)
            module: Any = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")  # type: ignore[no-untyped-call]
        module.generation_config.update(do_sample=True, top_k=0, top_p=1.0)
        return self._policy(module)


class FolderSource(SavedModels):
    """Pretrained weights of a transformers folder (`preflab.interfaces.PolicySource`)."""

    def __init__(
        self,
        folder: Path,
        device: torch.device | str = "cpu",
        fast: bool = True,
        graphs: bool = False,
    ) -> None:
        super().__init__(device, fast, graphs)
        self.folder = folder
        self.tokenizer = folder_tokenizer(folder)

    def create(self, generator: torch.Generator) -> CausalPolicy:
        """The pretrained weights; nothing is drawn."""
        return self.load(self.folder)


def tiny_config(config: TinyConfig, tokenizer: TextTokenizer) -> LlamaConfig | GPT2Config:
    """The transformers config of a model from scratch: tied embeddings, no dropout. The llama block is 4 D^2 (attention)
    plus 3 D * 8D/3 (SwiGLU): 12 D^2 like the gpt2 block."""
    shared: dict[str, Any] = {
        "vocab_size": tokenizer.size,
        "pad_token_id": tokenizer.pad_id,
        "eos_token_id": tokenizer.eos_id,
        "bos_token_id": tokenizer.eos_id,
        "tie_word_embeddings": True,
    }
    if config.family is Family.gpt2:
        sizes: dict[str, Any] = {
            "n_positions": config.max_positions,
            "n_embd": config.width,
            "n_layer": config.layers,
            "n_head": config.heads,
        }
        return GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **sizes, **shared)
    return LlamaConfig(
        max_position_embeddings=config.max_positions,
        hidden_size=config.width,
        intermediate_size=-(-config.width // 3) * 8,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        attention_dropout=0.0,
        **shared,
    )


def read_module(loader: Any, folder: Path, attention: str | None = "sdpa", **settings: Any) -> Any:
    """A transformers model from local safetensors, in float32, without dropout; `UserError` if weights are missing.
    attention: None leaves the choice to the family, as not every one has sdpa."""
    check_model_config(folder)
    try:
        module, report = loader.from_pretrained(
            folder, dtype=torch.float32, attn_implementation=attention, use_safetensors=True, local_files_only=True,
            trust_remote_code=False, output_loading_info=True, **settings,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise UserError(f"{folder}: the model cannot be read: {error}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise UserError(
            f"{folder} lacks weights of {type(module).__name__}: {', '.join(missing[:3])}. Is it another kind of model?"
        )
    _without_dropout(module)
    # Weights read from a file lie in its memory map, at places that kernels round differently for: a loaded model then
    # differs in the last bit from the one that was saved. Copies are aligned, and do not need the file any more.
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.clone()
    return module


def _without_dropout(module: torch.nn.Module) -> None:
    """Old and new log-probs must come from the same network: every dropout is off, also in a module that trains."""
    config: Any = module.config
    for name, value in vars(config).items():
        if isinstance(value, float) and ("dropout" in name or name.endswith("pdrop")):
            setattr(config, name, 0.0)
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
        elif isinstance(getattr(part, "attention_dropout", None), float):
            setattr(part, "attention_dropout", 0.0)  # noqa: B010


def _check_head(policy: CausalPolicy, folder: Path) -> None:
    """Some families scale or cap their logits after the unembedding; refuse them rather than train on other numbers."""
    ids = torch.tensor([[0, 1, 2, 3]], device=policy.module.device)
    with torch.no_grad():
        ours = policy.logits(policy.hidden(ids, torch.ones_like(ids, dtype=torch.bool)))
        theirs = policy.module(input_ids=ids).logits.float()
    if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3):
        raise UserError(
            f"{folder}: {type(policy.module).__name__} changes its logits after the unembedding, which preflab does not do."
        )
