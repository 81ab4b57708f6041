"""``preflab chat``: models of finished runs answer what a person types, side by side; without a
terminal, what is piped in, a prompt per line."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from preflab.engine.answering import Answer, AnsweringRun
from preflab.engine.opened import conversation
from preflab.errors import UserError, nearest
from preflab.jobs.execution import quiet_libraries
from preflab.records import Message, Prompt

HELP = """\
Type a prompt; the models answer it with the same noise. Ctrl-C ends an answer, Ctrl-D the program.
  /role [ROLE]      which model of each run answers ({roles})
  /seed N           of the sampling: the same seed and prompt give the same answer
  /temperature [T]  of the sampling: 0 is greedy; none: the run's own
  /format [F]       chat: what you type is a turn of a conversation, which the model's chat template
                    shows it; text: what you type is all that the model sees
  /new              begin a new conversation
  /save FILE        write the prompts of this session, for data.prompts=FILE, each turn once, after
                    the answers of the first run
  /help, /quit"""


@dataclass
class Lane:
    """One run in the session, with its own conversation."""

    run: AnsweringRun
    turns: list[Message] = field(default_factory=list)

    @property
    def title(self) -> str:
        """How it is called above its answers."""
        return f"{self.run.title} ({self.run.role})"


class Session:
    """What was said, and how the next prompt is answered."""

    def __init__(self, lanes: Sequence[Lane], seed: int, temperature: float | None) -> None:
        self.lanes, self.seed, self.temperature = lanes, seed, temperature
        self.example = lanes[0].run.example()
        self.format = "chat" if self.example is not None and self.example.messages else "text"
        self.prompts: list[Prompt] = []
        """What was asked, each once: the first run's conversation stands for all of them."""
        self.ended = False

    def ask(self, text: str) -> Iterator[list[Answer | None]]:
        """The answers of all lanes as they grow. A conversation goes on with them once they are
        complete."""
        asked = [self._prompt(lane, text) for lane in self.lanes]
        if asked[0] not in self.prompts:
            self.prompts.append(asked[0])
        streams = [
            lane.run.answers(prompt, (self.seed, "chat"), self.temperature)
            for lane, prompt in zip(self.lanes, asked, strict=True)
        ]
        answers: list[Answer | None] = [None] * len(streams)
        open_ = set(range(len(streams)))
        while open_:
            for i in sorted(open_):
                answer = next(streams[i], None)
                if answer is None:
                    open_.discard(i)
                else:
                    answers[i] = answer
            yield answers
        for lane, prompt, answer in zip(self.lanes, asked, answers, strict=True):
            if prompt.messages and answer is not None:
                lane.turns = [*prompt.messages, Message("assistant", answer.text)]

    def _prompt(self, lane: Lane, text: str) -> Prompt:
        if self.format == "chat":
            return conversation([*lane.turns, Message("user", text)], "chat")
        return Prompt("chat", text)

    def command(self, line: str) -> str:
        """Carry out a line that begins with /, and say in a sentence what was done. `UserError` if
        there is no such command, or if it does not take the value."""
        name, _, value = line[1:].strip().partition(" ")
        if name not in _COMMANDS:
            raise UserError(
                f"/{name} is not a command. {nearest(name, _COMMANDS)} /help says more."
            )
        return _COMMANDS[name](self, value.strip())

    def roles(self) -> list[str]:
        """Those that any of the runs has."""
        return list(dict.fromkeys(role for lane in self.lanes for role in lane.run.roles()))

    def choose_role(self, role: str) -> str:
        if not role:
            made = (f"{lane.title}: {', '.join(lane.run.roles())}" for lane in self.lanes)
            return "\n".join(made)
        for lane in self.lanes:
            if role not in lane.run.roles():
                lane.run.choose(role)  # says which roles there are
        for lane in self.lanes:
            lane.run.choose(role)
        self.forget("")
        return f"{role} answers, in a new conversation."

    def choose_seed(self, value: str) -> str:
        if not value.isdecimal():
            raise UserError(f"/seed takes a whole number, not {value!r}: /seed 2")
        self.seed = int(value)
        return f"seed {self.seed}"

    def choose_temperature(self, value: str) -> str:
        if not value:
            self.temperature = None
            return "the temperature of each run"
        self.temperature = temperature(value)
        return f"temperature {self.temperature:g}"

    def choose_format(self, value: str) -> str:
        if value and value not in ("chat", "text"):
            raise UserError(f"/format takes chat or text, not {value!r}.")
        self.format = value or self.format
        self.forget("")
        return f"format {self.format}"

    def forget(self, value: str) -> str:
        for lane in self.lanes:
            lane.turns = []
        return "a new conversation"

    def save(self, value: str) -> str:
        path = Path(value)
        if not value or not self.prompts:
            lack = "has nothing to write yet" if value else "needs the name of a file"
            raise UserError(f"/save {lack}: ask something, then /save prompts.jsonl")
        rows = [_row(number, prompt) for number, prompt in enumerate(self.prompts)]
        try:
            with path.open("x", encoding="utf8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
        except FileExistsError:
            raise UserError(f"{path} exists already: give another name.") from None
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}.") from None
        number = f"{len(rows)} prompt{'s' * (len(rows) != 1)}"
        return f"{number} in {path}, for: preflab data=files data.prompts={path}"

    def end(self, value: str) -> str:
        self.ended = True
        return ""


_COMMANDS: dict[str, Callable[[Session, str], str]] = {
    "role": Session.choose_role,
    "seed": Session.choose_seed,
    "temperature": Session.choose_temperature,
    "format": Session.choose_format,
    "new": Session.forget,
    "save": Session.save,
    "help": lambda session, value: HELP.format(roles=", ".join(session.roles())),
    "quit": Session.end,
}


def temperature(value: str | float) -> float:
    """A sampling temperature; `UserError` for what is none."""
    with contextlib.suppress(ValueError):
        if 0 <= (number := float(value)) < float("inf"):
            return number
    raise UserError(f"A temperature is a number from 0, which is greedy, not {value!r}.")


def _row(number: int, prompt: Prompt) -> dict[str, object]:
    """A prompt as a line of a file that data=files reads."""
    if not prompt.messages:
        return {"id": f"chat-{number}", "prompt": prompt.text}
    turns = [{"role": turn.role, "content": turn.content} for turn in prompt.messages]
    return {"id": f"chat-{number}", "prompt": turns}


def talk(folders: Sequence[Path], role: str, seed: int, warmth: float | None) -> int:
    """The whole session; the exit code. `UserError` for folders that are no finished runs. role:
    "" is the newest of each run; warmth: the temperature."""
    quiet_libraries()
    lanes = [Lane(AnsweringRun(folder)) for folder in folders]
    titles = [lane.run.title for lane in lanes]
    for lane in lanes:
        if titles.count(lane.run.title) > 1:  # the same arm with other seeds
            lane.run.title = str(lane.run.folder)
        lane.run.choose(role)
        if not lane.run.has_reward:
            print(f"preflab: {lane.title} has no reward model: no scores", file=sys.stderr)
    session = Session(lanes, seed, None if warmth is None else temperature(warmth))
    if sys.stdin.isatty() and sys.stdout.isatty():
        return _typed(session)
    return _piped(session)


def _typed(session: Session) -> int:
    """A person at a terminal."""
    import readline  # noqa: F401  lines can be edited, and earlier ones called back

    console = Console()
    if session.format == "text":
        console.print("What you type is all that the model sees. /help shows the commands.")
        if session.example is not None:
            console.print("One of the run's own prompts:", Text(session.example.text, style="dim"))
    else:
        console.print("What you type is a turn of a conversation. /help shows the commands.")
    while not session.ended:
        try:
            line = input("> ").strip()
        except EOFError:
            console.print()
            return 0
        except KeyboardInterrupt:
            console.print()
            continue
        try:
            _answer_typed(session, line, console)
        except UserError as error:
            console.print(Text(f"preflab: {error}", style="red"))
    return 0


def _answer_typed(session: Session, line: str, console: Console) -> None:
    if line.startswith("/"):
        said = session.command(line)
        console.print(Text(said)) if said else None
        return
    if not line:
        return
    if unread := _unread(session, line):
        console.print(Text(unread, style="yellow"))
    answers: list[Answer | None] = [None] * len(session.lanes)
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        try:
            for answers in session.ask(line):
                live.update(_side_by_side(session, answers), refresh=True)
        except KeyboardInterrupt:
            stopped = _side_by_side(session, answers, stopped=True)
            live.update(stopped, refresh=True)


def _unread(session: Session, line: str) -> str:
    """A sentence on what one of the models cannot read of a line; "" if they read all of it."""
    found = (seen for lane in session.lanes if (seen := lane.run.unread(line)) is not None)
    seen = next(found, None)
    if seen is None:
        return ""
    if not seen.strip():
        return "The model can read nothing of this: its vocabulary has none of it."
    return f"The model cannot read all of this. It reads: {seen}"


def _side_by_side(
    session: Session, answers: Sequence[Answer | None], stopped: bool = False
) -> Table:
    table = Table(expand=len(session.lanes) > 1, show_lines=False)
    for lane in session.lanes:
        table.add_column(Text(lane.title), ratio=1, overflow="fold")
    table.add_row(*(Text(answer.text if answer else "") for answer in answers))
    table.add_row(*(Text(_facts(answer, stopped), style="dim") for answer in answers))
    return table


def _facts(answer: Answer | None, stopped: bool = False) -> str:
    """What is said below an answer."""
    if answer is None:
        return "stopped" if stopped else ""
    facts = [f"{answer.tokens} token{'s' if answer.tokens != 1 else ''}"]
    if answer.reward is not None:
        facts.insert(0, f"reward {answer.reward:.3f}")
    if stopped:
        facts.append("stopped: the conversation goes on without this turn")
    return ", ".join(facts)


def _piped(session: Session) -> int:
    """A prompt, or a command, per line of the standard input. A line that is refused is named, and
    the exit code is 2."""
    code = 0
    for number, line in enumerate(map(str.strip, sys.stdin), 1):
        try:
            if line.startswith("/"):
                print(session.command(line), file=sys.stderr)
            elif line:
                _answer_piped(session, line, number)
        except UserError as error:
            code = UserError.exit_code
            print(f"preflab: line {number}: {error}", file=sys.stderr)
        if session.ended:
            break
    return code


def _answer_piped(session: Session, line: str, number: int) -> None:
    if unread := _unread(session, line):
        print(f"preflab: line {number}: {unread}", file=sys.stderr)
    *_, answers = session.ask(line)
    print(f"> {line}")
    for lane, answer in zip(session.lanes, answers, strict=True):
        text = answer.text.replace("\n", "\n  ") if answer else ""
        print(f"{lane.title} [{_facts(answer)}]: {text}", flush=True)
