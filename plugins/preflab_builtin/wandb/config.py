"""Options of the tracker ``wandb``."""

from __future__ import annotations

import netrc
import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from preflab import Inspection, UserError, option
from preflab.tracking import TrackerConfig, require


class Mode(Enum):
    """Where wandb keeps a run."""

    offline = "offline"
    online = "online"


@dataclass
class WandbConfig(TrackerConfig):
    """A run in Weights & Biases (extra ``wandb``)."""

    name: str = option("wandb", "component")
    project: str = option("preflab", "project that the run belongs to", affects_result=False)
    entity: str = option("", "user or team; empty: wandb's default", affects_result=False)
    group: str = option(
        "", "group that the run belongs to; empty: the run's arm", affects_result=False
    )
    tags: list[str] = option(factory=list, doc="tags of the run", affects_result=False)
    mode: Mode = option(
        Mode.offline,
        "offline: into the folder wandb of the run's folder, and nothing leaves this machine until "
        "you give wandb sync; online: to the server while the run goes on",
        affects_result=False,
    )


def inspect(config: WandbConfig) -> Inspection:
    """`UserError` if wandb is not installed, or if it would have to ask for a key."""
    require("wandb", "wandb", "wandb")
    if config.mode is Mode.online and not logged_in():
        raise UserError(
            "tracker 'wandb' is online, but this machine is not logged in to wandb. Give 'wandb "
            "login' first (or set WANDB_API_KEY), or choose offline (trackers.wandb.mode=offline)."
        )
    return Inspection()


def logged_in() -> bool:
    """Whether wandb finds a key: in the environment, or in the file where wandb login writes it."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    url = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    host = url.partition("://")[2].partition("/")[0]
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
