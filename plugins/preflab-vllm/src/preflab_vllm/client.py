"""What is said to a vLLM server, over HTTP and with the standard library alone. Every failure is a
`PreflabError` that says what to do."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from preflab.errors import PreflabError

START = (
    "VLLM_SERVER_DEV_MODE=1 vllm serve FOLDER --dtype float32 --logprobs-mode processed_logprobs "
    "--generation-config vllm"
)
"""How a server is started, FOLDER being a model of the policy's architecture."""
AGAIN = (
    "Nothing is lost: the same command goes on from the last checkpoint once the server answers."
)


REPLACED = "being replaced"
"""Version of weights of which some may be new and some old."""
WAITS = (0.2, 1.0)
"""Seconds before a request that found no connection, or lost it, is made again. Every request may
be: a row's seed gives the same response."""


class Answer(NamedTuple):
    """Tokens of a response, the end token included, and the log-prob of each."""

    ids: list[int]
    log_probs: list[float]


class Client:
    """A server. seconds: after which it counts as hung."""

    def __init__(self, address: str, seconds: float) -> None:
        self.address, self.seconds = address.rstrip("/"), seconds

    def model(self) -> Mapping[str, Any]:
        """Name (``id``), place (``root``) and length (``max_model_len``) of what it serves."""
        listed = self._ask("/v1/models").get("data")
        if not listed:
            raise self._broken("/v1/models", "it lists no model")
        first: Mapping[str, Any] = listed[0]
        return first

    def tokens_of(self, model: str, text: str) -> list[int] | None:
        """The server's own tokens of a text; None if it was started without its tokenizer."""
        body = {"model": model, "prompt": text, "add_special_tokens": False}
        try:
            return list(self._ask("/tokenize", body)["tokens"])
        except NoSuchRoute:
            return None

    def weights(self) -> str:
        """The version of the weights that it has."""
        return str(self._ask("/weight_info").get("weight_version"))

    def load(self, folder: str, version: str) -> None:
        """Have it read weights from a folder and call them by a version. Nothing is sampled
        meanwhile, and nothing that was computed with earlier weights is kept. If it fails in the
        middle, the weights are of no version: some of them may be new."""
        self._ask(f"/pause?{urlencode({'mode': 'wait'})}", {})
        try:
            self._ask("/update_weight_version", {"new_version": REPLACED})
            self._ask(
                "/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": folder}}
            )
            self._ask("/reset_prefix_cache", {})
            self._ask("/update_weight_version", {"new_version": version})
        finally:
            self._ask("/resume", {})

    def complete(
        self,
        model: str,
        prompt: Sequence[int],
        seed: int,
        max_tokens: int,
        temperature: float,
        ends: Sequence[int],
    ) -> Answer:
        """One response to a prompt, drawn from the model's whole distribution."""
        body = {
            "model": model,
            "prompt": list(prompt),
            "seed": seed,
            "max_tokens": max_tokens,
            "temperature": temperature,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "n": 1,
            "logprobs": 0,
            "return_token_ids": True,
            "stop_token_ids": list(ends),
        }
        where = "/v1/completions"
        answered = self._ask(where, body)
        try:
            (choice,) = answered["choices"]
            ids, values = choice["token_ids"], choice["logprobs"]["token_logprobs"]
            read = choice.get("prompt_token_ids")
            answer = Answer([int(i) for i in ids], [float(v) for v in values])
        except (KeyError, TypeError, ValueError) as error:
            raise self._broken(where, f"its answer lacks {error}") from None
        if not answer.ids or len(answer.ids) != len(answer.log_probs):
            raise self._broken(
                where, f"{len(answer.ids)} tokens with {len(answer.log_probs)} log-probabilities"
            )
        if read is not None and list(read) != list(prompt):
            raise self._broken(where, "it answered another prompt than it was asked")
        return answer

    def _ask(self, route: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What the server answers; a body makes it a POST."""
        request = urllib.request.Request(
            f"{self.address}{route}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            text = self._read(request)
        except urllib.error.HTTPError as error:
            raise self._refused(route, error) from None
        except TimeoutError:
            raise self._silent(route) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise self._silent(route) from None
            raise Unreachable(
                f"rollout.server={self.address}: no connection ({reason}). Start the server "
                f"({START}), or give its address. {AGAIN}"
            ) from None
        try:
            return dict(json.loads(text)) if text.strip() else {}
        except ValueError:
            raise self._broken(route, f"its answer is not JSON: {text[:80]!r}") from None

    def _read(self, request: urllib.request.Request) -> bytes:
        for wait in (*WAITS, None):
            try:
                with urllib.request.urlopen(request, timeout=self.seconds) as reply:
                    text: bytes = reply.read()
                    return text
            except (ConnectionError, urllib.error.URLError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                lost = isinstance(reason, (ConnectionError, http.client.HTTPException))
                if wait is None or not lost or isinstance(error, urllib.error.HTTPError):
                    raise
                time.sleep(wait)
        raise AssertionError("the last wait is None")

    def _silent(self, route: str) -> PreflabError:
        return Unreachable(
            f"rollout.server={self.address}: no answer to {route} within {self.seconds:g} s. It "
            "hangs, or is slower than that: look at its log, and raise rollout.timeout or lower "
            f"rollout.requests if it only is slow. {AGAIN}"
        )

    def _refused(self, route: str, error: urllib.error.HTTPError) -> PreflabError:
        said = error.read().decode(errors="replace")[:300].strip()
        what = f"rollout.server={self.address} answered {error.code} to {route.partition('?')[0]}"
        if error.code in (404, 405):
            return NoSuchRoute(
                f"{what}: it takes no weights, or is no vLLM server. Start it so: {START}."
            )
        return PreflabError(f"{what}: {said or 'no reason given'}. Its log says more. {AGAIN}")

    def _broken(self, route: str, what: str) -> PreflabError:
        return PreflabError(
            f"rollout.server={self.address}: {route}: {what}. Is it a vLLM server of 0.32 or newer "
            f"({START})?"
        )


class Unreachable(PreflabError):
    """Nobody answers."""


class NoSuchRoute(PreflabError):
    """The server does not know what it was asked."""
