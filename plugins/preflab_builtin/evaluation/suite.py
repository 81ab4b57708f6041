"""The evaluation stage: responses of subject and baseline to the same prompts, then one evaluator a step."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from preflab.errors import UserError
from preflab.interfaces import (
    BestOf,
    Context,
    Evaluator,
    Measure,
    Policy,
    Responder,
    RolloutEngine,
    State,
    Subject,
)
from preflab.randomness import permutation
from preflab.records import Prompt, Rollout
from preflab.storage.durable import json_number, write_json
from preflab_builtin.evaluation.config import BaselineRole, SuiteConfig
from preflab_builtin.evaluation.stored import stored_name, stored_responses

EVALUATION, SAMPLES, CASES = "evaluation.json", "samples.jsonl", "cases.jsonl"
_TENSORS = ("prompt_ids", "prompt_lengths", "response_ids", "response_lengths", "terminated")


@dataclass(frozen=True)
class PolicyAtTemperature:
    """A policy's answers at another temperature than the run's rollout engine."""

    policy: Policy
    engine: RolloutEngine
    temperature: float

    def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
        """One response a prompt."""
        sampling = replace(self.engine.sampling, temperature=self.temperature, samples=1)
        return self.engine.generate(self.policy, prompts, sampling, seed)


class EvaluationSuite:
    """`preflab.interfaces.Procedure`: step 0 samples, every further step asks one evaluator."""

    def __init__(self, config: SuiteConfig, context: Context) -> None:
        self.config, self.context = config, context
        self.evaluators: dict[str, Evaluator] = {
            k: context.component("evaluator", c) for k, c in config.evaluators.items()
        }
        self.total_steps = 1 + len(self.evaluators)
        self.prompts = self._choose_prompts()
        self.stored = (
            stored_responses(config.baseline_path, self.prompts)
            if config.baseline is BaselineRole.file
            else []
        )
        self.rollout = self._nothing = Rollout.from_tokens(
            context.tokenizer, [], [], [], context.runtime.device
        )
        self.baseline: Rollout | None = None
        self.measures: dict[str, Measure] = {}
        self.values: dict[str, list[float]] = {}
        self.cases: dict[str, dict[str, float]] = {}
        self._responder: Responder | None = None
        self._reference: Policy | None = None

    def step(self, index: int) -> Mapping[str, float]:
        """Sample, or ask one evaluator; metrics: eval/MEASURE for what came out as a number."""
        if index == 0:
            self._sample()
            return {}
        key = list(self.evaluators)[index - 1]
        if self._reference is None and self.prompts:
            self._reference = self.context.policy("initial")
        subject = Subject(self._subject(), self.rollout, self.baseline, self._reference)
        found = self.evaluators[key].evaluate(subject)
        doubled = sorted(
            (set(found.measures) & set(self.measures)) | (set(found.values) & set(self.values))
        )
        if doubled:
            raise UserError(
                f"evaluation.evaluators.{key} measures {doubled[0]}, which another one has measured: give it a label."
            )
        self.measures |= found.measures
        self.values |= {name: [float(v) for v in column] for name, column in found.values.items()}
        self.cases |= {
            name: {str(case): float(v) for case, v in cases.items()}
            for name, cases in found.cases.items()
        }
        return {
            f"eval/{name}": m.value for name, m in found.measures.items() if math.isfinite(m.value)
        }

    def state_dict(self) -> State:
        """Responses and everything found so far."""
        return {
            "rollout": _packed(self.rollout),
            "baseline": None if self.baseline is None else _packed(self.baseline),
            # Lists, because a checkpoint sorts the keys of mappings and the order of measures is kept.
            "measures": [[name, m.value, m.low, m.high, m.n] for name, m in self.measures.items()],
            "values": [[name, column] for name, column in self.values.items()],
            "cases": [
                [name, [[case, v] for case, v in cases.items()]]
                for name, cases in self.cases.items()
            ],
        }

    def load_state_dict(self, state: State) -> None:
        """Take them over."""
        self.rollout = self._unpacked(state["rollout"])
        self.baseline = None if state["baseline"] is None else self._unpacked(state["baseline"])
        self.measures = {
            name: Measure(value, low, high, int(n))
            for name, value, low, high, n in state["measures"]
        }
        self.values = {name: list(column) for name, column in state["values"]}
        self.cases = {name: {case: v for case, v in cases} for name, cases in state["cases"]}

    def save(self, folder: Path) -> None:
        """evaluation.json: who was judged, against whom, every measure with its interval (null: none). samples.jsonl: a row a
        prompt, with both responses and every value a prompt. cases.jsonl: a row a measure that is about other cases."""
        measures = {
            name: {
                "value": json_number(m.value),
                "low": json_number(m.low),
                "high": json_number(m.high),
                "n": m.n,
            }
            for name, m in self.measures.items()
        }
        of_file = self.config.baseline is BaselineRole.file
        baseline = stored_name(self.config.baseline_path) if of_file else self.config.baseline.value
        roles = {"subject": self.config.subject.value, "baseline": baseline}
        write_json(folder / EVALUATION, {**roles, "n": len(self.prompts), "measures": measures})
        with (folder / SAMPLES).open("w", encoding="utf8") as stream:
            stream.writelines(json.dumps(row) + "\n" for row in self._rows())
        with (folder / CASES).open("w", encoding="utf8") as stream:
            for name, cases in self.cases.items():
                values = {case: json_number(v) for case, v in cases.items()}
                stream.write(json.dumps({"measure": name, "values": values}) + "\n")

    def _choose_prompts(self) -> list[Prompt]:
        """The prompts: the same ones for every seed and every arm, in the data's order."""
        if not self.config.prompts:
            return []
        everything: Sequence[Prompt] = self.context.records("prompts", self.config.split.value)
        if not everything:
            split = self.config.split.value
            raise UserError(
                f"evaluation: there are no {split} prompts. Set evaluation.split or give prompts of that split."
            )
        chosen = permutation(len(everything), "evaluation", "prompts")[: self.config.prompts]
        return [everything[i] for i in sorted(chosen)]

    def _subject(self) -> Responder:
        if self._responder is None:
            self._responder = self._respond(self.config.subject.value)
        return self._responder

    def _respond(self, role: str) -> Responder:
        """What answers in a role, at the temperature of this evaluation."""
        responder, temperature = self.context.responder(role), self.config.temperature
        engine = self.context.rollout()
        if temperature is None or temperature == engine.sampling.temperature:
            return responder
        if isinstance(responder, BestOf) and responder.n != 1:
            raise UserError(
                f"evaluation.temperature is {temperature}, but the {role} chooses among several responses at the rollout's "
                f"{engine.sampling.temperature}. Set evaluation.temperature=null."
            )
        return PolicyAtTemperature(responder.policy, engine, temperature)

    def _sample(self) -> None:
        if not self.prompts:
            return
        # The same noise for everybody: equal policies give equal responses, and differences are measured pairwise.
        seed = (self.context.seed, "evaluation", "responses")
        asked = (
            [replace(p, text=f"{self.config.prefix}{p.text}") for p in self.prompts]
            if self.config.prefix
            else self.prompts
        )
        self.rollout = self._subject().respond(asked, seed)
        if self.config.prefix:
            self.rollout = self._asked_plainly(self.rollout)
        if self.config.baseline.value == self.config.subject.value:
            self.baseline = self.rollout
        elif self.config.baseline is BaselineRole.file:
            device = self.context.runtime.device
            self.baseline = Rollout.from_texts(
                self.context.tokenizer, self.prompts, self.stored, device=device
            )
        elif self.config.baseline is not BaselineRole.none:
            self.baseline = self._respond(self.config.baseline.value).respond(self.prompts, seed)
        self.context.rollout_finished(0, self.rollout, {})

    def _asked_plainly(self, rollout: Rollout) -> Rollout:
        """The same responses to the prompts without the prefix, in their tokens too: reward models, judges and KL read what they
        read of everybody else."""
        tokenizer = self.context.tokenizer
        answers = [response for _, response in rollout.tokens()]
        prompts = [tokenizer.encode(prompt.text) for prompt in self.prompts]
        return Rollout.from_tokens(
            tokenizer, self.prompts, prompts, answers, self.context.runtime.device
        )

    def _rows(self) -> list[dict[str, Any]]:
        rows = []
        for i, prompt in enumerate(self.prompts):
            row: dict[str, Any] = {
                "prompt_id": prompt.id,
                "prompt": prompt.text,
                "user": prompt.user,
                "tags": list(prompt.tags),
            }
            row |= {
                "response": self.rollout.texts[i],
                "terminated": bool(self.rollout.terminated[i]),
            }
            row |= {"tokens": int(self.rollout.response_lengths[i])}
            row["baseline"] = None if self.baseline is None else self.baseline.texts[i]
            row["values"] = {name: json_number(column[i]) for name, column in self.values.items()}
            rows.append(row)
        return rows

    def _unpacked(self, state: State) -> Rollout:
        tensors: dict[str, torch.Tensor] = {
            k: state[k].to(self.context.runtime.device) for k in _TENSORS
        }
        return replace(
            self._nothing, prompts=tuple(self.prompts), texts=tuple(state["texts"]), **tensors
        )


def _packed(rollout: Rollout) -> State:
    """A rollout as a checkpoint holds it; its prompts follow from the config."""
    return {"texts": list(rollout.texts), **{name: getattr(rollout, name) for name in _TENSORS}}
