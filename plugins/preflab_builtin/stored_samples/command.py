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
    from preflab_builtin.stored_samples.groups import results
    from preflab_builtin.stored_samples.measures import measures_of
    from preflab_builtin.stored_samples.samples import Columns, read_samples
    from preflab_builtin.stored_samples.table import show

    options = _options(words)
    # First the measures: a misspelt setting is reported before a long file is read.
    wanted = measures_of(
        options.metric,
        options.reference,
        options.score,
        options.reward,
        options.runtime,
        options.tokenize,
        options.prompt is not None,
    )
    columns = Columns(
        options.prediction if options.reference or options.reward else None,
        options.prompt,
        options.reference,
        options.score,
        options.group,
        options.reference_separator,
        options.question,
        any(name.startswith("squad") for name in options.metric),
        options.rendered,
        not options.drop_reasoning,
    )
    stored = read_samples(options.file, columns, options.skip_bad_rows, options.independent)
    scores, notes = wanted.of(stored.samples)
    found, unpaired = results(stored, scores, options.group, options.versus)
    notes = [*stored.notes, *notes, *unpaired]
    if options.json:
        facts = {"file": str(options.file), "kept": len(stored.samples)}
        facts |= {"left_out": stored.left_out, "questions": stored.question, "notes": notes}
        print(json.dumps({**facts, "results": [result.as_json() for result in found]}))
    else:
        show(options.group, found, stored, notes)
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
    if options.rendered and not options.prompt:
        raise UserError("evaluate-samples: --rendered is about prompts: add --prompt COLUMN.")
    if options.drop_reasoning and not (options.reference or options.reward):
        raise UserError(
            "evaluate-samples: --drop-reasoning is about generated texts: add --reference COLUMN "
            "or --reward NAME."
        )
    for option, given in (
        ("--metric", options.metric[:1]),
        ("--tokenize", [options.tokenize] * (options.tokenize is not None)),
        (
            "--reference-separator",
            [options.reference_separator] * bool(options.reference_separator),
        ),
    ):
        if given and not options.reference:
            raise UserError(
                f"evaluate-samples: {option} {given[0]} is about right answers: add --reference "
                "COLUMN."
            )
    if options.versus is not None and not options.group:
        raise UserError(
            "evaluate-samples: --versus compares groups: add --group COLUMN, such as the column "
            "that names the model."
        )
    if options.versus is not None and options.independent:
        raise UserError(
            "evaluate-samples: --versus pairs rows by question: leave out --independent."
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
    thoughts = "leave out what stands before the answer between <think> and </think>"
    one("--drop-reasoning", action="store_true", help=thoughts)
    between = "what stands between several right answers in one cell, such as ';' or '|||'"
    one("--reference-separator", metavar="TEXT", help=between)
    asked = "what was answered, a text or messages, for rewards that read it"
    one("--prompt", metavar="COLUMN", help=asked)
    template = "the prompts hold the model's chat template already"
    one("--rendered", action="store_true", help=template)
    number = "a number, or pass/fail, yes/no, true/false, whose mean is shown"
    several("--score", metavar="COLUMN", help=number)
    metrics = (
        "token_f1, exact_match, rouge_l, bleu (default: these), rouge_1, rouge_2, rouge_lsum, "
        "squad_f1, squad_exact, drop_f1, drop_exact, quac_f1"
    )
    several("--metric", help=metrics)
    tokenise = "sacrebleu's tokeniser for BLEU: 13a (default), intl, zh, ja-mecab, ko-mecab, char"
    one("--tokenize", metavar="NAME", help=tokenise)
    component = (
        "a reward_model component, and its settings: --reward length target=20 scale=0.5; your own "
        "trained one: --reward pretrained path=FOLDER --prompt COLUMN"
    )
    several("--reward", nargs="+", metavar="WORD", help=component)
    devices = "for rewards that compute: device=cpu threads=4 micro_batch=16"
    one("--runtime", nargs="+", default=[], metavar="KEY=VALUE", help=devices)
    several("--group", metavar="COLUMN", help="show each value of this column separately")
    versus = "compare the groups with this one (without a value: with each other), question by "
    one("--versus", nargs="?", const="", metavar="GROUP", help=versus + "question")
    question = "what names the question of a row: its rows depend on each other (default: found)"
    several("--question", metavar="COLUMN", help=question)
    alone = "every row stands alone, also if several answer one question"
    one("--independent", action="store_true", help=alone)
    bad = "leave out rows that lack a column, and report how many"
    one("--skip-bad-rows", action="store_true", help=bad)
    one("--json", action="store_true", help="print JSON instead of a table")
    return parser
