"""Every experiment with every algorithm, small: made-up data of the real shapes, a tiny model."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from end_to_end.runs import preflab
from preflab.composing.compose import parse
from preflab.composing.search_path import options
from preflab.planning.reading import check_jobs
from support import represented_by

TINY = ("policy=tiny", "policy.tokenizer=bytes", "policy.width=32", "policy.layers=1")
SMALL = ("debug=fast", "runtime.threads=1", "rollout.max_tokens=8")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where each experiment finds its data."""
    folder = tmp_path_factory.mktemp("data")
    arguments = [{"id": f"a{i}", "text": f"because {'tea ' * (1 + i % 5)}{i}"} for i in range(48)]
    pairs = [
        {
            "id": f"a{i}_a{i + 1}",
            "title": f"Debate {i // 4}?",
            "stance": "yes",
            "a1": f"a{i}",
            "a2": f"a{i + 1}",
            "votes": [],
        }
        | {"gold_strict": "a1" if i % 3 else "a2"}
        for i in range(47)
        if i % 4 != 3
    ]
    for name, rows in (("arguments", arguments), ("pairs", pairs)):
        (folder / f"{name}.jsonl.gz").write_bytes(
            gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())
        )
    texts = [
        {
            "id": f"{i}_{j}",
            "text": f"{thing} {i} {j} is {word} and i say so",
            "ratings": [mood + k / 20 for k in range(15)],
        }
        for i, thing in enumerate(("camera", "phone", "book", "lamp") * 10)
        for j, (word, mood) in enumerate((("really good", 3.0), ("bad", -3.0), ("a box", 0.0)))
    ]
    ratings = folder / "ratings.jsonl"
    ratings.write_text("".join(json.dumps(row) + "\n" for row in texts))
    return {"smollm2_ukp": str(folder), "smollm2_sentiment": str(ratings)}


EMPTY = {"terms_only", "guarded", "for_groups"}
"""Algorithms that have nothing to do until they are given a term, a guard, or heads of groups."""


def test_every_experiment_has_made_up_data(data: dict[str, str]) -> None:
    assert set(options("experiment")) == {*data, "people", "refusals"}


EXPERIMENTS = ("smollm2_ukp", "smollm2_sentiment", "people", "refusals")
ALGORITHMS = sorted({*options("algorithm")} - EMPTY)
PAIRS = [(experiment, algorithm) for experiment in EXPERIMENTS for algorithm in ALGORITHMS]
IN_TURN = list(zip(EXPERIMENTS * len(ALGORITHMS), ALGORITHMS, strict=False))
"""Every algorithm with one experiment, every experiment with a quarter of the algorithms."""


def test_the_algorithms_of_the_paper_are_among_them() -> None:
    assert {"ppo", "ppo_ptx", "best_of_n", "ptx_only", "none"} <= {*ALGORITHMS}


@pytest.mark.parametrize("experiment,algorithm", represented_by(IN_TURN, PAIRS))
def test_every_experiment_fits_every_algorithm(
    data: dict[str, str], experiment: str, algorithm: str
) -> None:
    """tests/people runs the one with people."""
    given = (f"data.path={data[experiment]}", *TINY) if experiment in data else ()
    (job,) = check_jobs(parse([f"experiment={experiment}", f"algorithm={algorithm}", *given]))
    assert job.run.stages
    assert (job.run.held is not None) == (experiment == "people")
    assert (job.run.choices["data"].name == "refusals") == (experiment == "refusals")
    assert "evaluation" in job.run.choices


@pytest.mark.parametrize("experiment", ["smollm2_ukp", "smollm2_sentiment"])
@pytest.mark.parametrize("algorithm", ["ppo_ptx", "best_of_n"])
def test_every_experiment_runs(
    tmp_path: Path, data: dict[str, str], experiment: str, algorithm: str
) -> None:
    words = (
        f"experiment={experiment}",
        f"algorithm={algorithm}",
        f"data.path={data[experiment]}",
        *TINY,
        *SMALL,
    )
    assert preflab(tmp_path, *words) == 0, (tmp_path / "log.txt").read_text()[-3000:]
    (summary,) = tmp_path.glob("runs/config/*/summary.json")
    for counts in json.loads(summary.read_text())["records"].values():
        assert counts["total"] == sum(counts["kept"].values()) + sum(counts["dropped"].values())
