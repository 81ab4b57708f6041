"""Runs of the real engine in forked children: the libraries are imported already, a run starts at
once."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib
import json
import multiprocessing
import multiprocessing.process
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

import preflab_builtin
from preflab.composing import search_path
from preflab.console import cli
from preflab.planning import code
from preflab.storage.artifacts import LAST, read_rows

IMPORTED = (
    "accelerate",
    "hydra._internal.core_plugins.basic_launcher",
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "phonenumbers",
    "preflab.console.launch",
    "preflab.jobs.job",
    "rich.console",
    "scipy.stats",
    "torch.utils.tensorboard",
    "transformers.convert_slow_tokenizer",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.llama.modeling_llama",
)
UNSEEN = ("trackers.tensorboard=null", "--no-plugin", "progress", "--no-plugin", "report")
"""Words for runs of which nobody looks at the report or the curves: they are a quarter of a small
run's time."""
KILLER = """
import os
from preflab import hookimpl

STAGE, STEP = os.environ["KILL_AT"].split(":")


@hookimpl
def preflab_step_finished(stage, step):
    if stage == STAGE and step == int(STEP):
        os.kill(os.getpid(), 9)
"""

BROKEN = """
import os
from dataclasses import dataclass

from preflab import Component, hookimpl, option


@dataclass
class C:
    name: str = option("broken", "component")


def build(config, context):
    from preflab.rewards import FunctionReward
    from preflab_builtin.rewards.functions import length_reward

    if os.environ.get("BROKEN"):
        raise SystemExit(9)
    return FunctionReward(length_reward(5, 1.0))


@hookimpl
def preflab_components():
    return [Component("reward_model", "broken", C, build=build)]
"""
"""A plugin whose reward model breaks its run while the variable BROKEN is set."""


def preflab(folder: Path, *words: str, **environment: str) -> int:
    """The exit code of ``preflab WORDS`` in a folder, or minus the signal that killed it.

    The output goes to log.txt.
    """
    return ended(start(folder, *words, **environment))


@cache
def _prepare() -> None:
    """What every run imports and reads on its way: 4 of its 8 seconds, which its children need not
    spend again."""
    root = Path(preflab_builtin.__path__[0])
    sources = sorted(root.rglob("*.py"))
    parts = [path.relative_to(root.parent).with_suffix("").parts for path in sources]
    own = [".".join(name).removesuffix(".__init__") for name in parts]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in (*IMPORTED, *own):
            with contextlib.suppress(ImportError):  # of an extra that is not installed here
                importlib.import_module(name)
    code.framework_digest()
    for path in sources:
        code.read_source(path)


def start(folder: Path, *words: str, **environment: str) -> multiprocessing.process.BaseProcess:
    """The same, but do not wait for it."""
    _prepare()
    child = multiprocessing.get_context("fork").Process(
        target=_main, args=(folder, words, environment)
    )
    child.start()
    return child


def ended(child: multiprocessing.process.BaseProcess) -> int:
    """The exit code of a run, once it has ended."""
    child.join(300)
    assert child.exitcode is not None, "the run hangs"
    return child.exitcode


def _main(folder: Path, words: Sequence[str], environment: dict[str, str]) -> None:
    gc.freeze()  # no search for garbage in what it has from its parent
    os.chdir(folder)
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    os.environ.update(environment)
    warnings.simplefilter("default", UserWarning)  # ours are for people, not errors as in pytest
    torch.set_num_threads(1)
    search_path.registry.cache_clear()
    cli.main(list(words))


def killed(folder: Path, stage: str, step: int, *words: str) -> None:
    """Run until SIGKILL hits right after a step of a stage."""
    plugin = folder / "killer.py"
    plugin.write_text(KILLER)
    code = preflab(folder, "--plugin", str(plugin), *words, KILL_AT=f"{stage}:{step}")
    assert code == -signal.SIGKILL, (stage, step, code, (folder / "log.txt").read_text()[-2000:])


def digests(folder: Path) -> dict[str, str]:
    """What each file of all artifacts holds, without times: sha256, or the rows of metrics."""
    contents = {}
    for path in sorted((folder / "artifacts").rglob("*")):
        if (
            path.is_file()
            and path.name not in ("artifact.json", "metrics.jsonl")
            and LAST not in path.parts  # it holds with what it was made
            and path.suffix != ".lock"
        ):
            contents[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.name == "metrics.jsonl":
            rows = [
                {k: v for k, v in row.items() if not k.startswith("time/")}
                for row in read_rows(path)
            ]
            contents[str(path.relative_to(folder))] = json.dumps(rows)
    return contents
