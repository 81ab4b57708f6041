"""Where plugins in single files are imported: FILE of ``--plugin FILE`` is the module
``preflab.door.plugin_files.STEM``.

A module of a package that exists can be found by every process that is given something of it, in
whatever order: a launcher (joblib, submitit) pickles configs, and with them the files' config
classes, for workers that have imported nothing yet.
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "PREFLAB_PLUGIN_FILES"
"""Environment variable with the files' paths; workers inherit it."""

__path__ = [
    str(Path(file).parent)
    for file in os.environ.get(VARIABLE, "").split(os.pathsep)
    if file.strip()
]
