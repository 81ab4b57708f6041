"""``preflab serve``: options, and the server from here until it is interrupted."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import gc
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from preflab.errors import UserError
from preflab_people.commands.parsing import Parser, count, file, port
from preflab_serve.opening import need_extra

if TYPE_CHECKING:
    from preflab_serve.arms import Arm

PORT = 8080


def serve(words: list[str]) -> int:
    """Serve the models of finished runs behind OpenAI's API, on this machine alone unless --host
    says otherwise, until Ctrl-C. A model's name is the name of its run, or NAME in NAME=RUN;
    earlier models of a run are NAME:ROLE (sft, sft/epoch-1, initial, result)."""
    options = _parser().parse(words)
    need_extra()
    from preflab_serve.keys import new_key

    if options.new_key:
        if options.keys is None:
            raise UserError("--new-key needs the file that it goes into: --keys FILE")
        print(new_key(options.keys, options.new_key))
        return 0
    if not options.runs:
        raise UserError("preflab serve: name the folder of a run: preflab serve runs/config/...")
    if options.log_text and not options.log:
        raise UserError("--log-text needs a log: --log FOLDER")
    _serve(options)
    atexit.register(gc.freeze)  # a search for garbage would keep the process for a second
    return 128 + signal.SIGINT


def _serve(options: argparse.Namespace) -> None:
    """Serve until SIGINT. SIGTERM ends the process."""
    from preflab_people.server.listening import listen, port_of, run
    from preflab_people.server.rules import allowed_hosts, is_loopback
    from preflab_serve.keys import read_keys
    from preflab_serve.server.access import Access

    keys = read_keys(options.keys) if options.keys else {}
    access = Access(allowed_hosts(options.allow_host), keys)
    if not is_loopback(options.host):
        _check_open_to_others(options)
    from preflab_serve.arms import open_arms
    from preflab_serve.opening import open_guard
    from preflab_serve.server.app import create_app
    from preflab_serve.service import Service
    from preflab_serve.usage.limits import Limits
    from preflab_serve.usage.log import UsageLog
    from preflab_serve.worker import Worker

    arms = open_arms(options.runs, options.unguarded)
    listening = listen(options.host, options.port)
    worker = Worker(most_rows=options.rows)
    try:
        checking = open_guard(options.guard, options.guard_seconds) if options.guard else None
        log = UsageLog(options.log, options.keep_days, options.log_text) if options.log else None
        limits = Limits(options.requests_per_minute, options.tokens_per_day)
        service = Service(arms, worker, checking, limits, log)
        for arm in (arm for arm in arms.values() if arm.main):
            worker.call(partial(getattr, arm, "policy")).result()  # what fails to load is said now
        app = create_app(service, access)

        def begin() -> None:
            base = base_url(options, port_of(listening))
            about = [
                f"Serving {', '.join(arms)} on {base}",
                log.about if log else "No log of use is kept (--log FOLDER).",
                *([f"Every model is behind the guard of {options.guard}."] if checking else []),
                *_guarded(list(arms.values()), options.unguarded),
                _example(base, next(iter(arms)), bool(keys)),
            ]
            with contextlib.suppress(BrokenPipeError):  # who read the address may have seen enough
                print("\n".join(about), flush=True)

        proxy = not is_loopback(options.host)
        run(app, listening, begin, behind_proxy=proxy, end=service.end, grace=1)
    finally:
        listening.close()
        worker.close(seconds=0.5)  # what nobody waits for any more does not keep the process


def _guarded(arms: Sequence[Arm], unguarded: bool) -> list[str]:
    """A sentence for each run that answers behind a guard of its own."""
    others = "too, without it" if unguarded else "only with --unguarded"
    return [
        f"{arm.name} answers behind its own guard; its earlier models are served {others}."
        for arm in arms
        if arm.main and arm.guarded
    ]


def _check_open_to_others(options: argparse.Namespace) -> None:
    if not options.keys:
        raise UserError(
            f"On {options.host} other machines reach the server: it needs keys. Make one with "
            "preflab serve --keys keys.txt --new-key NAME, and add --keys keys.txt."
        )
    if not options.allow_host:
        raise UserError(
            f"On {options.host} other machines reach the server: say by which name they call it, "
            "--allow-host NAME (the name of the proxy in front, which speaks TLS)."
        )


def base_url(options: argparse.Namespace, port: int) -> str:
    """The address for clients: at a name that the server answers to."""
    from preflab_people.server.listening import address
    from preflab_people.server.rules import host_of, is_loopback

    shown = options.host if is_loopback(options.host) else host_of(options.allow_host[0])
    return f"http://{address(shown, port)}/v1"


def _example(base: str, model: str, keys: bool) -> str:
    key = " -H 'Authorization: Bearer KEY'" if keys else ""
    body = f'{{"model": "{model}", "prompt": "..."}}'
    return f"Try: curl {base}/completions{key} -H 'Content-Type: application/json' -d '{body}'"


def _parser() -> Parser:
    parser = Parser("serve", serve.__doc__)
    one = parser.add_argument
    one("runs", nargs="*", metavar="RUN", help="folder or name of a finished run, or NAME=RUN")
    one("--host", default="127.0.0.1", help="address to serve on (default: this machine alone)")
    one("--port", type=port, default=PORT, help=f"default: {PORT}; 0: a free one")
    one("--allow-host", action="append", default=[], metavar="NAME", help="by which others call it")
    one("--keys", type=Path, metavar="FILE", help="keys, one of which every request must bring")
    one("--new-key", metavar="NAME", help="print a new key, put its digest into --keys, and end")
    one("--guard", type=file, metavar="FILE", help="YAML: what checks prompts and responses")
    one(
        "--unguarded", action="store_true", help="earlier models of runs behind a guard, without it"
    )
    one("--guard-seconds", type=seconds, default=30.0, help="then it refuses (default: 30)")
    one("--log", type=Path, metavar="FOLDER", help="keep a log of use, without any text")
    one("--keep-days", type=count, default=90, metavar="N", help="of the log (default: 90)")
    one("--log-text", action="store_true", help="keep prompts and responses in the log too")
    one("--requests-per-minute", type=count, default=0, metavar="N", help="of a key")
    one("--tokens-per-day", type=count, default=0, metavar="N", help="computed for a key")
    one(
        "--rows",
        type=count,
        default=64,
        metavar="N",
        help="responses decoded at a time (default: 64)",
    )
    return parser


def seconds(word: str) -> float:
    """A time above 0."""
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, not {word!r}")
    return value
