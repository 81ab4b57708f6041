"""``vllm serve FOLDER`` on the model of a run answers as the run does: `make test-vllm`."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import preflab
from end_to_end.runs import preflab as preflab_command
from tiny_vllm import SHAPE, vllm_serve

pytestmark = pytest.mark.vllm
TURN = "what is the color of gus ?"
PROMPT = f"user : {TURN} assistant :"
WORDS = (
    *("debug=fast", "runtime.threads=1", "sft=none", "comparisons=none", "reward_model=none"),
    *("algorithm=none", "evaluation=none", "trackers=none", "data.documents=100"),
    *("pretrain.steps=60", "policy.layers=1"),
    *(f"policy.{name}={value}" for name, value in SHAPE.items()),
    *("--no-plugin", "report", "name=served"),
)
MOST = 12


def test_greedy_texts_are_those_of_the_run(tmp_path: Path) -> None:
    """A completion, and a turn of a conversation through the chat template in the folder. vLLM
    shows the space between the prompt and the first word, too."""
    assert preflab_command(tmp_path, *WORDS) == 0, (tmp_path / "log.txt").read_text()[-2000:]
    run = preflab.load(tmp_path / "runs" / "config" / "served")
    (model,) = tmp_path.glob("artifacts/debug/pretrain-*/model")
    turns = [{"role": "user", "content": TURN}]
    greedy: dict[str, Any] = {"temperature": 0, "max_tokens": MOST}
    body = {"model": str(model), **greedy}
    with vllm_serve(model, "--dtype", "float32") as address:
        completed = _asked(f"{address}/v1/completions", body | {"prompt": PROMPT})
        said = _asked(f"{address}/v1/chat/completions", body | {"messages": turns})
    words = completed["text"].lstrip()
    assert [words] == run.sample(PROMPT, "base", **greedy)
    assert [said["message"]["content"].lstrip()] == run.sample([turns], "base", **greedy)
    assert len(set(words.split())) > 2


def _asked(url: str, body: dict[str, Any]) -> Any:
    """The one choice of an answer."""
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=300) as answer:
        (choice,) = json.loads(answer.read())["choices"]
    return choice
