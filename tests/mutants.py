"""Break the arithmetic in one place at a time and see the tests go red: ``make mutants``.

Each mutant is made in a copy of the tree, never in the checkout. It is killed if the tests named beside it fail. The script
ends with 1 if one survives, or if its text no longer stands in the code exactly once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("framework", "plugins", "conf", "sweeps", "tests", "pyproject.toml", "README.md")
FUNCTIONAL, OPTIMIZATION = "framework/preflab/functional.py", "framework/preflab/optimization.py"
PLUGINS, TESTS = "plugins/preflab_builtin", "tests/plugins"


@dataclass(frozen=True)
class Mutant:
    """One thing that is wrong. old stands in the file exactly once; tests: what must fail, from the repository's root."""

    name: str
    file: str
    old: str
    new: str
    tests: str


MUTANTS = (
    # rewards and advantages
    Mutant("sign of the KL", FUNCTIONAL, "-coef * log_ratio, torch", "coef * log_ratio, torch", "tests/framework/test_functional.py"),
    Mutant("score one slot late", FUNCTIONAL, "last = mask.sum(-1) - 1", "last = (mask.sum(-1)).clamp_max(mask.shape[1] - 1)", "tests/framework/test_functional.py"),
    Mutant("KL on padding", FUNCTIONAL, "rewards = torch.where(mask, -coef * log_ratio, torch.zeros((), dtype=log_ratio.dtype, device=log_ratio.device))", "rewards = -coef * log_ratio", "tests/framework/test_functional.py"),
    Mutant("lambda forgotten", FUNCTIONAL, "deltas[:, t] + gamma * lam * running", "deltas[:, t] + gamma * running", "tests/framework/test_functional.py"),
    Mutant("gamma forgotten", FUNCTIONAL, "rewards + gamma * following - values", "rewards + following - values", "tests/framework/test_functional.py"),
    Mutant("advantages of padding", FUNCTIONAL, "deltas = torch.where(mask, rewards + gamma * following - values, zero)", "deltas = rewards + gamma * following - values - 0.1", "tests/framework/test_functional.py"),
    Mutant("whitening over padding", FUNCTIONAL, "    count = reduce(mask.sum())\n    mean", "    count = reduce(torch.tensor(float(mask.numel())))\n    mean", "tests/framework/test_functional.py"),
    Mutant("sample variance", FUNCTIONAL, "variance = reduce(masked_sum((values - mean) ** 2, mask)) / count", "variance = reduce(masked_sum((values - mean) ** 2, mask)) / (count - 1)", "tests/framework/test_functional.py"),
    Mutant("log-probs without temperature", FUNCTIONAL, "logits.float() if temperature == 1.0 else logits.float() / temperature", "logits.float()", "tests/framework/test_functional.py"),
    # PPO
    Mutant("clip on the wrong side", f"{PLUGINS}/ppo/loss.py", "masked_sum(torch.maximum(plain, clipped), mask), *watched", "masked_sum(torch.minimum(plain, clipped), mask), *watched", f"{TESTS}/ppo"),
    Mutant("value clip on the wrong side", f"{PLUGINS}/ppo/loss.py", "0.5 * masked_sum(torch.maximum(plain, clipped), mask)", "0.5 * masked_sum(torch.minimum(plain, clipped), mask)", f"{TESTS}/ppo"),
    Mutant("adaptive KL backwards", f"{PLUGINS}/ppo/loss.py", "kl / target - 1))", "1 - kl / target))", f"{TESTS}/ppo"),
    Mutant("mean of means", f"{PLUGINS}/ppo/training.py", "(found.loss + loss) / tokens)", "(found.loss + loss) / mask.sum())", f"{TESTS}/ppo"),
    Mutant("hidden states one token late", f"{PLUGINS}/ppo/experience.py", "first = rows.prompt_ids.shape[1] - 1", "first = rows.prompt_ids.shape[1]", f"{TESTS}/ppo"),
    Mutant("value offset forgotten", f"{PLUGINS}/ppo/training.py", "value.values(response_hidden(value, batch)) - value.offset", "value.values(response_hidden(value, batch))", f"{TESTS}/ppo"),
    Mutant("whitening keeps the mean", f"{PLUGINS}/ppo/experience.py", "advantages = whiten(advantages, mask)", "advantages = whiten(advantages, mask, shift_mean=False)", f"{TESTS}/ppo"),
    Mutant("prompt order starts over", f"{PLUGINS}/ppo/training.py", "draw_order(len(self.prompts), index * batch, batch", "draw_order(len(self.prompts), 0, batch", f"{TESTS}/ppo"),
    Mutant("minibatches alike in all epochs", f"{PLUGINS}/ppo/training.py", '"ppo", "minibatches", index, epoch)', '"ppo", "minibatches", index)', f"{TESTS}/ppo"),
    Mutant("schedule moves an optimizer step", f"{PLUGINS}/ppo/training.py", "self.optimization.step(index) |", "self.optimization.step(self.updates) |", f"{TESTS}/ppo"),
    Mutant("average the wrong way round", f"{PLUGINS}/ppo/training.py", "lerp_(weight, 1 - self.config.ema)", "lerp_(weight, self.config.ema)", f"{TESTS}/ppo"),
    Mutant("first ratio not looked at", f"{PLUGINS}/ppo/training.py", "max(self.runtime.gather([worst])) > RATIO_TOLERANCE", "False", f"{TESTS}/ppo"),
    Mutant("KL coefficient lost on resume", f"{PLUGINS}/ppo/training.py", 'self.kl_coef, self.updates = float(state["kl_coef"]), int(state["updates"])', 'self.updates = int(state["updates"])', f"{TESTS}/ppo"),
    Mutant("reference re-captured on resume", f"{PLUGINS}/ppo/training.py", '        self.policy.module.load_state_dict(state["policy"])\n', '        self.policy.module.load_state_dict(state["policy"])\n        if self.networks.reference is not None:\n            self.networks.reference.module.load_state_dict(state["policy"])\n', f"{TESTS}/ppo"),
    # ptx and the optimizer
    Mutant("ptx coefficient squared", f"{PLUGINS}/ptx/term.py", "self.config.coef / denominator * nll", "self.config.coef**2 / denominator * nll", f"{TESTS}/ptx"),
    Mutant("ptx averages micro-batches", f"{PLUGINS}/ptx/term.py", "self.config.coef / denominator * nll", "self.config.coef / targets_in(len(group), self.config.window) * nll", f"{TESTS}/ptx"),
    Mutant("ptx reads the same windows again", f"{PLUGINS}/ptx/term.py", "        self.drawn += count\n", "", f"{TESTS}/ptx"),
    Mutant("a term replaces the gradient", OPTIMIZATION, "parameter.grad = b if a is None else a if b is None else a.add_(b)", "parameter.grad = b", f"{TESTS}/ptx"),
    Mutant("gradient of one process only", OPTIMIZATION, "        if not self._is_summed:\n            self.runtime.sum_gradients(self.parameters)\n", "", f"{TESTS}/ppo/test_two_processes.py"),
    # reward model
    Mutant("K-wise: sum over pairs", f"{PLUGINS}/reward_model/loss.py", "-logsigmoid(rewards[better] - rewards[worse]).mean()", "-logsigmoid(rewards[better] - rewards[worse]).sum()", f"{TESTS}/reward_model"),
    Mutant("K-wise: worse beats better", f"{PLUGINS}/reward_model/loss.py", "-logsigmoid(rewards[better] - rewards[worse]).mean()", "-logsigmoid(rewards[worse] - rewards[better]).mean()", f"{TESTS}/reward_model"),
    Mutant("K-wise: sum over prompts", f"{PLUGINS}/reward_model/training.py", "torch.stack(losses).sum() / len(batch)", "torch.stack(losses).sum()", f"{TESTS}/reward_model"),
    Mutant("score read at the last slot", f"{PLUGINS}/reward_model/scoring.py", "last = rows.prompt_ids.shape[1] + rows.response_lengths - 1", "last = torch.full_like(rows.response_lengths, rows.input_ids.shape[1] - 1)", f"{TESTS}/reward_model"),
    Mutant("offset added", f"{PLUGINS}/reward_model/scoring.py", "- self.network.offset", "+ self.network.offset", f"{TESTS}/reward_model"),
    # models, sampling, SFT
    Mutant("position ids dropped", f"{PLUGINS}/causal_lm/models.py", '"attention_mask": causal_mask(mask), "position_ids": positions_of(mask)}', '"attention_mask": causal_mask(mask)}', f"{TESTS}/causal_lm/test_models.py"),
    Mutant("positions stand still in decoding", f"{PLUGINS}/causal_lm/models.py", "cache.positions + 1, cache.padded", "cache.positions, cache.padded", f"{TESTS}/rollouts {TESTS}/causal_lm/test_models.py"),
    Mutant("sampling without temperature", f"{PLUGINS}/rollouts/sampling.py", "(logits.double() / temperature)", "logits.double()", f"{TESTS}/rollouts"),
    Mutant("top-k in rollouts", f"{PLUGINS}/rollouts/sampling.py", "    cumulative = (logits.double()", "    logits = logits.masked_fill(logits < logits.topk(2).values[:, -1:], float('-inf'))\n    cumulative = (logits.double()", f"{TESTS}/rollouts"),
    Mutant("noise of the batch, not of the row", f"{PLUGINS}/rollouts/native.py", "[sampling.first_row + number for number in numbers]", "list(range(len(numbers)))", f"{TESTS}/rollouts"),
    Mutant("loss on the prompt too", f"{PLUGINS}/sft/batches.py", "start = max(1, len(prompt)) if loss_on is LossOn.completion else 1", "start = 1", f"{TESTS}/sft/test_training.py"),
    Mutant("end token without loss", f"{PLUGINS}/causal_lm/losses.py", "(slots < lengths[:, None])", "(slots < lengths[:, None] - 1)", f"{TESTS}/sft/test_training.py {TESTS}/causal_lm/test_losses.py"),
    # evaluation
    Mutant("ties are defeats", f"{PLUGINS}/evaluation/judges.py", "[0.5 if a == b else float(a > b)", "[float(a > b)", f"{TESTS}/evaluation"),
    Mutant("best-of-n takes the worst", f"{PLUGINS}/baselines/best_of_n.py", ".argmax(1)", ".argmin(1)", f"{TESTS}/baselines"),
)  # fmt: skip


def main() -> int:
    """Try all of them, or those whose names hold a word of the command line."""
    chosen = [m for m in MUTANTS if len(sys.argv) < 2 or any(word in m.name for word in sys.argv[1:])]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, Path(folder) / name)
        for mutant in chosen:
            killer = attempt(mutant, Path(folder))
            wrong += killer is None
            print(f"{'SURVIVED' if killer is None else 'killed  '}  {mutant.name:36}  {killer or ''}", flush=True)
    print(f"{len(chosen) - wrong} of {len(chosen)} mutants killed")
    return 1 if wrong else 0


def attempt(mutant: Mutant, tree: Path) -> str | None:
    """The first test that fails, None if none does."""
    path = tree / mutant.file
    text = path.read_text(encoding="utf8")
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.name}: its text stands {text.count(mutant.old)} times in {mutant.file}, not once")
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf8")
    paths = os.pathsep.join(str(tree / name) for name in ("framework", "plugins", "tests"))
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *mutant.tests.split()]
    try:
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    finally:
        path.write_text(text, encoding="utf8")
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].split(" - ")[0].removeprefix("FAILED ") if done.returncode == 1 and failed else None


if __name__ == "__main__":
    raise SystemExit(main())
