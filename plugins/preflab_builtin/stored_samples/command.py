"""The command ``preflab evaluate-samples``: its words, groups of rows, and JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from preflab.errors import UserError


def evaluate_samples(words: list[str]) -> int:
    """evaluate-samples FILE --reference COLUMN ...: score stored generations, with intervals"""
    from preflab_builtin.stored_samples.measures import Result, measures_of
    from preflab_builtin.stored_samples.samples import Columns, Sample, read_samples
    from preflab_builtin.stored_samples.table import show

    options = _options(words)
    # First the measures: a misspelt setting is reported before a long file is read.
    measures = measures_of(
        options.metric, options.reference, options.score, options.reward, options.runtime
    )
    columns = Columns(
        options.prediction if options.reference or options.reward else None,
        options.prompt,
        options.reference,
        options.score,
        options.group,
    )
    samples, left_out = read_samples(options.file, columns, options.skip_bad_rows)
    groups: dict[tuple[str, ...], list[Sample]] = {}
    for sample in samples if options.group else ():
        groups.setdefault(sample.group, []).append(sample)
    parts = [(dict(zip(options.group, key, strict=True)), groups[key]) for key in sorted(groups)]
    results = [
        Result(group, len(part), {name: measure(part) for name, measure in measures.items()})
        for group, part in [*parts, ({}, samples)]
    ]
    if options.json:
        facts = {"file": str(options.file), "kept": len(samples), "left_out": left_out}
        print(json.dumps({**facts, "results": [result.as_json() for result in results]}))
    else:
        show(options.group, results, len(samples), left_out)
    return 0


def _options(words: Sequence[str]) -> argparse.Namespace:
    options = _parser().parse_args(words)
    if options.file is None:  # --reward NAME FILE would take it for a setting
        raise UserError("evaluate-samples: name the file first: preflab evaluate-samples FILE ...")
    if not (options.reference or options.score or options.reward):
        raise UserError(
            "evaluate-samples: say what to measure: --reference COLUMN, --score COLUMN or "
            "--reward NAME."
        )
    if options.metric and not options.reference:
        raise UserError(
            f"evaluate-samples: --metric {options.metric[0]} compares with right answers: "
            "add --reference COLUMN."
        )
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="preflab evaluate-samples", description=evaluate_samples.__doc__
    )
    one, several = parser.add_argument, partial(parser.add_argument, action="append", default=[])
    rows = "rows with named columns: .csv, .jsonl, .jsonl.gz, .json, .parquet"
    one("file", type=Path, nargs="?", help=rows)
    generated = "the generated text (default: response)"
    one("--prediction", default="response", metavar="COLUMN", help=generated)
    several("--reference", metavar="COLUMN", help="a right answer, or a list of them")
    one("--prompt", metavar="COLUMN", help="what was answered, for rewards that read it")
    several("--score", metavar="COLUMN", help="a number, whose mean is shown")
    several("--metric", help="token_f1, exact_match, bleu, rouge_l; default: all")
    component = (
        "a reward_model component that reads texts, and its settings: "
        "--reward length target=20 scale=0.5"
    )
    several("--reward", nargs="+", metavar="WORD", help=component)
    devices = "for rewards that compute: device=cpu threads=4 micro_batch=16"
    one("--runtime", nargs="+", default=[], metavar="KEY=VALUE", help=devices)
    several("--group", metavar="COLUMN", help="show each value of this column separately")
    bad = "leave out rows that lack a column, and report how many"
    one("--skip-bad-rows", action="store_true", help=bad)
    one("--json", action="store_true", help="print JSON instead of a table")
    return parser
