"""Every run reports what became of its rows and tokens, reused ones included; nothing is lost
without a count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from end_to_end.runs import preflab
from preflab import UserError
from preflab.engine.data import Records
from preflab.errors import PluginError
from preflab.records import Demonstration, Prompt, Ranking, Record
from preflab.storage.artifacts import Store, read_rows
from preflab.testing.context import MemorySource
from preflab_builtin.causal_lm import tokenizer as tokenizers
from preflab_builtin.causal_lm import vocabularies
from preflab_builtin.reward_model.examples import accounting, examples

# The byte tokenizer: one token per character, and an end token after a response or document.
ROWS: dict[str, list[dict[str, Any]]] = {
    "documents": [
        *({"text": f"abcdefgh{i}", "split": "train"} for i in range(5)),  # 5 * (9 + 1) = 50 tokens
        {"text": "a\0b"},  # bad: NUL
    ],
    "demonstrations": [
        # 4 * (2 + 3 + 1) = 24 tokens.
        *({"prompt": f"q{i}", "completion": f"aa{i}", "split": "train"} for i in range(4)),
        {"prompt": "q4", "completion": "write to me@mail.org", "split": "train"},  # private
        {"prompt": "q5", "split": "train"},  # bad: no completion
        {"prompt": "", "completion": "a", "split": "train"},  # bad: empty
    ],
    "rankings": [
        # 4 * (8 + 1 + 3 + 1) = 52 tokens; with at most 6 the longer ones lose 3 each, their end
        # tokens among them
        *(
            {"prompt": f"r{i}", "chosen": "goodgood", "rejected": "bad", "split": "train"}
            for i in range(4)
        ),
        # Bad: nothing to learn.
        {
            "prompt": "r4",
            "chosen": "same",
            "rejected": "same",
            "split": "train",
        },
    ],
    "prompts": [
        *({"prompt": f"p{i}", "split": "train"} for i in range(3)),
        {"prompt": "P0", "split": "train"},  # a near-duplicate: case does not count
        {"prompt": "p9", "split": "validation"},
        {"prompt": 3},  # bad: a number
    ],
}
WORDS = (
    *("data=files", *(f"data.{name}={name}.jsonl" for name in ROWS), "policy.tokenizer=bytes"),
    *(
        "policy.layers=1",
        "policy.width=16",
        "policy.heads=2",
        "pretrain.steps=2",
        "pretrain.batch=2",
        "pretrain.window=8",
    ),
    *(
        "sft.steps=2",
        "sft.batch=2",
        "sft.mix_coef=0",
        "reward_model.batch=2",
        "reward_model.max_tokens=6",
        "algorithm.episodes=18",
    ),
    *(
        "algorithm.batch=8",
        "algorithm.minibatch=4",
        "algorithm.terms.ptx.window=16",
        "rollout.max_tokens=4",
    ),
    *("evaluation=none", "runtime.threads=1"),
)
WATCHING = """
from preflab import hookimpl


@hookimpl
def preflab_rollout_finished(rollout):
    with open("cut.txt", "a") as stream:
        stream.write("cut\\n" * int((~rollout.terminated).sum()))
"""
NOTHING_LEFT_OUT = {"padding is the end token": 0}


def golden(cut_responses: int) -> dict[str, Any]:
    """What the run must report: the counts in the comments above."""
    records = {
        "documents": {
            "total": 5,
            "dropped": {},
            "left out by the source": {"bad row": 1},
            "kept": _kept(train=5),
        },
        "demonstrations": {
            "total": 5,
            "dropped": {"private: e-mail address": 1},
            "left out by the source": {"bad row": 2},
            "kept": _kept(train=4),
        },
        "rankings": {
            "total": 4,
            "dropped": {},
            "left out by the source": {"bad row": 1},
            "kept": _kept(train=4),
        },
        "prompts": {
            "total": 5,
            "dropped": {"deduplicate: the same but for case, space and end punctuation": 1},
            "left out by the source": {"bad row": 1},
            "kept": _kept(train=3, validation=1),
        },
    }
    accounting = {
        # 6 windows of 8.
        "pretrain": {
            "documents": 5,
            "tokens": 50,
            "tokens left out per epoch": 2,
            **NOTHING_LEFT_OUT,
        },
        "sft": {"demonstrations": 4, "tokens": 24, "missing end tokens": 0, **NOTHING_LEFT_OUT},
        "reward_model": {
            **{"rankings": 4, "rankings without a preference": 0, "responses": 8, "tokens": 52},
            **{"responses cut": 4, "tokens lost": 12, "missing end tokens": 4, **NOTHING_LEFT_OUT},
        },
        "algorithm": {
            # 18 = 2 * 8 + 2.
            **{
                "prompts": 3,
                "episodes": 16,
                "episodes left out": 2,
                "missing end tokens": cut_responses,
            },
            # 3 windows of 16.
            **{
                "ptx: documents": 5,
                "ptx: tokens": 50,
                "ptx: tokens left out per epoch": 2,
            },
            **NOTHING_LEFT_OUT,
        },
    }
    return {"records": records, "accounting": accounting}


def _kept(**splits: int) -> dict[str, int]:
    return {"train": 0, "validation": 0, "test": 0, **splits}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the run was made, and then repeated."""
    folder = tmp_path_factory.mktemp("counted")
    for name, rows in ROWS.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "watching.py").write_text(WATCHING)
    words = ("--plugin", "watching.py", *WORDS, "data.on_bad_row=skip")
    for _ in range(2):
        assert preflab(folder, *words) == 0, (folder / "log.txt").read_text()[-3000:]
    return folder


def test_the_counts_are_those_worked_out_by_hand(finished: Path) -> None:
    first, second = sorted(finished.glob("runs/config/*"), key=lambda p: p.stat().st_mtime_ns)
    cut = len((finished / "cut.txt").read_text().splitlines())
    assert 0 < cut <= 16
    for run, computed in ((first, 4), (second, 0)):  # also of what was taken over
        summary = json.loads((run / "summary.json").read_text())
        assert len(summary["computed"]) == computed
        examples = {name: t.pop("examples", {}) for name, t in summary["records"].items()}
        assert {key: summary[key] for key in ("records", "accounting")} == golden(cut)
        reason = "deduplicate: the same but for case, space and end punctuation"
        (shown,) = examples["prompts"][reason]
        assert shown.endswith("'P0'")
        dropped = (run / "dropped.txt").read_text().splitlines()
        assert dropped[dropped.index(f"prompts {reason} 1") + 1] == f"  {shown}"


def test_every_rejected_row_is_in_a_file(finished: Path) -> None:
    for run in finished.glob("runs/config/*"):
        lines = (run / "rejected.txt").read_text().splitlines()
        places = {line.split(": ")[0] for line in lines}
        bad = {"documents": [6], "demonstrations": [6, 7], "rankings": [5], "prompts": [6]}
        assert places == {
            f"{name} {name}.jsonl:{row}" for name, rows in bad.items() for row in rows
        }
        records = json.loads((run / "summary.json").read_text())["records"]
        for name, rows in ROWS.items():
            counts = records[name]
            gone = sum(counts["left out by the source"].values()) + sum(counts["dropped"].values())
            assert sum(counts["kept"].values()) + gone == len(rows)


def test_the_terminal_and_the_page_report_it(finished: Path) -> None:
    log = (finished / "log.txt").read_text()
    assert log.count("Left out or cut: ") == 2
    for said in (
        "demonstrations: 2 left out (bad row)",
        ", 12 tokens lost",
        "algorithm: 2 episodes left out",
    ):
        assert said in log
    (page, _) = (path.read_text() for path in finished.glob("runs/config/*/report.html"))
    assert '<td class="text">responses cut</td><td>4</td>' in page.replace("\n", "")


def test_bad_rows_end_the_run_before_anything_is_written(finished: Path, tmp_path: Path) -> None:
    for name in ROWS:
        (tmp_path / f"{name}.jsonl").write_bytes((finished / f"{name}.jsonl").read_bytes())
    assert preflab(tmp_path, *WORDS) == 2
    assert {path.name for path in tmp_path.iterdir()} == {
        "log.txt",
        *(f"{name}.jsonl" for name in ROWS),
    }
    log = (tmp_path / "log.txt").read_text()
    assert "Traceback" not in log
    assert log.startswith("preflab: prompts.jsonl:6: prompt: is a number")


def test_a_folder_of_artifacts_reports_it_too(finished: Path) -> None:
    for artifact in Store(finished / "artifacts").complete():
        assert artifact.manifest["accounting"]["padding is the end token"] == 0
    assert read_rows(finished / "documents.jsonl")


@pytest.mark.parametrize("returned", [([], {}), ([], {"no reason": 1}), ([1, 1, 1], {})])
def test_a_filter_cannot_lose_a_row_silently(returned: tuple[list[int], dict[str, int]]) -> None:
    prompts = [Prompt(f"{i}", "text", split="train") for i in range(2)]

    def losing(records: Any) -> tuple[list[Record], dict[str, int]]:
        return [records[0] for _ in returned[0]], returned[1]

    with pytest.raises(
        PluginError,
        match=r"filter mine was given 2 prompts.*the numbers do not add up",
    ):
        Records({"prompts": MemorySource(prompts)}, {"mine": losing}).split("prompts", "train")


def test_responses_that_a_cut_makes_equal_are_refused() -> None:
    bytes_of = vocabularies.byte_tokenizer()
    same = Ranking(Prompt("x", "q"), ("abcde", "abcdf"), ((1, 0),))
    whole, cut = (accounting(examples([same], bytes_of, n, None, "algorithm")) for n in (None, 5))
    counts = ("responses", "responses cut", "tokens", "tokens lost", "missing end tokens")
    assert [whole[name] for name in counts] == [2, 0, 12, 0, 0]
    # 6 tokens each, one lost: the ends still differ
    assert [cut[name] for name in counts] == [2, 2, 12, 2, 2]
    with pytest.raises(
        UserError,
        match=r"'x' prefers response 1 to response 0, but both are the same 4 tokens"
        r".*Raise algorithm\.max_tokens \(4\)",
    ):
        examples([same], bytes_of, 4, None, "algorithm")
    words_of = vocabularies.word_tokenizer(["a"])  # "b" and "c" are unknown words: one token
    unknown = Ranking(Prompt("x", "a"), ("b", "c"), ((0, 1),))
    with pytest.raises(UserError, match="Use a tokenizer that tells them apart"):
        examples([unknown], words_of, None, None, "algorithm")


def test_padding_with_the_end_token_is_stated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preflab_run: Any
) -> None:
    monkeypatch.setattr(tokenizers, "distinct_pad", lambda wrapper, ends: wrapper.eos_token_id)
    run = preflab_run(
        "sft=none", "reward_model=none", "select=last", "algorithm=none", "evaluation=none"
    )
    assert run.summary["accounting"]["pretrain"]["padding is the end token"] == 1


def test_a_demonstration_is_complete_or_refused() -> None:
    from preflab_builtin.sft.batches import examples
    from preflab_builtin.sft.config import LossOn

    shown = [Demonstration(Prompt("x", "abc"), "de")]  # 3 + 2 + 1 tokens
    assert [
        len(row.ids) for row in examples(shown, vocabularies.byte_tokenizer(), LossOn.full, 6)
    ] == [6]
    with pytest.raises(
        UserError, match=r"more than 5 tokens, the positions of the policy: 'x' \(6 tokens\)"
    ):
        examples(shown, vocabularies.byte_tokenizer(), LossOn.full, 5)
