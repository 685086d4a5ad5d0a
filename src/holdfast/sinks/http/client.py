"""What calls a service on behalf of one record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from holdfast.downstream import Client
from holdfast.sinks.http.calls import HttpAnswer, HttpCall

IDEMPOTENCY_KEY = "Idempotency-Key"
"""The header by which a service knows a call that it has had already (IETF draft of that name)."""


class Service(Protocol):
    """What makes the calls."""

    async def send(self, call: HttpCall, identity: str) -> HttpAnswer:
        """Make a call; see `HttpClient.send`."""


class HttpClient(Client):
    """Calls one service for one record.

    Each call has a key that is the same whenever the record is handled again, and no other record's: a
    service that keeps such keys does nothing twice.

    Args:
        service: makes the calls.
        identity: of the record, in the whole cluster.
        calls: how many were made for it before.
    """

    __slots__ = ("_calls", "_identity", "_service")

    def __init__(self, service: Service, identity: str, calls: int = 0) -> None:
        self._service = service
        self._identity = identity
        self._calls = calls

    async def send(self, call: HttpCall) -> HttpAnswer:
        """Make a call, again if it is worth it, and return what the service answered.

        Also an answer that refuses it: `status` says so.

        Raises:
            SinkDown: there was no answer, or one that says that the service is in trouble. Let it pass: the
                record is handled again when the service is back.
            HandlerError: the call cannot be made at all.
        """
        self._calls += 1
        return await self._service.send(call, f"{self._identity}/{self._calls}")

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpAnswer:
        """Make a call; see `HttpCall` for the arguments and `send` for the answer.

        Raises:
            HandlerError: the arguments make no call.
            SinkDown: see `send`.
        """
        return await self.send(HttpCall(method, path, json, content, headers or {}))

    async def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> HttpAnswer:
        """`request` with GET."""
        return await self.request("GET", path, headers=headers)

    async def post(
        self,
        path: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpAnswer:
        """`request` with POST."""
        return await self.request("POST", path, json=json, content=content, headers=headers)
