"""What people can be asked about a run: its pool of samples, or the responses of its evaluation,
found in the folder of the run and verified. Nothing is computed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflab.errors import StorageError, UserError
from preflab.pool import POOL_FILE, Answered, Pool, read_pool
from preflab.records import Prompt
from preflab.storage.artifacts import MANIFEST as ARTIFACT
from preflab.storage.artifacts import file_digest, read_rows
from preflab.storage.durable import read_sealed
from preflab.storage.run_folder import (
    ARTIFACTS,
    COMPLETE,
    LEDGER,
    Manifest,
    read_ledger,
    read_manifest,
)
from preflab_builtin.evaluation.results import SAMPLES
from preflab_people.judgments import canonical_digest


@dataclass(frozen=True)
class Joined:
    """The responses of several runs to the same prompts, equal ones once. arms: by prompt and
    response, names of the runs that gave it."""

    pool: Pool
    arms: tuple[tuple[tuple[str, ...], ...], ...]


@dataclass(frozen=True)
class Evaluated:
    """The responses of a finished run. answers, baseline: by the text of the prompt."""

    folder: Path
    manifest: Manifest
    prompts: tuple[Prompt, ...]
    answers: dict[str, str]
    baseline: dict[str, str]


def manifest_of(folder: Path) -> Manifest:
    """The manifest of a run; `UserError` for anything but a run's folder."""
    manifest = read_manifest(folder)
    if manifest is not None:
        return manifest
    if (folder / LEDGER).is_file():
        jobs = sorted(str(folder / str(row["folder"])) for row in read_ledger(folder))
        raise UserError(f"{folder} holds several runs: give the ones you mean: {' '.join(jobs)}")
    raise UserError(
        f"{folder} is not the folder of a run: it has no manifest.json. Run folders are in runs/."
    )


def sampled_pool(folder: Path) -> Pool:
    """The pool of a run. `UserError` if it has none yet, `StorageError` if it was changed."""
    manifest = manifest_of(folder)
    artifact = _artifact(folder, manifest, "samples")
    if artifact is None:
        given = "comparisons" in [row["stage"] for row in manifest["stages"]]
        raise UserError(
            f"{folder} has no pool of samples for people to rank: "
            + (
                "it was made by an older version, or its rankings were given."
                if given or manifest["status"] == COMPLETE
                else "it has not come that far. Give its command again first."
            )
        )
    _verified(artifact / POOL_FILE)
    return read_pool(artifact)


def evaluated(folder: Path) -> Evaluated:
    """The responses that a finished run was evaluated with."""
    manifest = manifest_of(folder)
    artifact = _artifact(folder, manifest, "evaluation")
    rows = read_rows(artifact / SAMPLES) if artifact is not None else []
    if artifact is None or not rows:
        why = (
            "its evaluation answered no prompts: choose one that does, such as evaluation=samples"
            if artifact is not None
            else f"it has no evaluation (its status is {manifest['status']!r})"
        )
        raise UserError(f"{folder} has no responses to compare: {why}.")
    _verified(artifact / SAMPLES)
    doubled = [text for text, n in Counter(row["prompt"] for row in rows).items() if n > 1]
    if doubled:
        raise UserError(
            f"{folder}: {len(doubled)} prompts were answered more than once, for example "
            f"{doubled[0]!r:.80}: evaluate it on prompts that differ."
        )
    return Evaluated(
        folder,
        manifest,
        tuple(_prompt(row) for row in rows),
        {row["prompt"]: row["response"] for row in rows},
        {row["prompt"]: row["baseline"] for row in rows if row["baseline"] is not None},
    )


def joined(runs: Sequence[Evaluated], names: Sequence[str], baseline: bool) -> Joined:
    """Several runs' responses, joined by the text of the prompt. baseline: what each
    run was compared with in its evaluation takes part, as the arm "baseline". `UserError` if runs
    answered other prompts."""
    first = runs[0]
    for run in runs[1:]:
        missing = [p for p in first.prompts if p.text not in run.answers]
        more = len(run.answers) - (len(first.prompts) - len(missing))
        if missing or more:
            raise UserError(
                f"{run.folder} answered other prompts than {first.folder}: {len(missing)} are "
                f"missing and {more} are new. Compare runs that were evaluated on the same data, "
                "with the same evaluation.split and evaluation.prompts."
            )
    columns = [(name, run.answers) for name, run in zip(names, runs, strict=True)]
    if baseline:
        columns += _baselines(runs)
    rows, arms = [], []
    for prompt in first.prompts:
        by_text: dict[str, list[str]] = {}
        for name, answers in columns:
            by_text.setdefault(answers[prompt.text], []).append(name)
        rows.append(Answered(prompt, tuple(by_text)))
        arms.append(tuple(tuple(given) for given in by_text.values()))
    texts, responses = [row.prompt.text for row in rows], [row.responses for row in rows]
    digest = canonical_digest([texts, responses, arms])
    return Joined(Pool(tuple(rows), digest), tuple(arms))


def _baselines(runs: Sequence[Evaluated]) -> list[tuple[str, dict[str, str]]]:
    """The different baselines of the runs, under one name each."""
    found: list[dict[str, str]] = []
    for run in runs:
        if len(run.baseline) < len(run.answers):
            raise UserError(
                f"{run.folder} was evaluated without a baseline: set evaluation.baseline, or leave "
                "out --baseline."
            )
        if run.baseline not in found:
            found.append(run.baseline)
    numbers = [""] if len(found) == 1 else [f"-{n}" for n in range(1, len(found) + 1)]
    return [(f"{BASELINE}{n}", answers) for n, answers in zip(numbers, found, strict=True)]


BASELINE = "baseline"
"""Name of the arm that is no run."""


def arm_names(runs: Sequence[Evaluated]) -> list[str]:
    """A name for each run that tells them apart: those of a study's arms, else the words in which
    their commands differ, else their ids."""
    arms = [run.manifest["arm"] for run in runs]
    if all(arms) and len(set(arms)) == len(arms):
        return arms
    words = [list(map(str, run.manifest["overrides"])) for run in runs]
    shared = set(words[0]).intersection(*words[1:])
    own = [" ".join(word for word in line if word not in shared) for line in words]
    if all(own) and len(set(own)) == len(own):
        return own
    return [run.manifest["run"] for run in runs]


def _prompt(row: dict[str, Any]) -> Prompt:
    return Prompt(row["prompt_id"], row["prompt"], row["user"], tuple(row["tags"]))


def _artifact(folder: Path, manifest: Manifest, stage: str) -> Path | None:
    """The folder of a run's finished stage; None if it has none."""
    link = folder / ARTIFACTS / stage
    noted = [Path(row["artifact"]) for row in manifest["stages"] if row["stage"] == stage]
    return next((path for path in (link, *noted) if (path / ARTIFACT).is_file()), None)


def _verified(path: Path) -> None:
    """`StorageError` if a file of an artifact is not the one that was made."""
    if read_sealed(path.parent / ARTIFACT)["files"].get(path.name) != file_digest(path):
        raise StorageError(
            f"{path} was changed since the artifact was made: nobody is asked about it. Restore "
            "the file, or remove the folder and give the run's command again."
        )


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a researcher's file of JSON lines; `UserError` with file and line."""
    try:
        lines = path.read_text(encoding="utf8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}:{number}: is no JSON: {error}") from None
        if not isinstance(row, dict):
            raise UserError(f"{path}:{number}: must be an object")
        rows.append({**row, "place": f"{path}:{number}"})
    return rows
