"""What `mutants.py` breaks, row by row: a mutant, and the paths that many rows name."""

from __future__ import annotations

from dataclasses import dataclass

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
WELFARE, HEADS, REPORTING, AGREEMENT, CONDITIONED, VARIANCE = (
    f"{PLUGINS}/groups/{module}.py"
    for module in ("welfare", "heads", "reporting", "agreement", "conditioned", "mean_variance")
)
SAMPLER, SAID = f"{PLUGINS}/on_policy/sampler.py", f"{TESTS}/on_policy/test_sampler.py"
VLLM, VERSIONS = (
    "plugins/preflab-vllm/src/preflab_vllm/engine.py",
    f"{PLUGINS}/causal_lm/versions.py",
)
MISTAKES = "tests/conformance/test_public_mistakes.py"
CAUSAL_LM, FAST = f"{PLUGINS}/causal_lm", f"{PLUGINS}/causal_lm/fast"
LIKELIHOOD, BLOCKS = "framework/preflab/likelihood.py", f"{TESTS}/causal_lm/fast/test_blocks.py"
ARITHMETIC, CARRIED = "tests/framework/test_functional.py", f"{TESTS}/ppo/test_carried_state.py"

SEARCHING, SWEEPING = (
    f"framework/preflab/{name}.py" for name in ("jobs/searching", "composing/sweeping")
)
SEARCHED, SWEPT = (
    f"tests/framework/{name}.py" for name in ("jobs/test_searching", "composing/test_sweeping")
)


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
