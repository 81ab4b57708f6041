"""Real clients, programs in processes of their own: make test-serve installs them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

import preflab
from preflab.console.chat import Lane, Session
from preflab.engine.answering import AnsweringRun
from preflab_serve.arms import Arm

pytestmark = pytest.mark.serve
PROMPT = "user : what is the color of gus ? assistant :"


def base(client: httpx.Client) -> str:
    return f"{client.base_url}".rstrip("/") + "/v1"


def test_openai(client: httpx.Client, run: Path) -> None:
    openai = pytest.importorskip("openai", reason="openai is installed by make test-serve")
    asked = openai.OpenAI(base_url=base(client), api_key="none")
    assert [model.id for model in asked.models.list()] == ["bon", "bon:base", "bon:result"]
    assert asked.models.retrieve("bon:base").id == "bon:base"
    answer = asked.completions.create(model="bon:base", prompt=[PROMPT, PROMPT], seed=4, n=2)
    expected = preflab.load(run).sample([PROMPT, PROMPT], "base", samples=2, seed=4)
    assert [choice.text for choice in answer.choices] == expected
    stream = asked.completions.create(model="bon:base", prompt=PROMPT, seed=4, stream=True)
    assert "".join(piece.choices[0].text for piece in stream) == expected[0]
    turns = [{"role": "user", "content": "what is the color of gus ?"}]
    with asked.chat.completions.create(model="bon", messages=turns, seed=4, stream=True) as pieces:
        text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert [text] == preflab.load(run).sample([turns], seed=4)
    with pytest.raises(openai.BadRequestError, match="frequency_penalty"):
        asked.completions.create(model="bon", prompt=PROMPT, frequency_penalty=1.0)
    with pytest.raises(openai.NotFoundError):
        asked.completions.create(model="none", prompt=PROMPT)


def test_llm(client: httpx.Client, tmp_path: Path, run: Path) -> None:
    pytest.importorskip("llm", reason="llm is installed by make test-serve")
    models = (
        f"- model_id: mine\n  model_name: bon:base\n  api_base: {base(client)}\n  api_key_name: x\n"
    )
    (tmp_path / "extra-openai-models.yaml").write_text(models)
    (tmp_path / "keys.json").write_text('{"x": "none"}')
    words = ["-m", "mine", "-o", "seed", "4", "what is the color of gus ?"]
    done = subprocess.run(
        [sys.executable, "-m", "llm", *words],
        env=os.environ | {"LLM_USER_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    turns = [{"role": "user", "content": "what is the color of gus ?"}]
    assert done.returncode == 0, done.stderr
    assert [done.stdout.strip()] == preflab.load(run).sample([turns], "base", seed=4)


def test_lm_eval_measures_what_the_policy_says(
    client: httpx.Client, arms: Mapping[str, Arm], tmp_path: Path
) -> None:
    """Log-likelihoods of continuations over HTTP and by the policy itself."""
    pytest.importorskip("lm_eval", reason="lm-eval is installed by make test-serve")
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    arm = arms["bon:base"]
    arm.policy.save(tmp_path / "model")
    model: Any = LocalCompletionsAPI(
        model="bon:base",
        base_url=f"{base(client)}/completions",
        tokenizer=str(tmp_path / "model"),
        tokenizer_backend="huggingface",
        max_length=64,
        batch_size=3,
    )
    pairs = [(PROMPT, f" {word}") for word in ("red", "blue", "no", "thanks , gus")]
    asked = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    found = model.loglikelihood(asked)
    for (context, continuation), (value, _) in zip(pairs, found, strict=True):
        ids = arm.tokenizer.encode(context + continuation)
        start = len(arm.tokenizer.encode(context))
        tensor = torch.tensor([ids])
        hidden = arm.policy.hidden(tensor, torch.ones_like(tensor, dtype=torch.bool))
        log_probs, _ = arm.policy.log_probs(hidden[0, start - 1 : -1], tensor[0, start:])
        assert value == pytest.approx(float(log_probs.detach().sum()), abs=1e-4)


def test_transformers_serve_answers_from_the_folder_of_a_model(
    client: httpx.Client, arms: Mapping[str, Arm], run: Path, tmp_path: Path
) -> None:
    """Greedily, with the same tokens as ``preflab serve``, and the text of ``preflab chat``; its
    chat template is in the folder."""
    pytest.importorskip("fastapi", reason="transformers[serving] is installed by make test-serve")
    model = tmp_path / "model"
    arms["bon:base"].policy.save(model)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("transformers")
    words = ["serve", str(model), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with subprocess.Popen(
        [sys.executable, str(program), *words],
        env=os.environ | {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300) as other:
                wait_for(other)
                turn = "what is the color of gus ?"
                turns = [{"role": "user", "content": turn}]
                most = arms["bon:base"].engine.sampling.max_tokens
                for path, said, form, line in (
                    ("/v1/completions", {"prompt": PROMPT}, "text", PROMPT),
                    ("/v1/chat/completions", {"messages": turns, "stream": False}, "chat", turn),
                ):
                    body = {**said, "temperature": 0, "max_tokens": most}
                    theirs = other.post(path, json=body | {"model": str(model)}).json()
                    ours = client.post(path, json=body | {"model": "bon:base"}).json()
                    assert _text(theirs) == _text(ours) == chatted(run, form, line)
                    assert theirs["usage"] == ours["usage"]
        finally:
            process.terminate()


def chatted(run: Path, form: str, line: str) -> str:
    """What `preflab chat` answers to a line, greedily. form: text or chat."""
    lane = Lane(AnsweringRun(run))
    lane.run.choose("base")
    session = Session([lane], 0, 0.0)
    session.choose_format(form)
    *_, answers = session.ask(line)
    assert answers[0] is not None
    return answers[0].text


def wait_for(server: httpx.Client) -> None:
    """Until it takes calls."""
    for _ in range(600):
        try:
            server.get("/health")
            return
        except httpx.ConnectError:
            time.sleep(0.5)
    raise TimeoutError("transformers serve did not start")


def _text(answer: Mapping[str, Any]) -> str:
    choice = answer["choices"][0]
    text: str = choice["text"] if "text" in choice else choice["message"]["content"]
    return text


def test_fifty_streams_and_twenty_clients_that_hang_up(client: httpx.Client) -> None:
    """Seventy streams at once; twenty of them are left after their first piece. Within five
    seconds after the last one has ended nothing waits any more."""
    texts = {
        seed: client.post("/v1/completions", json=_body(seed)).json()["choices"][0]["text"]
        for seed in range(3)
    }
    together = threading.Barrier(70)

    def stream(i: int) -> str:
        with httpx.Client(base_url=client.base_url, timeout=300) as own:
            together.wait()
            with own.stream("POST", "/v1/completions", json=_body(i) | {"stream": True}) as answer:
                lines = answer.iter_lines()
                if i >= 50:
                    next(lines)
                    return ""
                pieces = [line[6:] for line in lines if line.startswith("data: {")]
        import json

        return "".join(json.loads(piece)["choices"][0]["text"] for piece in pieces)

    with ThreadPoolExecutor(70) as pool:
        found = list(pool.map(stream, range(70)))
    assert all(found[i] == texts[i % 3] for i in range(50))
    deadline = time.monotonic() + 5
    while client.get("/health").json()["waiting"] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert client.get("/health").json()["waiting"] == 0


def _body(i: int) -> dict[str, Any]:
    return {"model": "bon:base", "prompt": PROMPT, "seed": i % 3, "max_tokens": 300}
