"""Remove each safeguard, one at a time, and see a test fail: part of ``make reliability``.

As ``tests/mutants.py`` breaks the arithmetic, this breaks what keeps a run safe; words on the
command line choose by name.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from mutants import main
from mutations import Mutant

FRAMEWORK, HERE = "framework/preflab", "tests/reliability"
DURABLE, CHECKPOINTS, ARTIFACTS, RUN_FOLDER = (
    f"{FRAMEWORK}/storage/{name}.py"
    for name in ("durable", "checkpoints", "artifacts", "run_folder")
)
LOOP, JOB = f"{FRAMEWORK}/engine/loop.py", f"{FRAMEWORK}/jobs/job.py"
BOUNDARIES, DISKS, DAMAGED = (
    f"{HERE}/test_{name}.py" for name in ("write_boundaries", "full_disks", "damaged_files")
)
PINNED, SIGNALS, SWEEPS = (
    f"{HERE}/test_{name}.py" for name in ("pinned_inputs", "signals", "sweeps")
)
SAVES = f"{BOUNDARIES}::test_a_checkpoint_is_the_old_one_or_the_new_one"
COMMITS = f"{BOUNDARIES}::test_an_artifact_is_the_old_one_or_the_new_one"
STAGES = f"{BOUNDARIES}::test_a_stage_resumes_after_a_disaster_at_some_boundaries"
# The sync of files next to a checkpoint is not on the list: a loss is noticed by its digest.
LOOPS = "tests/framework/engine/test_loop.py"

SAFEGUARDS = (
    # rename, and the order of what is made durable
    Mutant("atomic rename: checkpoints are written in place", CHECKPOINTS, 'root / f"tmp-{step:09d}-{os.getpid()}"', 'root / f"step-{step:09d}"', SAVES),
    Mutant("atomic rename: JSON is written in place", DURABLE, "        write_bytes(temporary, data)\n        os.replace(temporary, path)\n", "        write_bytes(path, data)\n", f"{BOUNDARIES}::test_a_json_file_is_the_old_one_or_the_new_one"),
    Mutant("fsync order: contents are not durable before their name", DURABLE, "        os.fsync(stream.fileno())\n", "        pass\n", SAVES),
    Mutant("fsync order: the manifest's name is not durable before the folder's", DURABLE, "    fsync(path.parent)\n\n\ndef write_sealed", "\n\ndef write_sealed", COMMITS),
    Mutant("fsync order: an artifact's files are not durable", ARTIFACTS, "        sync_below(partial, without=STATE)\n", "", COMMITS),
    Mutant("delete before the new one is durable: checkpoints", CHECKPOINTS, "    temporary.mkdir()\n", "    temporary.mkdir()\n    for old in sorted(root.glob('step-*'))[:-1]:\n        shutil.rmtree(old)\n", DISKS),
    Mutant("delete before the new one is there: an artifact", DURABLE, "        os.rename(final, aside)\n", "        shutil.rmtree(final)\n", COMMITS),
    Mutant("old checkpoints are removed under their name", CHECKPOINTS, '        os.rename(old, root / f"tmp-{old.name}")', "        shutil.rmtree(old)", SAVES),
    Mutant("checkpoints go before the artifact is there", ARTIFACTS, "        made = [p for p in files_below(partial)", "        shutil.rmtree(partial / STATE, ignore_errors=True)\n        made = [p for p in files_below(partial)", DISKS),
    Mutant("what a kill left stays", CHECKPOINTS, "        shutil.rmtree(leftover, ignore_errors=True)\n", "        pass\n", SAVES),
    Mutant("half-written files of a killed run stay in the artifact", ARTIFACTS, 'for leftover in partial.rglob(".*.tmp"):', "for leftover in ():", STAGES),
    # restoring
    Mutant("random state is not restored", LOOP, '        self.streams.load_state_dict(state["streams"])\n', "", LOOPS),
    Mutant("rows of steps done again stay", LOOP, "                os.truncate(path, files[name][0])\n", "                pass\n", LOOPS),
    Mutant("digests of checkpoints are not looked at", CHECKPOINTS, 'if hashlib.sha256(data).hexdigest() != manifest["files"][name]:', "if False:", DAMAGED),
    Mutant("the manifest's own digest is not looked at", DURABLE, "    if not whole:\n", "    if False:\n", DAMAGED),
    Mutant("digests of artifacts are not looked at", ARTIFACTS, "if not path.is_file() or file_digest(path) != digest:", "if not path.is_file():", DAMAGED),
    Mutant("files next to a checkpoint are not looked at", LOOP, '                self.together(partial(self._check_files, facts["files"]))\n', "", DAMAGED),
    Mutant("no falling back to the checkpoint before", LOOP, "                problems.append(str(error))\n                continue\n", "                raise\n", f"{LOOPS} {DAMAGED}"),
    Mutant("reference pin", LOOP, "for name in (n for n in names if pins.get(n) != self.pins.get(n)):", "for name in ():", PINNED),
    Mutant("other threads are not reported", LOOP, '        if different := differences(then, self.circumstances):\n', "        if different := None:\n", PINNED),
    # guards
    Mutant("NaN guard of the gradient", f"{FRAMEWORK}/optimization.py", "        if not math.isfinite(norm):\n", "        if False:\n", f"{HERE}/test_numeric_guard.py"),
    Mutant("NaN guard of the loop", LOOP, "        if bad:\n", "        if False:\n", LOOPS),
    Mutant("lock", ARTIFACTS, "                lock.acquire(timeout=timeout)\n                return\n", "                return\n", "tests/framework/storage/test_artifacts.py"),
    # disks, signals, sweeps
    Mutant("refusals of the disk are not understood", DURABLE, "        return error if error.errno in DISK_ERRORS else None\n", "        return None\n", DISKS),
    Mutant("no look at the free room", LOOP, "        if needed > free(self.folder) + held:\n", "        if False:\n", DISKS),
    Mutant("no limit for a save that hangs", DURABLE, "    timer.start()\n    try:\n", "    try:\n", SIGNALS),
    Mutant("SIGTERM ends a run without a checkpoint", LOOP, "                if signum:\n                    self._save(step)\n", "                if signum:\n", f"{LOOPS} {SIGNALS}"),
    Mutant("a second signal waits as well", f"{FRAMEWORK}/signals.py", "                os._exit(128 + signum)\n", "                pass\n", SIGNALS),
    Mutant("a sweep does not pass signals on", JOB, "        os.kill(child, signum)\n", "        pass\n", SWEEPS),
    Mutant("an early exit 0 passes for success", JOB, "    if code == 0 and not is_complete(folder):\n", "    if False:\n", SWEEPS),
    Mutant("jobs that did not start are not reported", JOB, "    for number, folder in enumerate(where.jobs, first_job):\n", "    for number, folder in enumerate([]):\n", SWEEPS),
    Mutant("two jobs take one GPU", f"{FRAMEWORK}/jobs/gpus.py", "                    lock.acquire(timeout=0)\n", "", "tests/framework/jobs/test_gpus.py"),
    Mutant("every process refreshes a server, and samples meanwhile", f"{FRAMEWORK}/engine/sharing.py", "            if first:\n", "            if True:\n", "tests/framework/engine/test_sharing.py"),
    Mutant("run folders may be shared", RUN_FOLDER, "folder.mkdir(parents=True, exist_ok=False)", "folder.mkdir(parents=True, exist_ok=True)", SWEEPS),
)  # fmt: skip

if __name__ == "__main__":
    raise SystemExit(main(SAFEGUARDS))
