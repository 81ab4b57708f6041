"""The tests of the fast paths are left out where these are switched off."""

from __future__ import annotations

import os

collect_ignore = ["fast"] if os.environ.get("PREFLAB_FAST_PATHS") == "off" else []
