"""A real HTTP server on loopback, which answers what the test says and remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from holdfast.sinks.loop import LoopThread


@dataclass(frozen=True)
class Asked:
    """A call as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def key(self) -> str:
        """Its idempotency key."""
        return self.headers["Idempotency-Key"]

    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Say:
    """What to do with a call.

    Attributes:
        status: the answer's.
        body: the answer's.
        headers: the answer's.
        after: seconds before it.
        hang: never answer, and keep the connection.
        drop: close the connection instead; `half`: in the middle of the answer.
    """

    status: int = 200
    body: str = "{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    after: float = 0.0
    hang: bool = False
    drop: bool = False
    half: bool = False


class HttpServer:
    """The server.

    Attributes:
        asked: the calls so far, in the order of their arrival.
        answer: what to say to each; may be replaced at any time.
        most_at_once: how many calls were under way at the same time.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Say] = lambda _: Say()
        self.port = 0
        self.most_at_once = 0
        self._now = 0
        self._loop = LoopThread("http-server")
        self._runner: web.AppRunner | None = None
        self._gone = asyncio.Event()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen; again on the same port after `stop`."""
        self._loop.run(self._start())

    def stop(self) -> None:
        """Listen no more, and close what is open."""
        self._loop.run(self._stop())

    def close(self) -> None:
        """End the server."""
        self.stop()
        self._loop.close()

    async def _start(self) -> None:
        self._gone = asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        self._gone.set()
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        asked = Asked(request.method, request.path_qs, dict(request.headers), body, time.monotonic())
        self.asked.append(asked)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            return await self._say(request, self.answer(asked))
        finally:
            self._now -= 1

    async def _say(self, request: web.Request, say: Say) -> web.StreamResponse:
        if say.after:
            await asyncio.sleep(say.after)
        if say.hang:
            await self._gone.wait()
        if say.drop or say.half:
            transport = request.transport
            assert transport is not None
            if say.half:
                transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of")
            transport.close()
        return web.Response(status=say.status, text=say.body, headers=say.headers)


@contextmanager
def http_server() -> Iterator[HttpServer]:
    """A server for one test."""
    server = HttpServer()
    server.start()
    try:
        yield server
    finally:
        server.close()
