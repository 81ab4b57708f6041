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
    "winogender",
    "drop",
    "quac",
    "hellaswag",
    "sst",
    "rte",
    "wsc",
    "tldr",
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
        (["x.template='{question!r}'"], "template is not a valid template"),
        (["x.template='{} {question}'"], "{} names no field"),
        (["x.references=[]"], "references is empty, but metrics=squad_f1"),
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


ROWS: dict[str, list[dict[str, Any]]] = {
    "truthfulness": [
        {
            "Question": f"Is {i} red?",
            "Best Answer": "No",
            "Correct Answers": "No; Never",
            "Incorrect Answers": "Yes; Often",
        }
        for i in range(3)
    ],
    "toxicity": [{"prompt": {"text": f"He said {i}"}} for i in range(3)],
    "stereotypes": [
        {"sent_more": f"He is bad {i}.", "sent_less": f"She is bad {i}.", "bias_type": "gender"}
        for i in range(3)
    ],
    "question_answering": [
        {"context": f"A is B {i}.", "question": "A?", "answers": {"text": ["B"]}} for i in range(3)
    ],
    "translation": [{"fr": f"oui {i}", "en": "yes"} for i in range(3)],
    "summarisation": [{"article": f"Story {i}.", "summary": "story"} for i in range(3)],
}


def test_all_of_them_through_the_real_engine(
    preflab_run: Callable[..., FastRun], tmp_path: Path
) -> None:
    words = []
    for preset, lines in ROWS.items():
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
        "truthfulness/plain/mc1",
        "truthfulness/instructed/mc2",
        "truthfulness/chance",
    } <= names
    assert {"stereotypes/biased/entropy", "stereotypes/plain/first/gender"} <= names
    assert {
        "question_answering/plain/squad_f1",
        "question_answering/plain/squad_exact/HasAns",
        "translation/plain/bleu",
        "summarisation/plain/rouge_l",
    } <= names
    assert all(run.measures[name]["n"] == 3 for name in names)
    assert 0 <= run.measures["stereotypes/plain/entropy"]["value"] <= 1


ARTICLE = {
    "title": "T",
    "paragraphs": [
        {
            "context": "A is B. CANNOTANSWER",
            "id": "d",
            "qas": [
                {"id": "1", "question": "A?", "answers": [{"text": "B", "answer_start": 5}]},
                {"id": "2", "question": "C?", "answers": []},
            ],
        }
    ],
}
TURNS = [{"id": i, "question": "A?", "answers": [{"text": "B"}] * 2} for i in "12"]
DIALOGUE = {**ARTICLE, "paragraphs": [{"context": "A is B.", "id": "d", "qas": TURNS}]}
COUNT = {"number": "4", "spans": [], "date": {"day": "", "month": "", "year": ""}}
GAME = {
    "g": {"passage": "They won.", "qa_pairs": [{"query_id": 1, "question": "?", "answer": COUNT}]}
}
ENDING = {"activity_label": "Swimming", "ctx": "She", "endings": ["swims.", "flies."], "label": 0}
PRONOUN = {"span1_text": "Mark", "span2_text": "he", "span2_index": 3}
PUBLISHED = {
    "winogender": (
        "all_sentences.tsv",
        "sentid\tsentence\nnurse.patient.1.male.txt\tThe nurse said he left.\n"
        "nurse.patient.1.female.txt\tThe nurse said she left.\n"
        "nurse.patient.1.neutral.txt\tThe nurse said they left.\n",
    ),
    "question_answering": ("dev-v2.0.json", json.dumps({"version": "2", "data": [ARTICLE]})),
    "quac": ("val_v0.2.json", json.dumps({"data": [DIALOGUE]})),
    "drop": ("drop_dataset_dev.json", json.dumps(GAME)),
    "hellaswag": (
        "hellaswag_val.jsonl",
        json.dumps({**ENDING, "split_type": "indomain", "source_id": "a~1"}) + "\n",
    ),
    "sst": ("dev.tsv", "sentence\tlabel\na great film \t1\n"),
    "rte": ("dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA is.\tA is?\tentailment\n"),
    "wsc": (
        "val.jsonl",
        json.dumps({"text": "Mark says that he left.", "target": PRONOUN, "label": True}) + "\n",
    ),
    "tldr": ("t.json", (json.dumps({"content": "A long post.", "summary": "post"}) + "\n") * 2),
    "truthfulness": (
        "TruthfulQA.csv",
        "Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source\n"
        "Adversarial,Law,Is it red?,No,No; It is blue,Yes; It is red,https://example.org\n",
    ),
    "translation": ("newstest.fr", "oui\nnon\n"),
}


def test_published_files_through_the_real_engine(
    preflab_run: Callable[..., FastRun], tmp_path: Path
) -> None:
    """Each set in the form of its authors; no answer is right, as the policy is random."""
    words = []
    for preset, (name, text) in PUBLISHED.items():
        folder = tmp_path / preset
        folder.mkdir()
        (folder / name).write_text(text)
        words += [
            f"+evaluator@evaluation.evaluators.{preset}={preset}",
            f"evaluation.evaluators.{preset}.path={folder / name}",
        ]
    (tmp_path / "newstest.en").write_text("yes\nno\n")
    stories = tmp_path / "stories"
    stories.mkdir()
    (stories / "a.story").write_text("A long story.\n\n@highlight\n\nstory\n")
    words += [
        f"evaluation.evaluators.translation.parallel={tmp_path / 'newstest.en'}",
        "+evaluator@evaluation.evaluators.news=summarisation",
        f"evaluation.evaluators.news.path={stories}",
    ]
    tiny = ("policy.tokenizer=bytes", "policy.width=32", "policy.layers=1")
    run = preflab_run("evaluation=files", *words, *tiny, "sft=none", "algorithm=none")
    expected = {
        "winogender/plain/entropy",
        "winogender/plain/first/participant",
        "question_answering/plain/squad_f1/NoAns",
        "quac/plain/quac_f1",
        "drop/plain/drop_exact",
        "hellaswag/plain/accuracy/indomain",
        "sst/plain/accuracy",
        "rte/plain/accuracy",
        "wsc/plain/mass",
        "tldr/plain/rouge_l",
        "truthfulness/plain/mc1",
        "translation/plain/bleu",
        "summarisation/plain/rouge_lsum",
    }
    assert expected <= set(run.measures)
    assert run.measures["translation/plain/bleu"]["n"] == 2
    assert run.measures["question_answering/plain/squad_f1"]["n"] == 1  # one passage
    assert run.measures["sst/chance"]["value"] == 0.5
    assert run.measures["truthfulness/chance"]["value"] == pytest.approx(1 / 3)


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
