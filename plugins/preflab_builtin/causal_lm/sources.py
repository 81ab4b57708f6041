"""Where policies come from: made from scratch, or read from a folder; and how saved folders are
read again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from preflab.errors import UserError
from preflab.interfaces import Context
from preflab.runtime import Precision
from preflab_builtin.causal_lm.checking import check_weights
from preflab_builtin.causal_lm.config import (
    LoraConfig,
    PretrainedConfig,
    SmolLM2Config,
    TinyConfig,
    TokenizerKind,
)
from preflab_builtin.causal_lm.folders import locate
from preflab_builtin.causal_lm.heads import Heads
from preflab_builtin.causal_lm.smollm2 import converted
from preflab_builtin.causal_lm.tokenizer import FILE, TextTokenizer, folder_tokenizer
from preflab_builtin.causal_lm.vocabularies import byte_tokenizer, word_tokenizer

if TYPE_CHECKING:
    import torch

    from preflab_builtin.causal_lm.backbone import CausalBackbone
    from preflab_builtin.causal_lm.models import (
        CausalHeadsModel,
        CausalPolicy,
        CausalScalarModel,
    )

    Model = TypeVar("Model", bound=CausalBackbone)
    Place = torch.device | str | Callable[[], torch.device]


def tiny(config: TinyConfig, context: Context) -> TinySource:
    """The component ``tiny``. The data are asked for their words only if these are its tokens."""
    words = context.vocabulary if config.tokenizer is TokenizerKind.words else None
    return TinySource(config, words, *_settings(context)).taking(config.lora, context)


def pretrained(config: PretrainedConfig, context: Context) -> FolderSource:
    """The component ``pretrained``."""
    folder = locate(config.path, config.revision, whole=False)
    source = FolderSource(folder, *_settings(context), arguments=config.template_arguments)
    return source.taking(config.lora, context)


def smollm2(config: SmolLM2Config, context: Context) -> FolderSource:
    """The component ``smollm2``."""
    arguments = config.template_arguments
    source = FolderSource(converted(config), *_settings(context), arguments=arguments)
    return source.taking(config.lora, context)


def _settings(context: Context) -> tuple[Place, bool, bool]:
    """Device, fast paths, recorded decoding."""
    config = context.runtime.config
    return lambda: context.runtime.device, config.fast_paths, config.decode_graphs


class SavedModels:
    """Reads the folders that `CausalPolicy.save` and `CausalScalarModel.save` wrote, and others
    with the same tokenizer."""

    tokenizer: TextTokenizer
    lora: LoraConfig | None = None
    """Adapters that the models get which are read from a folder and are to be trained."""

    checkpointing = False
    """Whether the backward passes of the models compute every block again."""

    compiling = False
    """Whether the models' fast paths are compiled."""

    bfloat16 = False
    """Whether the run's forward passes are in that format."""

    def taking(self, lora: LoraConfig, context: Context) -> Self:
        """This source, whose models get adapters if a rank is given."""
        self.lora = None if lora.rank is None else lora
        config = context.runtime.config
        self.bfloat16 = config.precision is Precision.bfloat16
        self.checkpointing, self.compiling = config.checkpointing, config.compile
        return self

    def __init__(self, device: Place, fast: bool = True, graphs: bool = False) -> None:
        """device: of the models; a function is asked when the first one is made."""
        self._place, self.fast, self.graphs = device, fast, graphs

    @property
    def device(self) -> torch.device | str:
        """Where the models are."""
        return self._place() if callable(self._place) else self._place

    def _reading(self) -> dict[str, Any]:
        """How weights are read: into 4 bits, where the run asks for that."""
        if self.lora is None or self.lora.bits is None:
            return {}
        import torch

        from preflab_builtin.causal_lm import quantised

        return quantised.reading(torch.device(self.device), self.bfloat16)

    def check_compile(self) -> None:
        """`UserError` if no fast path reads the models, so that nothing would be compiled."""
        if self.lora is not None and self.lora.bits is not None:
            raise UserError(
                "runtime.compile=true has nothing to compile with policy.lora.bits="
                f"{self.lora.bits}: weights in 4 bits are computed by the model library's own "
                "forward passes. Leave one of the two out."
            )

    def _passing(self, model: Model) -> Model:
        """A model whose passes are as the run asks."""
        model.checkpointing, model.compiling = self.checkpointing, self.compiling
        return model

    def _policy(self, module: Any) -> CausalPolicy:
        from preflab_builtin.causal_lm.models import CausalPolicy

        return CausalPolicy(module.to(self.device), self.tokenizer, self.fast, self.graphs)

    def load(self, folder: Path) -> CausalPolicy:
        """The policy of a folder; `UserError` if its tokenizer differs or weights are missing."""
        from preflab_builtin.causal_lm.reading import check_head, read_policy_module

        self._check_tokenizer(folder)
        policy = self._policy(read_policy_module(folder, **self._reading()))
        policy.lora, policy.origin = self.lora, str(folder)
        check_head(policy, folder)  # one pass, which nothing is compiled for
        return self._passing(policy)

    def load_scalar(self, folder: Path) -> CausalScalarModel:
        """The scalar model of a folder, with its stored offset (0 if another program wrote it)."""
        from preflab_builtin.causal_lm.models import CausalScalarModel
        from preflab_builtin.causal_lm.reading import read_scalar_module
        from preflab_builtin.causal_lm.saving import read_facts

        self._check_tokenizer(folder)
        facts = read_facts(folder)
        if names := [head["name"] for head in facts.get("heads", ())]:
            raise UserError(
                f"{folder} has a head for each of {len(names)} groups ({', '.join(names)}), and "
                "one number per response is needed here. Choose reward_model=pretrained_groups "
                f"reward_model.path={folder}, whose option welfare says how to weigh them."
            )
        module = read_scalar_module(folder, **self._reading())
        offset = float(facts.get("offset", 0.0))
        model = CausalScalarModel(module.to(self.device), self.tokenizer, offset, self.fast)
        model.lora, model.origin = self.lora, str(folder)
        return self._passing(model)

    def load_heads(self, folder: Path) -> CausalHeadsModel:
        """The model of a folder with several heads, with what is stored of each."""
        from preflab_builtin.causal_lm.models import CausalHeadsModel
        from preflab_builtin.causal_lm.reading import read_scalar_module
        from preflab_builtin.causal_lm.saving import read_facts

        self._check_tokenizer(folder)
        heads = Heads.read(read_facts(folder), folder)
        module = read_scalar_module(folder, len(heads.names), **self._reading())
        model = CausalHeadsModel(module.to(self.device), self.tokenizer, heads, self.fast)
        model.lora, model.origin = self.lora, str(folder)
        return self._passing(model)

    def _check_tokenizer(self, folder: Path) -> None:
        file = folder / FILE
        if not file.is_file():
            raise UserError(f"{folder} has no {FILE}: it is not a complete model folder.")
        policy, saved = self.tokenizer, folder_tokenizer(folder)
        same_vocabulary = saved.digest == policy.digest or (
            saved.wrapper.get_vocab() == policy.wrapper.get_vocab()
        )
        if not same_vocabulary:
            raise UserError(
                f"{folder} has another tokenizer than the policy: the same token ids mean "
                "different words."
            )
        if saved.eos_id != policy.eos_id:  # a pad is never read, so it may differ
            raise UserError(
                f"{folder} has the end token {saved.eos_id}, the policy has {policy.eos_id}: set "
                "the same eos_token in both tokenizer_config.json."
            )


class TinySource(SavedModels):
    """Models made from scratch (`preflab.interfaces.PolicySource`). vocabulary: of the closed
    world, for word tokens."""

    def __init__(
        self,
        config: TinyConfig,
        vocabulary: Sequence[str] | None,
        device: Place = "cpu",
        fast: bool = True,
        graphs: bool = False,
    ) -> None:
        super().__init__(device, fast, graphs)
        self.config = config
        if config.tokenizer is TokenizerKind.bytes:
            self.tokenizer = byte_tokenizer()
        elif vocabulary is None:
            raise UserError(
                "policy.tokenizer=words needs data with a closed vocabulary, and this data has "
                "none. Use policy.tokenizer=bytes."
            )
        else:
            self.tokenizer = word_tokenizer(vocabulary)

    @property
    def max_positions(self) -> int | None:
        """Tokens that a row may have at most."""
        return self.config.max_positions

    def create(self, generator: torch.Generator) -> CausalPolicy:
        """A new model, its weights drawn from the generator with the family's own initialiser."""
        from preflab_builtin.causal_lm.reading import new_module

        return self._passing(self._policy(new_module(self.config, self.tokenizer, generator)))


class FolderSource(SavedModels):
    """Pretrained weights of a transformers folder (`preflab.interfaces.PolicySource`)."""

    def __init__(
        self,
        folder: Path,
        device: Place = "cpu",
        fast: bool = True,
        graphs: bool = False,
        arguments: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(device, fast, graphs)
        self.folder = folder
        self.tokenizer = folder_tokenizer(folder, arguments)

    @property
    def max_positions(self) -> int | None:
        """Tokens that a row may have at most, by the folder's config; None: it names no limit."""
        from preflab_builtin.causal_lm.reading import model_config

        limit: int | None = getattr(model_config(self.folder), "max_position_embeddings", None)
        return limit

    def check_scalar(self) -> None:
        """`UserError` if transformers has no classifier of this architecture whose head is one
        matrix. The model is made without weights."""
        from preflab_builtin.causal_lm.reading import check_scalar

        check_scalar(self.folder, self.tokenizer.pad_id)

    def check_compile(self) -> None:
        """`UserError` if no fast path reads the models; these are made without weights."""
        from preflab_builtin.causal_lm.reading import check_compile

        super().check_compile()
        check_compile(self.folder)

    def create(self, generator: torch.Generator) -> CausalPolicy:
        """The pretrained weights; nothing is drawn."""
        check_weights(self.folder)
        return self.load(self.folder)
