"""PPO through the real engine arrives at the optimum that is known in closed form, and k3 in the
reward does not.

The policy that maximises E[r] - beta KL(pi || ref) is pi* = ref exp(r / beta) / Z, over whole
responses. Two tasks are small enough to enumerate every response: a bandit (one token, three
arms), and responses of up to three tokens that end with an end token or are cut, after prompts of
different lengths. Everything is what a user runs: composed config, policy folder, native
rollouts, value network, 2 epochs of minibatches, clipping, GAE with lambda .95, learning rates
that fall to 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
import torch

from conformance.engine import Seen, engine, plugin_file
from preflab import functional
from preflab_builtin.causal_lm.config import Family, TinyConfig
from preflab_builtin.causal_lm.models import CausalPolicy
from preflab_builtin.causal_lm.sources import FolderSource, TinySource
from preflab_builtin.on_policy import experience
from support import represented_by

SEEDS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Task:
    """A task whose responses can be enumerated. scores: of the texts that have one, others have
    0; penalty: of being cut."""

    words: tuple[str, ...]
    prompts: tuple[str, ...]
    cap: int
    scores: dict[str, float]
    penalty: float
    settings: tuple[str, ...]
    distance: float
    """Total variation from the optimum that PPO must come within."""


BETA = 0.5
BANDIT = Task(
    ("a", "b", "c"),
    ("a",),
    cap=1,
    scores={"a": 1.0, "c": -1.0},
    penalty=0.0,
    settings=("episodes=25600", "batch=256", "minibatch=128", "policy.lr=0.005", "value.lr=0.02"),
    distance=0.01,
)
SENTENCES = Task(
    ("a", "b"),
    ("a", "b a b"),
    cap=3,
    scores={"": -0.5, "a": -0.3, "b": 0.5, "a b": 1.0, "a a a": 1.0},
    penalty=0.5,
    settings=("episodes=40960", "batch=512", "minibatch=256", "policy.lr=0.003", "value.lr=0.005"),
    distance=0.05,
)
TASKS = {"bandit": BANDIT, "sentences": SENTENCES}


def reference(task: Task) -> CausalPolicy:
    """A tiny model with learned positions. The bandit's gives .2, .3, .5 to its arms; the other's
    weights are a fresh model's, larger, so that its probabilities differ and depend on what
    stands before."""
    config = TinyConfig(family=Family.gpt2, layers=1, width=32, heads=2, max_positions=16)
    policy = TinySource(config, task.words).create(torch.Generator().manual_seed(0))
    with torch.no_grad():
        if task.cap > 1:
            for parameter in policy.module.parameters():
                parameter.mul_(1.5)
            return policy
        # The final norm gives the first unit vector whatever it reads, so the logits are the
        # embeddings' first column.
        norm, embedding = policy.module.transformer.ln_f, policy.module.transformer.wte.weight
        norm.weight.zero_()
        norm.bias.zero_()
        norm.bias[0] = 1.0
        embedding[:, 0] = -30.0
        arms = [policy.tokenizer.encode(word)[0] for word in task.words]
        embedding[arms, 0] = torch.tensor([0.2, 0.3, 0.5]).log()
    return policy


def responses(policy: CausalPolicy, cap: int) -> list[tuple[int, ...]]:
    """Every response: tokens up to and with the end token, or ``cap`` tokens without one."""
    end = policy.tokenizer.eos_id
    others = [token for token in range(policy.tokenizer.size) if token != end]
    ended = [(*start, end) for n in range(cap) for start in product(others, repeat=n)]
    return [*ended, *product(others, repeat=cap)]


def log_probs(
    policy: CausalPolicy, prompt: str, answers: Sequence[tuple[int, ...]]
) -> torch.Tensor:
    """log pi(answer | prompt) of each, float64, from transformers' own forward of bare rows."""
    question, known = policy.tokenizer.encode(prompt), dict[tuple[int, ...], torch.Tensor]()
    for start in {answer[:t] for answer in answers for t in range(len(answer))}:
        with torch.no_grad():
            ids = torch.tensor([[*question, *start]])
            logits = policy.module(ids, attention_mask=torch.ones_like(ids)).logits[0, -1]
        known[start] = logits.double().log_softmax(-1)
    totals = [torch.stack([known[a[:t]][a[t]] for t in range(len(a))]).sum() for a in answers]
    return torch.stack(totals)


def rewards(task: Task, policy: CausalPolicy, answers: Sequence[tuple[int, ...]]) -> torch.Tensor:
    """The reward of each response, float64."""
    tokenizer, found = policy.tokenizer, []
    for answer in answers:
        ended = answer[-1] == tokenizer.eos_id
        text = tokenizer.decode(list(answer[:-1] if ended else answer))
        found.append(task.scores.get(text, 0.0) - (0.0 if ended else task.penalty))
    return torch.tensor(found, dtype=torch.float64)


@pytest.fixture(scope="module", autouse=True)
def _lookup_reward() -> Iterator[None]:
    with plugin_file(Path(__file__).with_name("lookup.py")):
        yield


def trained(
    task: Task, folder: Path, seed: int, algorithm: str = "ppo", options: Sequence[str] = ()
) -> tuple[CausalPolicy, Seen]:
    """What an algorithm makes of the reference, through the real engine."""
    reference(task).save(folder / "reference")
    rows = [json.dumps({"prompt": prompt, "split": "train"}) + "\n" for prompt in task.prompts]
    (folder / "prompts.jsonl").write_text("".join(rows))
    chosen = (
        "data=files",
        f"data.prompts={folder / 'prompts.jsonl'}",
        "filters=none",
        "policy=pretrained",
    )
    given = (
        f"policy.path={folder / 'reference'}",
        "sft=none",
        "comparisons=none",
        "evaluation=none",
        f"algorithm={algorithm}",
    )
    table = (
        f"reward_model.texts={list(task.scores)}",
        f"reward_model.rewards={list(task.scores.values())}",
    )
    own = task.settings if algorithm == "ppo" else [s for s in task.settings if "value" not in s]
    settings = [
        f"algorithm.{setting}" for setting in (*own, "epochs=2", f"kl.coef={BETA}", *options)
    ]
    limits = (
        f"rollout.max_tokens={task.cap}",
        f"algorithm.missing_eos_penalty={task.penalty}",
        "rollout.batch=512",
    )
    seen = engine(
        folder,
        *chosen,
        *given,
        "reward_model=lookup",
        *table,
        *settings,
        *limits,
        "runtime.micro_batch=256",
        f"seed={seed}",
    )
    return FolderSource(seen.artifacts["algorithm"] / "model").create(torch.Generator()), seen


def optimum(task: Task, prompt: str) -> torch.Tensor:
    """log pi* of every response."""
    start = reference(task)
    answers = responses(start, task.cap)
    return (log_probs(start, prompt, answers) + rewards(task, start, answers) / BETA).log_softmax(0)


def distances(task: Task, policy: CausalPolicy) -> list[float]:
    """Total variation between a policy's responses and the optimal ones, a prompt each."""
    answers = responses(policy, task.cap)
    found = [log_probs(policy, prompt, answers).exp() for prompt in task.prompts]
    assert all(float(p.sum()) == pytest.approx(1, abs=1e-9) for p in found)  # nothing was forgotten
    return [
        0.5 * float((p - optimum(task, prompt).exp()).abs().sum())
        for p, prompt in zip(found, task.prompts, strict=True)
    ]


def test_the_optimum_of_the_bandit_is_the_one_worked_out_by_hand() -> None:
    # ref (.2, .3, .5), r (1, 0, -1), beta .5: weights .2 e^2, .3, .5 e^-2 = 1.477811, .3,
    # .067668, Z 1.845479
    start = reference(BANDIT)
    answers = responses(start, 1)
    best = {
        start.tokenizer.decode(list(a)): p
        for a, p in zip(answers, optimum(BANDIT, "a").exp().tolist(), strict=True)
    }
    assert [best[word] for word in BANDIT.words] == pytest.approx(
        [0.800774, 0.162559, 0.036667], abs=1e-6
    )
    ours = optimum(BANDIT, "a")
    kl = float((ours.exp() * (ours - log_probs(start, "a", answers))).sum())
    gain = float((ours.exp() * rewards(BANDIT, start, answers)).sum())
    assert gain == pytest.approx(0.764107, abs=1e-6)
    assert kl == pytest.approx(0.915475, abs=1e-6)
    assert gain - BETA * kl == pytest.approx(0.306369, abs=1e-6)  # beta log Z


def test_the_sentences_are_worth_learning() -> None:
    start = reference(SENTENCES)
    answers = responses(start, 3)
    assert len(answers) == 1 + 4 + 16 + 64  # 4 tokens beside the end token
    begin = [log_probs(start, p, answers).exp() for p in SENTENCES.prompts]
    best = [optimum(SENTENCES, p).exp() for p in SENTENCES.prompts]
    # Far from the beginning.
    assert all(0.5 * float((a - b).abs().sum()) > 0.3 for a, b in zip(begin, best, strict=True))
    # And another one after another prompt.
    assert 0.5 * float((best[0] - best[1]).abs().sum()) > 0.1
    lengths = torch.tensor([len(a) for a in answers])
    assert all(float(best[0][lengths == n].sum()) > 0.1 for n in (1, 2, 3))


@pytest.mark.slow
@pytest.mark.parametrize("seed", represented_by(SEEDS[:1], SEEDS))
@pytest.mark.parametrize("name", represented_by(["sentences"], TASKS))
def test_ppo_reaches_the_closed_form(name: str, seed: int, tmp_path: Path) -> None:
    task = TASKS[name]
    policy, seen = trained(task, tmp_path, seed)
    found = distances(task, policy)
    assert max(found) < task.distance, found
    # What it says of itself: the penalised reward of the last responses is that of the optimum,
    # mean of beta log Z, but for chance. Near the optimum r - beta log(pi / ref) is the same for
    # every response, so that chance is small.
    answers, start = responses(policy, task.cap), reference(task)
    normalisers = [
        log_probs(start, p, answers) + rewards(task, start, answers) / BETA for p in task.prompts
    ]
    value = sum(BETA * float(n.logsumexp(0)) for n in normalisers) / len(task.prompts)
    assert seen.metrics[-1]["objective/rlhf_reward"] == pytest.approx(value, abs=0.01)


GROUPS: dict[str, tuple[str, ...]] = {
    "rloo": (),
    "dr_grpo": (),
    "reinforce_pp": (),
    "rloo, weighted k3 in the loss": ("kl.place=loss",),
    "rloo, k2 in the loss": ("kl.place=loss", "kl.estimator=k2"),
    "rloo, mean over responses": ("aggregate=response",),
    "rloo, silent prompts replaced": ("resample=2",),
    "online_dpo": (),
    "expert_iteration": ("samples=4",),
}
"""Algorithms without a value network that arrive at the optimum of responses of one token; the
name's first word is the preset."""


SENTENCE_GROUPS: dict[str, tuple[str, ...]] = {
    "rloo": (),
    "dr_grpo": (),
    "reinforce_pp": (),
    "grpo, KL in the reward": ("kl.place=reward", "scale=none"),
    "online_dpo": (),
}
"""Those that arrive there with responses of several tokens: the KL is not in the loss of any."""
LOSS_FORMS: dict[str, tuple[str, ...]] = {
    "weighted k3": ("kl.place=loss",),
    "k2": ("kl.place=loss", "kl.estimator=k2"),
}


def per_token_optimum(task: Task, prompt: str) -> torch.Tensor:
    """log pi of every response where the KL in the loss ends, whose gradient is that of each
    token's KL in the states that the policy visits, without the token's effect on which states
    these are. Backwards from the end: after every start pi(token) is proportional to
    ref(token) exp(Q(token) / beta), as at the optimum, but Q is the expected reward alone, without
    the KL of the tokens that are still to come."""
    start = reference(task)
    answers = responses(start, task.cap)
    reward = dict(zip(answers, rewards(task, start, answers).tolist(), strict=True))
    whole = dict(zip(answers, log_probs(start, prompt, answers), strict=True))
    found = dict.fromkeys(answers, 0.0)

    def worth(begun: tuple[int, ...]) -> torch.Tensor:
        if begun in reward:
            return torch.tensor(reward[begun], dtype=torch.float64)
        within = {a: a[: len(begun) + 1] for a in answers if a[: len(begun)] == begun}
        after = sorted(set(within.values()))
        shares = [torch.stack([whole[a] for a in within if within[a] == b]) for b in after]
        q = torch.stack([worth(b) for b in after])
        log_pi = (torch.stack([s.logsumexp(0) for s in shares]) + q / BETA).log_softmax(0)
        for answer, token in within.items():
            found[answer] += float(log_pi[after.index(token)])
        return (log_pi.exp() * q).sum()

    worth(())
    return torch.tensor([found[a] for a in answers], dtype=torch.float64)


@pytest.mark.parametrize(("name", "off"), [("bandit", [0.0]), ("sentences", [0.113, 0.093])])
def test_the_kl_in_the_loss_has_another_optimum_from_two_tokens_on(
    name: str, off: list[float]
) -> None:
    task, found = TASKS[name], []
    for prompt in task.prompts:
        ends = per_token_optimum(task, prompt).exp()
        assert float(ends.sum()) == pytest.approx(1, abs=1e-9)
        found.append(0.5 * float((ends - optimum(task, prompt).exp()).abs().sum()))
    assert found == pytest.approx(off, abs=5e-4)


@pytest.mark.slow
@pytest.mark.reliability  # 163,840 episodes: make conformance and make reliability run it
@pytest.mark.parametrize("name", list(LOSS_FORMS))
def test_the_kl_in_the_loss_ends_there_and_not_at_the_optimum(name: str, tmp_path: Path) -> None:
    # Episodes enough to tell both ends apart: 0.03 from its own, 0.08 and more from the optimum.
    longer = ("episodes=163840", "policy.lr=0.002")
    policy, _ = trained(SENTENCES, tmp_path, 1, "rloo", (*LOSS_FORMS[name], *longer))
    answers = responses(policy, SENTENCES.cap)
    for prompt in SENTENCES.prompts:
        found = log_probs(policy, prompt, answers).exp()
        ends = per_token_optimum(SENTENCES, prompt).exp()
        assert 0.5 * float((found - ends).abs().sum()) < 0.04
    assert min(distances(SENTENCES, policy)) > 0.06


@pytest.mark.reliability
@pytest.mark.parametrize("name", list(SENTENCE_GROUPS))
def test_the_kl_in_the_reward_reaches_the_closed_form_of_sentences(
    name: str, tmp_path: Path
) -> None:
    preset = name.partition(",")[0]
    policy, _ = trained(SENTENCES, tmp_path, 1, preset, SENTENCE_GROUPS[name])
    assert max(distances(SENTENCES, policy)) < SENTENCES.distance


@pytest.mark.slow
@pytest.mark.parametrize("name", represented_by(["rloo", "online_dpo"], list(GROUPS)))
def test_group_baselines_reach_the_closed_form(name: str, tmp_path: Path) -> None:
    preset = name.partition(",")[0]
    policy, _ = trained(BANDIT, tmp_path, 1, preset, GROUPS[name])
    assert max(distances(BANDIT, policy)) < 0.02


@pytest.mark.reliability
@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "off"), [("labels=higher", 0.199), ("labels=higher loss=ipo", 0.387)]
)
def test_online_dpo_as_published_arrives_elsewhere(
    options: str, off: float, tmp_path: Path
) -> None:
    # Arm a always has the higher score, so that DPO never ends: 1 - .800774. IPO ends where its
    # margin is 1 / (2 beta), whatever the scores. Both measured.
    policy, _ = trained(BANDIT, tmp_path, 1, "online_dpo", options.split())
    assert max(distances(BANDIT, policy)) == pytest.approx(off, abs=0.02)


@pytest.mark.reliability
def test_expert_iteration_without_kl_ends_with_the_best_arm_alone(tmp_path: Path) -> None:
    policy, _ = trained(BANDIT, tmp_path, 1, "expert_iteration", ("samples=4", "kl.coef=0"))
    assert max(distances(BANDIT, policy)) == pytest.approx(1 - 0.800774, abs=0.01)


@pytest.mark.reliability
@pytest.mark.parametrize("options", ["", "scale=none"])
def test_grpo_as_published_arrives_elsewhere(options: str, tmp_path: Path) -> None:
    # k3 in the loss pulls too little where the policy has more than the reference. Measured: 0.08
    # as published, 0.09 without the group's deviation, where k2 and weighted k3 are within 0.01, as
    # long as a response is one token.
    policy, _ = trained(BANDIT, tmp_path, 1, "grpo", options.split())
    assert max(distances(BANDIT, policy)) > 0.05


@pytest.mark.reliability
@pytest.mark.parametrize(("name", "off"), [("bandit", 0.199), ("sentences", 0.5)])
def test_k3_in_the_reward_arrives_elsewhere(
    name: str, off: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_k3(
        scores: torch.Tensor, log_ratio: torch.Tensor, mask: torch.Tensor, coef: float
    ) -> torch.Tensor:
        return functional.token_rewards(scores, functional.kl_estimates(log_ratio)[2], mask, coef)

    monkeypatch.setattr(experience, "token_rewards", with_k3)
    policy, _ = trained(TASKS[name], tmp_path, 1)
    # The bandit ends with arm a alone, 1 - .800774 from the optimum: k3 does not pull back an arm
    # that has become too rare.
    assert min(distances(TASKS[name], policy)) > 0.9 * off
