"""Break the arithmetic in one place at a time and see a test fail: ``make mutants``.

Each mutant is made in a copy of the tree, never in the checkout. It is killed if one of the tests
in its row fails. The script ends with 1 if a mutant survives, or if its text is not in the code
exactly once (tests/test_mutants.py checks this too). How the code is laid out does not matter, its
words do. Words on the command line choose mutants by name.
"""

from __future__ import annotations

import ast
import importlib
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COPIED = ("framework", "plugins", "conf", "sweeps", "tests", "pyproject.toml", "README.md")
FUNCTIONAL, OPTIMIZATION = "framework/preflab/functional.py", "framework/preflab/optimization.py"
PLUGINS, TESTS = "plugins/preflab_builtin", "tests/plugins"
RULES, KL, GRADIENTS, AVERAGE, EXPERIENCE, GUARDS, TRAINING = (
    f"{PLUGINS}/on_policy/{module}.py"
    for module in ("rules", "kl", "gradients", "average", "experience", "guards", "procedure")
)
LOSS, PPO_RULES = f"{PLUGINS}/ppo/loss.py", f"{PLUGINS}/ppo/training.py"
GROUP, ENTROPY = f"{PLUGINS}/group/advantages.py", f"{PLUGINS}/entropy/term.py"
PAIRS, PREFERENCE = f"{PLUGINS}/preference/loss.py", f"{PLUGINS}/preference/training.py"
EXPERTS, ONLINE = (f"{PLUGINS}/{name}/training.py" for name in ("expert_iteration", "online_dpo"))
COMBINED = f"{PLUGINS}/combined/scoring.py"
WELFARE, HEADS, REPORTING, AGREEMENT = (
    f"{PLUGINS}/groups/{module}.py" for module in ("welfare", "heads", "reporting", "agreement")
)
MISTAKES = "tests/conformance/test_public_mistakes.py"
CAUSAL_LM, FAST = f"{PLUGINS}/causal_lm", f"{PLUGINS}/causal_lm/fast"
LIKELIHOOD, BLOCKS = "framework/preflab/likelihood.py", f"{TESTS}/causal_lm/fast/test_blocks.py"
ARITHMETIC, CARRIED = "tests/framework/test_functional.py", f"{TESTS}/ppo/test_carried_state.py"


@dataclass(frozen=True)
class Mutant:
    """One mistake: the text old, which the file has exactly once, becomes new; tests: what fails.

    An indented old is a line of its own, and new is indented as the file is.
    """

    name: str
    file: str
    old: str
    new: str
    tests: str


MUTANTS = (
    # rewards and advantages
    Mutant("sign of the KL", FUNCTIONAL, "-coef * log_ratio, mask", "coef * log_ratio, mask", ARITHMETIC),
    Mutant("score one slot late", FUNCTIONAL, "last = mask.sum(-1) - 1", "last = (mask.sum(-1)).clamp_max(mask.shape[1] - 1)", ARITHMETIC),
    Mutant("KL on padding", FUNCTIONAL, "rewards = _masked(-coef * log_ratio, mask)", "rewards = -coef * log_ratio", ARITHMETIC),
    Mutant("lambda forgotten", FUNCTIONAL, "deltas[:, t] + gamma * lam * running", "deltas[:, t] + gamma * running", ARITHMETIC),
    Mutant("lambda in the place of gamma", FUNCTIONAL, "rewards + gamma * following - values", "rewards + lam * following - values", ARITHMETIC),
    Mutant("gamma forgotten", FUNCTIONAL, "rewards + gamma * following - values", "rewards + following - values", ARITHMETIC),
    Mutant("advantages of padding", FUNCTIONAL, "deltas = _masked(rewards + gamma * following - values, mask)", "deltas = rewards + gamma * following - values - 0.1", ARITHMETIC),
    Mutant("whitening over padding", FUNCTIONAL, "    count = reduce(mask.sum())\n    mean", "    count = reduce(torch.tensor(float(mask.numel())))\n    mean", ARITHMETIC),
    Mutant("sample variance", FUNCTIONAL, "variance = reduce(masked_sum((values - mean) ** 2, mask)) / count", "variance = reduce(masked_sum((values - mean) ** 2, mask)) / (count - 1)", ARITHMETIC),
    Mutant("log-probs without temperature", FUNCTIONAL, "logits.float() if temperature == 1.0 else logits.float() / temperature", "logits.float()", ARITHMETIC),
    # PPO
    Mutant("clip on the wrong side", RULES, "TokenLoss(torch.maximum(plain, clipped)", "TokenLoss(torch.minimum(plain, clipped)", f"{TESTS}/on_policy"),
    Mutant("value clip on the wrong side", LOSS, "0.5 * torch.maximum(plain, clipped)", "0.5 * torch.minimum(plain, clipped)", f"{TESTS}/ppo"),
    Mutant("adaptive KL backwards", KL, "kl / target - 1))", "1 - kl / target))", f"{TESTS}/on_policy"),
    Mutant("mean of means", GRADIENTS, "backward(total / divisor)", "backward(total / mask.sum())", f"{TESTS}/ppo"),
    Mutant("hidden states one token late", LIKELIHOOD, "wanted[:, width - 1 : width - 1 + mask.shape[1]] = mask", "wanted[:, width : width + mask.shape[1]] = mask", f"{TESTS}/ppo"),
    Mutant("value offset forgotten", LIKELIHOOD, "model.values(response_states(model, rows)) - model.offset", "model.values(response_states(model, rows))", f"{TESTS}/ppo"),
    Mutant("whitening keeps the mean", LOSS, "return whiten(advantages, mask) if", "return whiten(advantages, mask, shift_mean=False) if", f"{TESTS}/on_policy"),
    Mutant("prompt order starts over", TRAINING, "draw_order(len(self.prompts), index * count, count", "draw_order(len(self.prompts), 0, count", f"{TESTS}/ppo"),
    Mutant("minibatches alike in all epochs", TRAINING, 'rules.name, "minibatches", index, epoch', 'rules.name, "minibatches", index', f"{TESTS}/ppo"),
    Mutant("schedule moves an optimizer step", TRAINING, "metrics |= optimization.step(index)", "metrics |= optimization.step(self.updates)", f"{TESTS}/ppo"),
    Mutant("average the wrong way round", AVERAGE, "lerp_(weight, 1 - self.decay)", "lerp_(weight, self.decay)", f"{TESTS}/ppo"),
    Mutant("first ratio not looked at", GUARDS, "if deviation > REPEATED_PASS_TOLERANCE:", "if False:", f"{TESTS}/on_policy/test_guards.py"),
    Mutant("first ratio looked at once", TRAINING, "        if is_first:\n", "        if is_first and index == 0:\n", f"{TESTS}/on_policy/test_guards.py"),
    Mutant("k3 in the reward", EXPERIENCE, "token_rewards(scores, log_ratio, mask, reward_kl_coef)", "token_rewards(scores, (-log_ratio).exp() - 1 + log_ratio, mask, reward_kl_coef)", f"{TESTS}/on_policy/test_experience.py tests/conformance/test_closed_form.py"),
    Mutant("reference without temperature", EXPERIENCE, "response_log_probs(networks.reference, rows, temperature)", "response_log_probs(networks.reference, rows, 1.0)", f"{TESTS}/on_policy/test_experience.py"),
    Mutant("PPO without temperature", TRAINING, "            self.sampling.temperature,\n            self.kl_coef", "            1.0,\n            self.kl_coef", "tests/conformance/test_wrong_variants.py"),
    Mutant("penalty for what ended", TRAINING, "(~rollout.terminated).float()", "rollout.terminated.float()", f"{TESTS}/ppo/test_options.py"),
    Mutant("adaptive KL a token", EXPERIENCE, "return (self.log_ratio * self.mask).sum(-1)", "return (self.log_ratio * self.mask).sum(-1) / self.mask.sum(-1)", f"{CARRIED} {TESTS}/ppo/test_options.py"),
    Mutant("adapted coefficient not used", TRAINING, "self.kl_coef if self.rules.kl_loss is None else 0.0", "self.config.kl.coef if self.rules.kl_loss is None else 0.0", CARRIED),
    Mutant("noise alike in all iterations", TRAINING, '(seed, name, "rollout", index)', '(seed, name, "rollout")', f"{TESTS}/ppo"),
    Mutant("average once a micro-batch", TRAINING, "            sums += torch.stack(watched)\n", "            sums += torch.stack(watched)\n            self.average.move()\n", CARRIED),
    Mutant("average lost on resume", AVERAGE, "            self.weights = {name: value.to(device, copy=True) for name, value in weights.items()}\n", "            pass\n", f"{TESTS}/ppo/test_training.py"),
    Mutant("ptx takes a step of its own", TRAINING, '            metrics |= self.optimizations["policy"].add(name, gradient)\n', '            self.optimizations["policy"].step(index)\n            metrics |= self.optimizations["policy"].add(name, gradient)\n', f"{TESTS}/ppo/test_training.py"),
    Mutant("ptx cursor lost on resume", TRAINING, '            self.terms[name].load_state_dict(state["terms"][name])\n', "            pass\n", CARRIED),
    Mutant("ptx of coefficient 0 is built", OPTIMIZATION, "        if config.coef != 0\n", "", f"{TESTS}/ppo/test_training.py"),
    Mutant("KL coefficient lost on resume", TRAINING, '            self.kl_coef = float(state["kl_coef"])\n', "            pass\n", f"{TESTS}/ppo"),
    Mutant("reference re-captured on resume", TRAINING, '            network.load_state_dict(state["networks"][name])\n', '            network.load_state_dict(state["networks"][name])\n        if self.networks.reference is not None:\n            self.networks.reference.module.load_state_dict(state["networks"]["policy"])\n', f"{TESTS}/ppo"),
    Mutant("only the first minibatch is re-forwarded", TRAINING, "for minibatch in minibatches for m in", "for minibatch in minibatches[:1] for m in", "tests/conformance/test_wrong_variants.py"),
    Mutant("values trained on advantages", PPO_RULES, "batch.values, batch.returns, batch.mask", "batch.values, batch.advantages, batch.mask", f"{TESTS}/ppo/test_training.py"),
    Mutant("whitening the wrong way round", LOSS, "if settings.whiten else", "if not settings.whiten else", f"{TESTS}/on_policy/test_experience.py"),
    Mutant("moments lost on resume", TRAINING, '            optimization.load_state_dict(state["optimizers"][name])\n', "            pass\n", f"{TESTS}/ppo/test_training.py"),
    # groups
    Mutant("a response is its own baseline", GROUP, "(groups.sum(-1, keepdim=True) - groups) / (samples - 1)", "groups.sum(-1, keepdim=True) / samples", f"{TESTS}/group"),
    Mutant("baseline of another prompt", GROUP, "groups = totals.view(-1, samples)\n", "groups = totals.view(samples, -1).t()\n", f"{TESTS}/group"),
    Mutant("deviation of a population", GROUP, ".std(-1, keepdim=True)", ".std(-1, keepdim=True, correction=0)", f"{TESTS}/group"),
    Mutant("rewards up to a token", GROUP, "rewards.flip(-1).cumsum(-1).flip(-1)", "rewards.cumsum(-1)", f"{TESTS}/group"),
    Mutant("REINFORCE++ without whitening", GROUP, "return whiten(advantages, mask)", "return advantages * mask", MISTAKES),
    Mutant("clip-higher forgotten", RULES, "(low if high is None else high)", "low", f"{TESTS}/group"),
    Mutant("the mean over responses is one over tokens", RULES, "return weights / weights.sum(-1, keepdim=True).clamp(min=1)", "return weights", f"{TESTS}/on_policy/test_rules.py"),
    Mutant("k3 without its ratio", RULES, "return torch.where(mask, log_probs - old, nothing).exp() * k3", "return k3", MISTAKES),
    Mutant("k2 without its half", RULES, "        return k2\n", "        return 2 * k2\n", f"{TESTS}/on_policy/test_rules.py"),
    Mutant("KL in the loss to the old policy", GRADIENTS, "reference = old - batch.log_ratio", "reference = old", MISTAKES),
    Mutant("KL outside the mean of the loss", GRADIENTS, "masked_sum(weights * kl_loss(", "masked_sum(kl_loss(", MISTAKES),
    Mutant("KL in the loss without its coefficient", GRADIENTS, "total = loss + kl_coef * kl", "total = loss + kl", MISTAKES),
    Mutant("KL in the loss and in the reward", TRAINING, "self.kl_coef if self.rules.kl_loss is None else 0.0", "self.kl_coef", MISTAKES),
    Mutant("silent prompts replaced by the same ones", TRAINING, "first = (index * rules.resample + attempt) * count", "first = attempt * count", f"{TESTS}/on_policy/test_resampling.py"),
    Mutant("prompts with a signal are replaced", f"{PLUGINS}/on_policy/resampling.py", "return (groups == groups[:, :1]).all(-1)", "return (groups != groups[:, :1]).any(-1)", f"{TESTS}/on_policy/test_resampling.py"),
    # rows that an algorithm chooses
    Mutant("expert iteration keeps the worst", EXPERTS, "rewards.view(-1, samples).argmax(1)", "rewards.view(-1, samples).argmin(1)", f"{TESTS}/expert_iteration"),
    Mutant("expert iteration chooses by score alone", EXPERTS, "best_rows(batch.advantages[:, 0], config.samples)", "best_rows(batch.scores, config.samples)", f"{TESTS}/expert_iteration"),
    Mutant("online DPO prefers the lower score", ONLINE, "groups.argmax(1).tolist(), groups.argmin(1).tolist()", "groups.argmin(1).tolist(), groups.argmax(1).tolist()", f"{TESTS}/online_dpo"),
    Mutant("online DPO makes pairs of ties", ONLINE, "if best != worst for row", "if True for row", f"{TESTS}/online_dpo"),
    Mutant("online DPO against the old policy", ONLINE, "reference = batch.log_probs - batch.log_ratio", "reference = batch.log_probs", f"{TESTS}/online_dpo"),
    Mutant("online DPO takes Bradley-Terry backwards", ONLINE, "torch.sigmoid(second - first)", "torch.sigmoid(first - second)", f"{TESTS}/online_dpo"),
    Mutant("online DPO averages over tokens", ONLINE, "aggregate=Aggregate.response", "aggregate=Aggregate.token", f"{TESTS}/online_dpo"),
    Mutant("pairs come apart in micro-batches", f"{PLUGINS}/on_policy/dealing.py", "size = max(1, runtime.micro_batch // width)", "size = runtime.micro_batch", f"{TESTS}/on_policy/test_chosen.py"),
    # pairs
    Mutant("DPO prefers the worse", PAIRS, "right, wrong = logsigmoid(beta * difference), logsigmoid(-beta * difference)", "right, wrong = logsigmoid(-beta * difference), logsigmoid(beta * difference)", f"{TESTS}/preference"),
    Mutant("DPO without beta", PAIRS, "right, wrong = logsigmoid(beta * difference), logsigmoid(-beta * difference)", "right, wrong = logsigmoid(difference), logsigmoid(-difference)", f"{TESTS}/preference"),
    Mutant("label smoothing forgotten", PAIRS, "-(1 - label_smoothing) * right - label_smoothing * wrong", "-right", f"{TESTS}/preference"),
    Mutant("IPO with another target", PAIRS, "difference - 1 / (2 * beta)", "difference - 1 / beta", f"{TESTS}/preference"),
    Mutant("SimPO adds its margin", PAIRS, "logsigmoid(beta * difference - margin)", "logsigmoid(beta * difference + margin)", f"{TESTS}/preference"),
    Mutant("SimPO sums over tokens", PREFERENCE, "            totals = totals / rows.response_lengths\n", "            totals = totals / 1\n", f"{TESTS}/preference"),
    Mutant("DPO averages over tokens", PREFERENCE, "response_log_probs(self.policy, rows).sum(-1)", "response_log_probs(self.policy, rows).mean(-1)", f"{TESTS}/preference"),
    Mutant("DPO without its reference", PREFERENCE, "(log_probs - self.reference[at, :2]).unbind(1)", "log_probs.unbind(1)", f"{TESTS}/preference"),
    Mutant("pairs: mean of means", PREFERENCE, "losses.sum() / count", "losses.mean()", f"{TESTS}/preference"),
    Mutant("the reference is the trained policy", PREFERENCE, "        if self.reference is None:\n            self.reference = self._reference_log_probs()\n", "        self.reference = self._reference_log_probs()\n", f"{TESTS}/preference"),
    Mutant("the reference is lost on resume", PREFERENCE, "self.reference = None if kept is None else kept.to", "self.reference = None if True else kept.to", f"{TESTS}/preference"),
    Mutant("KTO without its KL", PAIRS, "torch.sigmoid(beta * (liked - kl))", "torch.sigmoid(beta * liked)", f"{TESTS}/preference"),
    Mutant("KTO likes the disliked", PAIRS, "torch.sigmoid(beta * (kl - disliked))", "torch.sigmoid(beta * (disliked - kl))", f"{TESTS}/preference"),
    Mutant("KTO's weights the wrong way round", PAIRS, "liked_weight * (1 - worth[0]) + disliked_weight * (1 - worth[1])", "disliked_weight * (1 - worth[0]) + liked_weight * (1 - worth[1])", f"{TESTS}/preference"),
    Mutant("KTO's KL below 0", PAIRS, "log_ratios.mean().clamp(min=0)", "log_ratios.mean()", f"{TESTS}/preference"),
    Mutant("KTO's KL of the answers themselves", PREFERENCE, "self._known_log_probs(self.others, once)", "self._known_log_probs(self.pairs, once)", f"{TESTS}/preference"),
    # the entropy bonus
    Mutant("entropy is punished", ENTROPY, "loss = -entropy(logits, temperature).sum()", "loss = entropy(logits, temperature).sum()", f"{TESTS}/entropy"),
    Mutant("entropy without temperature", ENTROPY, "loss = -entropy(logits, temperature).sum()", "loss = -entropy(logits, 1.0).sum()", f"{TESTS}/entropy"),
    Mutant("entropy: mean of micro-batches", ENTROPY, "self.config.coef / tokens * loss", "self.config.coef / int(rollout.rows(index).response_lengths.sum()) * loss", f"{TESTS}/entropy"),
    # ptx and the optimizer
    Mutant("ptx counts the batch and not the minibatch", TRAINING, "self.updates, len(minibatch))", "self.updates, self.config.batch)", CARRIED),
    Mutant("ptx coefficient squared", f"{PLUGINS}/ptx/term.py", "self.config.coef / denominator * nll", "self.config.coef**2 / denominator * nll", f"{TESTS}/ptx"),
    Mutant("ptx averages micro-batches", f"{PLUGINS}/ptx/term.py", "self.config.coef / denominator * nll", "self.config.coef / targets_in(len(group), self.config.window) * nll", f"{TESTS}/ptx"),
    Mutant("ptx reads the same windows again", f"{PLUGINS}/ptx/term.py", "        self.drawn += count\n", "", f"{TESTS}/ptx"),
    Mutant("a term replaces the gradient", OPTIMIZATION, "parameter.grad = b if a is None else a if b is None else a.add_(b)", "parameter.grad = b", f"{TESTS}/ptx"),
    Mutant("gradient of one process only", OPTIMIZATION, "        if not self._is_summed:\n            self.runtime.sum_gradients(self.parameters)\n", "", f"{TESTS}/ppo/test_two_processes.py"),
    # reward model
    Mutant("K-wise: sum over pairs", f"{PLUGINS}/reward_model/loss.py", "return losses.mean()", "return losses.sum()", f"{TESTS}/reward_model"),
    Mutant("K-wise: worse beats better", f"{PLUGINS}/reward_model/loss.py", "losses = -logsigmoid(rewards[better] - rewards[worse] - margin)", "losses = -logsigmoid(rewards[worse] - rewards[better] - margin)", f"{TESTS}/reward_model"),
    Mutant("K-wise: the margin is given away", f"{PLUGINS}/reward_model/loss.py", "losses = -logsigmoid(rewards[better] - rewards[worse] - margin)", "losses = -logsigmoid(rewards[better] - rewards[worse] + margin)", f"{TESTS}/reward_model/test_loss.py"),
    Mutant("K-wise: smoothing the wrong way round", f"{PLUGINS}/reward_model/loss.py", "(1 - label_smoothing) * losses + label_smoothing * wrong", "label_smoothing * losses + (1 - label_smoothing) * wrong", f"{TESTS}/reward_model/test_loss.py"),
    Mutant("Plackett-Luce without the chosen one", f"{PLUGINS}/reward_model/loss.py", "rewards[[better, *sorted(worse)]]", "rewards[sorted(worse)]", f"{TESTS}/reward_model/test_loss.py"),
    Mutant("Plackett-Luce sums over stages", f"{PLUGINS}/reward_model/loss.py", "torch.stack(losses).mean() if losses", "torch.stack(losses).sum() if losses", f"{TESTS}/reward_model/test_loss.py"),
    Mutant("regression: sum over responses", f"{PLUGINS}/reward_model/loss.py", "return (rewards - targets).square().mean()", "return (rewards - targets).square().sum()", f"{TESTS}/reward_model/test_loss.py"),
    Mutant("regression on ratings as they are", f"{PLUGINS}/reward_model/loss.py", ".sub(scale.mean).div(scale.std)", "", f"{TESTS}/reward_model/test_loss.py"),
    Mutant("the scale of ratings is not measured", f"{PLUGINS}/reward_model/training.py", "            self.scale = Scale.of(ranked)\n", "", f"{TESTS}/reward_model/test_training.py"),
    Mutant("the loss that was chosen is not taken", f"{PLUGINS}/reward_model/loss.py", "if config.loss is RankingLoss.plackett_luce:", "if False:", f"{TESTS}/reward_model"),
    Mutant("K-wise: sum over prompts", f"{PLUGINS}/reward_model/training.py", "torch.stack(losses).sum() / len(batch)", "torch.stack(losses).sum()", f"{TESTS}/reward_model"),
    Mutant("score read at the last slot", f"{PLUGINS}/reward_model/scoring.py", "(width + rows.response_lengths - 1)[:, None]", "torch.full_like(rows.response_lengths, rows.input_ids.shape[1] - 1)[:, None]", f"{TESTS}/reward_model"),
    Mutant("offset added", f"{PLUGINS}/reward_model/scoring.py", "- self.network.offset", "+ self.network.offset", f"{TESTS}/reward_model"),
    Mutant("score read at the prompt's end", f"{PLUGINS}/reward_model/scoring.py", "(width + rows.response_lengths - 1)[:, None]", "(width + 0 * rows.response_lengths - 1)[:, None]", f"{TESTS}/reward_model/test_scoring.py"),
    Mutant("ties are pairs", "framework/preflab/records.py", "if a < b)", "if a <= b and i != j)", f"{TESTS}/reward_model/test_loss.py"),
    Mutant("weights of a sum forgotten", COMBINED, "config.weights.get(name, 1.0)", "1.0", f"{TESTS}/combined"),
    Mutant("the spread is paid for", COMBINED, "mean - config.spread", "mean + config.spread", f"{TESTS}/combined"),
    Mutant("the most optimistic member", COMBINED, "scores.amin(0)", "scores.amax(0)", f"{TESTS}/combined"),
    # groups
    Mutant("raw minimum of groups", WELFARE, "centred(rewards, prompts).amin(1)", "rewards.amin(1)", f"{TESTS}/groups"),
    Mutant("the best group decides", WELFARE, "centred(rewards, prompts).amin(1)", "centred(rewards, prompts).amax(1)", f"{TESTS}/groups"),
    Mutant("centred on the batch", WELFARE, "rewards - (sums / count)[index]", "rewards - rewards.mean(0)", f"{TESTS}/groups"),
    Mutant("one response scores nothing", WELFARE, "torch.where(alone, rewards.mean(1), ", "torch.where(alone, 0 * rewards.mean(1), ", f"{TESTS}/groups"),
    Mutant("every group counts alike", WELFARE, "raw = list(shares)", "raw = [1.0] * len(names)", f"{TESTS}/groups"),
    Mutant("a missing group counts", WELFARE, "given.get(name, 0.0)", "given.get(name, 1.0)", f"{TESTS}/groups"),
    Mutant("pooled head without shares", HEADS, "pooled = (shares / shares.sum()) @ weights", "pooled = weights.mean(0)", f"{TESTS}/groups"),
    Mutant("every ranking trains all heads", HEADS, "if ranking.group in names:", "if False:", f"{TESTS}/groups"),
    Mutant("no group trains the first head", HEADS, "return list(values.unbind(1))", "return [values[:, 0]]", f"{TESTS}/groups"),
    Mutant("shrink forgotten", HEADS, "return penalty", "return None", f"{TESTS}/groups"),
    Mutant("groups agree about ties", REPORTING, "return same, sum(first) * sum(second)", "return same, 1.0", f"{TESTS}/groups"),
    Mutant("best group first", REPORTING, "key=lambda item: item[1].value", "key=lambda item: -item[1].value", f"{TESTS}/groups"),
    Mutant("a person agrees with themselves", AGREEMENT, "if first.labeler == second.labeler:", "if False:", f"{TESTS}/groups"),
    Mutant("the minority wants the same", f"{PLUGINS}/microworld/labelers.py", "(-config.conflict_taste * own[3], ", "(config.conflict_taste * own[3], ", f"{TESTS}/microworld/test_labelers.py"),
    Mutant("shaping of a member forgotten", COMBINED, "if name in self.shapings else {}", "if False else {}", f"{TESTS}/combined"),
    # models, sampling, SFT
    Mutant("every epoch in one order", "framework/preflab/randomness.py", "permutation(size, *parts, epoch)", "permutation(size, *parts)", "tests/framework/test_randomness.py"),
    Mutant("dropout of a loaded model stays on", f"{CAUSAL_LM}/reading.py", "    _without_dropout(module)\n", "", f"{TESTS}/causal_lm"),
    Mutant("end token masked like a pad", "framework/preflab/records.py", "slots[None, :] < self.response_lengths[:, None]", "slots[None, :] < (self.response_lengths - self.terminated.long())[:, None]", f"tests/conformance/test_ragged.py {TESTS}/on_policy/test_experience.py"),
    Mutant("positions from 1", f"{CAUSAL_LM}/attention.py", "(mask.long().cumsum(-1) - 1)", "mask.long().cumsum(-1)", f"{TESTS}/causal_lm/test_models.py"),
    Mutant("SFT: mean of means", f"{PLUGINS}/sft/training.py", "torch.autograd.backward(nll / denominator)", "torch.autograd.backward(nll / sum(row.targets for row in rows))", f"{TESTS}/sft/test_training.py"),
    Mutant("samples: the same noise in each batch", f"{PLUGINS}/samples/sampling.py", "first_row=first * k", "first_row=0", f"{TESTS}/samples"),
    Mutant("select: other noise for each checkpoint", f"{PLUGINS}/select/selection.py", '(self.context.seed, "select")', '(self.context.seed, "select", name)', f"{TESTS}/select"),
    Mutant("learning rate does not arrive", OPTIMIZATION, "max(1, total - 1 - config.warmup)", "max(1, total - config.warmup)", "tests/framework/test_optimization.py"),
    Mutant("position ids dropped", f"{CAUSAL_LM}/attention.py", '"attention_mask": causal_mask(mask),\n        "position_ids": positions_of(mask),', '"attention_mask": causal_mask(mask),', BLOCKS),
    Mutant("positions stand still in transformers' decoding", f"{CAUSAL_LM}/models.py", "cache.positions + 1, cache.padded", "cache.positions, cache.padded", BLOCKS),
    Mutant("positions restart behind a shared prompt", f"{FAST}/packing.py", "places + lengths[row_of]]", "places]", BLOCKS),
    Mutant("the last layer sees what comes later", f"{FAST}/packing.py", "torch.arange(width, device=places.device) <= last[..., None]", "torch.arange(width, device=places.device) <= last[..., None] + 1", BLOCKS),
    Mutant("shared prompts of unlike length", f"{FAST}/packing.py", "sees_prefix = torch.arange(prefix.width, device=device)[None, :] < lengths[:, None]", "sees_prefix = torch.ones(len(ids), prefix.width, dtype=torch.bool, device=device)", BLOCKS),
    Mutant("slope of swiglu", f"{FAST}/kernels.py", "slope = torch.addcmul(sigmoid, active, 1 - sigmoid)", "slope = sigmoid.clone()", f"{TESTS}/causal_lm/fast/test_kernels.py"),
    Mutant("place within the wrong block", f"{PLUGINS}/rollouts/sampling.py", "block * BLOCK + place", "place", f"{TESTS}/rollouts"),
    Mutant("noise of a block from its beginning", f"{PLUGINS}/rollouts/sampling.py", "torch.minimum(threshold - before", "torch.minimum(threshold", f"{TESTS}/rollouts"),
    Mutant("slope of gelu", f"{FAST}/kernels.py", "value=3 * CUBIC", "value=CUBIC", f"{TESTS}/causal_lm/fast/test_kernels.py"),
    Mutant("gradient of log-probs without temperature", f"{FAST}/kernels.py", "outer = gradients[0] / ctx.temperature", "outer = gradients[0]", f"{TESTS}/causal_lm/fast/test_kernels.py"),
    Mutant("positions stand still in decoding", f"{FAST}/decoding.py", "    cache.positions = cache.positions + 1\n    return", "    return", f"{TESTS}/rollouts {BLOCKS}"),
    Mutant("a reordered matrix the wrong way round", f"{FAST}/projections.py", "weight.t().contiguous() if isinstance(projection, Conv1D) else weight", "weight", f"{TESTS}/causal_lm/fast/test_projections.py"),
    Mutant("no bias while sampling", f"{FAST}/projections.py", "self.matrices[projection], projection.bias,", "self.matrices[projection], None,", f"{TESTS}/causal_lm"),
    Mutant("sampling from the weights of an iteration ago", f"{FAST}/decoding.py", "blocks.project = projections_for_decoding(ids.device)", "blocks.project = blocks.base.__dict__.setdefault('_project', projections_for_decoding(ids.device))", f"{TESTS}/rollouts"),
    Mutant("sampling without temperature", f"{PLUGINS}/rollouts/sampling.py", "logits.float() / temperature if temperature != 1.0 else logits.float()", "logits.float()", f"{TESTS}/rollouts"),
    Mutant("top-k in rollouts", f"{PLUGINS}/rollouts/sampling.py", "        return logits.argmax(-1)\n", "        return logits.argmax(-1)\n    logits = logits.masked_fill(logits < logits.topk(2).values[:, -1:], float('-inf'))\n", f"{TESTS}/rollouts"),
    Mutant("noise of the batch, not of the row", f"{PLUGINS}/rollouts/native.py", "[sampling.first_row + number for number in numbers]", "list(range(len(numbers)))", f"{TESTS}/rollouts"),
    Mutant("loss on the prompt too", f"{PLUGINS}/sft/batches.py", "[loss_on is LossOn.full] * len(asked)", "[True] * len(asked)", f"{TESTS}/sft/test_training.py"),
    Mutant("end token without loss", f"{PLUGINS}/sft/batches.py", "[True] * len(answered)", "[True] * (len(answered) - 1) + [False]", f"{TESTS}/sft/test_training.py"),
    # evaluation
    Mutant("ties are defeats", f"{PLUGINS}/evaluation/judges.py", "[0.5 if a == b else float(a > b)", "[float(a > b)", f"{TESTS}/evaluation"),
    Mutant("KL the other way round", f"{PLUGINS}/evaluation/responses.py", "difference = policy - reference", "difference = reference - policy", f"{TESTS}/evaluation/test_responses.py"),
    Mutant("select the worst", f"{PLUGINS}/select/selection.py", "best = max(self.names", "best = min(self.names", f"{TESTS}/select"),
    Mutant("best-of-n takes the worst", f"{PLUGINS}/baselines/best_of_n.py", ".argmax(1)", ".argmin(1)", f"{TESTS}/baselines"),
)  # fmt: skip


def pattern(text: str) -> re.Pattern[str]:
    """What matches a text of code in any layout: broken lines, a comma before a closing bracket."""
    tokens, parts = re.findall(r"\w+|[^\w\s]", text), []
    for before, token in zip(["", *tokens], tokens, strict=False):
        between = r"\s*,?\s*" if token in ")]}" and before != "," else r"\s*"
        parts.append(f"{between if before else ''}{re.escape(token)}")
    start, end = r"^(?P<indent>[ ]*)" if text[0] == " " else "", r"\n" if text[-1] == "\n" else ""
    first, last = (r"\b" if t[0].isalnum() or t[0] == "_" else "" for t in (tokens[0], tokens[-1]))
    return re.compile(start + first + "".join(parts) + last + end, re.MULTILINE)


def mutated(mutant: Mutant, text: str) -> str:
    """The text of a file with the mistake in it."""
    (match,) = pattern(mutant.old).finditer(text)
    new = mutant.new
    if "indent" in match.groupdict():
        deeper = len(match["indent"]) - (len(mutant.old) - len(mutant.old.lstrip(" ")))
        lines = new.splitlines(keepends=True)
        new = "".join(" " * deeper + line if deeper > 0 else line[-deeper:] for line in lines)
    return text[: match.start()] + new + text[match.end() :]


def stale(mutant: Mutant, tree: Path) -> str | None:
    """What is out of date in a mutant: its text, or a test that does not exist."""
    text = (tree / mutant.file).read_text(encoding="utf8")
    places = len(pattern(mutant.old).findall(text))
    if places != 1:
        return f"{mutant.name}: its text is in {mutant.file} {places} times, not once"
    if (changed := mutated(mutant, text)) == text:
        return f"{mutant.name}: it changes nothing"
    try:
        ast.parse(changed)
    except SyntaxError as error:
        return f"{mutant.name}: {mutant.file} is no longer Python: {error}"
    missing = [test for test in mutant.tests.split() if not (tree / test.split("::")[0]).exists()]
    return f"{mutant.name}: there is no {missing[0]}" if missing else None


def own_tree(folder: str) -> None:
    """Copy what the tests need into a folder of this process, which from now on works there."""
    tree = Path(tempfile.mkdtemp(dir=folder))
    for name in COPIED:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tree / name)
    os.chdir(tree)


def first_failure(tests: str) -> str | None:
    """The first test that fails in this process's tree, None if all pass.

    The long forms of `make reliability` are left out.
    """
    with tempfile.TemporaryFile("w+", encoding="utf8") as output:
        code = _pytest(tests.split(), output.fileno())
        output.seek(0)
        failed = [line for line in output if line.startswith(("FAILED", "ERROR"))]
    if code == 0:
        return None
    return (
        failed[0].split(" - ")[0].removeprefix("FAILED ").strip()
        if failed
        else f"pytest ended with {code}"
    )


def _pytest(tests: list[str], output: int) -> int:
    """The exit code of pytest in a forked child, which takes the code from its tree."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.dup2(output, 1)
            os.dup2(output, 2)
            sys.path[:0] = [str(Path.cwd() / name) for name in ("framework", "plugins", "tests")]
            # The time stamps of bytecode are too coarse for mutants of the same length.
            sys.dont_write_bytecode = True
            environment = {
                "HF_HUB_OFFLINE": "1",
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": os.pathsep.join(sys.path[:3]),
            }
            os.environ.update(environment)
            words = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not reliability"]
            # The libraries are imported before pytest, which then cannot rewrite their assertions.
            words += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
            code = int(pytest.main([*words, *tests]))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killer(mutant: Mutant) -> str | None:
    """The first test that fails with the mutant, None if none does. The tree is restored."""
    path = Path.cwd() / mutant.file
    text = path.read_text(encoding="utf8")
    path.write_text(mutated(mutant, text), encoding="utf8")
    try:
        return first_failure(mutant.tests)
    finally:
        path.write_text(text, encoding="utf8")


def _processes(folder: str) -> ProcessPoolExecutor:
    """One per processor, four at most, each with a tree of its own; libraries are imported."""
    count = min(4, len(os.sched_getaffinity(0)))
    return ProcessPoolExecutor(
        count, multiprocessing.get_context("fork"), initializer=own_tree, initargs=(folder,)
    )


def main(mutants: Sequence[Mutant] = MUTANTS) -> int:
    """Try all of them, or those whose names hold a word of the command line; the exit code."""
    chosen = [
        m for m in mutants if len(sys.argv) < 2 or any(word in m.name for word in sys.argv[1:])
    ]
    problems = [problem for m in chosen if (problem := stale(m, ROOT))]
    if problems:
        print("\n".join(problems))
        return 1
    survivors = 0
    for library in ("torch", "transformers", "scipy.stats"):  # once for all mutants
        importlib.import_module(library)
    with tempfile.TemporaryDirectory() as folder, _processes(folder) as pool:
        tests = sorted({test for m in chosen for test in m.tests.split()})
        for failure in pool.map(first_failure, tests):
            if failure:
                print(f"without any mutant {failure} fails already: fix that first")
                return 1
        for mutant, test in zip(chosen, pool.map(killer, chosen), strict=True):
            survivors += test is None
            outcome = "SURVIVED" if test is None else "killed  "
            print(f"{outcome}  {mutant.name:42}  {test or ''}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} mutants killed")
    return 1 if survivors else 0


if __name__ == "__main__":
    raise SystemExit(main())
