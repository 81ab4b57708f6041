"""Small model folders with the tokenizer set-ups of known families: how texts begin, which tokens
are special, the chat template, the ends of generation. The templates are written for these tests
and lay a conversation out as the families' own do; vocabularies are trained on a few lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    processors,
    trainers,
)
from tokenizers import pre_tokenizers as pre
from transformers import PreTrainedTokenizerFast

LINES = [
    f"Greet guest {i} of the hotel. Hello and welcome, guest {i}! What is {i} plus {i + 3}?"
    for i in range(200)
]
WORDS_OF_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Set:
    """A family's tokenizer. bos, eos, pad: the special tokens that have a role; specials: all
    special tokens; words: added tokens that are not special; ends: eos_token_id of
    generation_config.json, as tokens; begins, closes: what ``tokenizer(text)`` puts around."""

    backend: Callable[[], Tokenizer]
    specials: Sequence[str]
    eos: str | None
    bos: str | None = None
    pad: str | None = None
    words: Sequence[str] = ()
    ends: Sequence[str] = ()
    template: str | None = None
    begins: str = ""
    closes: str = ""
    strips: bool = False
    """The template takes white space off the ends of a message."""
    system: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)


def byte_level(normalizer: Any = None, split: str = "") -> Callable[[], Tokenizer]:
    """Byte-level BPE, as GPT-2 has it, or with a pattern of words of its own."""

    def make() -> Tokenizer:
        tokenizer = Tokenizer(models.BPE())
        if normalizer is not None:
            tokenizer.normalizer = normalizer
        byte = pre.ByteLevel(add_prefix_space=False, use_regex=not split)
        words: Any = byte
        if split:
            words = pre.Sequence([pre.Split(Regex(split), "isolated"), byte])
        tokenizer.pre_tokenizer = words
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=420,
            initial_alphabet=pre.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(LINES, trainer)
        return tokenizer

    return make


def sentencepiece(prefix: str) -> Callable[[], Tokenizer]:
    """BPE over characters with bytes for the unknown ones, as converted from SentencePiece.
    prefix: "every" part of a text gets a space in front (Llama 2), the "first" one alone (Mistral),
    or "none" (Gemma)."""

    def make() -> Tokenizer:
        trained = Tokenizer(models.BPE(unk_token="<unk>"))
        trained.pre_tokenizer = pre.Metaspace(prepend_scheme="always")
        fixed = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
        trainer = trainers.BpeTrainer(vocab_size=620, special_tokens=fixed, show_progress=False)
        trained.train_from_iterator(LINES, trainer)
        data = json.loads(trained.to_str())
        data["added_tokens"] = [t for t in data["added_tokens"] if t["content"] == "<unk>"]
        data["model"] |= {"byte_fallback": True, "fuse_unk": True}
        tokenizer = Tokenizer.from_str(json.dumps(data | {"pre_tokenizer": None}))
        strip = [] if prefix == "none" else [decoders.Strip(" ", 1, 0)]
        if prefix == "first":
            tokenizer.pre_tokenizer = pre.Metaspace(prepend_scheme="first", split=False)
        else:
            steps: list[Any] = [normalizers.Replace(" ", "\u2581")]
            if prefix == "every":
                steps.insert(0, normalizers.Prepend("\u2581"))
            tokenizer.normalizer = normalizers.Sequence(steps)
        parts: list[Any] = [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
        ]
        tokenizer.decoder = decoders.Sequence([*parts, *strip])
        return tokenizer

    return make


def unigram() -> Tokenizer:
    """Unigram with a space in front, as T5 has it. White space is joined."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")]
    )
    tokenizer.pre_tokenizer = pre.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    alphabet = [*(chr(i) for i in range(33, 127)), "\u00e9"]
    trainer = trainers.UnigramTrainer(
        vocab_size=300,
        initial_alphabet=alphabet,
        special_tokens=["<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


CHATML = (
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}"
    "<|im_start|>system\nYou are helpful.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN3 = (
    "{% for m in messages %}{% if m.role == 'assistant' %}"
    "{% set said = m.content.split('</think>')[-1].lstrip('\n') %}<|im_start|>assistant\n"
    "{% if loop.last %}<think>\n\n</think>\n\n{% endif %}{{ said }}<|im_end|>\n"
    "{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
    "{% endif %}"
)
LLAMA2 = (
    "{% set ns = namespace(system='') %}{% for m in messages %}"
    "{% if m.role == 'system' %}{% set ns.system = '<<SYS>>\n' + m.content + '\n<</SYS>>\n\n' %}"
    "{% elif m.role == 'user' %}"
    "{{ bos_token + '[INST] ' + ns.system + m.content.strip() + ' [/INST]' }}"
    "{% set ns.system = '' %}{% else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}{% endif %}"
    "{% endfor %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}"
    "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'user' %}[INST] {{ m.content }}[/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}"
    "{% else %}{{ m.content }}\n\n{% endif %}{% endfor %}"
)
PHI3 = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
OLMO = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% if not loop.last %}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}\n<|assistant|>\n{% endif %}"
)
MASKED = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}\n"
    "{% else %}{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
IM = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
NFC = normalizers.NFC()

FAMILIES: dict[str, Set] = {
    "gpt2": Set(byte_level(), IM[:1], IM[0], bos=IM[0]),
    "llama2": Set(
        sentencepiece("every"),
        ("<s>", "</s>"),
        "</s>",
        bos="<s>",
        template=LLAMA2,
        begins="<s>",
        strips=True,
    ),
    "llama3": Set(
        byte_level(split=WORDS_OF_LLAMA3),
        (
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eom_id|>",
            "<|eot_id|>",
            "<|reserved_special_token_0|>",
        ),
        "<|eot_id|>",
        bos="<|begin_of_text|>",
        ends=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
        template=LLAMA3,
        begins="<|begin_of_text|>",
        strips=True,
    ),
    "qwen2.5": Set(
        byte_level(NFC, WORDS_OF_LLAMA3), IM, IM[2], pad=IM[0], ends=(IM[2], IM[0]), template=CHATML
    ),
    "qwen3": Set(
        byte_level(NFC, WORDS_OF_LLAMA3),
        IM,
        IM[2],
        pad=IM[0],
        words=("<think>", "</think>"),
        ends=(IM[2], IM[0]),
        template=QWEN3,
    ),
    "gemma": Set(
        sentencepiece("none"),
        ("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"),
        "<eos>",
        bos="<bos>",
        pad="<pad>",
        ends=("<eos>", "<end_of_turn>"),
        template=GEMMA,
        begins="<bos>",
        strips=True,
        system=False,
    ),
    "mistral": Set(
        sentencepiece("first"),
        ("<s>", "</s>", "[INST]", "[/INST]"),
        "</s>",
        bos="<s>",
        template=MISTRAL,
        begins="<s>",
    ),
    "phi3": Set(
        sentencepiece("every"),
        ("<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"),
        "<|endoftext|>",
        pad="<|endoftext|>",
        ends=("<|endoftext|>", "<|assistant|>", "<|end|>"),
        template=PHI3,
        options={"rstrip": True},
    ),
    "smollm2": Set(byte_level(), IM, IM[2], bos=IM[1], pad=IM[2], template=CHATML),
    "pythia": Set(byte_level(NFC), IM[:1], IM[0], bos=IM[0]),
    "olmo": Set(
        byte_level(NFC),
        ("<|endoftext|>", "<|padding|>"),
        IM[0],
        bos=IM[0],
        pad="<|padding|>",
        template=OLMO,
    ),
    "t5": Set(unigram, ("<pad>", "</s>"), "</s>", pad="<pad>", closes="</s>"),
    "generation mask": Set(byte_level(), IM, IM[2], pad=IM[0], template=MASKED),
    "base with bos": Set(byte_level(), ("<s>", "</s>"), "</s>", bos="<s>", begins="<s>"),
    "no end token": Set(byte_level(), ("<|stop|>",), None, ends=("<|stop|>",)),
}


def write(name: str, folder: Path) -> Path:
    """The tokenizer's files of a family, and its generation_config.json."""
    made = FAMILIES[name]
    backend = made.backend()
    backend.add_special_tokens(
        [AddedToken(t, normalized=False, special=True, **made.options) for t in made.specials]
    )
    backend.add_tokens([AddedToken(t, normalized=False) for t in made.words])
    around = [t for t in (made.begins, made.closes) if t]
    if around:
        single = " ".join(t for t in (made.begins, "$A", made.closes) if t)
        backend.post_processor = processors.TemplateProcessing(
            single=single, special_tokens=[(t, backend.token_to_id(t)) for t in around]
        )
    names = {"bos_token": made.bos, "eos_token": made.eos, "pad_token": made.pad}
    make: Any = PreTrainedTokenizerFast
    wrapper = make(
        tokenizer_object=backend,
        clean_up_tokenization_spaces=False,
        **{role: token for role, token in names.items() if token},
    )
    wrapper.chat_template = made.template
    wrapper.save_pretrained(folder)
    if made.ends:
        ends = [backend.token_to_id(t) for t in made.ends]
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    return folder
