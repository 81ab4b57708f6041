"""TRL's two forms: preference ({prompt, chosen, rejected}) and prompt-completion. Out only: they
hold neither ties nor skips, and ``rankings=files`` and ``demonstrations=files`` read them.

A conversation is a list of messages on both sides, a text is a text. The columns id, labeler and
labeler_group are extra; TRL's trainers drop them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from preflab.records import Prompt
from preflab_people.exchange.labels import Labels, shown_prompt
from preflab_people.exchange.writing import write_lines
from preflab_people.training import Judged, canonical, demonstrations, rankings

PREFERENCE, COMPLETION = "trl_preference.jsonl", "trl_prompt_completion.jsonl"


def write(labels: Labels, folder: Path) -> list[Path]:
    """The files that there is something for."""
    judged = canonical(labels.tasks, labels.judgments, labels.people)
    rows = {PREFERENCE: list(_preferences(judged)), COMPLETION: list(_completions(judged))}
    return [write_lines(folder / name, some) for name, some in rows.items() if some]


def _preferences(judged: Sequence[Judged]) -> Iterator[dict[str, Any]]:
    """A row for each (better, worse) pair of each person."""
    for ranking in rankings(judged):
        about = _about(ranking.prompt, ranking.labeler, ranking.group)
        for better, worse in ranking.preferences:
            yield {
                "prompt": shown_prompt(ranking.prompt),
                "chosen": _reply(ranking.prompt, ranking.responses[better]),
                "rejected": _reply(ranking.prompt, ranking.responses[worse]),
                **about,
            }


def _completions(judged: Sequence[Judged]) -> Iterator[dict[str, Any]]:
    for written in demonstrations(judged):
        yield {
            "prompt": shown_prompt(written.prompt),
            "completion": _reply(written.prompt, written.response),
            **_about(written.prompt, written.labeler, written.group),
        }


def _reply(prompt: Prompt, text: str) -> str | list[dict[str, str]]:
    return [{"role": "assistant", "content": text}] if prompt.messages else text


def _about(prompt: Prompt, labeler: str, group: str) -> dict[str, str]:
    return {"id": prompt.id, "labeler": labeler, "labeler_group": group}
