"""``preflab label RUN``: make a round, or go on with it, and serve its pages."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab.errors import UserError, nearest
from preflab.storage.runs import composed
from preflab_people.commands.making import Asked, make, what
from preflab_people.commands.parsing import (
    COMMANDS,
    Parser,
    count,
    file,
    given,
    port,
    read_text,
    share,
)
from preflab_people.commands.showing import plan_line
from preflab_people.config import FIRST_ROUND
from preflab_people.judgments import TASK_KINDS, TaskKind
from preflab_people.opening import need_extra, open_store
from preflab_people.rounds import Round, folder_of, known, read_round, write_round
from preflab_people.sources import manifest_of
from preflab_people.waiting import counted, go_on

if TYPE_CHECKING:
    from preflab_people.server.settings import ServerSettings
    from preflab_people.store import Store

ROUND_OPTIONS = (
    *(
        "overlap",
        "labels",
        "tasks",
        "database",
        "flags",
        "likert",
        "gold",
        "gold_share",
        "retest_share",
    ),
    *("cut", "language", "pairs", "baseline"),
)
"""What is fixed when a round is made."""
DEFAULTS: dict[str, Any] = {
    "overlap": 0.2,
    "labels": 2,
    "gold_share": 0.05,
    "retest_share": 0.03,
    "cut": 0.75,
}
NAMES: dict[TaskKind, str] = {
    "rank": FIRST_ROUND,
    "demonstrate": "demonstrations-1",
    "compare": "comparison-1",
}
EXAMPLES, SECRET = "examples.jsonl", "secret"


@dataclass(frozen=True)
class Target:
    """Which round a command is about. base: the folder whose labels/ holds it, where the run was
    started."""

    kind: TaskKind
    name: str
    base: Path
    runs: tuple[Path, ...]

    @property
    def folder(self) -> Path:
        """Of the round."""
        return folder_of(self.name, self.base)

    @property
    def spoken(self) -> str:
        """The round's name in a command that is given here."""
        return self.name if self.base == Path() or "/" in self.name else str(self.folder)


def begin(words: list[str]) -> int:
    """Ask people about a run: make a round or go on with it, print the links, serve the pages until
    Ctrl-C."""
    options = _parser().parse(words)
    need_extra()
    target = find_target(options)
    made = read_round(target.folder)
    with contextlib.ExitStack() as open_:
        listening = None
        if made is None:
            options = _with_defaults(options)
            asked = what(target.kind, target.runs, options)
            listening = _listening(options, "", open_)
            made = make(target.name, target.folder, asked, target.runs, options)
            _say_made(target, asked)
        else:
            _check_same(target, made, options)
        made = _with_address(target.folder, made, options)
        store = open_.enter_context(open_store(target.folder, made, serving=not options.no_serve))
        # A link is shown once: nobody is invited before it is sure that it can be shown.
        listening = listening or _listening(options, made.url, open_)
        _update(store, target, options)
        settings = _server_settings(target.folder, made, options)
        links = _invited(store, options)
        _serve(store, target, made, options, links, settings, listening)
    return 0


# --- which round ---


def find_target(options: argparse.Namespace) -> Target:
    """The round that the words mean; `UserError` for what is no run, with the nearest word."""
    runs = [Path(word) for word in options.runs]
    if not runs:
        raise UserError(
            "preflab label: name the folder of a run (preflab label runs/config/...), or one of "
            f"{', '.join(COMMANDS)} and a round."
        )
    for run in runs:
        if not run.is_dir():
            rounds = f" or a round ({', '.join(known())})" if known() else ""
            raise UserError(
                f"{str(run)!r} is not the folder of a run. Folders of runs are in runs/. Or is it "
                f"a command{rounds}? {nearest(str(run), COMMANDS)}"
            )
    manifest = manifest_of(runs[0])
    there = Path((manifest.get("where") or {}).get("cwd") or "")
    base = there if there.is_dir() and there.absolute() != Path.cwd() else Path()
    config = composed(runs[0])
    kind: TaskKind = options.task or _kind(config)
    name = options.name or _round_in(config, kind) or NAMES[kind]
    if base != Path():
        print(f"preflab: the round is in {folder_of(name, base)}, where the run was started")
    return Target(kind, name, base, tuple(runs))


def _kind(config: dict[Any, Any]) -> TaskKind:
    """What a run waits for."""
    labeler, written = _round_in(config, "rank"), _round_in(config, "demonstrate")
    return "demonstrate" if written and not labeler else "rank"


def _round_in(config: dict[Any, Any], kind: TaskKind) -> str:
    """The round that a run's config names for a kind of task."""
    group = {"rank": "labeler", "demonstrate": "demonstrations"}.get(kind, "")
    chosen = config.get(group) or {}
    return str(chosen.get("round", "")) if chosen.get("name") == "people" else ""


# --- going on with a round ---


def _check_same(target: Target, made: Round, options: argparse.Namespace) -> None:
    """`UserError` if a round cannot be gone on with: it is closed, was asked about something else,
    or would have to change what was fixed when it was made."""
    name, fixed = target.spoken, given(options, ROUND_OPTIONS)
    if made.frozen:
        raise UserError(
            f"The round {name!r} is closed. Go on with the run: preflab rerun {target.runs[0]}; or "
            f"ask people again, in another round: --name OTHER."
        )
    if made.kind != target.kind:
        raise UserError(
            f"The people of round {name!r} were asked to {made.kind}: give --task {made.kind}, or "
            "another --name."
        )
    if fixed:
        words = ", ".join("--" + option.replace("_", "-") for option in fixed)
        raise UserError(
            f"The round {name!r} exists, and {words} was fixed when it was made. Leave it out to "
            "go on with the round, or give another --name."
        )
    if target.kind != "demonstrate":
        asked = what(target.kind, target.runs, _with_defaults(options))
        if asked.pool != made.pool and not (target.kind == "compare" and len(target.runs) == 1):
            raise UserError(
                f"The round {name!r} was asked about another pool ({made.pool[:12]}, not "
                f"{asked.pool[:12]}), of {', '.join(made.runs)}. Give this one another name: "
                f"--name OTHER{_with_config(target)}."
            )


def _with_config(target: Target) -> str:
    return " (and labeler.round=OTHER to the run)" if target.kind == "rank" else ""


def _with_address(folder: Path, made: Round, options: argparse.Namespace) -> Round:
    """Remember under which address people reach the round, for later links."""
    if options.url and options.url != made.url:
        made = replace(made, url=options.url)
        write_round(folder, made)
    return made


def _update(store: Store, target: Target, options: argparse.Namespace) -> None:
    """New instructions and a new consent text become new versions; examples are kept with the
    round."""
    if options.instructions:
        text = read_text(options.instructions)
        if text != store.instructions().markdown:
            version = store.add_instructions(text, time.time())
            print(f"Instructions: version {version} from now on.")
    if options.consent:
        before = store.consent_text().version
        version = store.add_consent(read_text(options.consent), time.time())
        if version != before:
            print(f"Consent text: version {version} from now on. Everybody is asked again.")
    if options.examples:
        from preflab_people.server.settings import read_examples

        read_examples(options.examples)  # refused here if one is wrong
        if options.examples.resolve() != (target.folder / EXAMPLES).resolve():
            shutil.copyfile(options.examples, target.folder / EXAMPLES)


def _invited(store: Store, options: argparse.Namespace) -> list[tuple[str, str]]:
    """Pseudonym and token of everybody who is new; there are never fewer people than asked for."""
    present = sum(p.state not in ("removed", "forgotten") for p in store.people())
    wanted = options.people if options.people is not None else (0 if present else 2)
    made = [store.invite(now=time.time()) for _ in range(wanted - present)]
    return [(one.labeler, one.token) for one in made]


# --- serving ---


def _listening(
    options: argparse.Namespace, url: str, open_: contextlib.ExitStack
) -> socket.socket | None:
    """The socket of the server, None if nothing is served; `UserError` if it cannot be served as
    asked for. url: the round's."""
    from preflab_people.server.listening import listen
    from preflab_people.server.serving import PORT, check_names

    if options.no_serve:
        return None
    check_names([*filter(None, (options.url or url, *options.allow_host))], options.host)
    listening = listen(options.host, PORT if options.port is None else options.port)
    open_.callback(listening.close)
    return listening


def _server_settings(folder: Path, made: Round, options: argparse.Namespace) -> ServerSettings:
    from preflab_people.server.sessions import stored_secret
    from preflab_people.server.settings import ServerSettings, read_examples
    from preflab_people.store.survey import FILE as SURVEY

    examples, survey = folder / EXAMPLES, folder / SURVEY
    return ServerSettings(
        secret=stored_secret(folder / SECRET),
        public_url=made.url,
        hosts=tuple(options.allow_host),
        examples=read_examples(examples) if examples.is_file() else (),
        survey=survey if options.survey or survey.exists() else None,
    )


def _serve(
    store: Store,
    target: Target,
    made: Round,
    options: argparse.Namespace,
    links: Sequence[tuple[str, str]],
    settings: ServerSettings,
    listening: socket.socket | None,
) -> None:
    from preflab_people.server.serving import PORT, base_url, serve

    chosen = PORT if options.port is None else options.port

    def ready(base: str) -> None:
        if base != made.served:  # for the links of people who are invited later
            write_round(target.folder, replace(made, served=base))
        say_links(base, links)
        others = len(store.people()) - len(links)
        if others:
            print(f"{others} invited before: their links are valid still.")
        print(_next_steps(target, made), flush=True)

    if options.no_serve:
        ready(base_url(settings, options.host, chosen))
        return
    if links:
        print(f"{plan_line(made, store.snapshot())}.")
    print("Ctrl-C ends the server; nothing is lost.")
    with contextlib.suppress(KeyboardInterrupt):  # also before the server listens to signals
        serve(
            *(store, settings, options.host, chosen),
            announce=print,
            ready=ready,
            listening=listening,
        )
    print(
        "\nThe server has ended. Everything is kept: the same command goes on."
        f"\nWhen people are done: preflab label close {target.spoken}"
    )


def say_links(base: str, links: Sequence[tuple[str, str]]) -> None:
    """A line for each person. Nobody can be given the link again: the store holds its hash."""
    from preflab_people.server.serving import link

    for labeler, token in links:
        print(f"  {labeler}  {link(base, token)}")
    if links:
        print(
            "Give each person one link. It is shown this once, and whoever has it is that person."
        )


def _next_steps(target: Target, made: Round) -> str:
    name = target.spoken
    return (
        f"How far it is: preflab label status {name}\n"
        f"At the end:    preflab label close {name}\n"
        f"And then:      {go_on(name, made)}"
    )


def _say_made(target: Target, asked: Asked) -> None:
    print(f"Round {target.spoken}: {counted(len(asked.tasks), 'task')} to {asked.kind}.")
    if asked.arms:
        print(f"Compared blindly: {'; '.join(asked.arms)}.")
    if asked.equal:
        are = "is" if len(asked.equal) == 1 else "are"
        print(
            f"{counted(len(asked.equal), 'prompt')} {are} left out: all responses to the same "
            "prompt are equal."
        )


def _with_defaults(options: argparse.Namespace) -> argparse.Namespace:
    """The options with the values of those that were not given."""
    values = vars(options).items()
    return argparse.Namespace(**{k: DEFAULTS.get(k) if v is None else v for k, v in values})


def _parser() -> Parser:
    parser = Parser("label", begin.__doc__)
    one = parser.add_argument
    one("runs", nargs="*", metavar="RUN", help="folder of a run; several with --task compare")
    one("--task", choices=TASK_KINDS, help="default: what the run waits for")
    one("--name", help="of the round (default: the one that the run's config names)")
    one("--people", type=count, metavar="N", help="people to invite, a link each (default: 2)")
    one("--tasks", type=count, metavar="N", help="only so many of the prompts, for a pilot")
    one("--overlap", type=share, help="share of tasks that several people get (default: 0.2)")
    one("--labels", type=count, metavar="N", help="how many get those (default: 2)")
    one("--instructions", type=file, help="Markdown; a changed text is a new version")
    one("--likert", action="store_true", help="ask for a rating from 1 to 7 of each response too")
    one("--flags", metavar="FILE", help="flags to ask for, a name on each line; or: instructgpt")
    one("--gold", type=file, help="JSON lines: tasks with the answers that you hold right")
    one("--gold-share", type=share, metavar="SHARE", help="of a person's tasks (default: 0.05)")
    one("--retest-share", type=share, metavar="SHARE", help="of tasks shown twice (default: 0.03)")
    one("--cut", type=share, help="agreement that passes a screening (default: 0.75)")
    one("--examples", type=file, help="JSON lines: worked examples with your reasons")
    one("--consent", type=file, help="Markdown: your consent text; a changed one is asked anew")
    one("--survey", action="store_true", help="ask the voluntary questions about the person")
    one("--language", action="append", help="of the pages, several times for a choice: en, de, ar")
    one("--pairs", metavar="ARM", help="compare side by side against this one run")
    one("--baseline", action="store_true", help="what the runs were compared with takes part")
    one("--host", default="127.0.0.1", help="address to serve on (default: this machine alone)")
    one("--port", type=port, help="default: 8787; 0: a free one")
    one("--url", default="", help="under which people reach the proxy in front: https://NAME")
    one("--allow-host", action="append", default=[], metavar="NAME", help="another name of it")
    one("--database", metavar="URL", help="postgresql://USER@HOST/DATABASE for the store")
    one("--no-serve", action="store_true", help="make the round and the links, serve nothing")
    return parser
