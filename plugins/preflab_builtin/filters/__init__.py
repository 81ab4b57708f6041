"""Data preparation, InstructGPT section 3.2 and appendix A: splits by user, deduplication, caps,
privacy, length; and texts that are dropped or marked by a score."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The filters, and a transform."""
    from preflab_builtin.filters import config as c
    from preflab_builtin.filters import judged_config as j

    here = "preflab_builtin.filters"
    return [
        Component("filter", "split_by_user", c.SplitByUserConfig, f"{here}.splits:by_user"),
        Component("filter", "split_by_group", c.SplitByGroupConfig, f"{here}.splits:by_group"),
        Component("filter", "split_by_prompt", c.SplitByPromptConfig, f"{here}.splits:by_prompt"),
        Component("filter", "deduplicate", c.DeduplicateConfig, f"{here}.repetition:Deduplicate"),
        Component("filter", "cap_per_user", c.CapConfig, f"{here}.repetition:CapPerUser"),
        Component(
            "filter",
            "drop_private",
            c.PrivateConfig,
            f"{here}.privacy:DropPrivate",
            inspect=f"{here}.privacy:inspect",
        ),
        Component("filter", "length", c.LengthConfig, f"{here}.size:Length"),
        Component(
            "filter",
            "score",
            j.ScoreFilterConfig,
            f"{here}.judged:score",
            nested={"scorer": "reward_model"},
        ),
        Component(
            "filter",
            "likelihood",
            j.LikelihoodFilterConfig,
            f"{here}.likelihood:likelihood",
            inspect=f"{here}.likelihood:inspect",
        ),
        Component("filter", "chance", j.ChanceConfig, f"{here}.judged:chance"),
        Component(
            "transform",
            "control_tokens",
            j.ControlTokensConfig,
            f"{here}.judged:ControlTokens",
            nested={"scorer": "reward_model"},
        ),
    ]
