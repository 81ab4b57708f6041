"""A reward model of several: what their scores become by hand, how each is trained, what is said of
each."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from end_to_end.runs import UNSEEN, preflab
from preflab.composing.compose import compose
from preflab.engine.context import Environment, StageContext
from preflab.memory import ModelShape, Placement, memory
from preflab.options import problems
from preflab.planning.reading import job_of
from preflab.records import Prompt, Ranking, Rollout
from preflab.rewards import FunctionReward
from preflab.runtime import Device, Runtime, RuntimeConfig
from preflab.storage.artifacts import read_rows
from preflab_builtin.combined.config import Combine, CombinedConfig
from preflab_builtin.combined.scoring import CombinedReward, combined, combined_scores
from preflab_builtin.combined.training import CombinedTraining
from preflab_builtin.on_policy.experience import Networks
from preflab_builtin.on_policy.inputs import offload
from preflab_builtin.reward_model.config import KwiseConfig
from preflab_builtin.reward_model.scoring import NetworkReward
from preflab_builtin.reward_model.training import KwiseTraining
from preflab_builtin.rewards.config import LengthRewardConfig
from preflab_builtin.rewards.functions import length_reward
from preflab_builtin.rewards.shapings import InOrderConfig, SoftClipConfig
from support import WORDS, FakeContext, largest_difference
from tiny_on_policy import tiny

MEMBERS = {"a": torch.tensor([1.0, -2.0]), "b": torch.tensor([3.0, 2.0])}
PROMPTS = [Prompt(f"p{i}", WORDS[i], split="train") for i in range(6)]
RANKINGS = [
    Ranking(prompt, (" ".join(WORDS[i : i + 3]), "bad"), ((0, 1),))
    for i, prompt in enumerate(PROMPTS)
]


@pytest.mark.parametrize(
    "combine, options, expected",
    [
        (Combine.sum, {"weights": {"b": 0.5}}, [1 + 1.5, -2 + 1]),  # a missing weight is 1
        (Combine.mean, {}, [2.0, 0.0]),
        (Combine.minimum, {}, [1.0, -2.0]),
        # Standard deviations 1 and 2 about the means 2 and 0.
        (Combine.lower_bound, {"spread": 1.5}, [2 - 1.5, 0 - 3.0]),
    ],
)
def test_what_scores_become(
    combine: Combine, options: dict[str, Any], expected: list[float]
) -> None:
    found = combined_scores(MEMBERS, CombinedConfig(combine=combine, **options))
    assert found.tolist() == pytest.approx(expected)


def test_wrong_names_and_lonely_ensembles_are_refused() -> None:
    member = {"a": LengthRewardConfig()}
    found = dict(problems(CombinedConfig(members=member, weights={"b": 1.0})))
    assert "Allowed: a" in found["weights.b"]
    assert "shaping.b" in dict(problems(CombinedConfig(members=member, shaping={"b": 1})))
    assert (
        "needs 2" in dict(problems(CombinedConfig(members=member, combine=Combine.mean)))["members"]
    )
    assert "members" in dict(problems(CombinedConfig()))
    both = {"a": LengthRewardConfig(), "b": LengthRewardConfig()}
    given = CombinedConfig(members=both, combine=Combine.mean, weights={"a": 2.0})
    assert "combine=sum" in dict(problems(given))["weights"]


def trained(folder: Path, **members: Any) -> tuple[CombinedTraining, FakeContext]:
    context = FakeContext(folder, RANKINGS)
    return CombinedTraining(CombinedConfig(members=members), context), context


def test_each_member_is_trained_as_if_it_were_alone_from_its_own_seed(tmp_path: Path) -> None:
    kwise = KwiseConfig(batch=4, epochs=2)
    procedure, _ = trained(tmp_path, a=kwise, short=LengthRewardConfig(), b=kwise)
    assert procedure.total_steps == 6  # 3 steps each of two; the other is not trained
    rows = [dict(procedure.step(i)) for i in range(6)]
    assert all("loss/reward_model/a" in row for row in rows[:3])
    assert all("loss/reward_model/b" in row for row in rows[3:])
    alone = KwiseTraining(kwise, FakeContext(tmp_path, RANKINGS).within("b"))
    for i in range(3):
        own = {f"{key}/b": value for key, value in alone.step(i).items()}
        assert own == rows[3 + i]
    parts = procedure.procedures
    weights = [parts[name].model.module.state_dict() for name in "ab"]  # type: ignore[attr-defined]
    assert largest_difference(weights[1], alone.model.module.state_dict()) == 0
    assert largest_difference(*weights) > 0  # another head, another order
    counts = procedure.accounting(rows)
    assert (counts["a: rankings"], counts["b: rankings"]) == (6, 6)


def test_a_member_s_seed_can_be_pinned(tmp_path: Path) -> None:
    procedure, context = trained(tmp_path, a=KwiseConfig(seed=5), b=KwiseConfig(seed=5))
    seeds = [p.context.seed for p in procedure.procedures.values()]  # type: ignore[attr-defined]
    assert seeds == [5, 5]
    assert context.seed != 5


def test_members_are_in_memory_together_and_trained_one_after_the_other() -> None:
    """Of two that are trained, batches of 8 and of 2 rankings of four: 32 rows a step, gradients of
    one network. 10 rankings are 2 steps of 8, and twice 5 of 2."""
    large, small = KwiseConfig(batch=8), KwiseConfig(batch=2, epochs=2)
    members = {"a": small, "short": LengthRewardConfig(), "b": large}
    load = CombinedConfig(members=members).load(32, {"rankings": 10})
    assert (load.trained, load.held.idle, load.rows, load.steps) == (2, 1, 32, 2 + 10)
    assert CombinedConfig(members={"short": LengthRewardConfig()}).load(32, {}).trained == 0
    placement, shape = Placement(), ModelShape(4, 128, 4, 4, 512, 512)
    found = memory(shape, load, placement)
    assert found.trained == found.moments / 2 == 2 * found.gradients == 2 * 4 * shape.weights


def test_shaped_scores_are_weighed_and_the_first_network_is_shown(tmp_path: Path) -> None:
    config = CombinedConfig(
        members={"short": LengthRewardConfig(target=0, scale=1.0), "learned": KwiseConfig()},
        shaping={"short": SoftClipConfig(limit=1.0)},
        weights={"learned": 2.0, "short": 0.5},
    )
    context = FakeContext(tmp_path, RANKINGS)
    training = CombinedTraining(config, context)
    training.save(tmp_path)
    model = combined(config, context)
    rows = Rollout.from_texts(
        context.tokenizer, [r.prompt for r in RANKINGS[:2]], ["red", "red blue one"]
    )
    members = model.members(rows)
    # Minus 1 and 3 words, bounded by 1.
    wanted = torch.tensor([-1.0, -3.0]).tanh()
    torch.testing.assert_close(members["short"], wanted)
    found = model.score(rows)
    torch.testing.assert_close(found, 0.5 * wanted + 2 * members["learned"])
    assert model.network is model.models["learned"].network  # type: ignore[attr-defined]
    assert CombinedReward(config, {}, {}).network is None


def test_all_networks_leave_memory(tmp_path: Path) -> None:
    """Two members with a network each, and one without: the weights of both, and not those of the
    policy, which is its own reference here."""
    context = FakeContext(tmp_path)
    policy = context.policy("base")
    models = [policy.copy().scalar_model(torch.Generator()) for _ in range(2)]
    members: dict[str, Any] = {
        "a": NetworkReward(models[0], context.runtime),
        "length": FunctionReward(length_reward(5, 1.0)),
        "b": NetworkReward(models[1], context.runtime),
    }
    reward = CombinedReward(CombinedConfig(members=dict.fromkeys(members)), members, {})
    runtime = Runtime(RuntimeConfig(offload=True, device=Device.cpu))
    left = offload(Networks(policy, policy, None), reward, runtime)
    parts = [(*m.module.parameters(), *m.module.buffers()) for m in models]
    assert left.bytes == sum(tensor.nbytes for part in parts for tensor in part)


def test_a_member_has_several_shapings_in_their_order() -> None:
    """Composed as a user does, and worked by hand: 4 tokens cost 4 * 0.5 = 2, then tanh."""
    place = "reward_model.shaping.learned"
    both = [
        f"+reward_shaping@{place}.shaping.length=length_penalty",
        f"{place}.shaping.length.coef=0.5",
        f"+reward_shaping@{place}.shaping.bound=soft_clip",
        f"{place}.shaping.bound.limit=1",
    ]
    words = ["reward_model=sum", f"+reward_shaping@{place}=in_order"]
    run = job_of(compose([*words, *both], with_hydra=True)).run
    context = StageContext(Environment(run, lambda hook, **shown: None), "reward_model")
    chosen = run.choices["reward_model"].config.shaping["learned"]
    shape = context.component("reward_shaping", chosen)
    rows = SimpleNamespace(response_lengths=torch.tensor([4, 1]))
    found = shape(torch.tensor([1.0, 0.5]), rows).tolist()
    assert found == pytest.approx([math.tanh(1 - 2), math.tanh(0.5 - 0.5)])
    assert "shaping" in dict(problems(InOrderConfig()))


def test_on_policy_algorithms_report_each_member(tmp_path: Path) -> None:
    models = {name: FunctionReward(length_reward(n, 1.0)) for name, n in (("a", 2), ("b", 5))}
    config = CombinedConfig(weights={"b": 0.5})
    for resample in (0, 2):
        reward = CombinedReward(config, models, {})
        procedure = tiny("group", tmp_path, reward=reward, resample=resample)
        row = procedure.step(0)
        rollout = procedure.context.seen[0][0]  # type: ignore[attr-defined]
        for name, model in models.items():
            mean = float(model.score(rollout).mean())
            assert row[f"objective/scores/{name}"] == pytest.approx(mean, abs=1e-5)
        total = row["objective/scores/a"] + 0.5 * row["objective/scores/b"]
        assert row["objective/scores"] == pytest.approx(total, abs=1e-5)


@pytest.mark.slow
def test_a_verifier_beside_a_trained_model_is_one_line(tmp_path: Path) -> None:
    words = (
        *UNSEEN,
        "debug=fast",
        "evaluation=none",
        "algorithm=rloo",
        "reward_model=sum",
        "+reward_model@reward_model.members.short=length",
        "+reward_model@reward_model.members.other=kwise",
    )
    assert preflab(tmp_path, *words) == 0, (tmp_path / "log.txt").read_text()[-2000:]
    (made,) = tmp_path.glob("artifacts/**/reward_model-*/learned")
    learned, other = (made.with_name(n) / "model/model.safetensors" for n in ("learned", "other"))
    assert learned.read_bytes() != other.read_bytes()  # another head, another order
    (metrics,) = tmp_path.glob("artifacts/**/algorithm-*/metrics.jsonl")
    rows = list(read_rows(metrics))
    assert {"objective/scores/learned", "objective/scores/short"} <= rows[-1].keys()
    # It is no model; its members are.
    (run,) = {path.parent for path in tmp_path.glob("runs/**/manifest.json")}
    given = (*UNSEEN, "debug=fast", "evaluation=none", "algorithm=rloo", "reward_model=pretrained")
    assert preflab(tmp_path, *given, f"reward_model.path={run}") == 2
    said = (tmp_path / "log.txt").read_text()
    members = [run / "artifacts/reward_model" / n / "model" for n in ("learned", "other")]
    assert f"Choose one of them: path={members[0]}, path={members[1]}." in said
    assert preflab(tmp_path, *given, f"reward_model.path={members[1]}") == 0


def test_a_member_s_options_are_named_with_its_own_key(tmp_path: Path) -> None:
    rows = [{"prompt": "red", "chosen": "red red blue", "rejected": "red red red"}] * 4
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = (
        "debug=fast",
        "evaluation=none",
        "rankings=files",
        f"rankings.path={tmp_path / 'rows.jsonl'}",
        "reward_model=sum",
        "reward_model.members.learned.max_tokens=2",
    )
    assert preflab(tmp_path, *words) == 2
    said = (tmp_path / "log.txt").read_text()
    assert "Raise reward_model.members.learned.max_tokens (2)" in said
    assert not list(tmp_path.glob("artifacts/**/model"))  # before the first stage
