"""Training on rankings: exact gradients in bounded memory, prompts weigh equally, resume, offset,
frozen blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import pytest
import torch

from preflab.errors import UserError
from preflab.optimization import OptimizerConfig, Schedule
from preflab.options import problems
from preflab.records import Demonstration, Prompt, Ranking, Record, Rollout, preferences_from_ranks
from preflab_builtin.reward_model import preflight
from preflab_builtin.reward_model.config import (
    Element,
    KwiseConfig,
    PretrainedRewardConfig,
    RankingLoss,
)
from preflab_builtin.reward_model.examples import Example
from preflab_builtin.reward_model.loss import kwise_loss, plackett_luce_loss, regression_loss
from preflab_builtin.reward_model.scoring import NetworkReward, raw_scores
from preflab_builtin.reward_model.training import KwiseTraining, Watched, freeze_below
from support import WORDS, FakeContext, builtin, cpu_runtime, gradients, largest_difference


def ranking(name: str, k: int, split: str = "train") -> Ranking:
    """K answers of ragged lengths, the first the best."""
    texts = tuple(
        " ".join(WORDS[(i * 3 + j + len(name)) % 20] for j in range(1 + (i * 5 + k) % 7))
        for i in range(k)
    )
    return Ranking(
        Prompt(name, " ".join(WORDS[: 1 + k % 5]), split=split),
        texts,
        preferences_from_ranks(range(k)),
    )


MIXED = [ranking("a", 2), ranking("b", 9), ranking("c", 4), ranking("d", 3)]
ANSWERS = ("please thanks", "bad red", "bad")
LIKED = [
    Ranking(
        Prompt(f"{i}", WORDS[i], split="train" if i < 8 else "validation"),
        ANSWERS,
        ((0, 1), (0, 2)),
    )
    for i in range(10)
]


def training(
    folder: Path, records: list[Record], micro_batch: int = 64, **options: object
) -> KwiseTraining:
    optimizer = OptimizerConfig(lr=1e-2, schedule=Schedule.constant)
    values: dict[str, object] = {"epochs": 1, "batch": 4, "optimizer": optimizer, **options}
    return KwiseTraining(
        KwiseConfig(**values),  # type: ignore[arg-type]
        FakeContext(folder, records, micro_batch=micro_batch),
    )


def step_gradients(
    procedure: KwiseTraining, batch: Sequence[Example]
) -> tuple[dict[str, torch.Tensor], Watched[float]]:
    totals = procedure._gradients(batch)
    found = gradients(procedure.model.module)
    procedure.model.module.zero_grad()
    return found, totals


def test_micro_batches_change_no_gradient(tmp_path: Path) -> None:
    # 18 completions in one piece, then as few as whole rankings allow: none is ever divided.
    procedure = training(tmp_path, [*MIXED])
    whole, totals = step_gradients(procedure, procedure.examples)
    assert max(float(g.abs().max()) for g in whole.values()) > 1e-3
    for micro_batch in (4, 1):
        procedure = training(tmp_path, [*MIXED], micro_batch)
        found, others = step_gradients(procedure, procedure.examples)
        assert largest_difference(whole, found) < 1e-6
        torch.testing.assert_close(totals, others, atol=1e-5, rtol=1e-5)


def test_prompts_weigh_equally_whatever_their_number_of_pairs(tmp_path: Path) -> None:
    # K = 2 has 1 pair and K = 9 has 36: the loss is the plain mean of the two prompts' losses,
    # not of the 37 pairs.
    procedure = training(tmp_path, [*MIXED])
    losses = []
    for one in MIXED[:2]:
        rollout = Rollout.from_texts(
            procedure.context.tokenizer, [one.prompt] * len(one.responses), one.responses
        )
        losses.append(
            float(
                kwise_loss(raw_scores(procedure.model, rollout, procedure.runtime), one.preferences)
            )
        )
    _, totals = step_gradients(procedure, procedure.examples[:2])
    assert totals.loss == pytest.approx(sum(losses) / 2, rel=1e-5)
    assert abs(losses[0] - losses[1]) > 1e-3
    assert abs((losses[0] + 36 * losses[1]) / 37 - sum(losses) / 2) > 1e-4


def test_it_learns_and_says_so(tmp_path: Path) -> None:
    procedure = training(tmp_path, [*LIKED], epochs=6)
    rows = [procedure.step(i) for i in range(procedure.total_steps)]
    assert procedure.total_steps == 12  # 8 training rankings, 4 a step, 6 epochs
    # At the end of each epoch.
    assert [i for i, row in enumerate(rows) if "reward_model/validation_accuracy" in row] == [
        1,
        3,
        5,
        7,
        9,
        11,
    ]
    assert rows[-1]["loss/reward_model"] < 0.5 * rows[0]["loss/reward_model"]
    assert rows[-1]["reward_model/accuracy"] == 1
    assert rows[-1]["reward_model/validation_accuracy"] == 1
    scored = [
        (raw_scores(procedure.model, procedure._rollout([one]), procedure.runtime), one.preferences)
        for one in procedure.validation
    ]
    held_out = fmean(float(kwise_loss(scores, preferences)) for scores, preferences in scored)
    assert rows[-1]["reward_model/validation_loss"] == pytest.approx(held_out, rel=1e-4)
    assert rows[-1]["reward_model/margin"] > 1


def test_resuming_gives_the_same_bits(tmp_path: Path) -> None:
    straight = training(tmp_path, [*MIXED], epochs=4, batch=3)
    rows = [straight.step(i) for i in range(straight.total_steps)]
    assert straight.total_steps == 6  # ceil(16 / 3), the last one of a single prompt
    first = training(tmp_path, [*MIXED], epochs=4, batch=3)
    before = [first.step(i) for i in range(3)]
    second = training(tmp_path, [*MIXED], epochs=4, batch=3)
    second.load_state_dict(first.state_dict())
    assert before + [second.step(i) for i in range(3, 6)] == rows
    assert (
        largest_difference(straight.model.module.state_dict(), second.model.module.state_dict())
        == 0
    )


def test_demonstrations_score_zero_and_the_order_is_untouched(tmp_path: Path) -> None:
    demonstrations = [
        Demonstration(Prompt(f"d{i}", WORDS[i], split="train"), " ".join(WORDS[i : i + 3]))
        for i in range(5)
    ]
    procedure = training(tmp_path, [*LIKED, *demonstrations])
    procedure.step(0)
    procedure.save(tmp_path)
    context = procedure.context
    reward = NetworkReward(context.load_scalar(tmp_path / "model"), cpu_runtime())
    shown = Rollout.from_texts(
        context.tokenizer, [d.prompt for d in demonstrations], [d.response for d in demonstrations]
    )
    assert float(reward.score(shown).mean()) == pytest.approx(0, abs=1e-6)
    raw = raw_scores(procedure.model, shown, cpu_runtime())
    model: Any = procedure.model
    assert abs(model.offset) > 1e-4
    assert torch.equal(raw.argsort(), reward.score(shown).argsort())


def test_without_demonstrations_the_ranked_responses_score_zero(tmp_path: Path) -> None:
    procedure = training(tmp_path, [*LIKED])
    procedure.save(tmp_path)
    reward = NetworkReward(procedure.context.load_scalar(tmp_path / "model"), cpu_runtime())
    train = [r for r in LIKED if r.split == "train"]
    shown = Rollout.from_texts(
        procedure.context.tokenizer,
        [r.prompt for r in train for _ in r.responses],
        [t for r in train for t in r.responses],
    )
    assert float(reward.score(shown).mean()) == pytest.approx(0, abs=1e-6)
    centred = training(tmp_path, [*LIKED], centre=False)
    centred.save(tmp_path)
    assert centred.context.load_scalar(tmp_path / "model").offset == 0


def test_the_component_builds_what_the_procedure_saved(tmp_path: Path) -> None:
    component = builtin("reward_model", "kwise")
    context = FakeContext(tmp_path, LIKED)
    assert component.procedure is not None
    assert component.build is not None
    procedure = component.procedure(component.config_class(epochs=1, batch=4), context)
    procedure.save(tmp_path)
    rollout = Rollout.from_texts(context.tokenizer, [LIKED[0].prompt], ["please"])
    score = component.build(component.config_class(), context).score(rollout)
    assert score.dtype == torch.float32
    given = builtin("reward_model", "pretrained")
    assert given.build is not None
    path = str(tmp_path / "model")
    assert torch.equal(score, given.build(given.config_class(path=path), context).score(rollout))
    seen = given.inspect(given.config_class(path=path))
    assert seen.tokenizer
    facts = tmp_path / "model" / "preflab.json"
    facts.write_text(facts.read_text().replace('"offset": ', '"offset": 1'))
    # Another offset is another reward.
    assert given.inspect(given.config_class(path=path)).content != seen.content


def test_a_pretrained_reward_model_needs_a_model_folder(tmp_path: Path) -> None:
    component = builtin("reward_model", "pretrained")
    with pytest.raises(UserError, match=r"nowhere is not a folder"):
        component.inspect(PretrainedRewardConfig(path=str(tmp_path / "nowhere")))
    assert [name for name, _ in PretrainedRewardConfig().check()] == ["path"]


@pytest.mark.parametrize("family,norm", [("llama", "model.norm"), ("gpt2", "transformer.ln_f")])
def test_only_the_last_blocks_the_final_norm_and_the_head_are_trained(
    tmp_path: Path, family: str, norm: str
) -> None:
    context = FakeContext(tmp_path, MIXED, policy_config={"family": family})
    options = KwiseConfig(batch=4, trainable_layers=1, optimizer=OptimizerConfig(lr=1e-2))
    procedure = KwiseTraining(options, context)
    before = {k: v.clone() for k, v in procedure.model.module.state_dict().items()}
    procedure.step(0)
    changed = {
        k for k, v in procedure.model.module.state_dict().items() if not torch.equal(v, before[k])
    }
    block = "model.layers.1." if family == "llama" else "transformer.h.1."
    assert changed
    assert all(k.startswith((block, norm, "score")) for k in changed)
    assert {"score.weight", f"{norm}.weight"} < changed


def test_more_trainable_layers_than_blocks_are_refused(tmp_path: Path) -> None:
    model = FakeContext(tmp_path).policy("base").scalar_model(torch.Generator().manual_seed(0))
    freeze_below(model.module, None, "reward_model")
    assert all(p.requires_grad for p in model.module.parameters())
    with pytest.raises(UserError, match=r"reward_model\.trainable_layers=3.*2 blocks"):
        freeze_below(model.module, 3, "reward_model")


def test_long_responses_are_cut_and_counted(tmp_path: Path) -> None:
    long = Ranking(Prompt("x", "red", split="train"), ("red " * 9 + "red", "blue"), ((1, 0),))
    whole, cut = (training(tmp_path, [long], max_tokens=n).step(0) for n in (None, 4))
    assert whole["reward_model/responses_cut"] == 0
    assert cut["reward_model/responses_cut"] == 1


def test_rankings_without_a_preference_cannot_train(tmp_path: Path) -> None:
    tied = Ranking(Prompt("x", "red", split="train"), ("red", "red"), ())
    with pytest.raises(UserError, match="no ranking with a preference"):
        training(tmp_path, [tied])
    assert training(tmp_path, [tied, *MIXED]).draws == len(MIXED)


@pytest.mark.parametrize(
    "options",
    [
        {"margin": 0.7},
        {"label_smoothing": 0.2},
        {"loss": RankingLoss.plackett_luce},
        {"loss": RankingLoss.regression},
    ],
)
def test_the_chosen_loss_is_trained_on(options: dict[str, Any], tmp_path: Path) -> None:
    records: list[Record] = [rated(i) for i in range(4)]
    config = KwiseConfig(batch=4, **options)
    procedure = KwiseTraining(config, FakeContext(tmp_path, records))
    rows = procedure._rollout(procedure.examples)
    scores = raw_scores(procedure.model, rows, procedure.runtime)
    wanted, start = [], 0
    for example in procedure.examples:
        own = scores[start : start + len(example.responses)]
        start += len(example.responses)
        if config.loss is RankingLoss.plackett_luce:
            wanted.append(plackett_luce_loss(own, example.preferences))
        elif config.loss is RankingLoss.regression:
            wanted.append(regression_loss(own, example.ranking.ratings, procedure.scale))
        else:
            wanted.append(
                kwise_loss(own, example.preferences, config.margin, config.label_smoothing)
            )
    found = procedure.step(0)["loss/reward_model"]
    assert found == pytest.approx(float(torch.stack(wanted).mean()), rel=1e-5)
    plain = torch.stack([kwise_loss(scores[:2], [(0, 1)])])
    assert found != pytest.approx(float(plain.mean()), rel=1e-5)


def rated(number: int) -> Ranking:
    """A ranking of 2, 3 or 4 responses, rated by their order, each prompt on its own level."""
    own = ranking(f"p{number}", 2 + number % 3)
    worse = [sum(pair[1] == i for pair in own.preferences) for i in range(len(own.responses))]
    return replace(own, ratings=tuple(10.0 * number - n for n in worse))


def test_regression_is_the_same_in_micro_batches_and_says_its_scale(tmp_path: Path) -> None:
    rows: list[Record] = [rated(i) for i in range(4)]
    options: dict[str, Any] = {"loss": RankingLoss.regression}
    whole, small = (training(tmp_path, rows, size, **options) for size in (64, 1))
    one, two = (step_gradients(p, p.examples) for p in (whole, small))
    assert one[1].loss == pytest.approx(two[1].loss, rel=1e-5)
    for name, gradient in one[0].items():
        torch.testing.assert_close(two[0][name], gradient, rtol=1e-4, atol=1e-6)
    values = [value for row in rows if isinstance(row, Ranking) for value in row.ratings]
    metrics = whole.step(0)
    assert metrics["reward_model/rating_mean"] == pytest.approx(fmean(values))
    assert metrics["reward_model/rating_std"] == pytest.approx(pstdev(values))
    assert "reward_model/rating_mean" not in training(tmp_path, rows).step(0)


def test_pairs_alone_keep_their_ratings(tmp_path: Path) -> None:
    options: dict[str, Any] = {"loss": RankingLoss.regression, "element": Element.pair}
    alone = training(tmp_path, [rated(1)], **options).examples
    assert [example.ranking.ratings for example in alone] == [(10, 9), (10, 8), (9, 8)]
    assert not any(e.ranking.ratings for e in training(tmp_path, [ranking("p", 3)]).examples)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([rated(0), ranking("q", 2)], "ranking of .* has no ratings.*labeler.ratings=true"),
        ([replace(rated(0), ratings=(3.0, 3.0))], "All ratings are 3.*has nothing to learn"),
    ],
)
def test_what_has_no_ratings_is_refused(rows: list[Ranking], sentence: str, tmp_path: Path) -> None:
    config, context = KwiseConfig(loss=RankingLoss.regression), FakeContext(tmp_path, rows)
    with pytest.raises(UserError, match=sentence):
        KwiseTraining(config, context)
    with pytest.raises(UserError, match=sentence):
        list(preflight.kwise(config, context))


def test_an_order_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    both = Ranking(Prompt("p", "one", split="train"), ("red", "bad"), ((0, 1), (1, 0)))
    config = KwiseConfig(loss=RankingLoss.plackett_luce)
    context = FakeContext(tmp_path, [both])
    with pytest.raises(UserError, match="loss=pairs"):
        KwiseTraining(config, context)
    with pytest.raises(UserError, match="loss=pairs"):
        list(preflight.kwise(config, context))
    KwiseTraining(KwiseConfig(), context)  # two opinions of a pair are no fault there


def test_options_of_pairs_belong_to_pairs() -> None:
    config = KwiseConfig(loss=RankingLoss.plackett_luce, margin=1.0, label_smoothing=0.1)
    assert set(dict(problems(config))) == {"margin", "label_smoothing"}
