"""A language model as a judge: its answer's probability is that of transformers, in any batch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from plugins.causal_lm.test_exports import folder_of
from preflab import UserError
from preflab.composing.compose import compose
from preflab.engine.stages import Stages
from preflab.interfaces import Subject
from preflab.options import problems
from preflab.planning.reading import job_of
from preflab.records import Prompt, Rollout
from preflab_builtin.causal_lm.vocabularies import byte_tokenizer
from preflab_builtin.judge.asking import ANSWER
from preflab_builtin.judge.config import AskedModel, JudgeConfig, PairJudgeConfig, Scale
from preflab_builtin.judge.inspecting import inspect
from preflab_builtin.judge.judging import Judge, PairJudge
from preflab_builtin.judge.preflight import preflight
from support import FakeContext

PROMPTS = [Prompt("a", "Greet me."), Prompt("b", "What is 3 + 4?"), Prompt("c", "{response}")]
TEXTS = ("Hello!", "It is {prompt} seven, I think.", "")
QUESTION = "Is '{response}' a reply to '{prompt}'?"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A judge with a chat template, and one without."""
    names = {"chat": "qwen2.5", "text": "gpt2"}
    return {k: folder_of(n, tmp_path_factory.mktemp("judges") / k) for k, n in names.items()}


def rollout(texts: tuple[str, ...] = TEXTS) -> Rollout:
    return Rollout.from_texts(byte_tokenizer(), PROMPTS[: len(texts)], texts)


def by_transformers(folder: Path, question: str, answers: tuple[str, str]) -> float:
    """log P(first) - log P(second) after a question, as a user of transformers computes it."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    chats = tokenizer.chat_template is not None
    if chats:
        turns = [{"role": "user", "content": question}]
        given = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    else:
        given = f"{question}{ANSWER}"
    totals = []
    for answer in answers:
        start = tokenizer(given, add_special_tokens=not chats)["input_ids"]
        end = tokenizer(answer if chats else f" {answer}", add_special_tokens=False)["input_ids"]
        ids = torch.tensor([start + end])
        with torch.no_grad():
            log_probs = model(ids).logits[0].log_softmax(-1)
        places = range(len(start) - 1, len(start) + len(end) - 1)
        totals.append(sum(float(log_probs[i, t]) for i, t in zip(places, end, strict=True)))
    return totals[0] - totals[1]


@pytest.mark.parametrize("kind", ["chat", "text"])
@pytest.mark.parametrize("micro_batch", [64, 3])
def test_the_log_odds_are_those_of_transformers(
    folders: dict[str, Path], kind: str, micro_batch: int, tmp_path: Path
) -> None:
    config = JudgeConfig(path=str(folders[kind]), question=QUESTION, scale=Scale.log_odds)
    odds = Judge(config, FakeContext(tmp_path, micro_batch=micro_batch)).score(rollout())
    # What is filled in is filled in once: braces in it stay text.
    questions = [
        "Is 'Hello!' a reply to 'Greet me.'?",
        "Is 'It is {prompt} seven, I think.' a reply to 'What is 3 + 4?'?",
        "Is '' a reply to '{response}'?",
    ]
    wanted = [by_transformers(folders[kind], q, ("Yes", "No")) for q in questions]
    assert odds.tolist() == pytest.approx(wanted, abs=1e-4)
    assert len(set(wanted)) == 3


def test_the_probability_is_of_both_answers(folders: dict[str, Path], tmp_path: Path) -> None:
    context, path = FakeContext(tmp_path), str(folders["chat"])
    odds = Judge(JudgeConfig(path=path, scale=Scale.log_odds), context).score(rollout())
    judge = Judge(JudgeConfig(path=path), context)
    assert torch.allclose(judge.score(rollout()), 1 / (1 + (-odds).exp()))
    other = Judge(JudgeConfig(path=path, yes="No", no="Yes"), context)
    assert torch.allclose(judge.score(rollout()) + other.score(rollout()), torch.ones(3))
    assert (judge.least, judge.most) == (0.0, 1.0)


def test_long_responses_are_cut(folders: dict[str, Path], tmp_path: Path) -> None:
    judge = Judge(JudgeConfig(path=str(folders["text"]), max_tokens=3), FakeContext(tmp_path))
    long = "abcdef" * 50
    cut = judge.model.tokenizer.decode(judge.model.tokenizer.encode(long)[:3])
    assert 0 < len(cut) < len(long)
    found = judge.score(rollout((long,))), judge.score(rollout((cut,)))
    assert torch.equal(*found)


def test_a_favourite_place_is_measured_and_balanced(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    config = PairJudgeConfig(path=str(folders["chat"]))
    judge = PairJudge(config, FakeContext(tmp_path))
    policy = FakeContext(tmp_path).policy("initial")
    responder: Any = type("R", (), {"policy": policy})()
    first, second = rollout(TEXTS), rollout(("Hi", "7", "No"))
    found = judge.evaluate(Subject(responder, first, second, None))
    turned = judge.evaluate(Subject(responder, second, first, None))
    for a, b in zip(found.values["win_rate/judge"], turned.values["win_rate/judge"], strict=True):
        assert a + b == pytest.approx(1, abs=1e-5)
    # The favourite place is that of the judge: the same whoever stands there.
    assert found.values["judge/first"] == pytest.approx(turned.values["judge/first"], abs=1e-5)
    same = judge.evaluate(Subject(responder, first, first, None))
    assert same.values["win_rate/judge"] == pytest.approx([0.5] * 3, abs=1e-5)
    # A draw with itself is certain; where the judge sees a favourite place is not.
    assert math.isnan(same.measures["win_rate/judge"].low)
    assert same.measures["judge/first"].low < same.measures["judge/first"].high
    with pytest.raises(UserError, match=r"evaluation\.baseline=sft"):
        judge.evaluate(Subject(responder, first, None, None))


@pytest.mark.parametrize(
    ("config", "key", "said"),
    [
        (JudgeConfig(), "path", "is empty"),
        (JudgeConfig(path="x", question="Good?"), "question", "{prompt}, {response}"),
        (JudgeConfig(path="x", question="{prompt} {response} {x}"), "question", "no other field"),
        (JudgeConfig(path="x", question="{prompt} {response} {"), "question", "not a template"),
        (
            JudgeConfig(path="x", question="Return {} {prompt} {response}"),
            "question",
            "{} names no",
        ),
        (
            JudgeConfig(path="x", question="{prompt!r} {response}"),
            "question",
            "{prompt} is filled in",
        ),
        (JudgeConfig(path="x", question="{prompt:>5} {response}"), "question", "without ! or :"),
        (JudgeConfig(path="x", yes="No"), "question", "they must differ"),
        (PairJudgeConfig(path="x", second=""), "question", "none is empty"),
    ],
)
def test_what_is_no_question(config: AskedModel, key: str, said: str) -> None:
    ((name, message),) = problems(config)
    assert name == key
    assert said in message


def test_answers_that_the_judge_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    # Its words are those of the embedded world: Yes and No are both unknown.
    context = FakeContext(tmp_path)
    context.policy("initial").save(tmp_path / "model")
    config = JudgeConfig(path=str(tmp_path / "model"), question=QUESTION)
    with pytest.raises(UserError, match="reads the answers Yes and No as the same tokens"):
        list(preflight(config, context))


def test_what_is_known_before_work(folders: dict[str, Path], tmp_path: Path) -> None:
    context = FakeContext(tmp_path, [Prompt("p", "Greet me.", split="train")])
    config = JudgeConfig(path=str(folders["chat"]), max_tokens=20)
    (said,) = preflight(config, context)
    assert "is asked by its chat template; its answers are Yes and No" in said
    assert inspect(config).content
    # The model has 256 positions.
    with pytest.raises(UserError, match=r"positions of the judge.*ower .*max_tokens \(250\)"):
        list(preflight(JudgeConfig(path=str(folders["chat"]), max_tokens=250), context))


def test_prompts_are_measured_for_a_judge_beside_a_trained_model(folders: dict[str, Path]) -> None:
    """The stage that makes the sum of both reads no prompts; its rewards are about them."""
    place = "reward_model.members.judge"
    words = ["debug=fast", "reward_model=sum", f"+reward_model@{place}=judge"]
    options = [f"{place}.path={folders['chat']}", f"{place}.max_tokens=250"]
    run = job_of(compose([*words, *options], with_hydra=True)).run
    with pytest.raises(UserError, match=rf"Lower {place}\.max_tokens \(250\)"):
        Stages(run, lambda hook, **shown: None, {}).preflight()
