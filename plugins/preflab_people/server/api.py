"""What the pages ask and tell: JSON in, JSON out, one call of the store each.

Every endpoint is a function of the service, the person and the body; `endpoint` reads the body,
asks who it is from, counts, and turns refusals into answers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from preflab.errors import StorageError
from preflab_people.server import requests
from preflab_people.server.answers import JSON, Refused, error_response
from preflab_people.server.markdown import markdown_tree
from preflab_people.server.places import shown_prompt, shown_task, to_places, to_pool
from preflab_people.server.sessions import Limits, Sessions
from preflab_people.server.settings import Example, ServerSettings
from preflab_people.store import Assignment, Member, Store, StoreRefusal, survey

log = logging.getLogger("preflab.label")
Row = Mapping[str, Any]
SIGN_IN = "Open your link to sign in."


@dataclass(frozen=True)
class Service:
    """What endpoints need: the store, how it is served, and the clock (seconds since 1970)."""

    store: Store
    settings: ServerSettings
    sessions: Sessions
    limits: Limits
    clock: Callable[[], float] = time.time
    trees: dict[int, list[Any]] = field(default_factory=dict)

    def instructions(self) -> dict[str, Any]:
        """The newest instructions as the page builds them."""
        newest = self.store.instructions()
        if newest.version not in self.trees:
            self.trees[newest.version] = markdown_tree(newest.markdown)
        return {"version": newest.version, "nodes": self.trees[newest.version]}


# --- who is here ---


def me(service: Service, labeler: str, row: Row) -> dict[str, Any]:
    """The person, and what the round asks of them."""
    round_, member = service.store.settings, service.store.member(labeler)
    if member.person.state == "forgotten":
        raise Refused(401, "signed_out", "This person was forgotten.")
    return {
        "labeler": labeler,
        "round": round_.name,
        "next": next_page(service, member),
        "form": {
            "likert": round_.likert,
            "flags": round_.flags,
            "reasons": round_.skip_reasons,
        },
        "done": member.submitted + member.skipped,
        "closed": service.store.is_closed,
        "has_instructions": service.store.instructions().version > 0,
        "has_examples": bool(service.settings.examples),
        "has_survey": service.settings.survey is not None,
        "screening": _screening(service, member),
    }


def next_page(service: Service, member: Member) -> str:
    """The page on which a person should be."""
    if member.person.state not in ("active", "screening") or service.store.is_closed:
        return "/done"
    consent = service.store.consent_text()
    if consent.markdown and member.consent != consent.version:
        return "/consent"
    return "/screening" if member.waits else "/task"


def _screening(service: Service, member: Member) -> dict[str, Any] | None:
    """Where a person stands in their screening; None for those who never had one."""
    rules = service.store.settings.screening
    if rules is None or (member.person.state != "screening" and not member.tries):
        return None
    return {
        "over": member.person.state != "screening",
        "waits": member.waits,
        "tasks": rules.tasks,
        "cut": round(100 * rules.cut),
        "allowed": rules.tries,
        "done": member.submitted + member.skipped - rules.tasks * len(member.tries),
        "tries": [
            {"pairs": one.pairs, "flags": one.flags, "passed": one.passed} for one in member.tries
        ],
    }


def consent_text(service: Service, labeler: str, row: Row) -> dict[str, Any]:
    """What a person is asked to agree to."""
    newest = service.store.consent_text()
    return {"version": newest.version, "nodes": markdown_tree(newest.markdown)}


def consent(service: Service, labeler: str, row: Row) -> dict[str, Any]:
    """The person agrees to the version that they read."""
    version = service.store.consent_text().version
    if requests.read_version(row) != version:
        raise Refused(409, "consent_needed", "There is another version of the consent text.")
    service.store.consent(labeler, version, service.clock())
    return me(service, labeler, {})


def answer_survey(service: Service, labeler: str, row: Row) -> dict[str, Any]:
    """Answers of the voluntary survey."""
    if service.settings.survey is None:
        raise Refused(404, "survey", "This round has no survey.")
    survey.keep(service.settings.survey, labeler, requests.read_survey(row))
    return {}


def instructions(service: Service, labeler: str, row: Row) -> dict[str, Any]:
    """The newest instructions."""
    return service.instructions()


def examples(service: Service, labeler: str, row: Row) -> dict[str, Any]:
    """The worked examples, with the researchers' answers."""
    return {"examples": [_shown_example(one) for one in service.settings.examples]}


def _shown_example(example: Example) -> dict[str, Any]:
    return {
        **shown_prompt(example.prompt, ()),
        "outputs": example.responses,
        "ranks": example.answer.ranks,
        "written": example.answer.written,
        "reason": markdown_tree(example.reason),
    }


# --- work ---


def task(service: Service, labeler: str, row: Row) -> dict[str, Any]:
    """The task that a person works on, or a new one, which is theirs from now on; or the page to go
    to."""
    requests.read_nothing(row)
    try:
        given = service.store.next_task(labeler, service.clock())
    except StoreRefusal as refusal:
        if refusal.code == "consent_needed":
            return {"next": "/consent"}
        if refusal.code in ("closed", "not_active"):
            return {"next": "/done"}
        raise
    if given is None:
        member = service.store.member(labeler)
        return {"next": "/screening" if member.person.state == "screening" else "/done"}
    return _assignment(service, given)


def draft(service: Service, labeler: str, row: Row) -> dict[str, Any]:
    """Keep what is not finished."""
    sent = requests.read_draft(row)
    service.store.save_draft(labeler, sent.task, sent.body, service.clock())
    return {}


def submit(service: Service, labeler: str, row: Row) -> dict[str, Any]:
    """Take an answer. The same key gives the same receipt."""
    sent = requests.read_submission(row)
    held = service.store.assigned(labeler, sent.task)
    answer = to_pool(sent.answer, held.task, held.order, service.store.settings.likert)
    receipt = service.store.submit(
        labeler,
        sent.task,
        answer,
        sent.key,
        sent.seconds,
        held.order,
        sent.instructions,
        now=service.clock(),
    )
    return {"event": receipt.event, "repeated": receipt.repeated}


def undo(service: Service, labeler: str, row: Row) -> dict[str, Any]:
    """Take the last answer back, with its task."""
    requests.read_nothing(row)
    return _assignment(service, service.store.undo(labeler, service.clock()))


def renew(service: Service, labeler: str, row: Row) -> dict[str, Any]:
    """The page is alive."""
    return {"until": service.store.renew(labeler, requests.read_task(row), service.clock())}


def _assignment(service: Service, given: Assignment) -> dict[str, Any]:
    return {
        "next": "/task",
        "task": shown_task(given.task, given.order, service.settings.sensitive),
        "draft": given.draft,
        "answer": None if given.answer is None else to_places(given.answer, given.order),
        "until": given.until,
        "instructions": service.instructions(),
    }


# --- from HTTP and back ---

Work = Callable[[Service, str, Row], dict[str, Any]]
Handler = Callable[[Request], Awaitable[Response]]


def endpoint(service: Service, work: Work, counted: str = "") -> Handler:
    """An endpoint for people who are signed in. counted: which of the limits it falls under."""

    async def handle(request: Request) -> Response:
        try:
            labeler, link = service.sessions.read(request)
            if not labeler:
                raise Refused(401, "signed_out", SIGN_IN)
            if counted:
                service.limits.count(counted, labeler)
            row = requests.parse(await request.body()) if request.method == "POST" else {}
            return JSON(await run_in_threadpool(_done, service, work, labeler, link, row))
        except (Refused, StoreRefusal, StorageError) as error:
            return error_response(_refused(error))

    return handle


def _done(service: Service, work: Work, labeler: str, link: str, row: Row) -> dict[str, Any]:
    """What a person asks for, if the link that they came by is theirs still."""
    if not compare_digest(link, service.store.link_mark(labeler)):
        raise Refused(401, "signed_out", SIGN_IN)
    return work(service, labeler, row)


def _refused(error: Refused | StoreRefusal | StorageError) -> Refused:
    if isinstance(error, Refused):
        return error
    if isinstance(error, StoreRefusal):
        if error.code in ("unknown_person", "forgotten"):
            return Refused(401, "signed_out", str(error))
        return Refused(422 if error.code == "bad_answer" else 409, error.code, str(error))
    log.error("%s", error)  # it names files: for whoever runs the server alone
    sentence = "The server cannot save anything at the moment. Those who run it can see why."
    return Refused(503, "storage", sentence, wait=5)


def login(service: Service) -> Handler:
    """Exchange a link's token for a cookie. Only failed tries are counted."""

    async def handle(request: Request) -> Response:
        address = request.client.host if request.client else ""
        try:
            service.limits.check("login", address)
            token = requests.read_login(requests.parse(await request.body()))
            person = await run_in_threadpool(service.store.login, token, service.clock())
            if person is None:
                raise Refused(401, "bad_link", "This link is not valid, or not any more.")
            link = await run_in_threadpool(service.store.link_mark, person.id)
            response = JSON(await run_in_threadpool(me, service, person.id, {}))
        except (Refused, StoreRefusal, StorageError) as error:
            refused = _refused(error)
            if refused.status in (401, 422):
                service.limits.record("login", address)
                log.warning("A login failed.")
            return error_response(refused)
        service.sessions.open(response, person.id, link)
        log.info("%s signed in.", person.id)
        return response

    return handle


def logout(service: Service) -> Handler:
    """Take the cookie back."""

    async def handle(request: Request) -> Response:
        response = JSON({})
        service.sessions.close(response)
        return response

    return handle


# Reading changes nothing: a task that is asked for becomes somebody's, and is posted.
READ: Mapping[str, Work] = {
    "me": me,
    "consent": consent_text,
    "instructions": instructions,
    "examples": examples,
}
WRITE: Mapping[str, tuple[Work, str]] = {
    "task": (task, "write"),
    "draft": (draft, "write"),
    "submit": (submit, "submit"),
    "undo": (undo, "write"),
    "renew": (renew, "write"),
    "consent": (consent, "write"),
    "survey": (answer_survey, "write"),
}


def routes(service: Service) -> list[Route]:
    """All of /api."""
    reading = [Route(f"/api/{n}", endpoint(service, w), methods=["GET"]) for n, w in READ.items()]
    writing = [
        Route(f"/api/{name}", endpoint(service, work, counted), methods=["POST"])
        for name, (work, counted) in WRITE.items()
    ]
    own = [
        Route("/api/login", login(service), methods=["POST"]),
        Route("/api/logout", logout(service), methods=["POST"]),
    ]
    return [*reading, *writing, *own]
