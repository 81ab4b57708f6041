"""Malformed YAML files, overrides and data through the command line: one message, exit code 2, no traceback, nothing written."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from preflab.cli import main

HEAD = "defaults: [config, _self_]\n"
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
FILES: dict[str, str | bytes] = {
    "a tab": HEAD + "runtime:\n\tthreads: 1\n",
    "an open bracket": HEAD + "seed: [1\n",
    "an open quote": HEAD + 'arm: "abc\n',
    "an open brace": HEAD + "runtime: {threads: 1\n",
    "a key twice": HEAD + "seed: 1\nseed: 2\n",
    "an inner key twice": HEAD + "runtime:\n  threads: 1\n  threads: 2\n",
    "a list": "- seed\n- 1\n",
    "a text": "seed\n",
    "a number": "5\n",
    "nothing": "",
    "only a comment": "# nothing\n",
    "an unknown alias": HEAD + "seed: *nobody\n",
    "laughs": HEAD + LAUGHS,
    "a Python object": HEAD + "seed: !!python/object/apply:os.system ['echo']\n",
    "a Python name": HEAD + "seed: !!python/name:os.system\n",
    "a tag that nobody knows": HEAD + "seed: !secret 1\n",
    "a NUL": (HEAD + "seed: 1\n").encode() + b"arm: a\0b\n",
    "bytes that are no UTF-8": HEAD.encode() + b"arm: \xff\xfe\xfa\n",
    "UTF-16": (HEAD + "seed: 1\n").encode("utf-16"),
    "two documents": HEAD + "---\nseed: 1\n",
    "an unknown key": HEAD + "sead: 1\n",
    "an unknown inner key": HEAD + "runtime:\n  thread: 1\n",
    "a text for a number": HEAD + "seed: one\n",
    "a fraction for a whole number": HEAD + "seed: 1.5\n",
    "a list for a number": HEAD + "seed: [1]\n",
    "a mapping for a number": HEAD + "seed: {a: 1}\n",
    "a number for a mapping": HEAD + "runtime: 3\n",
    "a list for a mapping": HEAD + "algorithm: {kl: [1]}\n",
    "a date for a number": HEAD + "seed: 2020-01-01\n",
    "null for a number": HEAD + "seed: null\n",
    "none for a number": HEAD + "algorithm: {kl: {coef: .nan}}\n",
    "an endless number": HEAD + "algorithm: {kl: {coef: .inf}}\n",
    "a number out of range": HEAD + "algorithm: {kl: {coef: -1}}\n",
    "an unknown word": HEAD + "sft: {loss_on: prompts}\n",
    "an unknown option": "defaults:\n  - config\n  - override algorithm: pp\n  - _self_\n",
    "a group that is none": "defaults:\n  - config\n  - algoritm: ppo\n  - _self_\n",
    "defaults that are no list": "defaults: 5\n",
    "defaults of itself": "defaults: [bad, _self_]\n",
    "a reference to nowhere": HEAD + "seed: ${nowhere}\n",
    "a reference to itself": HEAD + "seed: ${seed}\n",
    "an open reference": HEAD + "arm: ${seed\n",
    "a call": HEAD + "arm: ${oc.env:HOME}\n",
    "a target": HEAD + "policy: {_target_: os.system}\n",
    "a number as key": HEAD + "runtime: {1: 2}\n",
    "a list as key": HEAD + "? [a, b]\n: 1\n",
    "a merge with nothing": HEAD + "runtime:\n  <<: *base\n",
    "deep nesting": HEAD + "seed: " + "[" * 5000 + "]" * 5000 + "\n",
}
OVERRIDES = (
    *("seed=one", "seed=-1", "seed=1.5", "seed=[1]", "seed={a: 1}", "seed=null", "sead=1", "+new_key=1", "algorithm=pp"),
    *("algorithm.kl.coef=x", "algorithm.kl.coef=-1", "algorithm.minibatch=3", "algorithm.batch=0", "algorithm.episodes=1"),
    *("policy.layers=0", "policy.width=x", "policy.tokenizer=morse", "sft.epochs=-1", "sfft.epochs=1", "sft.epoch=1"),
    *("data=nothing", "data=files", "data=files data.prompts=absent.jsonl", "runtime.device=tpu", "runtime.precision=int8"),
    *("checkpoint.every_steps=0", "rollout.temperature=0", "rollout.max_tokens=0", "reward_model=none", "labeler=none"),
    *("evaluation=x", "runtime.processes=0", "policy=pretrained", "policy=pretrained policy.path=nowhere/at/all/x"),
    *("algorithm.terms.ptx.coef=abc", "algorithm.terms.ptx=3", "algorithm.ema=1.0", "reward_model.max_tokens=1"),
    *("filters.split.validation=2", "filters=nobody", "-cn nobody", "seed", "experiment=nobody", "~algorithm", "seed=1 seed"),
)
ROWS: dict[str, tuple[str, bytes, str]] = {
    "not JSON": ("a.jsonl", b'{"prompt": "x"}\nhello\n', "a.jsonl:2: JSON: "),
    "wrong type": ("a.jsonl", b'{"prompt": 3}\n', "a.jsonl:1: prompt: "),
    "endless number": ("a.jsonl", b'{"prompt": "x", "n": 1e999}\n', "a.jsonl:1: JSON: "),
    "bad UTF-8": ("a.jsonl", b'{"prompt": "\xff"}\n', "a.jsonl:1: UTF-8: "),
    "cut gzip": ("a.jsonl.gz", gzip.compress(b'{"prompt": "x"}\n' * 999)[:-9], "a.jsonl.gz:"),
    "no Parquet": ("a.parquet", b"PAR1", "a.parquet: Parquet: "),
    "ragged CSV": ("a.csv", b"prompt,id\nx\n", "a.csv:2: row: "),
    "empty": ("a.jsonl", b"", "a.jsonl: the file is empty"),
    "a folder": ("a.jsonl/x", b"", "a.jsonl: is a folder"),
}


def thinned(cases: Iterable[str]) -> list[Any]:
    """Every twelfth case is in make test, all are in make reliability."""
    return [case if i % 12 == 0 else pytest.param(case, marks=pytest.mark.reliability) for i, case in enumerate(cases)]


def refused(folder: Path, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What was said, once everything else about the refusal is checked."""
    before = sorted(folder.rglob("*"))
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as ended:
        main(words)
    said = capsys.readouterr()
    assert ended.value.code == 2, said
    assert "Traceback" not in said.err + said.out
    assert said.err.count("preflab: ") == 1, said.err
    assert len(said.err) < 3000
    assert sorted(folder.rglob("*")) == before, "a refused run leaves nothing"
    return said.err


def test_there_are_enough_of_them() -> None:
    assert len(FILES) + len(OVERRIDES) >= 60


@pytest.mark.parametrize("name", thinned(FILES))
def test_a_malformed_config_file(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = FILES[name]
    (tmp_path / "bad.yaml").write_bytes(content.encode() if isinstance(content, str) else content)
    refused(tmp_path, ["--config-dir", str(tmp_path), "-cn", "bad"], capsys, monkeypatch)


@pytest.mark.parametrize("words", thinned(OVERRIDES))
def test_a_malformed_override(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(tmp_path, words.split(" "), capsys, monkeypatch)


@pytest.mark.parametrize("name", thinned(ROWS))
def test_malformed_rows(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    file, content, said = ROWS[name]
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_bytes(content)
    words = ["prompts=files", f"prompts.path={file.partition('/')[0]}"]
    assert refused(tmp_path, words, capsys, monkeypatch).startswith(f"preflab: {said}")


def test_a_foreign_manifest_is_read_as_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`rerun` takes overrides from a run folder: what they ask for is refused as if it had been typed."""
    facts = {"config_name": "config", "overrides": ["+policy._target_=os.system"]}
    (tmp_path / "manifest.json").write_text(json.dumps(facts))
    assert "policy._target_" in refused(tmp_path, ["rerun", str(tmp_path)], capsys, monkeypatch)
