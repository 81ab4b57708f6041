"""The commands that are not a run: plan, plugins, doctor, artifacts, report, rerun, runs,
new-plugin."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from preflab.console.plan import plan
from preflab.console.tables import show
from preflab.errors import PluginError, PreflabError, StorageError, UserError, nearest
from preflab.storage.durable import disk_error

if TYPE_CHECKING:
    from preflab.storage.artifacts import Store


def run(name: str, arguments: Sequence[str]) -> int:
    """Run a command by name, preflab's own or a plugin's; `UserError` with the nearest name if
    there is none."""
    if name in COMMANDS:
        if name in WITHOUT_PARSER and {"-h", "--help"} & set(arguments):
            print(f"preflab {' '.join((COMMANDS[name].__doc__ or '').split())}")
            return 0
        return COMMANDS[name](list(arguments))
    from preflab.composing.search_path import registry

    theirs = registry().commands()
    if name not in theirs:
        nearby = nearest(name, [*COMMANDS, *theirs])
        raise UserError(
            f"'{name}' is neither a command nor an override (KEY=VALUE). {nearby} "
            f"preflab --help shows everything.{registry().not_loaded()}"
        )
    function, plugin = theirs[name]
    try:
        code = function(list(arguments))
    except PreflabError:
        raise
    except Exception as error:
        if disk_error(error) or isinstance(error, BrokenPipeError):  # | head: see `cli.main`
            raise
        raise PluginError(
            f"{plugin.label} raised in its command {name}: {type(error).__name__}: {error}"
        ) from error
    if type(code) is not int:
        raise PluginError(
            f"{plugin.label} returned {code!r} from its command {name}, which must be an exit code "
            "(an int)"
        )
    return code


def plugins(arguments: list[str]) -> int:
    """plugins [show KIND NAME] [--json]: what is installed, what it provides, what is broken; or
    one component's options"""
    from rich.markup import escape
    from rich.table import Table

    from preflab.composing.search_path import registry
    from preflab.console import listing

    parser = argparse.ArgumentParser(prog="preflab plugins", description=plugins.__doc__)
    parser.add_argument("words", nargs="*", metavar="show KIND NAME")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(arguments)
    loaded = registry().plugins
    if options.words:
        if options.words[0] != "show" or len(options.words) != 3:
            raise UserError(
                "Give nothing, or: preflab plugins show KIND NAME (for example: show algorithm ppo)"
            )
        text, values = listing.shown(options.words[1], options.words[2], registry())
        print(json.dumps(values, indent=1) if options.json else text)
        return 0
    if options.json:
        print(json.dumps([listing.facts(p) for p in loaded], indent=1))
        return 0
    table = Table("plugin", "distribution", "provides", "status")
    for p in loaded:
        cells = (p.name, f"{p.distribution} {p.version}", listing.provided(p), p.problem or "ok")
        table.add_row(*map(escape, cells))  # a message may hold what rich takes for markup
    show(table)
    return 0


def doctor(arguments: list[str]) -> int:
    """doctor: the environment, versions, devices, and every broken plugin or shadowed name with
    what to do about it"""
    from preflab.composing.search_path import registry
    from preflab.console import listing

    argparse.ArgumentParser(prog="preflab doctor", description=doctor.__doc__).parse_args(arguments)
    for what, value in listing.environment():
        print(f"{what + ':':20}{value}")
    findings = listing.findings(registry())
    usable = sum(not p.problem for p in registry().plugins)
    print(
        f"\n{usable} plugins in use. "
        + (f"{len(findings)} finding(s):" if findings else "Nothing is wrong.")
    )
    for finding in findings:
        print(f"- {finding}")
    return 0


def artifacts(arguments: list[str]) -> int:
    """artifacts list|prune [--dir DIR] [--all]: what is kept, with sizes; prune removes what killed
    runs left half-made, with --all everything"""
    from preflab.storage.artifacts import Store

    parser = argparse.ArgumentParser(prog="preflab artifacts", description=artifacts.__doc__)
    parser.add_argument("action", choices=["list", "prune"])
    parser.add_argument(
        "--dir", type=Path, default=Path("artifacts"), help="of the artifacts (default: artifacts)"
    )
    parser.add_argument("--all", action="store_true", help="prune: remove complete artifacts too")
    options = parser.parse_args(arguments)
    store = Store(options.dir)
    if not options.dir.is_dir():
        raise UserError(
            f"There is no folder {options.dir}. Artifacts are in artifacts/ below the folder where "
            "a run was started, unless artifacts.dir says otherwise: give it with --dir."
        )
    if options.action == "list":
        _list(store)
    else:
        _prune(store, options.all)
    if (small := options.dir / "debug").is_dir():  # conf/debug/fast.yaml
        words = f"{options.action} --dir {small}"
        print(f"Those made with debug=fast are in {small}: preflab artifacts {words}")
    return 0


def _list(store: Store) -> None:
    from rich.table import Table

    from preflab.storage.artifacts import files_below

    table = Table("artifact", "component", "seed", "seconds", "MB", "made")
    for a in store.complete():
        m = a.manifest
        size = sum(f.stat().st_size for f in files_below(a.folder)) / 1e6
        cost, created = m["cost"]["seconds"], m["created"]
        cells = (a.folder.name, m["component"], m["seed"], cost, f"{size:.1f}", created)
        table.add_row(*map(str, cells))
    if table.row_count:
        show(table)
    else:
        print(f"There are no complete artifacts in {store.root}.")
    for problem in store.damaged().values():
        print(f"damaged: {problem}")


def _prune(store: Store, everything: bool) -> None:
    """Remove what is half-made, or everything; `UserError` for what is not preflab's, once the
    others are removed."""
    refused = []
    complete = [*(a.folder for a in store.complete()), *store.damaged()] if everything else []
    doomed = [*store.partial(), *complete]
    for folder in doomed:
        try:
            removed = store.remove(folder)
            print(f"removed {folder}" if removed else f"kept {folder}: a job is making it")
        except UserError as error:
            refused.append(str(error))
    if refused:
        raise UserError("\n".join(refused))
    if not doomed:
        print(f"There is nothing {'' if everything else 'half-made '}in {store.root}.")


def report(arguments: list[str]) -> int:
    """report RUN... [--out FILE]: the comparison of runs, as a table here and as one HTML page: in
    the folder, or for several comparison.html here"""
    parser = argparse.ArgumentParser(prog="preflab report", description=report.__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, help="the page; the same as Markdown is beside it")
    options = parser.parse_args(arguments)
    from preflab.console.launch import report_text
    from preflab.storage.run_folder import REPORT
    from preflab.storage.runs import folder_of

    folders = [folder if folder.is_dir() else folder_of(str(folder)) for folder in options.folders]
    # The page of one run is not replaced by a comparison with others.
    page = folders[0] / REPORT if len(folders) == 1 else Path("comparison.html")
    print(report_text(folders, options.out or page))
    return StorageError.exit_code if options.out and not options.out.is_file() else 0


def rerun(arguments: list[str]) -> int:
    """rerun RUN [OVERRIDES...]: the command of a run, or of a multirun, again, with more overrides
    if wanted"""
    from preflab.console.launch import launch
    from preflab.storage.run_folder import read_manifest
    from preflab.storage.runs import folder_of, is_multirun, multirun_of, no_run, runs_below

    if not arguments:
        raise UserError("rerun needs a run: preflab rerun runs/config/..., or its name.")
    word, *more = arguments
    run = folder_of(word)
    facts = read_manifest(run)
    whole = facts is None and is_multirun(run)
    if whole:
        facts = next((job.manifest for job in runs_below(run)), None)
    if facts is None:
        raise UserError(no_run(run))
    _take_over_flags(facts.get("plugin_flags") or {})
    where = facts.get("where") or {}  # an older version has none
    if whole:
        words = [str(word) for word in facts["command"][1:]]
    else:
        place = where.get("config_dir")
        words = ["-cd", place] if place else []
        overrides = [str(word) for word in facts["overrides"]]
        if multirun_of(run):  # whose name is not that of one job alone
            overrides = [word for word in overrides if not word.startswith("name=")]
        words += ["-cn", facts["config_name"], *overrides, "hydra.mode=RUN"]
    _go_to(where.get("cwd", ""))
    return launch([*words, *more])


def _go_to(folder: str) -> None:
    """Paths of a command mean the folder in which it was given."""
    if not folder or Path(folder) == Path.cwd():
        return
    if Path(folder).is_dir():
        print(f"preflab: in {folder}, where the command was given", file=sys.stderr)
        os.chdir(folder)
    else:
        print(
            f"preflab: {folder}, where the command was given, is not here: paths mean this folder",
            file=sys.stderr,
        )


def _take_over_flags(flags: dict[str, str]) -> None:
    """Plugins by name are limited as they were. A plugin in a file is code: a run folder, which
    may be somebody else's, must not choose it."""
    from preflab.door.discovery import FILES, FLAGS

    file = str(flags.get(FILES, ""))
    if file and os.environ.get(FILES) != file:
        words = " ".join(f"--plugin {path}" for path in file.split(os.pathsep))
        raise UserError(
            f"The run was started with {words}, which is code that a run folder cannot ask for: "
            "give it again."
        )
    os.environ.update({name: str(flags[name]) for name in FLAGS if name in flags})


def new_plugin(arguments: list[str]) -> int:
    """new-plugin NAME --kind KIND: a pip package to start from (algorithm, data, evaluator,
    gradient_term, reward_model, tracker)"""
    from preflab import scaffold

    parser = argparse.ArgumentParser(prog="preflab new-plugin", description=new_plugin.__doc__)
    parser.add_argument("name")
    parser.add_argument("--kind", required=True, metavar="KIND", help=", ".join(scaffold.kinds()))
    options = parser.parse_args(arguments)
    files = scaffold.write(options.name, options.kind, Path())
    for path in files:
        print(path)
    readme = (Path(options.name) / "README.md").read_text(encoding="utf8")
    commands = [line.strip() for line in readme.splitlines() if line.startswith("    ")][:3]
    print(
        f"\nIts README has three commands, to be given in {options.name}/:\n  "
        + "\n  ".join(commands)
    )
    return 0


def runs(arguments: list[str]) -> int:
    """runs [FOLDER] [--measures A,B] [--tag WORD] [--json] | compare RUN RUN... | export RUN TARGET
    | rm RUN: the runs that there are, how they differ, a copy that is whole, removal"""
    from preflab.console.runs import command

    return command(arguments, runs.__doc__ or "")


def chat(arguments: list[str]) -> int:
    """chat RUN [RUN...]: talk to models of finished runs, side by side, and see their rewards"""
    from preflab.console import chat as talking
    from preflab.storage.run_folder import read_manifest
    from preflab.storage.runs import folder_of

    parser = argparse.ArgumentParser(prog="preflab chat", description=chat.__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--role", default="", help="which model of each run (the newest)")
    parser.add_argument("--seed", type=int, default=1, help="of the sampling (default: 1)")
    parser.add_argument("--temperature", type=float, help="0 is greedy (default: the run's own)")
    options = parser.parse_args(arguments)
    folders = [folder_of(word) for word in options.runs]
    for manifest in filter(None, map(read_manifest, folders)):
        _take_over_flags(manifest.get("plugin_flags") or {})
    return talking.talk(folders, options.role, options.seed, options.temperature)


WITHOUT_PARSER = ("plan", "rerun")
"""Commands whose words are those of a run."""
COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "plan": plan,
    "plugins": plugins,
    "doctor": doctor,
    "artifacts": artifacts,
    "report": report,
    "rerun": rerun,
    "runs": runs,
    "new-plugin": new_plugin,
    "chat": chat,
}
