"""The folder of a trained guard: an ordinary sequence classifier, the held-out harmless texts from
which its threshold follows, its report, and the words that put it around a run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from preflab.interfaces import Measure
from preflab.storage.durable import (
    fsync,
    json_number,
    make_folder,
    sync_below,
    write_json,
    writing,
)
from preflab_builtin.causal_lm.saving import FACTS, model_card, save_model
from preflab_people.exchange.writing import write_lines, write_text
from preflab_people.flags.dividing import Divided
from preflab_people.flags.making import Made, measure
from preflab_people.flags.measuring import Measured
from preflab_people.flags.training import FlagClassifier
from preflab_people.waiting import counted

KIND = "guard"
"""In preflab.json."""
_PLAIN = re.compile(r"(\.{0,2}/)?[A-Za-z_][\w./-]*")
_SPECIAL = frozenset({"null", "true", "false", "yes", "no", "on", "off", "nan", "inf"})


def save(
    folder: Path,
    model: FlagClassifier,
    parts: Divided,
    false_blocks: float,
    about: Callable[[Mapping[str, Measured]], Made],
) -> Made:
    """Write the folder, complete or not at all; it must not be there yet. The guard is measured as
    it is read from there. about: what was made, once it is measured."""
    make_folder(folder.parent)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    with writing("the guard", folder):
        try:
            save_model(model.module, model.tokenizer, partial, KIND, {}, use=())
            made = about(measure(partial, parts, false_blocks))
            facts = _facts(made)
            card = model_card(model.module, model.tokenizer, KIND, facts, use=_use(made))
            write_json(partial / FACTS, {"kind": KIND, **facts})
            (partial / "README.md").write_text(card, encoding="utf8")
            _write_files(partial, folder.absolute(), made)
            sync_below(partial)
            os.rename(partial, folder)
            fsync(folder.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return made


def _write_files(partial: Path, folder: Path, made: Made) -> None:
    """For each flag the texts without it, and the options of its guard in the folder's last
    place."""
    for flag, name in names_of(made.parts.flags).items():
        others = [text for text in made.parts.held_out if not text.has(flag)]
        rows = ({"prompt": text.prompt, "response": text.response} for text in others)
        write_lines(partial / harmless_file(name), rows)
        options = {"guard": options_of(flag, name, folder, made)}
        write_text(partial / guard_file(name), json.dumps(options, indent=1) + "\n")


def names_of(flags: Sequence[str]) -> dict[str, str]:
    """By flag, how files are called that are about it: letters, digits, '-' and '_' stay.

    >>> names_of(["rude", "sexual content", "sexual/content"])
    {'rude': 'rude', 'sexual content': 'sexual_content', 'sexual/content': 'sexual_content-2'}
    """
    names: dict[str, str] = {}
    for number, flag in enumerate(flags):
        plain = re.sub(r"[^\w-]+", "_", flag)
        names[flag] = f"{plain}-{number}" if plain in names.values() else plain
    return names


def harmless_file(name: str) -> str:
    """The held-out texts without a flag."""
    return f"harmless-{name}.jsonl"


def guard_file(name: str) -> str:
    """What ``preflab serve --guard`` reads (JSON is YAML)."""
    return f"guard-{name}.yaml"


# --- how it is used ---


def options_of(flag: str, name: str, folder: Path, made: Made) -> dict[str, Any]:
    """Options of ``guard=classifier`` for one flag. name: of its files."""
    return {
        "name": "classifier",
        "path": str(folder),
        "label": flag,
        "checks": "response",
        **({"whole_text": True} if made.parts.whole_text else {}),
        "threshold": None,
        "calibration": str(folder / harmless_file(name)),
        "false_blocks": made.false_blocks,
    }


def words(options: Mapping[str, Any], key: str) -> str:
    """The same as words of a command. key: of the guard."""
    own = {name: value for name, value in options.items() if name != "name"}
    given = (shlex.quote(f"{key}.{name}={_spelled(value)}") for name, value in own.items())
    return " ".join([f"+guard@{key}={options['name']}", *given])


def _spelled(value: Any) -> str:
    """A value as Hydra reads it: a text that means something else, or holds other characters, in
    quotes.

    >>> _spelled("guards/round-1"), _spelled("null"), _spelled('a "b"'), _spelled(None)
    ('guards/round-1', '"null"', '"a \\\\"b\\\\""', 'null')
    """
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _SPECIAL:
        return value
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'


# --- what is said of it ---


def lines(made: Made) -> list[str]:
    """The report as a table in Markdown: a row for each flag."""
    rows = [
        "| flag | trained on | held out | AUC | threshold | precision | recall |",
        "|---|---|---|---|---|---|---|",
    ]
    for flag, one in made.found.items():
        trained = sum(text.has(flag) for text in made.parts.trained)
        cells = (
            flag,
            f"{trained} of {len(made.parts.trained)}",
            f"{one.flagged} of {one.flagged + one.others}",
            _shown(one.auc),
            f"{one.threshold:.2g}",
            _shown(one.precision),
            _shown(one.recall),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def source_sentence(made: Made) -> str:
    """What it was trained on, and whose opinion that is."""
    given, parts = made.given, made.parts
    who = f" by {counted(given.people, 'person', 'people')}" if given.people else ""
    units = len({text.unit for text in parts.held_out})
    return (
        f"Trained on what was flagged{who} in {given.called} (digest {given.digest[:12]}): "
        f"{counted(len(parts.trained), 'text')}; {counted(len(parts.held_out), 'text')} of "
        f"{counted(units, 'other prompt')} are held out."
    )


def meaning(made: Made) -> str:
    """What the numbers of the table mean."""
    return (
        "A text is flagged if at least half of the people who judged it set the flag. AUC: how "
        "often a flagged text has a higher score than another one (0.5 is chance). The threshold "
        f"blocks at most {made.false_blocks:.0%} of the texts without the flag; precision is the "
        "share of what it blocks that is flagged, recall the share of what is flagged that it "
        "blocks. In brackets 95 % intervals about other prompts."
    )


def _use(made: Made) -> list[str]:
    """The part of the model card on what it is."""
    reads = "prompt and response in one text" if made.parts.whole_text else "a response alone"
    return [
        f"A guard that reads {reads}: the probability of each label is the sigmoid of its output.",
        source_sentence(made),
        "",
        *lines(made),
        "",
        meaning(made),
        "",
        "It knows the texts that it was trained on, and what those people call by these names.",
        "",
    ]


def _facts(made: Made) -> dict[str, Any]:
    """For preflab.json."""
    return {
        "flags": {flag: _values(one) for flag, one in made.found.items()},
        "source": made.given.name,
        "digest": made.given.digest,
        "people": made.given.people,
        "policy": made.policy,
        "training": asdict(made.how),
        "whole_text": made.parts.whole_text,
        "false_blocks": made.false_blocks,
        "trained": len(made.parts.trained),
        "held_out": len(made.parts.held_out),
    }


def _values(one: Measured) -> dict[str, Any]:
    measures = {"auc": one.auc, "precision": one.precision, "recall": one.recall}
    shown = {
        name: {part: json_number(getattr(m, part)) for part in ("value", "low", "high")}
        for name, m in measures.items()
    }
    counts = {"flagged": one.flagged, "others": one.others, "threshold": one.threshold}
    return {**counts, **shown}


def _shown(measure: Measure) -> str:
    """A value with its interval; "-" where there is none."""
    if json_number(measure.value) is None:
        return "-"
    interval = f" [{measure.low:.2f}, {measure.high:.2f}]"
    return f"{measure.value:.2f}{interval if json_number(measure.low) is not None else ''}"
