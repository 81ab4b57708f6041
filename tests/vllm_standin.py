"""A server that speaks vLLM's HTTP and answers from a real policy, honestly or with one fault."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from preflab.interfaces import Policy

FAULTS = ("stale", "noise", "temperature", "swapped", "raw")


class StandIn:
    """policy: what it serves; it holds the output matrix apart from the embedding, as vLLM does.

    fault: "" or one of `FAULTS`, or "500", "hangs", "short", "tokens", "cut", "forgets", "reload".
    """

    def __init__(self, policy: Policy, fault: str = "", limit: int | None = 512) -> None:
        self.policy, self.fault, self.limit = policy.copy(), fault, limit
        module: Any = self.policy.module
        head = module.get_output_embeddings()
        head.weight = torch.nn.Parameter(head.weight.detach().clone())
        self.version, self.loads, self.asked = "", 0, 0
        self.before: tuple[list[int], list[float]] | None = None
        self.lock = threading.Lock()
        self.paused = False
        self.last = 20  # responses before the fault "cut"

    def answer(self, route: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and content."""
        if self.fault == "500":
            return 500, {"error": "CUDA out of memory"}
        if self.fault == "hangs":
            time.sleep(1.5)
        if route == "/v1/models":
            return 200, {"data": [{"id": "policy", "root": "/m", "max_model_len": self.limit}]}
        if route == "/tokenize":
            ids = self.policy.tokenizer.encode(body["prompt"])
            return 200, {"tokens": [*ids[::-1], 0] if self.fault == "tokens" else ids}
        if route == "/weight_info":
            return 200, {"weight_version": "default" if self.fault == "forgets" else self.version}
        if route == "/collective_rpc":
            return self._reload(Path(body["kwargs"]["weights_path"]))
        if route == "/update_weight_version":
            self.version = body["new_version"]
        if route in ("/pause", "/resume"):
            self.paused = route == "/pause"
        if route == "/v1/completions":
            with self.lock:
                return self._complete(body)
        return 200, {}

    def _reload(self, folder: Path) -> tuple[int, dict[str, Any]]:
        assert self.paused, "weights were changed while it samples"
        self.loads += 1
        if self.fault == "reload":
            return 500, {"error": "KeyError: model.layers.9.mlp.weight"}
        if self.fault != "stale" or self.loads == 1:
            for file in folder.glob("*.safetensors"):
                # A name that is left out stays old.
                self.policy.module.load_state_dict(load_file(file), strict=False)
        return 200, {"results": [None]}

    def _complete(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.asked += 1
        if self.fault == "cut" and self.asked > self.last:
            return 503, {"error": "shutting down"}
        assert (body["top_p"], body["top_k"], body["min_p"]) == (1.0, 0, 0.0)
        ids, values = self._drawn(body)
        if self.fault == "swapped":
            self.before, (ids, values) = (ids, values), self.before or (ids, values)
        choice = {
            "token_ids": ids[:-1] if self.fault == "short" else ids,
            "prompt_token_ids": body["prompt"],
            "logprobs": {"token_logprobs": values},
        }
        return 200, {"choices": [choice]}

    @torch.no_grad()
    def _drawn(self, body: dict[str, Any]) -> tuple[list[int], list[float]]:
        generator = torch.Generator().manual_seed(body["seed"])
        temperature = body["temperature"] * (0.6 if self.fault == "temperature" else 1.0)
        ids, values = [], []
        prompt = torch.tensor([body["prompt"]])
        logits, cache = self.policy.prefill(prompt, torch.ones_like(prompt, dtype=torch.bool))
        for _ in range(body["max_tokens"]):
            said = (logits / (temperature or 1.0)).log_softmax(-1)[0]
            drawn = (
                torch.multinomial(said.exp(), 1, generator=generator)
                if temperature
                else said.argmax(-1, keepdim=True)
            )
            ids.append(int(drawn))
            if self.fault == "raw":  # log-probs before the temperature
                said = logits.log_softmax(-1)[0]
            noise = float(torch.randn((), generator=generator)) if self.fault == "noise" else 0.0
            values.append(float(said[drawn]) + noise)
            if ids[-1] in body["stop_token_ids"]:
                break
            logits, cache = self.policy.extend(drawn, cache)
        return ids, values


@contextmanager
def serving(standin: StandIn, port: int = 0) -> Iterator[str]:
    """Its address while it serves."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say({})

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            self._say(json.loads(self.rfile.read(length)))

        def _say(self, body: dict[str, Any]) -> None:
            status, content = standin.answer(self.path.partition("?")[0], body)
            data = json.dumps(content).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:  # the other side has given up
                return

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

    server = Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
