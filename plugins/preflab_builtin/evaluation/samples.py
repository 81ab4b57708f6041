"""``preflab evaluate-samples``: stored generations, made here or elsewhere, judged by the same code and with intervals."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab.errors import UserError, nearest

if TYPE_CHECKING:
    from preflab.interfaces import Measure
    from preflab.rows import Row
    from preflab.runtime import Runtime
    from preflab_builtin.evaluation.text_metrics import Metric

SHOWN = 3
"""Reasons that a message names, each with its first row; all bad rows are counted."""


@dataclass(frozen=True)
class Sample:
    """A stored generation. values: the score columns by name; group: what stands in the group columns."""

    prediction: str
    prompt: str
    references: tuple[str, ...]
    values: Mapping[str, float]
    group: tuple[str, ...]


def evaluate_samples(words: list[str]) -> int:
    """evaluate-samples FILE --prediction COLUMN ...: score stored generations (CSV, JSONL, Parquet), by groups, with intervals"""
    options = _options(words)
    measures = _measures(options)  # a misspelt setting is told before a long file is read
    samples, bad = _samples(options)
    groups: dict[tuple[str, ...], list[Sample]] = {}
    for sample in samples if options.group else ():
        groups.setdefault(sample.group, []).append(sample)
    parts = [
        (dict(zip(options.group, key, strict=True)), groups[key]) for key in sorted(groups)
    ] + [({}, samples)]
    found = [
        {
            "group": group,
            "n": len(part),
            "measures": {name: measure(part) for name, measure in measures.items()},
        }
        for group, part in parts
    ]
    if options.json:
        print(
            json.dumps(
                {
                    "file": str(options.file),
                    "kept": len(samples),
                    "left_out": bad,
                    "results": [_plain(f) for f in found],
                }
            )
        )
    else:
        _print(options, found, len(samples), bad)
    return 0


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="preflab evaluate-samples", description=evaluate_samples.__doc__
    )
    parser.add_argument(
        "file",
        type=Path,
        nargs="?",
        help="rows with named columns: .csv, .jsonl, .jsonl.gz, .json, .parquet",
    )
    parser.add_argument(
        "--prediction",
        default="response",
        metavar="COLUMN",
        help="the generated text (default: response)",
    )
    parser.add_argument(
        "--reference",
        action="append",
        default=[],
        metavar="COLUMN",
        help="a right answer, or a list of them",
    )
    parser.add_argument(
        "--prompt", metavar="COLUMN", help="what was answered, for rewards that read it"
    )
    parser.add_argument(
        "--score",
        action="append",
        default=[],
        metavar="COLUMN",
        help="a number, whose mean is shown",
    )
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        help="token_f1, exact_match, bleu, rouge_l; default: all",
    )
    parser.add_argument(
        "--reward",
        action="append",
        default=[],
        nargs="+",
        metavar="WORD",
        help="a reward_model component that reads texts, and its settings: --reward length target=20 scale=0.5",
    )
    parser.add_argument(
        "--runtime",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="for rewards that compute: device=cpu threads=4 micro_batch=16",
    )
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="COLUMN",
        help="show each value of this column apart",
    )
    parser.add_argument(
        "--skip-bad-rows",
        action="store_true",
        help="leave out rows that lack a column, and say how many",
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(words)
    if options.file is None:  # --reward NAME FILE would take it for a setting
        raise UserError("evaluate-samples: name the file first: preflab evaluate-samples FILE ...")
    if not (options.reference or options.score or options.reward):
        raise UserError(
            "evaluate-samples: say what to measure: --reference COLUMN, --score COLUMN or --reward NAME."
        )
    if options.metric and not options.reference:
        raise UserError(
            f"evaluate-samples: --metric {options.metric[0]} compares with right answers: add --reference COLUMN."
        )
    return options


def _samples(options: argparse.Namespace) -> tuple[list[Sample], int]:
    """The rows as samples, and how many were left out; `UserError` for bad rows unless they may be."""
    from preflab.rows import BadRow, read_rows

    samples: list[Sample] = []
    problems: dict[str, list[str]] = {}
    for row in read_rows(options.file):
        try:
            if row.problem is not None:
                raise row.problem
            samples.append(_sample(row, options))
        except BadRow as bad:
            problems.setdefault(str(bad), []).append(row.place)
    count = sum(map(len, problems.values()))
    named = "".join(
        f"\n  {at[0]}: {why}{f' (and {len(at) - 1} more rows)' * (len(at) > 1)}"
        for why, at in [*problems.items()][:SHOWN]
    )
    if problems and not options.skip_bad_rows:
        raise UserError(
            f"{count} of {len(samples) + count} rows cannot be scored:{named}\n"
            "Repair them, name other columns, or leave them out with --skip-bad-rows."
        )
    if not samples:
        raise UserError(f"{options.file}: no row can be scored.{named}")
    if problems:
        print(f"preflab: {count} rows left out:{named}", file=sys.stderr)
    return samples, count


def _sample(row: Row, options: argparse.Namespace) -> Sample:
    references = [text for column in options.reference for text in _references(row, column)]
    values = {column: _number(row, column) for column in options.score}
    needs_text = bool(options.reference or options.reward)
    return Sample(
        _text(row, options.prediction) if needs_text else "",
        _text(row, options.prompt) if options.prompt else "",
        tuple(references),
        values,
        tuple(str(_value(row, column)) for column in options.group),
    )


def _value(row: Row, column: str) -> Any:
    from preflab.rows import BadRow

    if row.values.get(column) is None:
        there = (
            "is null"
            if column in row.values
            else f"is not a column. {nearest(column, map(str, row.values))}"
        )
        raise BadRow(column, there)
    return row.values[column]


def _text(row: Row, column: str) -> str:
    from preflab.rows import BadRow

    value = _value(row, column)
    if not isinstance(value, str):
        raise BadRow(column, f"must be a text, not {value!r:.60}")
    return value


def _references(row: Row, column: str) -> list[str]:
    from preflab.rows import BadRow

    value = _value(row, column)
    several = value if isinstance(value, list) else [value]
    if not several or not all(isinstance(text, str) for text in several):
        raise BadRow(column, f"must be a text or a list of texts, not {value!r:.60}")
    return several


def _number(row: Row, column: str) -> float:
    from preflab.rows import BadRow

    value = _value(row, column)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise BadRow(column, f"must be a finite number, not {value!r:.60}")
    return number


def _measures(options: argparse.Namespace) -> dict[str, Callable[[Sequence[Sample]], Measure]]:
    """What to compute of a group, by the heading it gets."""
    from preflab_builtin.evaluation.text_metrics import METRICS

    unknown = next((name for name in options.metric if name not in METRICS), None)
    if unknown:
        raise UserError(
            f"evaluate-samples: there is no metric '{unknown}'. {nearest(unknown, METRICS)}"
        )
    found: dict[str, Callable[[Sequence[Sample]], Measure]] = {}
    for name in (options.metric or METRICS) if options.reference else ():
        found[name] = partial(_against_references, METRICS[name])
    for column in options.score:
        found[column] = partial(_mean, partial(_values, column))
    context = _NoRun(options.runtime)
    for name, *settings in options.reward:
        found[" ".join(["reward", name, *settings])] = partial(
            _mean, _reward(name, settings, context)
        )
    return found


def _against_references(metric: Metric, part: Sequence[Sample]) -> Measure:
    return metric([s.prediction for s in part], [s.references for s in part])


def _values(column: str, part: Sequence[Sample]) -> list[float]:
    return [s.values[column] for s in part]


def _mean(values: Callable[[Sequence[Sample]], list[float]], part: Sequence[Sample]) -> Measure:
    from preflab import intervals

    return intervals.mean(values(part))


def _settings(words: Sequence[str], where: str) -> dict[str, Any]:
    """key=value words as plain values, read as YAML; a dot leads into a setting of several parts."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    for word in words:
        if not word.partition("=")[0] or "=" not in word or "${" in word:
            raise UserError(
                f"evaluate-samples: {where}: '{word}' is no setting: write KEY=VALUE, without references."
            )
    try:
        plain = OmegaConf.to_container(OmegaConf.from_dotlist(list(words)))
    except (YAMLError, OmegaConfBaseException, ValueError) as error:
        raise UserError(
            f"evaluate-samples: {where} {' '.join(words)}: {str(error).splitlines()[0]}"
        ) from None
    return {str(key): value for key, value in plain.items()} if isinstance(plain, dict) else {}


class _NoRun:
    """Stands where a run's context would be: it has devices and threads, and a reward that asks for anything else cannot be used
    outside a run."""

    gold = None

    def __init__(self, settings: Sequence[str]) -> None:
        from preflab.options import problems, typed
        from preflab.runtime import RuntimeConfig

        self._config = typed(RuntimeConfig, _settings(settings, "--runtime"), "--runtime")
        wrong = next(problems(self._config, "--runtime."), None)
        if self._config.processes != 1:
            wrong = "--runtime.processes", "is not 1: samples are judged by one process"
        if wrong:
            raise UserError(" ".join(wrong))

    @cached_property
    def runtime(self) -> Runtime:
        """Built when a reward asks: it imports torch."""
        from preflab.runtime import Runtime

        return Runtime(self._config)

    def __getattr__(self, name: str) -> Any:
        raise UserError(
            f"This reward asks its run for '{name}', and stored samples have no run: evaluate it in one."
        )


def _reward(
    name: str, settings: Sequence[str], no_run: _NoRun
) -> Callable[[Sequence[Sample]], list[float]]:
    """A reward_model component, with settings that its schema checks, as a function of samples."""
    from preflab.composing.composition import registry
    from preflab.door.blame import blamed
    from preflab.planning.choosing import choose
    from preflab.records import Prompt, Rollout
    from preflab_builtin.causal_lm.tokenizer import byte_tokenizer

    values = _settings(settings, f"--reward {name}")
    if "name" in values:
        raise UserError(
            f"evaluate-samples: --reward {name} has its name already: leave out name={values['name']}."
        )
    choice = choose(registry(), "reward_model", {"name": name, **values}, f"--reward {name}")
    if choice.component.build is None:
        raise UserError(
            f"evaluate-samples: reward_model '{name}' is trained in a run. Give one that only reads texts."
        )
    context: Any = no_run
    with blamed(choice):
        model = choice.component.build(choice.config, context)

    def scores(part: Sequence[Sample]) -> list[float]:
        prompts = [Prompt(str(i), sample.prompt, split="test") for i, sample in enumerate(part)]
        rollout = Rollout.from_texts(
            byte_tokenizer(), prompts, [sample.prediction for sample in part]
        )
        with blamed(choice):
            return [float(value) for value in model.score(rollout)]

    return scores


def _plain(found: Mapping[str, Any]) -> dict[str, Any]:
    """A result as JSON values; what has no interval has null there."""
    measures = {
        name: {
            "value": m.value,
            **{
                end: v if math.isfinite(v) else None
                for end, v in (("low", m.low), ("high", m.high))
            },
            "n": m.n,
        }
        for name, m in found["measures"].items()
    }
    return {**found, "measures": measures}


def _print(
    options: argparse.Namespace, found: Sequence[Mapping[str, Any]], kept: int, bad: int
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, heading in enumerate([*options.group, "rows", *found[0]["measures"]]):
        table.add_column(Text(heading), justify="left" if i < len(options.group) else "right")
    for result in found:
        cells = [result["group"].get(column, "all") for column in options.group]
        table.add_row(
            *map(Text, [*cells, str(result["n"]), *(_cell(m) for m in result["measures"].values())])
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    print(f"{kept} rows scored{f', {bad} left out' if bad else ''}. Intervals are 95 %, over rows.")


def _cell(measure: Measure) -> str:
    shown = f"{measure.value:.3f}"
    return (
        f"{shown}\n[{measure.low:.3f}, {measure.high:.3f}]" if math.isfinite(measure.low) else shown
    )
