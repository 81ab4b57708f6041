"""Malformed YAML files, overrides and data on the command line: one message, exit code 2, no
traceback, nothing written."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from preflab.console.cli import main

HEAD = "defaults: [config, _self_]\n"
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
FILES: dict[str, tuple[str | bytes, str]] = {
    "a tab": (
        HEAD + "runtime:\n\tthreads: 1\n",
        r"bad\.yaml:3: YAML: found character '\\t' that cannot start any token\.",
    ),
    "an open bracket": (
        HEAD + "seed: [1\n",
        r"bad\.yaml:3: YAML: expected ',' or '\]', but got '<stream end>'\.",
    ),
    "an open quote": (HEAD + 'arm: "abc\n', r"bad\.yaml:3: YAML: found unexpected end of stream\."),
    "an open brace": (
        HEAD + "runtime: {threads: 1\n",
        r"bad\.yaml:3: YAML: expected ',' or '\}', but got '<stream end>'\.",
    ),
    "a key twice": (HEAD + "seed: 1\nseed: 2\n", r"bad\.yaml:3: YAML: seed: is given twice\."),
    "an inner key twice": (
        HEAD + "runtime:\n  threads: 1\n  threads: 2\n",
        r"bad\.yaml:4: YAML: threads: is given twice\.",
    ),
    "a list": ("- seed\n- 1\n", r"bad\.yaml:1: YAML: must hold 'key: value' lines\."),
    "a text": ("seed\n", r"bad\.yaml:1: YAML: must hold 'key: value' lines\."),
    "a number": ("5\n", r"bad\.yaml:1: YAML: must hold 'key: value' lines\."),
    "nothing": ("", r"The config chooses no data: give data=NAME\."),
    "only a comment": ("# nothing\n", r"The config chooses no data: give data=NAME\."),
    "an unknown alias": (
        HEAD + "seed: *nobody\n",
        r"bad\.yaml:2: YAML: found undefined alias 'nobody'\.",
    ),
    "laughs": (HEAD + LAUGHS, r"bad\.yaml: YAML: its aliases stand for more than 100,000 values\."),
    "a Python object": (
        HEAD + "seed: !!python/object/apply:os.system ['echo']\n",
        r"bad\.yaml:2: YAML: the tag 'python/object/apply:os\.system' asks for an object, "
        r"and configs hold plain",
    ),
    "a Python name": (
        HEAD + "seed: !!python/name:os.system\n",
        r"bad\.yaml:2: YAML: the tag 'python/name:os\.system' asks for an object, and "
        r"configs hold plain",
    ),
    "a tag that nobody knows": (
        HEAD + "seed: !secret 1\n",
        r"bad\.yaml:2: YAML: the tag '!secret' asks for an object, and configs hold plain values\.",
    ),
    "a NUL": (
        (HEAD + "seed: 1\n").encode() + b"arm: a\0b\n",
        r"bad\.yaml: YAML: unacceptable character #x0000: special characters are not allowed\.",
    ),
    "bytes that are no UTF-8": (
        HEAD.encode() + b"arm: \xff\xfe\xfa\n",
        r"bad\.yaml:2: YAML: byte 0xff is not valid UTF-8\.",
    ),
    "UTF-16": (
        (HEAD + "seed: 1\n").encode("utf-16"),
        r"bad\.yaml:1: YAML: byte 0xff is not valid UTF-8\.",
    ),
    "two documents": (
        HEAD + "---\nseed: 1\n",
        r"bad\.yaml:3: YAML: holds more than one document \('---'\)\.",
    ),
    "an unknown key": (HEAD + "sead: 1\n", r"sead is not an option\."),
    "an unknown inner key": (
        HEAD + "runtime:\n  thread: 1\n",
        r"runtime\.thread is not an option\.",
    ),
    "a text for a number": (
        HEAD + "seed: one\n",
        r"seed is 'one' but must be a whole number",
    ),
    "a fraction for a whole number": (
        HEAD + "seed: 1.5\n",
        r"seed is '1\.5' but must be a whole number",
    ),
    "a list for a number": (
        HEAD + "seed: [1]\n",
        r"seed is '\[1\]' but must be a whole number",
    ),
    "a mapping for a number": (
        HEAD + "seed: {a: 1}\n",
        r"seed is .\{'a': 1\}. but must be a whole number",
    ),
    "a number for a mapping": (
        HEAD + "runtime: 3\n",
        r"runtime is 3 but holds options of its own: runtime\.device, runtime\.precision",
    ),
    "a list for a mapping": (
        HEAD + "algorithm: {kl: [1]}\n",
        r"In 'bad': ValidationError raised while composing config: Merge error: list is "
        r"not a subclass of KLPenaltyConfig",
    ),
    "a date for a number": (
        HEAD + "seed: 2020-01-01\n",
        r"seed is '2020-01-01' but must be a whole number",
    ),
    "null for a number": (
        HEAD + "seed: null\n",
        r"seed is 'None' but must be a whole number",
    ),
    "none for a number": (
        HEAD + "algorithm: {kl: {coef: .nan}}\n",
        r"algorithm\.kl\.coef is nan but must be a finite number",
    ),
    "an endless number": (
        HEAD + "algorithm: {kl: {coef: .inf}}\n",
        r"algorithm\.kl\.coef is inf but must be a finite number",
    ),
    "a number out of range": (
        HEAD + "algorithm: {kl: {coef: -1}}\n",
        r"algorithm\.kl\.coef is -1\.0 but must be >= 0",
    ),
    "an unknown word": (
        HEAD + "sft: {loss_on: prompts}\n",
        r"sft\.loss_on is 'prompts'\. Allowed: completion, all_turns, full",
    ),
    "an unknown option": (
        "defaults:\n  - config\n  - override algorithm: pp\n  - _self_\n",
        r"There is no algorithm 'pp'\.",
    ),
    "an unknown group": (
        "defaults:\n  - config\n  - algoritm: ppo\n  - _self_\n",
        r"There is no algoritm 'ppo'\.",
    ),
    "defaults that are no list": (
        "defaults: 5\n",
        r"Invalid defaults list in 'bad', defaults must be a list \(got int\)",
    ),
    "defaults of itself": (
        "defaults: [bad, _self_]\n",
        r"The config leads back to itself: look for a file that its own defaults list names\.",
    ),
    "a reference to nowhere": (
        HEAD + "seed: ${nowhere}\n",
        r"Interpolation key 'nowhere' not found full_key: seed",
    ),
    "a reference to itself": (
        HEAD + "seed: ${seed}\n",
        r"Recursive interpolation detected full_key: seed",
    ),
    "an open reference": (HEAD + "arm: ${seed\n", r": no viable alternative at input '\$\{seed'"),
    "a call": (
        HEAD + "arm: ${oc.env:HOME}\n",
        r"The config calls a resolver: arm\. Values may refer to other keys, as \$\{seed\} "
        r"does, but never",
    ),
    "a target": (HEAD + "policy: {_target_: os.system}\n", r"policy\._target_ is not an option\."),
    "a number as key": (HEAD + "runtime: {1: 2}\n", r"runtime\.1 is not an option\."),
    "a list as key": (HEAD + "? [a, b]\n: 1\n", r"bad\.yaml:2: YAML: a key must be a word\."),
    "a merge with nothing": (
        HEAD + "runtime:\n  <<: *base\n",
        r"bad\.yaml:3: YAML: found undefined alias 'base'\.",
    ),
    "deep nesting": (
        HEAD + "seed: " + "[" * 5000 + "]" * 5000 + "\n",
        r"bad\.yaml: YAML: is nested too deeply\.",
    ),
}
OVERRIDES: dict[str, str] = {
    "seed=one": r"seed is 'one' but must be a whole number",
    "seed=-1": r"seed is -1 but must be >= 0",
    "seed=1.5": r"seed is '1\.5' but must be a whole number",
    "seed=[1]": r"seed is '\[1\]' but must be a whole number",
    "seed={a: 1}": r"'seed=\{a:' cannot be read: .*'seed=\"\{a:\"'",
    "seed=null": r"seed is 'None' but must be a whole number",
    "sead=1": r"sead is not an option\.",
    "+new_key=1": r"new_key is not an option\.",
    "algorithm=pp": r"There is no algorithm 'pp'\.",
    "algorithm.kl.coef=x": (r"algorithm\.kl\.coef is 'x' but must be a number"),
    "algorithm.kl.coef=-1": r"algorithm\.kl\.coef is -1\.0 but must be >= 0",
    "algorithm.minibatch=3": r"algorithm\.minibatch is 3 but must divide batch \(128\)",
    "algorithm.batch=0": r"algorithm\.batch is 0 but must be >= 1",
    "algorithm.episodes=1": r"algorithm\.episodes is 1 but must be at least batch \(128\)",
    "policy.layers=0": r"policy\.layers is 0 but must be >= 1",
    "policy.width=x": (r"policy\.width is 'x' but must be a whole number"),
    "policy.tokenizer=morse": (r"policy\.tokenizer is 'morse'\. Allowed: words, bytes\."),
    "sft.epochs=-1": r"sft\.epochs is -1 but must be >= 1",
    "sfft.epochs=1": r"sfft is not an option\.",
    "sft.epoch=1": r"sft\.epoch is not an option\.",
    "data=nothing": r"There is no data 'nothing'\.",
    "data=files": (
        r"data\.prompts and demonstrations, rankings and documents are all null: name a file "
        r"for at least one of them"
    ),
    "data=files data.prompts=absent.jsonl": r"absent\.jsonl: there is no such file or folder\.",
    "runtime.device=tpu": (r"runtime\.device is 'tpu'\. Allowed: auto, cpu, cuda\."),
    "runtime.precision=int8": (
        r"runtime\.precision is 'int8'\. Allowed: float32, bfloat16, auto\."
    ),
    "checkpoint.every_steps=0": r"checkpoint\.every_steps is 0 but must be >= 1",
    "rollout.temperature=0": r"rollout\.temperature is 0\.0 but must be > 0",
    "rollout.max_tokens=0": r"rollout\.max_tokens is 0 but must be >= 1",
    "reward_model=none": r"algorithm=ppo_ptx needs a reward model, but reward_model=none\.",
    "labeler=none": (
        r"comparisons=ranked asks people, but labeler=none: give rankings, or choose "
        r"comparisons=none\."
    ),
    "samples=none": (
        r"comparisons=ranked needs responses to rank, but samples=none\. Allowed: sampled\."
    ),
    "comparisons.k=6": r"comparisons\.k is not an option\..*Did you mean samples\.k=6\?",
    "evaluation=x": r"There is no evaluation 'x'\.",
    "runtime.processes=0": r"runtime\.processes is 0 but must be >= 1",
    "policy=pretrained": r"policy\.path is empty but must name a model folder or a hub id",
    "policy=pretrained policy.path=nowhere/at/all/x": (
        r"policy\.path: there is no folder "
        r"nowhere/at/all/x"
    ),
    "algorithm.terms.ptx.coef=abc": (r"algorithm\.terms\.ptx\.coef is 'abc' but must be a number"),
    "algorithm.terms.ptx=3": (
        r"algorithm\.terms\.ptx must be one gradient_term component with a 'name', not "
        r"3\."
    ),
    "algorithm.ema=1.0": r"algorithm\.ema is 1\.0 but must be < 1",
    "reward_model.max_tokens=1": r"reward_model\.max_tokens is 1 but must be >= 2",
    "filters.split.validation=2": r"filters\.split\.validation is 2\.0 but must be < 1",
    "filters=nobody": r"There is no filters 'nobody'\.",
    "-cn nobody": (r"There is no study or config 'nobody'\. Allowed: "),
    "seed": r"'seed' is neither a command nor an override \(KEY=VALUE\)\.",
    "experiment=nobody": r"There is no experiment 'nobody'\.",
    "~algorithm": r"'~algorithm' is neither a command nor an override \(KEY=VALUE\)\.",
    "seed=1 seed": r"'seed' is not an override: KEY=VALUE",
}
"""What is wrong -> what is said of it: the place, and the reason."""
ROWS: dict[str, tuple[str, bytes, str]] = {
    "not JSON": ("a.jsonl", b'{"prompt": "x"}\nhello\n', "a.jsonl:2: JSON: "),
    "wrong type": ("a.jsonl", b'{"prompt": 3}\n', "a.jsonl:1: prompt: "),
    "endless number": ("a.jsonl", b'{"prompt": "x", "n": 1e999}\n', "a.jsonl:1: JSON: "),
    "bad UTF-8": ("a.jsonl", b'{"prompt": "\xff"}\n', "a.jsonl:1: UTF-8: "),
    "cut gzip": (
        "a.jsonl.gz",
        gzip.compress(b'{"prompt": "x"}\n' * 999, mtime=0)[:-9],
        "a.jsonl.gz:",
    ),
    "no Parquet": ("a.parquet", b"PAR1", "a.parquet: Parquet: "),
    "ragged CSV": ("a.csv", b"prompt,id\nx\n", "a.csv:2: row: "),
    "empty": ("a.jsonl", b"", "a.jsonl: the file is empty"),
    "a folder": (
        "a.jsonl/x",
        b"",
        "a.jsonl/x: is not a file of rows, but a.jsonl is read as a folder of them",
    ),
}


def thinned(cases: Iterable[str]) -> list[Any]:
    """Every twelfth case is in make test, all are in make reliability."""
    return [
        case if i % 12 == 0 else pytest.param(case, marks=pytest.mark.reliability)
        for i, case in enumerate(cases)
    ]


def refused(
    folder: Path,
    words: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """The message, after everything else about the refusal was checked."""
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
    content, said = FILES[name]
    (tmp_path / "bad.yaml").write_bytes(content.encode() if isinstance(content, str) else content)
    found = refused(tmp_path, ["--config-dir", str(tmp_path), "-cn", "bad"], capsys, monkeypatch)
    assert re.match(f"preflab: ({re.escape(str(tmp_path))}/|config\\.)?{said}", found), found


@pytest.mark.parametrize("words", thinned(OVERRIDES))
def test_a_malformed_override(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = refused(tmp_path, words.split(" "), capsys, monkeypatch)
    assert re.match(f"preflab: (config\\.)?{OVERRIDES[words]}", found), found


@pytest.mark.parametrize("name", thinned(ROWS))
def test_malformed_rows(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, content, said = ROWS[name]
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_bytes(content)
    words = ["prompts=files", f"prompts.path={file.partition('/')[0]}"]
    assert refused(tmp_path, words, capsys, monkeypatch).startswith(f"preflab: {said}")


def test_a_foreign_manifest_is_read_as_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`rerun` takes overrides from a run folder: they are refused as if they had been typed."""
    facts = {"config_name": "config", "overrides": ["+policy._target_=os.system"]}
    (tmp_path / "manifest.json").write_text(json.dumps(facts))
    assert "policy._target_" in refused(tmp_path, ["rerun", str(tmp_path)], capsys, monkeypatch)
