"""The evaluation stage: sampling, resuming between evaluators, and what it writes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from preflab.errors import UserError
from preflab.interfaces import Evaluation, Measure, Policy
from preflab.options import problems
from preflab.records import Document, Prompt, Ranking, Rollout
from preflab.storage import checkpoints
from preflab_builtin.evaluation import config as c
from preflab_builtin.evaluation.stored import inspect_stored
from preflab_builtin.evaluation.suite import EvaluationSuite
from support import WORDS, FakeContext


class LengthReward:
    """The more tokens, the better."""

    def score(self, rollout: Rollout) -> torch.Tensor:
        return rollout.response_lengths.float()


class WordGold:
    """One point for the word "good", minus one for "bad"."""

    def parts(self, prompt: Prompt, response: str) -> Mapping[str, float]:
        good, bad = float(response.split().count("good")), -float(response.split().count("bad"))
        return {"gold": good + bad, "good": good, "bad": bad}


class LongerLabeler:
    """Prefers the response with more words."""

    def rank(
        self, prompt: Prompt, responses: Sequence[str], seed: Sequence[int | str]
    ) -> Sequence[Ranking]:
        raise NotImplementedError

    def preference(
        self, prompt: Prompt, first: str, second: str, group: str | None = None
    ) -> float:
        a, b = len(first.split()), len(second.split())
        return 0.5 if a == b else float(a > b)


def _records() -> list[Any]:
    prompts = [
        Prompt(f"p{i}", f"{WORDS[i]} plus {WORDS[i + 1]}", tags=("sum",), split="test")
        for i in range(6)
    ]
    sums = [f"{WORDS[i]} plus one equals {WORDS[i + 1]}" for i in range(6)]
    documents = [
        Document(f"d{i}", t, "addition", "test", t.index("equals") + len("equals "))
        for i, t in enumerate(sums)
    ]
    documents += [Document(f"s{i}", f"red is {WORDS[i]}", "story", "test") for i in range(4)]
    rankings = [
        Ranking(p, ("good", "good good good", "bad"), ((1, 0), (0, 2), (1, 2))) for p in prompts
    ]
    return [*prompts, *documents, *rankings]


def _context(folder: Path, other: float = 0.0, reward: Any = None, **changes: Any) -> FakeContext:
    """A context whose result differs from its SFT policy by noise of the given size."""
    reward = reward or LengthReward()
    context = FakeContext(
        folder, _records(), reward=reward, gold=WordGold(), labelers=LongerLabeler(), **changes
    )
    result: Policy = context.policy("sft")
    with torch.no_grad():
        for i, parameter in enumerate(result.module.parameters()):
            parameter.add_(
                other * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i))
            )
    context.policies["result"] = result
    return context


def _everything() -> dict[str, Any]:
    return {
        "reward": c.RewardConfig(),
        "gold": c.GoldConfig(),
        "people": c.WinRateConfig(),
        "truth": c.WinRateConfig(judge=c.Judge.gold),
        "proxy": c.WinRateConfig(judge=c.Judge.reward),
        "length": c.LengthConfig(),
        "kl": c.KLConfig(),
        "families": c.FamiliesConfig(),
        "loss": c.DocumentLossConfig(),
        "accuracy": c.RewardAccuracyConfig(),
    }


def _run(config: c.SuiteConfig, context: FakeContext) -> EvaluationSuite:
    suite = EvaluationSuite(config, context)
    for index in range(suite.total_steps):
        suite.step(index)
    return suite


def test_all_evaluators_write_measures_and_samples(tmp_path: Path) -> None:
    suite = _run(c.SuiteConfig(evaluators=_everything(), prompts=4), _context(tmp_path, other=0.3))
    suite.save(tmp_path)
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert (written["subject"], written["baseline"], written["n"]) == ("result", "sft", 4)
    names = set(written["measures"])
    assert {"reward/proxy", "gold/gold", "gold/good", "gold/bad", "gold/gain", "gold/win"} <= names
    assert {
        "win_rate/labelers",
        "win_rate/gold",
        "win_rate/reward",
        "length/tokens",
        "length/terminated",
    } <= names
    assert {
        "kl/reference",
        "families/addition",
        "families/mean",
        "document_loss/all",
        "document_loss/story",
    } <= names
    assert written["measures"]["gold/gold"].keys() == {
        *("value", "low", "high", "least", "most", "n")
    }
    rows = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    assert rows[0]["tags"] == ["sum"]
    assert rows[0]["response"] == suite.rollout.texts[0]
    assert rows[0]["baseline"] == suite.baseline.texts[0]  # type: ignore[union-attr]
    mean = sum(row["values"]["reward/proxy"] for row in rows) / 4
    assert written["measures"]["reward/proxy"]["value"] == pytest.approx(mean)
    assert written["measures"]["reward/proxy"]["value"] == pytest.approx(
        sum(row["tokens"] for row in rows) / 4
    )
    cases = {
        row["measure"]: row["values"]
        for row in map(json.loads, (tmp_path / "cases.jsonl").read_text().splitlines())
    }
    assert {
        "families/mean",
        "families/addition",
        "document_loss/all",
        "document_loss/story",
    } <= set(cases)
    for name, values in cases.items():  # their mean is the measure
        assert sum(values.values()) / len(values) == pytest.approx(
            written["measures"][name]["value"]
        ), name


def test_a_policy_compared_with_itself_wins_half_exactly(tmp_path: Path) -> None:
    evaluators = {
        k: v for k, v in _everything().items() if k in ("people", "truth", "proxy", "gold", "kl")
    }
    context = _context(tmp_path)
    for subject in ("sft", "initial"):  # the same role, and another role with the same weights
        config = c.SuiteConfig(evaluators=evaluators, prompts=6, subject=subject)
        measures = _run(config, context).measures
        for judge in ("labelers", "gold", "reward"):
            measure = measures[f"win_rate/{judge}"]
            assert (measure.value, measure.n) == (0.5, 6)
            assert math.isnan(measure.low)  # equal texts are a draw whatever the prompts
        assert measures["gold/gain"].value == 0.0
        assert measures["kl/reference"].value == 0.0


def test_the_baseline_may_be_samples_of_another_run(tmp_path: Path) -> None:
    # The SFT responses of another run, read from its samples, are those that baseline=sft gives:
    # same texts, same verdicts of people and of the truth.
    context = _context(tmp_path, other=0.3)
    sft = c.SuiteConfig(evaluators={"length": c.LengthConfig()}, prompts=6, subject="sft")
    _run(sft, context).save(tmp_path)
    evaluators = {k: v for k, v in _everything().items() if k in ("people", "truth", "gold")}
    path = str(tmp_path / "samples.jsonl")
    stored = c.SuiteConfig(evaluators=evaluators, prompts=6, baseline=c.FILE, baseline_path=path)
    from_file = _run(stored, context)
    from_role = _run(c.SuiteConfig(evaluators=evaluators, prompts=6), context)
    assert from_file.measures == from_role.measures
    assert from_file.baseline is not None
    assert set(from_file.baseline.texts) - set(from_file.rollout.texts)  # something to compare
    from_file.save(tmp_path)
    assert (
        json.loads((tmp_path / "evaluation.json").read_text())["baseline"]
        == f"{tmp_path.name}/samples.jsonl"
    )


@pytest.mark.parametrize(
    "rows,message",
    [
        ([{"response": "x"}], r"has no response to 5 of 6 prompts, for example "),
        ([{"reply": "x"}], r"rows\.jsonl:1: response: is not a text.*Allowed: prompt, reply"),
        (
            [{"response": "x"}, {"response": "y"}],
            r"rows\.jsonl:2: response: the file has another response",
        ),
    ],
)
def test_a_baseline_file_that_does_not_fit_says_why(
    rows: list[dict[str, str]], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(json.dumps({"prompt": _records()[0].text, **row}) + "\n" for row in rows)
    )
    config = c.SuiteConfig(prompts=6, baseline=c.FILE, baseline_path=str(path))
    with pytest.raises(UserError, match=message):
        EvaluationSuite(config, _context(tmp_path))


def test_a_baseline_file_and_its_role_go_together(tmp_path: Path) -> None:
    without_path = dict(problems(c.SuiteConfig(baseline=c.FILE)))
    without_role = dict(problems(c.SuiteConfig(baseline_path="x.csv")))
    assert without_path["baseline_path"].startswith("is empty, but baseline is file")
    assert without_role["baseline_path"].startswith("is given, but baseline is sft")
    # Other bytes are another recipe; where there is no file, nothing outside the config counts.
    digests = []
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(name)
        config = c.SuiteConfig(baseline=c.FILE, baseline_path=str(tmp_path / f"{name}.csv"))
        digests.append(inspect_stored(config).content)
    assert len({*digests, inspect_stored(c.SuiteConfig()).content}) == 3


@pytest.mark.slow
def test_a_kill_between_any_two_steps_changes_nothing(tmp_path: Path) -> None:
    config = c.SuiteConfig(evaluators=_everything(), prompts=3)
    whole = _run(config, _context(tmp_path, other=0.3))
    for cut in range(1, whole.total_steps):
        first = EvaluationSuite(config, _context(tmp_path, other=0.3))
        for index in range(cut):
            first.step(index)
        _, state = checkpoints.load(
            checkpoints.save(tmp_path / f"cut{cut}", cut, first.state_dict())
        )
        second = EvaluationSuite(config, _context(tmp_path, other=0.3))
        second.load_state_dict(state)
        for index in range(cut, whole.total_steps):
            second.step(index)
        assert second.values == whole.values
        assert repr(second.measures) == repr(whole.measures)  # repr: nan equals nan
        assert second.rollout.texts == whole.rollout.texts
        second.save(tmp_path / f"cut{cut}")
        whole.save(tmp_path)
        for name in ("evaluation.json", "samples.jsonl", "cases.jsonl"):
            assert (tmp_path / f"cut{cut}" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_what_is_said_with_measures_is_kept_through_a_kill(tmp_path: Path) -> None:
    config = c.SuiteConfig(prompts=0)
    first = EvaluationSuite(config, _context(tmp_path))
    rate = {"win_rate/p": Measure(0.5, n=3)}
    shown = {"Odd ones": [{"prompt": "add", "answer": "b"}, {"prompt": "red", "answer": "a"}]}
    told: dict[str, Any] = {"against": {"win_rate/p": "a=1"}, "notes": ("Who judged.",)}
    first._add("p", Evaluation(rate, **told, examples=shown))
    _, state = checkpoints.load(checkpoints.save(tmp_path / "cut", 1, first.state_dict()))
    second = EvaluationSuite(config, _context(tmp_path))
    second.load_state_dict(state)
    second.save(tmp_path)
    found = json.loads((tmp_path / "evaluation.json").read_text())
    assert (found["against"], found["notes"]) == ({"win_rate/p": "a=1"}, ["Who judged."])
    rows = [json.loads(row) for row in (tmp_path / "examples.jsonl").read_text().splitlines()]
    # With the columns in their order, which a checkpoint does not keep of a mapping.
    for row, own in zip(rows, shown["Odd ones"], strict=True):
        assert (row["of"], list(row["example"].items())) == ("Odd ones", list(own.items()))


def test_without_prompts_only_the_reward_model_is_judged(tmp_path: Path) -> None:
    evaluators = {"accuracy": c.RewardAccuracyConfig()}
    config = c.SuiteConfig(evaluators=evaluators, prompts=0, baseline=c.NO_BASELINE)
    assert list(problems(config)) == []
    context = _context(tmp_path)
    suite = _run(config, context)
    suite.save(tmp_path)
    # longest first: (1, 0) and (1, 2) are right; (0, 2) is a tie in length, which counts as wrong
    assert suite.measures["reward_accuracy/proxy/all"].value == pytest.approx(2 / 3)
    assert context.seen == []
    assert (tmp_path / "samples.jsonl").read_text() == ""
    assert json.loads((tmp_path / "evaluation.json").read_text())["n"] == 0


def test_prompts_do_not_depend_on_the_seed_but_responses_do(tmp_path: Path) -> None:
    config = c.SuiteConfig(prompts=3)
    first, second = (_run(config, _context(tmp_path, seed=seed)) for seed in (1, 2))
    assert [p.id for p in first.prompts] == [p.id for p in second.prompts]
    assert first.rollout.texts != second.rollout.texts


def test_greedy_responses_have_no_kl_and_ignore_the_seed(tmp_path: Path) -> None:
    config = c.SuiteConfig(prompts=3, temperature=0.0, evaluators={"kl": c.KLConfig()})
    first, second = (
        _run(config, _context(tmp_path, seed=seed, policies={"sft": _policy(tmp_path)}))
        for seed in (1, 2)
    )
    assert first.measures == {}
    # FakeContext gives each seed its own weights, except in the role that is pinned here
    assert first.baseline is not None
    assert second.baseline is not None
    assert first.baseline.texts == second.baseline.texts


def _policy(folder: Path) -> Policy:
    return FakeContext(folder).policy("base")


@dataclass
class BestOfN:
    """Pretends to choose among n responses."""

    policy: Policy
    n: int = 4

    def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
        return Rollout.from_texts(self.policy.tokenizer, prompts, ["good"] * len(prompts))


class BestOfNContext(FakeContext):
    """The result is best-of-n over the SFT policy."""

    def responder(self, role: str) -> Any:
        return BestOfN(self.policy("sft")) if role == "result" else super().responder(role)


def test_best_of_n_gets_the_analytic_bound_and_no_estimate(tmp_path: Path) -> None:
    config = c.SuiteConfig(prompts=3, evaluators={"kl": c.KLConfig()})
    measures = _run(config, BestOfNContext(tmp_path, _records())).measures
    assert set(measures) == {"kl/bound"}
    assert measures["kl/bound"].value == pytest.approx(1.386294361 - 0.75)  # log 4 - 3/4
    with pytest.raises(UserError, match=r"evaluation\.temperature"):
        _run(c.SuiteConfig(prompts=3, temperature=0.5), BestOfNContext(tmp_path, _records()))


def test_configs_that_cannot_work_are_refused() -> None:
    nothing_to_judge = c.SuiteConfig(prompts=0, evaluators={"gold": c.GoldConfig()})
    assert [key for key, _ in problems(nothing_to_judge, "evaluation.")] == ["evaluation.prompts"]
    no_baseline = c.SuiteConfig(baseline=c.NO_BASELINE, evaluators={"win": c.WinRateConfig()})
    assert [key for key, _ in problems(no_baseline, "evaluation.")] == ["evaluation.baseline"]
    assert [key for key, _ in problems(c.WinRateConfig(source=c.GoldConfig()))] == ["source"]


def test_two_evaluators_of_one_name_are_refused(tmp_path: Path) -> None:
    config = c.SuiteConfig(prompts=2, evaluators={"a": c.RewardConfig(), "b": c.RewardConfig()})
    with pytest.raises(UserError, match=r"evaluators\.b measures reward/proxy"):
        _run(config, _context(tmp_path))


def test_a_world_without_truth_is_refused_before_sampling(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="simulated world"):
        EvaluationSuite(
            c.SuiteConfig(prompts=2, evaluators={"gold": c.GoldConfig()}),
            FakeContext(tmp_path, _records()),
        )


def test_no_prompts_of_the_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no validation prompts"):
        EvaluationSuite(
            c.SuiteConfig(split=c.HeldOut.validation), FakeContext(tmp_path, _records())
        )


class PromptReward:
    """One point per prompt token: shows which prompt a reward model reads."""

    def score(self, rollout: Rollout) -> torch.Tensor:
        return rollout.prompt_lengths.float()


def test_only_the_subject_reads_the_prefix(tmp_path: Path) -> None:
    # Every prompt has the three words "X plus Y"; the prefix has four more. The responses change
    # (the subject reads it), and judges read three tokens, as they do of the baseline.
    evaluators = {"reward": c.RewardConfig(), "kl": c.KLConfig()}
    words = f"{' '.join(WORDS[:4])} "
    context = _context(tmp_path, other=0.3, reward=PromptReward())
    plain = _run(c.SuiteConfig(evaluators=evaluators, prompts=6), context)
    prefixed = _run(c.SuiteConfig(evaluators=evaluators, prompts=6, prefix=words), context)
    assert prefixed.rollout.texts != plain.rollout.texts
    assert prefixed.baseline is not None
    assert torch.equal(prefixed.rollout.prompt_ids, prefixed.baseline.prompt_ids)
    assert prefixed.values["reward/proxy"] == plain.values["reward/proxy"] == [3.0] * 6
    assert prefixed.rollout.prompts == tuple(prefixed.prompts)
    # The responses are those to the prefixed prompts, token by token and with their ends.
    asked = [replace(p, text=f"{words}{p.text}") for p in prefixed.prompts]
    given = context.responder("result").respond(asked, (context.seed, "evaluation", "responses"))
    assert [response for _, response in prefixed.rollout.tokens()] == [
        response for _, response in given.tokens()
    ]
    assert torch.equal(prefixed.rollout.terminated, given.terminated)
