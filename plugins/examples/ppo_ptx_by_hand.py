"""PPO-ptx (InstructGPT, section 3.5 and C.4) as one loop that is read from top to bottom.

It computes what ``preflab algorithm=ppo_ptx`` computes, without stages, checkpoints, guards and
metrics, from parts that any plugin may use. tests/conformance/test_by_hand.py shows that the
weights are the same, bit for bit. ``python plugins/examples/ppo_ptx_by_hand.py`` runs it.

Shapes: B responses of an iteration, R response tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from preflab.functional import gae, token_rewards, whiten
from preflab.interfaces import Policy, ScalarModel
from preflab.likelihood import response_log_probs, response_values
from preflab.randomness import Streams, derive_seed, draw_order, permutation
from preflab.records import Document, Prompt
from preflab.rewards import FunctionReward
from preflab.runtime import Runtime, RuntimeConfig
from preflab_builtin.causal_lm.config import TinyConfig
from preflab_builtin.causal_lm.sources import TinySource
from preflab_builtin.microworld.config import MicroworldConfig
from preflab_builtin.microworld.source import Microworld
from preflab_builtin.ppo.loss import policy_loss, value_loss
from preflab_builtin.pretrain.stream import PretrainingStream, targets_in, window_nll
from preflab_builtin.rollouts.config import NativeConfig
from preflab_builtin.rollouts.native import NativeEngine

SEED, ITERATIONS = 1, 2
BATCH, MINIBATCH = 16, 8  # responses per iteration and per optimizer step
KL_COEF, GAMMA, LAMBDA = 0.1, 1.0, 0.95
RATIO_CLIP, VALUE_CLIP, NORM_CLIP = 0.2, 0.2, 1.0
POLICY_LR, VALUE_LR = 3e-4, 1e-3
PTX_COEF, WINDOW, WINDOWS = 5.0, 24, 16  # gamma; tokens per window; windows per optimizer step


def adam(model: Policy | ScalarModel, lr: float) -> torch.optim.Optimizer:
    """AdamW as InstructGPT has it, with lm-human-preferences' epsilon, at a constant rate."""
    weights = model.module.parameters()
    return torch.optim.AdamW(weights, lr, (0.9, 0.95), 1e-5, weight_decay=0.0, fused=True)


def train(
    prompts: Sequence[Prompt], documents: Sequence[Document], words: Sequence[str]
) -> tuple[Policy, ScalarModel]:
    """Two iterations of PPO-ptx from fresh weights; the policy and the value network."""
    weights = torch.Generator().manual_seed(derive_seed(SEED, "policy", "initialisation"))
    policy: Policy = TinySource(TinyConfig(layers=2, width=32, heads=2), words).create(weights)
    reference = policy.copy()  # what the KL is measured against: it stays as it is
    value_net = policy.scalar_model(Streams(SEED, "algorithm")["value head"])
    reward = FunctionReward(lambda prompt, text: -0.1 * abs(len(text.split()) - 10))
    sampler = NativeEngine(NativeConfig(max_tokens=16), Runtime(RuntimeConfig(threads=1)))
    stream = PretrainingStream(documents, policy.tokenizer, WINDOW, SEED, "algorithm", "ptx")
    optimizers = [adam(policy, POLICY_LR), adam(value_net, VALUE_LR)]
    windows_drawn = 0

    for iteration in range(ITERATIONS):
        # Sample one response for each of the next prompts, and score them.
        drawn = draw_order(len(prompts), iteration * BATCH, BATCH, SEED, "ppo", "prompts")
        noise = (SEED, "ppo", "rollout", iteration)
        asked = [prompts[i] for i in drawn]
        rollout = sampler.generate(policy, asked, sampler.sampling, noise)
        scores, mask = reward.score(rollout), rollout.response_mask
        order = permutation(BATCH, SEED, "ppo", "minibatches", iteration, 0)
        minibatches = [
            rollout.by_length(order[i : i + MINIBATCH]) for i in range(0, BATCH, MINIBATCH)
        ]

        # What the policy that sampled, the reference and the value network say of each token.
        old, ref, values = (torch.zeros(mask.shape) for _ in range(3))
        with torch.no_grad():
            for index in minibatches:
                rows = rollout.rows(index)
                width = rows.response_ids.shape[1]
                old[index, :width] = response_log_probs(policy, rows)
                ref[index, :width] = response_log_probs(reference, rows)
                values[index, :width] = response_values(value_net, rows)

        # Equation 2: the score on the last token, the KL penalty on every token; then advantages.
        rewards = token_rewards(scores, old - ref, mask, KL_COEF)
        advantages, returns = gae(rewards, values, mask, GAMMA, LAMBDA)
        advantages = whiten(advantages, mask)

        for index in minibatches:
            rows, tokens = rollout.rows(index), int(mask[index].sum())
            width = rows.response_ids.shape[1]
            old_row, advantage, real = (x[index, :width] for x in (old, advantages, mask))
            log_probs = response_log_probs(policy, rows)
            clipped = policy_loss(log_probs, old_row, advantage, real, RATIO_CLIP)
            torch.autograd.backward(clipped.loss / tokens)
            old_value, target = values[index, :width], returns[index, :width]
            predicted = response_values(value_net, rows)
            error, _ = value_loss(predicted, old_value, target, real, VALUE_CLIP)
            torch.autograd.backward(error / tokens)

            # ptx: gamma times the gradient of the pretraining loss joins the policy's.
            nll = window_nll(policy, stream.draw(windows_drawn, WINDOWS))
            torch.autograd.backward(PTX_COEF / targets_in(WINDOWS, WINDOW) * nll)
            windows_drawn += WINDOWS

            for model, optimizer in zip((policy, value_net), optimizers, strict=True):
                torch.nn.utils.clip_grad_norm_(model.module.parameters(), NORM_CLIP)
                optimizer.step()
                optimizer.zero_grad()
        kl = ((old - ref) * mask).sum(-1).mean()
        print(
            f"iteration {iteration}: mean score {scores.mean():.3f}, KL {kl:.4f} nats per response"
        )
    return policy, value_net


if __name__ == "__main__":
    world = Microworld(MicroworldConfig(prompts=200, documents=600))
    prompts = [r for r in world.records("prompts") if isinstance(r, Prompt)]
    documents = [r for r in world.records("documents") if isinstance(r, Document)]
    train(prompts, [d for d in documents if d.split == "train"], world.vocabulary)
