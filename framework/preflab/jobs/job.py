"""One job: a run folder, a manifest, the stages, a summary; in a multirun a child process each, and a ledger line."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from preflab.composing.composition import registry
from preflab.door.discovery import FLAGS
from preflab.engine.loop import observer
from preflab.engine.stages import Made, Stages
from preflab.errors import PreflabError, StorageError
from preflab.jobs import processes as ranks
from preflab.planning.choosing import inspect
from preflab.planning.reading import read
from preflab.planning.run import Run
from preflab.runtime import is_main, world_size
from preflab.signals import Stopped, StopRequest, handling
from preflab.storage.durable import disk_error, fsync, write_json, writing
from preflab.version import __version__

LEDGER = "ledger.jsonl"
ERROR = "error.txt"
REJECTED = "rejected.txt"
UNFINISHED = "ended with exit code 0 before it had finished"
_LIBRARIES = ("torch", "transformers", "accelerate", "hydra-core", "omegaconf", "numpy", "scipy")


def task(config: DictConfig) -> int:
    """What Hydra runs for every job; returns the job's exit code."""
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    overrides = list(hydra.overrides.task)
    name = str(hydra.job.config_name)
    work = partial(_in_processes, config, folder, overrides, name)
    if hydra.mode != RunMode.MULTIRUN:
        work()
        return 0
    started = time.monotonic()
    code, error, stopped = _in_child(work, folder / ERROR)
    if code == 0 and not _complete(folder):
        code, error = 1, UNFINISHED
    line = {
        "job": hydra.job.num,
        "overrides": overrides,
        "arm": config.get("arm", ""),
        "exit_code": code,
        "error": error,
    }
    line |= {
        "status": "ok" if code == 0 else "failed",
        "folder": folder.name,
        "seconds": round(time.monotonic() - started, 1),
    }
    line["log"] = (
        f"{folder.name}/{ERROR}"
        if (folder / ERROR).is_file() and (folder / ERROR).stat().st_size
        else ""
    )
    _append(folder.parent / LEDGER, line)
    if stopped:
        raise Stopped(stopped)
    return code


def missing_lines(folder: Path, jobs: Sequence[Sequence[str]]) -> None:
    """A line in the ledger for every job that has none, because the multirun ended before it began."""
    told = {row["job"] for row in ledger(folder)}
    for number in sorted(set(range(len(jobs))) - told):
        line = {
            "job": number,
            "overrides": list(jobs[number]),
            "arm": "",
            "exit_code": 1,
            "status": "not started",
        }
        line |= {
            "error": "the multirun ended before it",
            "folder": str(number),
            "seconds": 0.0,
            "log": "",
        }
        _append(folder / LEDGER, line)


def ledger(folder: Path) -> list[dict[str, Any]]:
    """Lines of a multirun's ledger, less those that a full disk cut: their jobs count as failed."""
    found = []
    for line in (folder / LEDGER).read_bytes().splitlines() if (folder / LEDGER).exists() else ():
        with contextlib.suppress(ValueError):
            found.append(dict(json.loads(line)))
    return found


def _complete(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / "manifest.json").read_bytes())["status"] == "complete")
    except (OSError, ValueError, KeyError):
        return False


def _in_processes(
    config: DictConfig, folder: Path, overrides: Sequence[str], config_name: str
) -> None:
    """Run a job here, or in as many processes as it asks for."""
    wanted = int(config.runtime.processes)
    if wanted == 1 or world_size() > 1:
        execute(config, folder, overrides, config_name)
        return
    job = {
        "config": OmegaConf.to_container(config, resolve=True),
        "folder": str(folder),
        "overrides": list(overrides),
    }
    code = ranks.start(
        wanted,
        [
            sys.executable,
            "-m",
            "preflab.jobs.processes",
            json.dumps({**job, "config_name": config_name}),
        ],
    )
    if code:
        raise SystemExit(code)  # process 0 has said why
    if not _complete(folder):
        raise PreflabError(f"{folder}: its processes {UNFINISHED}")


def execute(
    config: DictConfig, folder: Path, overrides: Sequence[str], config_name: str
) -> dict[str, Any]:
    """Run one composed config in this process; its summary. Errors are reported to observers and raised. Of several
    processes that run the same job, only process 0 writes to the folder."""
    plugins = registry()
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    this = read(plain, plugins)
    observe = observer(plugins.observe, is_main())
    versions = {
        "preflab": __version__,
        "python": platform.python_version(),
        **{n: _version(n) for n in _LIBRARIES},
    }
    stages = Stages(this, observe, versions)
    made = stages.made
    facts = {
        "run": folder.name,
        "config_name": config_name,
        "overrides": list(overrides),
        "seed": this.settings.seed,
    }
    facts |= {
        "arm": this.settings.arm,
        "versions": versions,
        "git": _git(),
        "host": platform.node(),
        "command": sys.argv,
    }
    facts["plugin_flags"] = {name: os.environ[name] for name in FLAGS if name in os.environ}
    facts["plugins"] = {
        p.name: f"{p.distribution} {p.version}" for p in plugins.plugins if not p.problem
    }
    _write_manifest(folder, facts, made, "running")
    _write_rejected(folder, this)
    observe(
        "preflab_run_started", folder=folder, config=plain, stages=[s.name for s in this.stages]
    )
    try:
        with StopRequest(at_once=True).listening(), writing("the run", folder):
            stages.make_all()
            summary = _summary(facts, made, stages)
            stages.close()
            if is_main():
                write_json(folder / "summary.json", summary)
                _link_artifacts(folder, made)
            _write_manifest(folder, facts, made, "complete")
    except BaseException as error:
        status = "stopped" if isinstance(error, (Stopped, KeyboardInterrupt)) else "failed"
        with contextlib.suppress(
            OSError
        ):  # a full disk is the error to be told, not that it cannot be noted there
            _write_manifest(folder, facts, made, status)
        observe("preflab_run_failed", folder=folder, error=error)
        raise
    observe("preflab_run_finished", folder=folder, summary=summary)
    return summary


def _write_manifest(
    folder: Path, facts: Mapping[str, Any], made: Sequence[Made], status: str
) -> None:
    if not is_main():
        return
    rows = []
    for item in made:
        row = {
            "stage": item.stage.name,
            "name": item.stage.choice.name,
            "recipe": item.stage.recipe_id,
            "seed": item.stage.seed,
        }
        row |= {
            "artifact": str(item.artifact.folder.resolve()),
            "reused": item.reused,
            "seconds": round(item.seconds, 2),
        }
        row["cost"] = item.artifact.manifest.get("cost", {})
        rows.append(row)
    write_json(folder / "manifest.json", {**facts, "status": status, "stages": rows})


def _write_rejected(folder: Path, this: Run) -> None:
    """The rows that the data sources left out, one a line: record type, file:line, field, reason."""
    lines = []
    for record_type in this.counts():
        found = inspect(this.source(record_type)).rejected.get(record_type, ())
        lines += [f"{record_type} {line}" for line in found]
    if lines and is_main():
        (folder / REJECTED).write_text(
            "".join(f"{line}\n" for line in lines), encoding="utf8", errors="backslashreplace"
        )


def _summary(facts: Mapping[str, Any], made: Sequence[Made], stages: Stages) -> dict[str, Any]:
    """The run in one file: what was made, and what the evaluation found."""
    summary: dict[str, Any] = {
        key: facts[key] for key in ("run", "config_name", "overrides", "seed", "arm")
    }
    summary["computed"] = [m.stage.name for m in made if not m.reused]
    summary["reused"] = [m.stage.name for m in made if m.reused]
    summary["records"] = {}
    for item in made:  # a stage that was reused tells what was counted when it was made
        summary["records"] |= item.artifact.manifest.get("records", {})
    summary["records"] |= stages.record_counts()
    summary["accounting"] = {m.stage.name: m.artifact.manifest.get("accounting", {}) for m in made}
    evaluation = next(
        (m.artifact.folder / "evaluation.json" for m in made if m.stage.name == "evaluation"), None
    )
    if evaluation is not None and evaluation.is_file():
        summary["evaluation"] = json.loads(evaluation.read_text(encoding="utf8"))
    return summary


def _link_artifacts(folder: Path, made: Sequence[Made]) -> None:
    links = folder / "artifacts"
    links.mkdir(exist_ok=True)
    for item in made:
        link = links / item.stage.name
        link.unlink(missing_ok=True)
        link.symlink_to(
            os.path.relpath(item.artifact.folder.resolve(), links.resolve()),
            target_is_directory=True,
        )


def _in_child(work: Callable[[], object], error_file: Path) -> tuple[int, str, int]:
    """Do a job's work in a forked child, so that nothing it does can end the others; (exit code, last line of what went
    wrong, signal that asked this process to stop)."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            error_file.parent.mkdir(parents=True, exist_ok=True)
            with error_file.open("w", encoding="utf8") as stream:
                faulthandler.enable(stream)  # where a crash in native code came from
                work()
                faulthandler.disable()
            code = 0
        except BaseException as error:
            code = exit_code(error)
            report(error, error_file)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    asked = [0]

    def pass_on(signum: int, frame: FrameType | None) -> None:
        asked[0] = signum
        os.kill(
            child, signum
        )  # it saves a checkpoint and ends; from a terminal it has the signal already

    with handling(pass_on):
        _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return 128 - code, f"killed by {signal.Signals(-code).name}", asked[0]
    text = error_file.read_text(encoding="utf8").strip().splitlines() if error_file.exists() else []
    return (
        code,
        text[-1] if code and text else ("" if code == 0 else f"ended with exit code {code}"),
        asked[0],
    )


def exit_code(error: BaseException) -> int:
    """The exit code of an error, as documented in framework/README.md."""
    if isinstance(error, (PreflabError, Stopped)):
        return error.exit_code
    if disk_error(error):
        return StorageError.exit_code
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    return 1


def report(error: BaseException, log: Path | None = None) -> None:
    """Tell a person: one message for what they can mend, a traceback for what they cannot."""
    if isinstance(error, SystemExit):
        return  # whoever raised it has said why
    if isinstance(error, (Stopped, KeyboardInterrupt)):
        text = "preflab: stopped; give the same command again to go on"
    elif isinstance(error, PreflabError):
        text = f"preflab: {error}"
    elif refusal := disk_error(error):
        text = f"preflab: the disk refused: {refusal.strerror}: {refusal.filename}"
    else:
        text = "".join(traceback.format_exception(error)).rstrip()
    print(text, file=sys.stderr)
    if log is not None and log.parent.is_dir():
        with contextlib.suppress(OSError):
            log.write_text(text + "\n", encoding="utf8")


def _append(path: Path, line: Mapping[str, Any]) -> None:
    """One line, in one write, durable: parallel jobs share the file. A disk that refuses it does not stop the other jobs: a
    job without a line counts as failed."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(handle).st_size
            whole = (
                not size or os.pread(handle, 1, size - 1) == b"\n"
            )  # else a line before was cut: it gets an end
            data = memoryview((b"" if whole else b"\n") + json.dumps(line).encode() + b"\n")
            while data:
                data = data[os.write(handle, data) :]
        finally:
            os.close(handle)
        fsync(path)
    except OSError as error:
        print(
            f"preflab: {path}: {error.strerror}: it lacks the line {json.dumps(line)}",
            file=sys.stderr,
        )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _git() -> str:
    """Commit of the working directory, with a + if it was edited; "" outside a repository."""
    try:
        options: dict[str, Any] = {
            "capture_output": True,
            "text": True,
            "timeout": 5,
            "check": True,
        }
        commit = str(subprocess.run(["git", "rev-parse", "HEAD"], **options).stdout).strip()
        dirty = subprocess.run(["git", "status", "--porcelain", "-uno"], **options).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit + ("+" if dirty else "")


def quiet_libraries() -> None:
    """Keep libraries from printing over the progress bar; nothing of ours is silenced."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
