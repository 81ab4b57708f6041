"""The filters that a command chooses, and what its owner is told before any work: as the command
line composes them, on files of a user."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from preflab.composing.compose import compose
from preflab.composing.search_path import registry
from preflab.engine.context import Environment
from preflab.errors import UserError
from preflab.planning.reading import read
from preflab.planning.run import Run

FILES = ("data=files", "policy.tokenizer=bytes", "policy.max_positions=4096", "pretrain=none",
         "sft=none", "comparisons=none", "labeler=none", "algorithm=none")  # fmt: skip
MARKS = "transforms=control_tokens"
NOTHING = ("reward_model=none", "evaluation=none")
SYSTEM = "You answer for {}, a small hotel by a lake. " + "Keep to two short sentences. " * 20


def composed(*words: str) -> Run:
    """The run of a command line."""
    config: Any = OmegaConf.to_container(compose(list(words)), resolve=True)
    return read(config, registry())


def told(*words: str) -> tuple[Mapping[str, Any], list[str]]:
    """The counts of prompts, and all notices, of a run of files."""
    run = composed(*FILES, *words)
    records = Environment(run, lambda *_, **__: None).records
    for record_type in run.counts():
        records.split(record_type, "test")  # type: ignore[arg-type]
    return records.counts["prompts"], records.notices()


def write(path: Path, prompts: Sequence[Any], **more: Sequence[str]) -> str:
    """A file of prompts, and the override that reads it."""
    rows = [{"prompt": p, **{k: v[i] for k, v in more.items()}} for i, p in enumerate(prompts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"data.prompts={path}"


def test_another_scorer_takes_the_place_of_the_words() -> None:
    """As the comments of these files and the manual say it."""
    for preset, place in (("filters=score", "filters.score"), (MARKS, "transforms.control")):
        for name, words in (("contains", ()), ("length", (f"reward_model@{place}.scorer=length",))):
            run = composed(preset, *words)
            (scorer,) = [c for p in run.preparation for c in p.nested]
            assert (scorer.key, scorer.name) == (f"{place}.scorer", name)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ((), ["split", "deduplicate", "cap", "private"]),
        (("filters=standard",), ["split", "deduplicate", "private"]),
        (("filters=none",), []),
        (("filters.private=null", "filters.cap=null"), ["split", "deduplicate"]),
        (("~filters.private",), ["split", "deduplicate", "cap"]),
        (
            ("filters=split", "+filters.length={name: length, max_tokens: 900}"),
            ["split", "length"],
        ),
        (("experiment=smollm2_ukp", "data.path=/"), None),
    ],
)
def test_a_command_chooses_its_filters(words: tuple[str, ...], names: list[str] | None) -> None:
    if names is None:  # an experiment's own choice is kept
        assert compose(list(words)).filters == {}
        return
    assert [choice.key.removeprefix("filters.") for choice in composed(*words).filters] == names


@pytest.mark.parametrize("record_type", ["prompts", "demonstrations", "rankings"])
def test_files_of_a_user_are_prepared_by_the_standard_filters(record_type: str) -> None:
    own = compose([f"{record_type}=files", f"{record_type}.path=x.jsonl"]).filters
    assert own == compose(["data=files"]).filters
    assert own.private.train_only is False
    assert "cap" not in own
    world = compose([]).filters
    assert (world.private.train_only, world.cap.prompts) == (True, 200)


def test_a_split_filter_is_replaced_by_its_name() -> None:
    word = "filters.split.name=split_by_prompt"
    assert composed(word).filters[0].component.name == "split_by_prompt"


def test_different_questions_under_one_system_message_are_kept(tmp_path: Path) -> None:
    prompts = [
        [
            {"role": "system", "content": SYSTEM.format(f"House {i % 8}")},
            {"role": "user", "content": f"Where is room {i}?"},
        ]
        for i in range(240)
    ]
    counts, notices = told(write(tmp_path / "prompts.jsonl", prompts), *NOTHING)
    assert counts["dropped"] == {}
    assert sum(counts["kept"].values()) == 240
    assert notices == []


def test_arithmetic_is_kept_in_every_split(tmp_path: Path) -> None:
    prompts = [
        text
        for i in range(60)
        for text in (
            f"Round {i + 100}.{4000 + 7 * i} to two decimals.",
            f"Add the binary numbers {i + 64:07b} and {i + 5:07b}.",
            f"Sort in falling order: {i + 812} {3456 + i} {9021 - i}",
        )
    ]
    counts, notices = told(write(tmp_path / "prompts.jsonl", prompts), *NOTHING)
    assert (counts["dropped"], notices) == ({}, [])


def test_private_details_are_left_out_of_every_split_and_told(tmp_path: Path) -> None:
    prompts = [f"Question {i}: write to user{i}@mail.org" for i in range(40)]
    prompts += [f"Question {i}" for i in range(160)]
    splits = [("train", "validation", "test")[i % 3] for i in range(200)]
    word = write(tmp_path / "prompts.jsonl", prompts, split=splits)
    counts, (notice,) = told(word, *NOTHING)
    assert counts["dropped"] == {"private: e-mail address": 40}
    # rows 40 to 199: i % 3 == 0 for 42, 45, ..., 198
    assert counts["kept"] == {"train": 53, "validation": 54, "test": 53}
    assert notice.startswith("prompts: the filters leave out 40 of 200 rows (20%).\n")
    assert "filters.private=null keeps the 40" in notice
    assert f"{tmp_path}/prompts.jsonl:1 'Question 0: write to user0@mail.org'" in notice
    assert notice.count("mail.org") == 3
    counts, notices = told(word, *NOTHING, "filters.private=null")
    assert (counts["dropped"], notices) == ({}, [])


def test_few_groups_are_told_with_the_override_that_splits_by_prompt(tmp_path: Path) -> None:
    subjects = ["code", "math", "writing"]
    prompts = [f"A question of {subjects[i % 3]}, number {i}." for i in range(300)]
    groups = [subjects[i % 3] for i in range(300)]
    word = write(tmp_path / "prompts.jsonl", prompts, group=groups)
    counts, (notice,) = told(word, *NOTHING)
    assert all(n % 100 == 0 for n in counts["kept"].values())
    assert notice.startswith("prompts: filters.split: ")
    assert "3 groups alone decide the splits; all 100 rows of test are of one group: " in notice
    cure = "filters.split.name=split_by_prompt"
    assert cure in notice
    counts, notices = told(word, *NOTHING, cure)
    assert notices == []
    # binomial: 45 with standard deviation 6.2, 30 with 5.2; four of them on both sides
    assert abs(counts["kept"]["test"] - 45) < 25
    assert abs(counts["kept"]["validation"] - 30) < 21


def test_a_split_in_which_no_row_is_expected_is_not_missed(tmp_path: Path) -> None:
    for number in range(4):  # of 1 to 4 rows, less than half a row is asked for validation
        word = write(tmp_path / f"{number}.jsonl", [f"Question {i}" for i in range(number + 1)])
        _, notices = told(word, *NOTHING)
        assert not any("validation has 0 rows" in notice for notice in notices)


def test_one_large_group_is_told(tmp_path: Path) -> None:
    prompts = [f"Question {i}" for i in range(400)]
    users = ["busy" if i < 200 else f"user {i}" for i in range(400)]
    _, (notice,) = told(write(tmp_path / "prompts.jsonl", prompts, user=users), *NOTHING)
    assert "one group is larger than a split should be (user busy: 200 rows)" in notice


def test_a_split_that_the_evaluation_needs_is_refused(tmp_path: Path) -> None:
    prompts = [f"Question {i}" for i in range(30)]
    word = write(tmp_path / "prompts.jsonl", prompts, split=["train"] * 30)
    evaluation = (
        "reward_model=length", "evaluation=samples", "evaluation.baseline=none",
        "evaluation.evaluators.win_rate=null", "evaluation.evaluators.kl=null",
    )  # fmt: skip
    with pytest.raises(UserError, match="evaluation needs prompts for test, and there are none"):
        told(word, *evaluation)
    counts, _ = told(word, *evaluation, "filters.split.overwrite=true", "filters.split.test=0.4")
    assert counts["kept"]["test"] > 0


def test_prompts_that_are_trained_on_and_held_out_are_counted(tmp_path: Path) -> None:
    prompts = [f"Question {i % 20}" for i in range(40)]
    splits = ["train"] * 20 + ["test"] * 10 + ["train"] * 10
    users = [f"user {i}" for i in range(40)]
    word = write(tmp_path / "prompts.jsonl", prompts, split=splits, user=users)
    _, notices = told(word, *NOTHING, "filters.deduplicate=null")
    (notice,) = notices
    assert notice.startswith("prompts: of 10 different prompts for validation and test some are")
    assert "word for word: 10 in prompts." in notice
    both = ("filters.split.name=split_by_prompt", "filters.split.overwrite=true")
    assert told(word, *NOTHING, "filters.deduplicate=null", *both)[1] == []
