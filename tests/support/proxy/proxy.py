"""The proxy: a thread with one listening port for each broker."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from holdfast.local.ports import HOST
from tests.support.proxy.link import Link, Streams
from tests.support.proxy.rules import Fault, Rule
from tests.support.proxy.wire import Api, Request

_STOP_S = 10.0
_TURNS_S = 0.02


class Proxy:
    """Stands between clients and brokers while its block lasts.

    Args:
        routes: its own ports, with the brokers' ports behind them.

    Attributes:
        bootstrap_servers: what to give to clients.
        seen: how many requests came, by client id and `Api`.
    """

    def __init__(self, routes: Mapping[int, int]) -> None:
        self.bootstrap_servers = ",".join(f"{HOST}:{port}" for port in routes)
        self.seen: Counter[tuple[str, int]] = Counter()
        self._routes = dict(routes)
        self._rules: list[Rule] = []
        self._loop = asyncio.new_event_loop()
        self._links: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_S)
        self._loop.close()

    def hurt(
        self,
        fault: Fault,
        api: Api,
        client: str,
        *,
        nth: int = 1,
        only: Callable[[Request], bool] | None = None,
        at_most: float = 60.0,
    ) -> Rule:
        """Make a rule, see there. It is in force when this returns."""
        rule = Rule(fault, api, client, nth=nth, only=only, at_most=at_most)
        self._call(self._add(rule))
        return rule

    def release(self, rule: Rule) -> None:
        """Let go of what a rule holds."""
        self._loop.call_soon_threadsafe(rule.open_gate, "test")

    async def _add(self, rule: Rule) -> None:
        self._rules.append(rule)

    async def _listen(self) -> None:
        for port in self._routes:
            self._servers.append(await asyncio.start_server(self._accept, HOST, port))

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        # Connections that were just accepted get their task, and aborted ones are closed, in later turns.
        await asyncio.sleep(_TURNS_S)
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)
        await asyncio.sleep(_TURNS_S)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        try:
            await self._connect((reader, writer))
        finally:
            self._links.discard(task)

    async def _connect(self, client: Streams) -> None:
        port = client[1].get_extra_info("sockname")[1]
        try:
            broker = await asyncio.open_connection(HOST, self._routes[port])
        except OSError:
            client[1].transport.abort()
            return
        with contextlib.suppress(asyncio.CancelledError):
            await Link(client, broker, self._match, self._answered).run()

    def _match(self, request: Request) -> Rule | None:
        self.seen[request.client, request.api] += 1
        # The first that wants it has it; those after that one do not count it.
        return next((rule for rule in self._rules if rule.wants(request)), None)

    def _answered(self, request: Request) -> Rule | None:
        return next((rule for rule in [r for r in self._rules if r.note_answer(request)]), None)

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_STOP_S)
