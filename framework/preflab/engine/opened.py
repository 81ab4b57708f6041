"""A finished run, opened: its models answer and score as they did in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from omegaconf import OmegaConf

from preflab.composing.compose import resolved
from preflab.composing.search_path import registry
from preflab.composing.untrusted import refuse_resolvers
from preflab.engine.context import Environment, StageContext
from preflab.errors import PreflabError, UserError, nearest
from preflab.interfaces import AnswersGroups, AnyTemperature, Policy, Responder, RewardModel
from preflab.planning.asking import inspect
from preflab.planning.reading import chosen
from preflab.records import Message, Prompt, Rollout
from preflab.responders import PolicyResponder
from preflab.runtime import Device, Precision
from preflab.storage.artifacts import opened
from preflab.storage.run_folder import artifacts_of, config_file
from preflab.storage.runs import manifest_of

Asked = str | Prompt | Sequence[Mapping[str, str]]
"""A prompt as a person gives it: the text that the model sees, or a conversation, of which each
message has a role and a content."""


class OpenedRun:
    """The models of a run folder, each made when it is first asked for. The data of the run need
    not be there any more, unless its policy takes its words from them."""

    def __init__(self, folder: Path, device: str | None = None) -> None:
        """device: in the place of the run's own, as runtime.device names it. `UserError` if the
        folder is not a run's, or its config names what is not installed."""
        self.folder = folder
        manifest = manifest_of(folder)
        if not config_file(folder).is_file():
            raise UserError(f"{folder} cannot be opened: its {config_file(folder)} is missing.")
        config = OmegaConf.load(config_file(folder))
        refuse_resolvers(config)  # type: ignore[arg-type]
        self._where = Path((manifest.get("where") or {}).get("cwd") or ".")
        # Nothing is tracked here, so that nothing that trackers need has to be there.
        run = chosen({**resolved(config), "trackers": {}}, registry())  # type: ignore[arg-type]
        run.settings.runtime.compile = False  # nobody waits half a minute for a few answers
        if device is not None:
            allowed = [member.name for member in Device]
            if device not in allowed:
                raise UserError(f"device={device}. Allowed: {', '.join(allowed)}.")
            run.settings.runtime.device = Device[device]
        artifacts = artifacts_of(folder)
        if run.settings.runtime.precision is Precision.auto:
            run.settings.runtime.precision = _precision_of(artifacts)
        self.environment = Environment(run, lambda hook, **shown: None)
        self.environment.artifacts = artifacts
        self.context = StageContext(self.environment, "opened")
        self._responders: dict[str, Responder] = {}

    @contextlib.contextmanager
    def at_home(self) -> Iterator[None]:
        """Paths of the config mean the folder in which the command was given, if it is here."""
        with contextlib.chdir(self._where) if self._where.is_dir() else contextlib.nullcontext():
            yield

    def roles(self) -> list[str]:
        """The roles that the run has a model for, the oldest first, with kept checkpoints: those
        whose stage has made one, "base" if its policy had weights from the start, and "result" if
        its algorithm answers without a model of its own (best-of-n)."""
        graph, artifacts = self.environment.run.graph, self.environment.artifacts
        found = []
        for role in reversed(graph.roles):
            folder = artifacts.get(graph.makers(role)[0])
            if (folder is not None and (folder / "model").is_dir()) or (
                role == graph.roles[-1] and self._given()
            ):
                found.append(role)
            kept = (folder / "checkpoints").glob("*") if folder is not None else ()
            found += [f"{role}/{p.name}" for p in sorted(kept, key=lambda p: (len(p.name), p.name))]
        return found if "result" in found or not self._answers_itself else [*found, "result"]

    def newest(self) -> str:
        """The role of what the run ends with, whether or not it has made it yet."""
        run = self.environment.run
        for role in run.graph.roles:
            if run.makes_stage(run.graph.makers(role)[0]):
                return role
            if role == "result" and self._answers_itself:
                return role
        return run.graph.roles[-1]

    def checked(self, role: str, title: str = "") -> str:
        """The role, "" as the newest; `UserError` with those that the run has if it is none of
        them. title: how the run is called."""
        role = role or self.newest()
        if role not in (roles := self.roles()):
            called = title or self.folder
            raise UserError(f"{called} has no model for '{role}'. {nearest(role, roles)}")
        return role

    @property
    def _answers_itself(self) -> bool:
        return self.environment.run.choices["algorithm"].component.build is not None

    def _given(self) -> bool:
        """Whether the policy had weights before the run."""
        with contextlib.suppress(PreflabError, OSError), self.at_home():
            return inspect(self.environment.run.choices["policy"]).pretrained
        return False

    def policy(self, role: str = "") -> Policy:
        """The policy in a role (`roles`); "": the one that the run ended with, or that its
        algorithm samples from. `UserError` if it has no such role."""
        role = self.checked(role)
        with self.at_home():
            return self.context.saved_policy(role)  # nobody trains it

    @cached_property
    def reward_model(self) -> RewardModel:
        """What scored the responses: trained, or a function. `UserError` if the run has none."""
        choice = self.environment.run.choices.get("reward_model")
        if choice is None or choice.component.build is None:
            raise UserError(
                f"{self.folder} has no reward model: it was run with reward_model=none."
            )
        trained = choice.component.procedure is not None
        if trained and "reward_model" not in self.environment.artifacts:
            raise UserError(f"{self.folder} has not trained its reward model yet.")
        with self.at_home():
            return self.context.reward_model()

    def responder(self, role: str = "") -> Responder:
        """What answers in a role ("": the newest): a policy, or for "result" what the algorithm
        makes of it (best-of-n). It is made once."""
        role = self.checked(role)
        if role not in self._responders:
            with self.at_home():
                answers = self.context.responder(role)
            self._responders[role] = (
                answers.as_typed() if isinstance(answers, AnswersGroups) else answers
            )
        return self._responders[role]

    def sample(
        self,
        prompts: Sequence[Asked],
        role: str = "",
        samples: int = 1,
        temperature: float | None = None,
        max_tokens: int | None = None,
        seed: int = 0,
    ) -> Rollout:
        """Responses, ``samples`` consecutive rows for each prompt, [B * samples, R]. max_tokens,
        temperature: in the place of the run's own. The same seed gives the same responses."""
        asked = [replace(as_prompt(prompt), id=f"{i}") for i, prompt in enumerate(prompts)]
        if not asked:
            raise UserError("There is no prompt: give a list of one at least.")
        least = {"samples": (samples, 1), "max_tokens": (max_tokens, 1)}
        for name, (value, low) in (least | {"temperature": (temperature, 0)}).items():
            if value is not None and not (isinstance(value, int | float) and value >= low):
                raise UserError(f"{name} is {value!r} but must be a number of at least {low}.")
        answers = self.responder(role)
        if isinstance(answers, PolicyResponder):
            usual = answers.engine.sampling
            sampling = replace(
                usual,
                samples=samples,
                max_tokens=usual.max_tokens if max_tokens is None else max_tokens,
                temperature=usual.temperature if temperature is None else temperature,
            )
            return answers.engine.generate(answers.policy, asked, sampling, (seed, "sample"))
        if max_tokens is not None:
            raise UserError(f"The algorithm of {self.folder} answers with its own max_tokens only.")
        if temperature is not None:
            if not isinstance(answers, AnyTemperature):
                raise UserError(f"The algorithm of {self.folder} has a temperature of its own.")
            answers = answers.at_temperature(temperature)
        return answers.respond([p for p in asked for _ in range(samples)], (seed, "sample"))

    def score(
        self, prompts: Sequence[Asked], responses: Sequence[str], samples: int = 1
    ) -> list[float]:
        """What the reward model gives to each response, the offset subtracted, as in the run.
        samples: consecutive responses for each prompt, as `sample` gives them."""
        if not isinstance(samples, int) or samples < 1:
            raise UserError(f"samples is {samples!r} but must be a number of at least 1.")
        if len(prompts) * samples != len(responses):
            raise UserError(_unequal(len(prompts), len(responses), samples))
        asked = [
            replace(as_prompt(prompt), id=f"{i}")
            for i, prompt in enumerate(prompts)
            for _ in range(samples)
        ]
        if not asked:
            return []
        with self.at_home():
            device = self.context.runtime.device
            rows = Rollout.from_texts(self.context.tokenizer, asked, responses, device=device)
        return [float(value) for value in self.reward_model.score(rows)]


def _precision_of(artifacts: Mapping[str, Path]) -> Precision:
    """The number format in which a run's artifacts were made, whatever this machine would take."""
    for folder in artifacts.values():
        return Precision(opened(folder).manifest["recipe"]["runtime"]["precision"])
    return Precision.float32


def _unequal(prompts: int, responses: int, samples: int) -> str:
    """What is wrong with these numbers, and the cure.

    >>> _unequal(2, 4, 1).partition(". ")[2]
    'If sample(prompts, samples=2) gave them: score(prompts, responses, samples=2).'
    """
    each, rest = divmod(responses, max(1, prompts))
    text = f"There are {prompts} prompts and {responses} responses: each response needs its prompt"
    if samples > 1:
        text = f"{text}, and with samples={samples} there are {prompts * samples} responses"
    if rest or not each or each == samples:
        return f"{text}."
    return (
        f"{text}. If sample(prompts, samples={each}) gave them: score(prompts, responses, "
        f"samples={each})."
    )


def as_prompt(asked: Asked) -> Prompt:
    """A prompt of what a person gave.

    >>> as_prompt([{"role": "user", "content": "Hi"}]).messages
    (Message(role='user', content='Hi'),)
    """
    if isinstance(asked, Prompt):
        return asked
    if isinstance(asked, str):
        return Prompt("", asked)
    try:
        turns = tuple(Message(turn["role"], turn["content"]) for turn in asked)
    except (KeyError, TypeError):
        raise UserError(
            "A prompt is a text, or a list of messages with 'role' and 'content': a conversation "
            "alone is a list in a list, [[{'role': 'user', 'content': 'Hi'}]]."
        ) from None
    return conversation(turns)


def conversation(turns: Sequence[Message], id: str = "") -> Prompt:
    """Turns that the assistant is to continue, as a prompt."""
    text = "\n\n".join(f"{turn.role.capitalize()}: {turn.content}" for turn in turns)
    return Prompt(id, text, messages=tuple(turns))
