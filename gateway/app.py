"""The gateway over HTTP: an ASGI application."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway.book import Book, Decision, Entry, Kind, Outcome, Request
from gateway.faults import FAULTS, Fault, Faults

JOURNAL, LIMIT = "GATEWAY_JOURNAL", "GATEWAY_LIMIT"
"""Environment variables of the server's process: the journal's file, and the limit if there is one."""

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_KINDS: Mapping[str, Kind] = {"/charges": "charge", "/refunds": "refund"}
_DONE: Mapping[Kind, Outcome] = {"charge": "charged", "refund": "refunded"}
_STATUS = {"charged": 201, "refunded": 201, "declined": 402, "nothing-to-refund": 409}
_REPLAYED = {"Idempotent-Replayed": "true"}


@dataclass(frozen=True)
class Answer:
    """What is said to a call."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: int, content: Any, headers: Mapping[str, str] | None = None) -> Answer:
        """An answer in JSON."""
        return cls(status, json.dumps(content, default=str).encode(), headers or {})


class Gateway:
    """The ASGI application.

    Args:
        book: what was charged.
        faults: what goes wrong.
    """

    def __init__(self, book: Book, faults: Faults) -> None:
        self._book = book
        self._faults = faults

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Take one call."""
        if scope["type"] != "http":
            return
        body = await _body(receive)
        method, path = scope["method"], scope["path"]
        if method == "POST" and path in _KINDS:
            await self._settle(_KINDS[path], _headers(scope).get("idempotency-key"), body, receive, send)
        elif (method, path) == ("GET", "/audit"):
            await _say(send, Answer(200, self._book.journal.read_bytes()))
        elif (method, path) == ("PUT", "/admin/faults"):
            await _say(send, self._change_faults(body))
        elif (method, path) == ("GET", "/admin/faults"):
            await _say(send, self._show_faults())
        else:
            await _say(send, Answer.of(404, {"error": f"there is no {method} {path}"}))

    # -- money

    async def _settle(self, kind: Kind, key: str | None, body: bytes, receive: Receive, send: Send) -> None:
        if not key:
            await _say(send, Answer.of(400, {"error": "the header Idempotency-Key is missing"}))
            return
        try:
            request = Request.model_validate_json(body)
        except ValidationError as error:
            await _say(send, Answer.of(400, {"error": str(error)}))
            return
        fault = self._faults.next()
        if fault is None:
            await _say(send, self._answer(self._book.decide(key, kind, request)))
            return
        # The work is done, or not, before the first await: a kill finds no call half done.
        if self._faults.is_done(fault):
            answer = self._answer(self._book.decide(key, kind, request, fault.kind))
        else:
            self._book.fail(key, kind, request, fault.kind)
            answer = Answer.of(201, _told(Decision(kind, request, _DONE[kind], 0)))
        await _misbehave(fault, answer, receive, send)

    def _answer(self, entry: Entry) -> Answer:
        if entry.outcome == "key-reused":
            return Answer.of(422, {"error": f"the key {entry.key} belongs to another request"})
        decision = self._book.decision(entry.key)
        headers = _REPLAYED if entry.outcome == "repeated" else {}
        return Answer.of(_STATUS[decision.outcome], _told(decision), headers)

    # -- faults

    def _change_faults(self, body: bytes) -> Answer:
        try:
            self._faults.present = FAULTS.validate_json(body)
        except ValidationError as error:
            return Answer.of(400, {"error": str(error)})
        return self._show_faults()

    def _show_faults(self) -> Answer:
        present = [fault.model_dump() for fault in self._faults.present]
        return Answer.of(200, {"present": present, "happened": self._faults.happened})


async def _misbehave(fault: Fault, answer: Answer, receive: Receive, send: Send) -> None:
    """Say an answer as the fault has it."""
    match fault.kind:
        case "error":
            await _say(send, Answer.of(fault.status, {"error": "out of order"}))
        case "throttle":
            retry = {"Retry-After": str(round(fault.seconds))}
            await _say(send, Answer.of(429, {"error": "too many"}, retry))
        case "latency":
            await asyncio.sleep(fault.seconds)
            await _say(send, answer)
        case "hang":
            while (await receive())["type"] != "http.disconnect":
                pass
        case "cut-after-headers":
            await _cut(send, answer, b"")
        case "cut-in-body":
            await _cut(send, answer, answer.body[: len(answer.body) // 2])
        case _:
            await _say(send, Answer(answer.status, _wrong(fault, answer.body), answer.headers))


def _wrong(fault: Fault, body: bytes) -> bytes:
    """The body of an answer that looks like one and is none."""
    if fault.kind == "malformed":
        return body[:-1]
    if fault.kind == "wrong-schema":
        return b'{"result": "ok"}'
    told = json.loads(body)
    if fault.kind == "other-order":
        told["order_id"] = f"{told.get('order_id')}-other"
    else:
        told["amount"] = str(Decimal(told.get("amount", 0)) + 1)
    return json.dumps(told).encode()


def _told(decision: Decision) -> dict[str, str]:
    """A decision, as it is answered with."""
    return {
        "id": f"{decision.kind}-{decision.number}",
        "status": decision.outcome,
        "order_id": decision.request.order_id,
        "customer_id": decision.request.customer_id,
        "amount": str(decision.request.amount),
    }


async def _say(send: Send, answer: Answer) -> None:
    await send(_head(answer))
    await send({"type": "http.response.body", "body": answer.body})


async def _cut(send: Send, answer: Answer, part: bytes) -> None:
    """Send a part of an answer. The server closes the connection, as the rest does not come."""
    await send(_head(answer))
    await send({"type": "http.response.body", "body": part, "more_body": True})


def _head(answer: Answer) -> Message:
    headers = {
        "content-type": "application/json",
        "content-length": str(len(answer.body)),
        **{name.lower(): value for name, value in answer.headers.items()},
    }
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http.response.start", "status": answer.status, "headers": encoded}


async def _body(receive: Receive) -> bytes:
    parts = bytearray()
    while True:
        message = await receive()
        parts += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(parts)


def _headers(scope: Message) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def create() -> Gateway:
    """The application as the environment describes it, for an ASGI server."""
    limit = os.environ.get(LIMIT)
    return Gateway(Book(Path(os.environ[JOURNAL]), Decimal(limit) if limit else None), Faults())
