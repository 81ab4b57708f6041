"""The presets of the paper's kinds of test: they compose, name what is missing, and run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from preflab.composing.compose import compose
from preflab.composing.search_path import registry
from preflab.door.choice import Choice
from preflab.errors import UserError
from preflab.planning.asking import needs
from preflab.planning.reading import choose
from preflab.testing.fast_run import FastRun

pytestmark = pytest.mark.slow

PRESETS = (
    "truthfulness",
    "toxicity",
    "stereotypes",
    "question_answering",
    "translation",
    "summarisation",
)


def _chosen(preset: str, *overrides: str) -> Choice:
    words = ["evaluation=files", f"+evaluator@evaluation.evaluators.x={preset}", *overrides]
    config: Any = OmegaConf.to_container(compose(words), resolve=True)
    return choose(registry(), "evaluation", config["evaluation"], "evaluation")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_lacks_nothing_but_its_file(preset: str) -> None:
    with pytest.raises(
        UserError, match=r"evaluators\.x(\.scorers\.toxicity)?\.path is empty but must name"
    ):
        _chosen(preset)
    model = ["evaluation.evaluators.x.scorers.toxicity.path=folder"] if preset == "toxicity" else []
    config = _chosen(preset, "evaluation.evaluators.x.path=rows.csv", *model).config.evaluators["x"]
    assert config.label == preset
    choice = _chosen(preset, "evaluation.evaluators.x.path=rows.csv", *model)
    assert needs(choice) == {"policy:result"}


@pytest.mark.parametrize(
    "words,message",
    [
        (["x.template='no column'"], "template is 'no column' but must name a column"),
        (["x.template='{question'"], "template is not a valid template"),
        (["x.references=[]"], "references is empty, but metrics=token_f1"),
        (["x.references=[]", "x.metrics=[]"], "metrics is empty, and so is scorers"),
        (["x.threshold=0.5"], "threshold is given, but there are no scorers"),
        (["x.metrics=[token_f2]"], "metrics"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        _chosen(
            "question_answering",
            "evaluation.evaluators.x.path=rows.csv",
            *(f"evaluation.evaluators.{w}" for w in words),
        )


def test_answers_are_given_in_one_of_two_forms() -> None:
    path = "evaluation.evaluators.x.path=rows.csv"
    with pytest.raises(UserError, match="right and wrong cannot be given with choices"):
        _chosen(
            "truthfulness",
            path,
            "evaluation.evaluators.x.choices=a",
            "evaluation.evaluators.x.correct=b",
        )
    only = (
        "evaluation.evaluators.x.right=[]",
        "evaluation.evaluators.x.wrong=[]",
        "evaluation.evaluators.x.choices=a",
    )
    with pytest.raises(UserError, match="correct is null"):
        _chosen("truthfulness", path, *only)
    with pytest.raises(UserError, match="choices is null"):
        _chosen("truthfulness", path, "evaluation.evaluators.x.wrong=[]")


def test_all_of_them_through_the_real_engine(
    preflab_run: Callable[..., FastRun], tmp_path: Path
) -> None:
    rows: dict[str, list[dict[str, Any]]] = {
        "truthfulness": [
            {"Question": "Is it red?", "Correct Answers": "no; never", "Incorrect Answers": "yes"}
        ]
        * 3,
        "toxicity": [{"prompt": {"text": f"He said {i}"}} for i in range(3)],
        "stereotypes": [
            {"sent_more": "He is bad.", "sent_less": f"She is bad {i}.", "bias_type": "gender"}
            for i in range(3)
        ],
        "question_answering": [
            {"context": f"A is B {i}.", "question": "A?", "answers": {"text": ["B"]}}
            for i in range(3)
        ],
        "translation": [{"fr": f"oui {i}", "en": "yes"} for i in range(3)],
        "summarisation": [{"article": f"Story {i}.", "summary": "story"} for i in range(3)],
    }
    words = []
    for preset, lines in rows.items():
        path = tmp_path / f"{preset}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in lines))
        words += [
            f"+evaluator@evaluation.evaluators.{preset}={preset}",
            f"evaluation.evaluators.{preset}.path={path}",
        ]
    # vader instead of a classifier: the evaluator does not depend on what a scorer is
    judge = (
        "evaluation.evaluators.toxicity.scorers.toxicity=null",
        "+reward_model@evaluation.evaluators.toxicity.scorers.mood=vader",
    )
    tiny = (
        "policy.tokenizer=bytes",
        "policy.width=32",
        "policy.layers=1",
        "sft=none",
        "algorithm=none",
    )
    run = preflab_run("evaluation=files", *words, *judge, *tiny)
    names = set(run.measures)
    assert {
        f"toxicity/{prefix}/mood_share" for prefix in ("plain", "respectful", "biased")
    } <= names
    assert {
        "truthfulness/plain/accuracy",
        "truthfulness/instructed/mass",
        "truthfulness/chance",
    } <= names
    assert {"stereotypes/biased/entropy", "stereotypes/plain/first/gender"} <= names
    assert {
        "question_answering/plain/token_f1",
        "translation/plain/bleu",
        "summarisation/plain/rouge_l",
    } <= names
    assert all(run.measures[name]["n"] == 3 for name in names)
    assert 0 <= run.measures["stereotypes/plain/entropy"]["value"] <= 1


def test_the_recipe_depends_on_the_file_and_not_on_its_path(tmp_path: Path) -> None:
    from preflab.planning.reading import read

    def recipe(path: Path) -> str:
        words = [
            "evaluation=files",
            "+evaluator@evaluation.evaluators.x=stereotypes",
            f"evaluation.evaluators.x.path={path}",
        ]
        config: Any = OmegaConf.to_container(
            compose([*words, "evaluation.evaluators.x.group=null"]), resolve=True
        )
        stage = read(config, registry()).stage("evaluation")
        assert stage is not None
        return stage.recipe_id

    row = json.dumps({"sent_more": "he", "sent_less": "she"})
    (tmp_path / "a.jsonl").write_text(row + "\n")
    (tmp_path / "b.jsonl").write_text(row + "\n")
    first = recipe(tmp_path / "a.jsonl")
    assert recipe(tmp_path / "b.jsonl") == first
    (tmp_path / "a.jsonl").write_text(row.replace("she", "they") + "\n")
    assert recipe(tmp_path / "a.jsonl") != first
    (tmp_path / "a.jsonl").write_text(row + '\n{"sent_more": "he"}\n')
    with pytest.raises(UserError, match=r"a\.jsonl:2: sent_less: is not a column"):
        recipe(tmp_path / "a.jsonl")  # before any work
