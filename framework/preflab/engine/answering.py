"""The models of a finished run, as they answer one prompt after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from preflab.engine.context import Environment, StageContext
from preflab.engine.opened import OpenedRun
from preflab.errors import PreflabError, UserError
from preflab.interfaces import AnyTemperature, Responder, StreamsTokens
from preflab.records import Prompt, Rollout
from preflab.storage.run_folder import COMPLETE, RUNNING
from preflab.storage.runs import manifest_of, state_of


@dataclass(frozen=True)
class Answer:
    """A response, as far as it is there. reward: None as long as it is not, or if the run has no
    reward model; ended: with an end token, and not at the cap."""

    text: str
    tokens: int
    ended: bool = False
    reward: float | None = None


class AnsweringRun:
    """A run folder whose models answer. `UserError`, with the cure, if the folder is not that of a
    run, or if the run has not finished."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        manifest = manifest_of(folder)
        if manifest.get("status") != COMPLETE:
            if state_of(folder, manifest) == RUNNING:
                raise UserError(
                    f"{folder} is running: wait until it has finished (preflab runs shows it)."
                )
            raise UserError(
                f"{folder} has not finished (its manifest.json says: {manifest.get('status')}). "
                f"Finish it with: preflab rerun {folder}"
            )
        self.title = manifest.get("arm") or "/".join(folder.resolve().parts[-2:])
        self.opened = OpenedRun(folder.resolve())
        self.has_reward = self._environment.run.choices["reward_model"].name != "none"
        self._answers: tuple[str, Responder | None, Any] = ("", None, None)

    @property
    def _environment(self) -> Environment:
        return self.opened.environment

    @property
    def _context(self) -> StageContext:
        return self.opened.context

    def roles(self) -> list[str]:
        """The roles that the run has a model for, the oldest first, with kept checkpoints."""
        return self.opened.roles()

    def choose(self, role: str) -> str:
        """Answer in a role from now on ("": the newest); the role. `UserError` for one that the run
        has not made."""
        role = self.opened.checked(role, self.title)
        with self.opened.at_home():
            algorithm = self._environment.run.choices["algorithm"]
            whole = role == "result" and algorithm.component.build is not None
            answers = self.opened.responder("result") if whole else None
            policy = None if whole else self.opened.policy(role)
            if policy is not None:
                policy.module.requires_grad_(False)
        self._answers = (role, answers, policy)
        return role

    @property
    def role(self) -> str:
        """The role in which it answers."""
        return self._answers[0]

    def example(self) -> Prompt | None:
        """One of the run's own prompts; None if there is none any more."""
        with contextlib.suppress(PreflabError, OSError), self.opened.at_home():
            for split in ("test", "train"):
                if prompts := self._context.records("prompts", split):
                    prompt: Prompt = prompts[0]
                    return prompt
        return None

    def unread(self, text: str) -> str | None:
        """What the tokenizer reads of a text, if it is not all of it; None if it is."""
        tokenizer = self._context.tokenizer
        seen = tokenizer.decode(tokenizer.encode(text))
        return seen if seen.split() != text.split() else None

    def answers(
        self, prompt: Prompt, seed: Sequence[int | str], temperature: float | None
    ) -> Iterator[Answer]:
        """The response as it grows, and in the end with its reward. temperature: None is the run's
        own. The same prompt, seed and temperature give the same response: the one that the run's
        engine samples."""
        _, responder, policy = self._answers
        engine = self._context.rollout()
        own = replace(engine.sampling, samples=1, first_row=0)
        sampling = own if temperature is None else replace(own, temperature=temperature)
        tokenizer = self._context.tokenizer
        if responder is not None:
            if temperature is not None:
                if not isinstance(responder, AnyTemperature):
                    raise UserError(f"{self.title} answers at its own temperature only.")
                responder = responder.at_temperature(temperature)
            rollout = responder.respond([prompt], seed)
        elif isinstance(engine, StreamsTokens):
            ids: list[int] = []
            for token in engine.stream(policy, prompt, sampling, seed):
                ids.append(token)
                yield Answer(tokenizer.decode_response(prompt, ids), len(ids))
            device = self._environment.runtime.device
            asked = [tokenizer.encode_prompt(prompt)]
            rollout = Rollout.from_tokens(tokenizer, [prompt], asked, [ids], device)
        else:
            rollout = engine.generate(policy, [prompt], sampling, seed)
        ended, tokens = bool(rollout.terminated[0]), int(rollout.response_lengths[0])
        yield Answer(rollout.texts[0], tokens, ended, self._score(rollout))

    def _score(self, rollout: Rollout) -> float | None:
        return float(self.opened.reward_model.score(rollout)[0]) if self.has_reward else None
