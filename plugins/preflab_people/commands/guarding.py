"""``preflab label guard``: a guard that is trained on what people flagged."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from preflab.errors import UserError
from preflab.storage.run_folder import read_from, stage_folder
from preflab_people.commands.parsing import Parser, above_zero, count, part
from preflab_people.flags.dividing import divided
from preflab_people.flags.rows import Flagged, flagged

if TYPE_CHECKING:
    from preflab_people.flags.making import Made

ROOT = "guards"
"""The folder of all guards, where --out names none."""


def guard(words: list[str]) -> int:
    """Train a guard on what people flagged in a closed round, or in a file of rows with response,
    flags and prompt: a classifier with a label for each flag, from the policy whose samples were
    judged. A quarter of the prompts is held out: they tell how good it is, and set its
    threshold."""
    options = _parser().parse(words)
    given = flagged(options.source)
    parts = divided(given, options.flag, options.held_out, options.false_blocks, options.whole_text)
    folder = _new_folder(options.out, given)
    policy = _policy(options.policy, given)
    for sentence in parts.too_few:
        print(f"Left out: {sentence}")
    from preflab_people.flags.folder import save
    from preflab_people.flags.making import Made, train
    from preflab_people.flags.training import Training

    how, share_blocked = Training(options.epochs, options.rate, options.seed), options.false_blocks
    model = train(parts, policy, how)
    about = partial(Made, given, parts, str(policy), how, share_blocked)
    made = save(folder, model, parts, share_blocked, about)
    _say(folder, made)
    return 0


def _parser() -> Parser:
    parser = Parser("label guard", guard.__doc__)
    one = parser.add_argument
    one("source", metavar="NAME", help="of the round: labels/NAME, or a path; or a file of rows")
    one("--flag", action="append", default=[], help="a flag to learn, several times (default: all)")
    one("--policy", metavar="FOLDER", help="model or run to train from (default: the round's SFT)")
    one("--out", type=Path, metavar="FOLDER", help=f"a new folder (default: {ROOT}/NAME)")
    one("--whole-text", action="store_true", help="read the response together with its prompt")
    one("--held-out", type=part, default=0.25, metavar="SHARE", help="of prompts (default: 0.25)")
    unflagged = "of texts without the flag that may be blocked (default: 0.05)"
    one("--false-blocks", type=part, default=0.05, metavar="SHARE", help=unflagged)
    one("--epochs", type=count, default=8, metavar="N", help="passes over the texts (default: 8)")
    one("--rate", type=above_zero, metavar="RATE", help="learning rate (default: by model size)")
    one("--seed", type=count, default=1, metavar="N", help="of the order of texts (default: 1)")
    return parser


def _new_folder(out: Path | None, given: Flagged) -> Path:
    """Where the guard will be; `UserError` if something is there."""
    source = Path(given.name)
    folder = out or Path(ROOT) / (source.name if given.people else source.stem)
    if folder.exists():
        raise UserError(
            f"label guard: {folder} exists, and nothing is written over: give another folder with "
            "--out, or remove it first."
        )
    return folder


def _policy(word: str | None, given: Flagged) -> Path:
    """The model folder to train from: the one that is named, or the SFT policy of the round's
    run, whose samples people judged."""
    from preflab_builtin.causal_lm.folders import locate

    if word is not None:
        if said := read_from(Path(word).expanduser()):
            print(f"{said}.")
        return locate(word, None, "--policy")
    run = Path(given.run)
    if not given.run or not run.is_dir():
        lost = f"its run {run} is not here" if given.run else "it was made of no run here"
        raise UserError(
            f"label guard: a guard is trained from a model, and {given.called} does not lead to "
            f"one: {lost}. Name the folder of a model, or of a run: --policy FOLDER"
        )
    made = stage_folder(run, "sft")
    model = run if made is None else made / "model"
    return locate(str(model), None, "--policy")


def _say(folder: Path, made: Made) -> None:
    """What came of it, and the words that put it around a run."""
    from preflab_people.flags.folder import (
        guard_file,
        lines,
        meaning,
        names_of,
        options_of,
        source_sentence,
        words,
    )

    print(source_sentence(made))
    print("\n".join(lines(made)))
    print(meaning(made))
    run = shlex.quote(made.given.run or "RUN")
    (flag, name), *others = names_of(made.parts.flags).items()
    around = words(options_of(flag, name, folder, made), "algorithm.guard")
    file = shlex.quote(str(folder / guard_file(name)))
    print(f"A guard for {flag!r} around a run:\n  preflab rerun {run} algorithm=guarded {around}")
    print(f"around a server:\n  preflab serve {run} --guard {file}")
    if others:
        print(
            f"The others ({', '.join(map(repr, dict(others)))}) take their own label and their own "
            "harmless-FLAG.jsonl, and have a guard-FLAG.yaml too."
        )
