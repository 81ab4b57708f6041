"""The evaluation stage: responses of subject and baseline to the same prompts, then one evaluator
per step."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import Any

from preflab.errors import UserError
from preflab.interfaces import (
    AnyTemperature,
    Context,
    Evaluation,
    Evaluator,
    Measure,
    Opinion,
    Policy,
    Responder,
    State,
    Subject,
)
from preflab.randomness import permutation
from preflab.records import Prompt, Rollout, Split
from preflab.responders import reading
from preflab.storage.durable import json_number, write_json
from preflab_builtin.evaluation.config import FILE, NO_BASELINE, SuiteConfig
from preflab_builtin.evaluation.results import (
    CASES,
    EVALUATION,
    EXAMPLES,
    OPINIONS,
    SAMPLES,
    measure_as_json,
)
from preflab_builtin.evaluation.stored import stored_name, stored_responses

_TENSORS = ("prompt_ids", "prompt_lengths", "response_ids", "response_lengths", "terminated")


def chosen_prompts(config: SuiteConfig, context: Context) -> list[Prompt]:
    """The prompts that are answered, in the data's order: the same ones for every seed and every
    arm; `UserError` if there are none."""
    if not config.prompts:
        return []
    split: Split = config.split.value
    prompts: Sequence[Prompt] = context.records("prompts", split)
    if not prompts:
        raise UserError(
            f"evaluation: there are no {split} prompts. Set evaluation.split or give prompts "
            "of that split."
        )
    chosen = permutation(len(prompts), "evaluation", "prompts")[: config.prompts]
    return [prompts[i] for i in sorted(chosen)]


class EvaluationSuite:
    """`preflab.interfaces.Procedure`: step 0 samples, every further step asks one evaluator."""

    def __init__(self, config: SuiteConfig, context: Context) -> None:
        self.config, self.context = config, context
        self.evaluators: dict[str, Evaluator] = {
            key: context.component("evaluator", c) for key, c in config.evaluators.items()
        }
        self.total_steps = 1 + len(self.evaluators)
        self.prompts = chosen_prompts(config, context)
        self.stored: list[str] = []
        if config.baseline == FILE:
            self.stored = stored_responses(config.baseline_path, self.prompts)
        self.rollout = self._nothing = Rollout.from_tokens(
            context.tokenizer, [], [], [], context.runtime.device
        )
        self.baseline: Rollout | None = None
        self.measures: dict[str, Measure] = {}
        self.values: dict[str, list[float]] = {}
        self.cases: dict[str, dict[str, float]] = {}
        self.against: dict[str, str] = {}
        self.notes: list[str] = []
        self.opinions: dict[str, list[Opinion]] = {}
        self.examples: dict[str, list[dict[str, str]]] = {}
        self._responder: Responder | None = None
        self._reference: Policy | None = None

    def step(self, index: int) -> Mapping[str, float]:
        """Sample, or ask one evaluator. Metrics: eval/MEASURE for every finite measure."""
        if index == 0:
            self._sample()
            return {}
        key = list(self.evaluators)[index - 1]
        if self._reference is None and self.prompts:
            self._reference = self.context.sampled_policy("initial")
        subject = Subject(
            *(self._subject(), self.rollout, self.baseline, self._reference, self.config.prefix)
        )
        result = self.evaluators[key].evaluate(subject)
        self._add(key, result)
        finite = {name: m.value for name, m in result.measures.items() if math.isfinite(m.value)}
        return {f"eval/{name}": value for name, value in finite.items()}

    def _add(self, key: str, result: Evaluation) -> None:
        """Keep what an evaluator measured; `UserError` if another one has measured the same, or
        shows examples under the same heading."""
        doubled = sorted(
            (result.measures.keys() & self.measures.keys())
            | (result.values.keys() & self.values.keys())
        )
        shown = sorted(result.examples.keys() & self.examples.keys())
        if doubled:
            raise UserError(
                f"evaluation.evaluators.{key} measures {doubled[0]}, which another evaluator has "
                "measured: give it a label."
            )
        if shown:
            raise UserError(
                f"evaluation.evaluators.{key} shows examples under the heading {shown[0]!r}, as "
                "another evaluator does, and only one of the two would be kept: leave one of them "
                "out, or name the measure in the heading."
            )
        self.measures |= result.measures
        self.values |= {name: list(map(float, column)) for name, column in result.values.items()}
        self.cases |= {
            name: {str(case): float(value) for case, value in cases.items()}
            for name, cases in result.cases.items()
        }
        self.against |= result.against
        self.notes += [note for note in result.notes if note not in self.notes]
        self.opinions |= {name: list(said) for name, said in result.opinions.items()}
        self.examples |= {name: list(map(dict, rows)) for name, rows in result.examples.items()}

    def state_dict(self) -> State:
        """The responses and everything measured so far."""
        return {
            "rollout": _packed(self.rollout),
            "baseline": None if self.baseline is None else _packed(self.baseline),
            # Lists: a checkpoint sorts the keys of mappings, and the order of measures is kept.
            "measures": [[name, list(astuple(m))] for name, m in self.measures.items()],
            "values": [[name, column] for name, column in self.values.items()],
            "cases": [
                [name, [[case, value] for case, value in cases.items()]]
                for name, cases in self.cases.items()
            ],
            "against": dict(self.against),
            "notes": list(self.notes),
            "opinions": [
                [name, [list(astuple(one)) for one in said]] for name, said in self.opinions.items()
            ],
            # The order of columns is kept, too.
            "examples": [
                [name, [list(row.items()) for row in rows]] for name, rows in self.examples.items()
            ],
        }

    def load_state_dict(self, state: State) -> None:
        """Restore them."""
        self.rollout = self._unpacked(state["rollout"])
        self.baseline = None if state["baseline"] is None else self._unpacked(state["baseline"])
        self.measures = {name: Measure(*numbers) for name, numbers in state["measures"]}
        self.values = {name: list(column) for name, column in state["values"]}
        self.cases = {name: dict(cases) for name, cases in state["cases"]}
        self.against, self.notes = dict(state["against"]), list(state["notes"])
        self.opinions = {name: [Opinion(*one) for one in said] for name, said in state["opinions"]}
        self.examples = {name: [dict(row) for row in rows] for name, rows in state["examples"]}

    def save(self, folder: Path) -> None:
        """evaluation.json: subject, baseline, and every measure with its interval (null: none),
        and what evaluators say with them (`preflab.interfaces.Evaluation`).
        samples.jsonl: one row per prompt, with both responses and every value of the prompt.
        cases.jsonl: one row per measure of other cases, such as documents.
        opinions.jsonl: if people judged, one row per measure, prompt and person.
        examples.jsonl: if there are any, one row per example."""
        of_file = self.config.baseline == FILE
        evaluation = {
            "subject": self.config.subject,
            "baseline": stored_name(self.config.baseline_path) if of_file else self.config.baseline,
            "n": len(self.prompts),
            "measures": {name: measure_as_json(m) for name, m in self.measures.items()},
            **({"against": self.against} if self.against else {}),
            **({"notes": self.notes} if self.notes else {}),
        }
        write_json(folder / EVALUATION, evaluation)
        with (folder / SAMPLES).open("w", encoding="utf8") as stream:
            stream.writelines(json.dumps(row) + "\n" for row in self._rows())
        with (folder / CASES).open("w", encoding="utf8") as stream:
            for name, cases in self.cases.items():
                values = {case: json_number(value) for case, value in cases.items()}
                stream.write(json.dumps({"measure": name, "values": values}) + "\n")
        if self.opinions:
            with (folder / OPINIONS).open("w", encoding="utf8") as stream:
                for name, said in self.opinions.items():
                    stream.writelines(
                        json.dumps({"measure": name, **asdict(one)}) + "\n" for one in said
                    )
        if self.examples:
            with (folder / EXAMPLES).open("w", encoding="utf8") as stream:
                for name, examples in self.examples.items():
                    shown = ({"of": name, "example": example} for example in examples)
                    stream.writelines(json.dumps(row) + "\n" for row in shown)

    def _subject(self) -> Responder:
        if self._responder is None:
            self._responder = reading(self._respond(self.config.subject), self.config.prefix)
        return self._responder

    def _respond(self, role: str) -> Responder:
        """What answers in a role, at the temperature of this evaluation."""
        responder, temperature = self.context.responder(role), self.config.temperature
        engine = self.context.rollout()
        if temperature is None or temperature == engine.sampling.temperature:
            return responder
        if isinstance(responder, AnyTemperature):
            return responder.at_temperature(temperature)
        raise UserError(
            f"evaluation.temperature is {temperature}, but the {role} answers in a way of its own, "
            f"at the rollout's {engine.sampling.temperature}. Set evaluation.temperature=null."
        )

    def _sample(self) -> None:
        if not self.prompts:
            return
        # The same noise for all: equal policies give equal responses; differences are paired.
        seed = (self.context.seed, "evaluation", "responses")
        baseline = self.config.baseline
        self.rollout = self._subject().respond(self.prompts, seed)
        if baseline == self.config.subject:
            self.baseline = self.rollout
        elif baseline == FILE:
            tokenizer, device = self.context.tokenizer, self.context.runtime.device
            self.baseline = Rollout.from_texts(tokenizer, self.prompts, self.stored, device=device)
        elif baseline != NO_BASELINE:
            self.baseline = self._respond(baseline).respond(self.prompts, seed)
        self.context.rollout_finished(0, self.rollout, {})

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "prompt_id": prompt.id,
                "prompt": prompt.text,
                "user": prompt.user,
                "tags": list(prompt.tags),
                "response": self.rollout.texts[i],
                "terminated": bool(self.rollout.terminated[i]),
                "tokens": int(self.rollout.response_lengths[i]),
                "baseline": None if self.baseline is None else self.baseline.texts[i],
                "values": {name: json_number(column[i]) for name, column in self.values.items()},
            }
            for i, prompt in enumerate(self.prompts)
        ]

    def _unpacked(self, state: State) -> Rollout:
        device = self.context.runtime.device
        tensors: dict[str, Any] = {name: state[name].to(device) for name in _TENSORS}
        prompts, texts = tuple(self.prompts), tuple(state["texts"])
        return replace(self._nothing, prompts=prompts, texts=texts, **tensors)


def _packed(rollout: Rollout) -> State:
    """A rollout as a checkpoint holds it; its prompts follow from the config."""
    return {"texts": list(rollout.texts), **{name: getattr(rollout, name) for name in _TENSORS}}
