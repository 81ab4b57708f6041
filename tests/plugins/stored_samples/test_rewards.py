"""Rewards of stored samples: functions, a judge, and a trained reward model."""

from __future__ import annotations

from pathlib import Path

import pytest

from preflab.console import commands
from preflab.errors import UserError
from preflab_builtin.causal_lm.config import TokenizerKind
from stored_rows import ROWS, json_lines, results
from tiny_classifier import write_classifier


def test_a_reward_takes_settings_that_its_schema_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = json_lines(tmp_path, ROWS)
    words = (
        "--reward",
        "length",
        "target=2",
        "scale=0.5",
        "--reward",
        "length",
        "--reward",
        "contains",
        "words=[Rome, the]",
    )
    measures = results(capsys, file, "--prediction", "out", *words)["results"][-1]["measures"]
    # words 1, 2, 1. -0.5 * |words - 2|: -0.5, 0, -0.5. By default -0.1 * |words - 10|.
    # The share of "Rome" and "the": 0, 1, 0.
    assert {name: m["value"] for name, m in measures.items()} == {
        "reward length target=2 scale=0.5": pytest.approx(-1 / 3),
        "reward length": pytest.approx(-2.6 / 3, abs=1e-6),
        "reward contains words=[Rome, the]": pytest.approx(1 / 3),
    }


def test_a_reward_that_computes_gets_a_runtime(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_classifier(tmp_path / "judge")
    rows = [
        {"response": text}
        for text in ("you are bad", "good", "you you", "are you good", "bad bad bad bad")
    ]
    judge = ("--reward", "classifier", f"path={folder}", "label=toxic")
    values = []
    for micro_batch in (1, 5):  # rows read at a time; what they score does not depend on it
        runtime = ("--runtime", "device=cpu", "threads=1", f"micro_batch={micro_batch}")
        (measure,) = results(capsys, json_lines(tmp_path, rows), *judge, *runtime)["results"][-1][
            "measures"
        ].values()
        values.append(measure["value"])
        assert 0 < measure["value"] < 1
        assert measure["n"] == 5
    assert values[0] == pytest.approx(values[1], abs=1e-6)


def test_a_trained_reward_model_scores_stored_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same numbers as `NetworkReward` in a run, prompt and response together."""
    import torch

    from preflab.records import Prompt, Rollout
    from preflab.runtime import Runtime, RuntimeConfig
    from preflab_builtin.causal_lm.config import TinyConfig
    from preflab_builtin.causal_lm.sources import TinySource
    from preflab_builtin.reward_model.scoring import NetworkReward

    tiny = TinyConfig(tokenizer=TokenizerKind.bytes, width=32, layers=1, heads=2)
    policy = TinySource(tiny, None).create(torch.Generator().manual_seed(0))
    network = policy.scalar_model(torch.Generator().manual_seed(1))
    network.offset = 0.5
    network.save(tmp_path / "model")
    rows = [{"q": f"question {i}?", "response": "answer " * i} for i in range(5)]
    prompts = [Prompt(str(i), row["q"]) for i, row in enumerate(rows)]
    rollout = Rollout.from_texts(network.tokenizer, prompts, [row["response"] for row in rows])
    expected = NetworkReward(network, Runtime(RuntimeConfig())).score(rollout).mean()
    words = ["--reward", "pretrained", f"path={tmp_path / 'model'}", "--runtime", "device=cpu"]
    file = json_lines(tmp_path, rows)
    (result,) = results(capsys, file, *words, "--prompt", "q")["results"]
    (measure,) = result["measures"].values()
    assert measure["value"] == pytest.approx(float(expected), abs=1e-5)
    with pytest.raises(UserError, match="reads the prompt and the response together: add --prompt"):
        commands.run("evaluate-samples", [file, *words])
    with pytest.raises(UserError, match="it is not a transformers model folder"):
        commands.run(
            "evaluate-samples",
            [file, "--reward", "pretrained", f"path={tmp_path}", "--prompt", "q"],
        )
