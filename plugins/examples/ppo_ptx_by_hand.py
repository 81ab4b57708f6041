"""PPO-ptx as one loop, to be read from top to bottom (InstructGPT, arXiv 2203.02155, 3.5 and C.4).

    python plugins/examples/ppo_ptx_by_hand.py

The engine does the same with configs, checkpoints and guards
(`preflab_builtin.on_policy.procedure`); a test shows that both give the same bits. Log-probs,
values and rewards of tokens are [B, R]: B responses, R tokens of the longest.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch.autograd import backward

from preflab.functional import gae, masked_sum, token_rewards, whiten
from preflab.interfaces import Context
from preflab.likelihood import response_log_probs, response_values
from preflab.models import Policy, ScalarModel
from preflab.randomness import draw_order, permutation
from preflab.records import Rollout
from preflab.testing import FakeContext, component
from preflab_builtin.on_policy.rules import clipped_loss
from preflab_builtin.ppo.loss import value_loss
from preflab_builtin.pretrain.stream import PretrainingStream, targets_in, window_nll

ITERATIONS, BATCH, MINIBATCH = 2, 8, 4  # episodes per iteration, and per optimizer step
KL_COEF, CLIP, GAMMA, LAMBDA = 0.1, 0.2, 1.0, 0.95
PTX_COEF, PTX_RATIO, PTX_WINDOW = 5.0, 2.0, 12  # weight; windows per episode; tokens per window
LEARNING_RATE, LARGEST_NORM = 1e-3, 1.0


def train(context: Context) -> tuple[Policy, ScalarModel]:
    """Two iterations of PPO-ptx; the policy and its value network."""
    policy, reference = context.policy("initial"), context.policy("initial")
    value = context.policy("initial").scalar_model(context.streams["value head"])
    engine, reward_model = context.rollout(), context.reward_model()
    prompts, seed = context.records("prompts", "train"), context.seed
    documents, stream = context.records("documents", "train"), (seed, context.stage, "ptx")
    pretraining = PretrainingStream(documents, context.tokenizer, PTX_WINDOW, *stream)
    policy_optimizer, value_optimizer, drawn_windows = _adamw(policy), _adamw(value), 0

    for iteration in range(ITERATIONS):
        # 1. Sample a response to each prompt of the batch, and score it as a whole.
        drawn = draw_order(len(prompts), iteration * BATCH, BATCH, seed, "ppo", "prompts")
        noise = (seed, "ppo", "rollout", iteration)
        rollout = engine.generate(policy, [prompts[i] for i in drawn], engine.sampling, noise)
        scores, mask = reward_model.score(rollout), rollout.response_mask
        order = permutation(BATCH, seed, "ppo", "minibatches", iteration, 0)
        minibatches = [rollout.by_length(order[i:][:MINIBATCH]) for i in range(0, BATCH, MINIBATCH)]

        # 2. Judge each token: by the policy that sampled it, the reference, the value network.
        old, frozen, values = (torch.zeros(mask.shape) for _ in range(3))
        with torch.no_grad():
            for rows in minibatches:
                part = rollout.rows(rows)
                width = part.response_ids.shape[1]
                old[rows, :width] = response_log_probs(policy, part)
                frozen[rows, :width] = response_log_probs(reference, part)
                values[rows, :width] = response_values(value, part)
        log_ratio = old - frozen

        # 3. Reward per token: the KL penalty on each, the score on the last (equation 2).
        #    Advantages: how much better it went than expected, whitened over the batch.
        rewards = token_rewards(scores, log_ratio, mask, KL_COEF)
        advantages, returns = gae(rewards, values, mask, GAMMA, LAMBDA)
        advantages = whiten(advantages, mask)

        # 4. One optimizer step per minibatch. All losses are means over its tokens.
        for rows in minibatches:
            part, tokens = rollout.rows(rows), int(mask[rows].sum())
            at = (rows, slice(part.response_ids.shape[1]))
            new = response_log_probs(policy, part)
            policy_losses = clipped_loss(new, old[at], advantages[at], mask[at], CLIP).loss
            backward(masked_sum(policy_losses, mask[at]) / tokens)
            expected = response_values(value, part)
            value_losses = value_loss(expected, values[at], returns[at], mask[at], CLIP).loss
            backward(masked_sum(value_losses, mask[at]) / tokens)

            # 5. The pretraining gradient is added to PPO's; without this block, it is PPO alone.
            count = round(PTX_RATIO * len(rows))
            windows = pretraining.draw(drawn_windows, count)
            drawn_windows += count
            backward(PTX_COEF / targets_in(count, PTX_WINDOW) * window_nll(policy, windows))
            for network, optimizer in ((policy, policy_optimizer), (value, value_optimizer)):
                torch.nn.utils.clip_grad_norm_(network.module.parameters(), LARGEST_NORM)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)

        kl = (log_ratio * mask).sum(-1).mean()
        print(f"iteration {iteration}: score {scores.mean():.3f}, KL {kl:.4f} nats per response")
    return policy, value


def _adamw(network: Policy | ScalarModel) -> torch.optim.AdamW:
    weights, betas = network.module.parameters(), (0.9, 0.95)
    return torch.optim.AdamW(weights, LEARNING_RATE, betas, 1e-5, weight_decay=0, fused=True)


class ShortAnswers:
    """A reward model: minus the distance of a response's number of words from three."""

    def score(self, rollout: Rollout) -> torch.Tensor:
        return torch.tensor([-abs(len(text.split()) - 3.0) for text in rollout.texts])


if __name__ == "__main__":
    world = component("data", "microworld")
    assert world.build is not None
    source = world.build(world.config_class(documents=200, prompts=50), FakeContext(Path()))
    records = [*source.records("prompts"), *source.records("documents")]
    train(FakeContext(Path(), records, vocabulary=source.vocabulary, reward=ShortAnswers()))
