"""One service over HTTP: its connections, and the protections that all calls of it share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf

import aiohttp
from yarl import URL

from holdfast.errors import BulkheadFull, CircuitOpen, HandlerError, RateLimited, SinkDown, SinkError
from holdfast.resilience import (
    Backoff,
    BreakerSettings,
    Bulkhead,
    CircuitBreaker,
    CircuitState,
    Policy,
    RateLimit,
    Retry,
    RetryBudget,
)
from holdfast.sinks.base import Downstream
from holdfast.sinks.handler_time import HANDLER_TIME
from holdfast.sinks.http.calls import HttpAnswer, HttpCall
from holdfast.sinks.http.client import IDEMPOTENCY_KEY, HttpClient
from holdfast.sinks.http.judge import is_down, pause_s
from holdfast.sinks.http.probes import Probes
from holdfast.sinks.http.proxies import proxy_of
from holdfast.topology.sink_decls import DOWN_STATUSES

_LONGEST_ANSWER = 16 * 1024 * 1024
_JSON = "application/json"
_BACKOFF = Backoff(base_s=0.1, cap_s=2.0)
_MOST_IN_LINE = 100_000
"""Calls that wait for a place: what handlers begin is bounded elsewhere."""

_LONG = 0.5
"""Of the time that a call may take: whoever waited so long for an answer is owed one."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """How a service is called.

    Attributes:
        name: of the sink.
        url: where it is; paths of calls go below it.
        headers: of every call.
        call_s: seconds that one call may take.
        attempts: how often a call is made at most before its service counts as down.
        within_s: seconds after a call's first attempt within which the last one may begin.
        concurrent: how many calls are made at once.
        rate: how many calls begin in a second at most; None has no limit.
        line_s: seconds that a call waits for its turn at most.
        down: statuses that tell of a service in trouble; see `holdfast.sinks.http.judge`.
        breaker: when no calls are made.
    """

    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    call_s: float = 2.0
    attempts: int = 3
    within_s: float = 5.0
    concurrent: int = 32
    rate: float | None = None
    line_s: float = 10.0
    down: Collection[str] = DOWN_STATUSES
    breaker: BreakerSettings = field(default_factory=BreakerSettings)


@dataclass(slots=True)
class _Request:
    """A call on its way.

    Attributes:
        call: the call.
        body: its body.
        headers: its headers, besides those of all calls.
        cut_after_s: seconds that an attempt of it had been under way when it was cancelled.
    """

    call: HttpCall
    body: bytes | None
    headers: Mapping[str, str]
    cut_after_s: float | None = None


class _NoAnswer(SinkDown):
    """One attempt came to nothing."""

    @property
    def retry_after_s(self) -> float | None:
        """What `holdfast.resilience.Retry` asks for."""
        return self.wait_s


class _TooLongError(Exception):
    """An answer that is not to be read to its end."""


class HttpService(Downstream):
    """Calls a service; each call on its own is counted, tried again and cut in time.

    Args:
        settings: how it is called.
        waits_for_probes: whether a call that is refused beside the probes of a half-open circuit waits for
            them, as long as one call may take.

    Attributes:
        breaker: of the service.
        concurrent: how many calls are made at once.

    Raises:
        PolicyError: the protections cannot work as they are set.
        SinkError: its URL is none.
    """

    client = HttpClient
    breaker: CircuitBreaker

    def __init__(self, settings: HttpSettings, *, waits_for_probes: bool = True) -> None:
        self.concurrent = settings.concurrent
        self._settings = settings
        try:
            self._url = URL(settings.url.rstrip("/"))
        except ValueError as error:
            raise SinkError(f"sink {settings.name!r}: its `url` cannot be used: {error}") from None
        self._base = str(self._url)
        self._session: aiohttp.ClientSession | None = None
        self._trouble = ""
        self._answered_at = -inf
        self.breaker = CircuitBreaker(
            settings.name, settings.breaker, failures=(_NoAnswer,), ignored=(HandlerError,)
        )
        self._probes = Probes(self.breaker)
        self._waits_for_probes = waits_for_probes
        self._policy = Policy(
            retry=Retry(
                attempts=settings.attempts,
                backoff=_BACKOFF,
                budget=RetryBudget(),
                errors=(_NoAnswer,),
                within_s=settings.within_s,
                retry_after_limit_s=settings.within_s,
            ),
            # Outside of the breaker, and of the time that a call may take: to wait for a place is no failure
            # of the service. Handlers may begin many calls for each record.
            bulkhead=Bulkhead(
                settings.name,
                concurrent=settings.concurrent,
                waiting=_MOST_IN_LINE,
                wait_s=settings.line_s,
            ),
            rate_limit=(
                None
                if settings.rate is None
                else RateLimit(settings.name, calls=settings.rate, wait_s=settings.line_s)
            ),
            breaker=self.breaker,
        )

    def client_for(self, identity: str, calls: int = 0) -> HttpClient:
        """What calls the service for one record, for which so many calls were made before."""
        return HttpClient(self, identity, calls)

    async def send(self, call: HttpCall, identity: str) -> HttpAnswer:
        """Make a call; see `HttpClient.send`.

        Args:
            call: the call.
            identity: the same one whenever this call is made, and no other call's.

        Raises:
            SinkDown: no answer, or one that says that the service is in trouble; also of an open breaker.
            HandlerError: the call cannot be made at all.
        """
        headers = {IDEMPOTENCY_KEY: identity}
        body = call.body()
        if call.json is not None:
            headers["Content-Type"] = _JSON
        headers.update(call.headers)
        request = _Request(call, body, headers)
        until: float | None = None
        while True:
            try:
                return await self._make(request)
            except CircuitOpen as error:
                refused = error
            until = until or asyncio.get_running_loop().time() + self._settings.call_s
            if not await self._may_try_again(refused, until):
                because = f"; {self._trouble}" if self._trouble else ""
                raise SinkDown(
                    f"sink {self._settings.name!r}: {refused}{because}", refused.wait_s
                ) from refused

    async def _make(self, request: _Request) -> HttpAnswer:
        is_refused = False
        try:
            return await self._policy.call_async(self._attempt, request)
        except CircuitOpen:
            is_refused = True
            raise
        except asyncio.CancelledError:
            self._count_cut(request)
            raise
        except (BulkheadFull, RateLimited) as error:
            raise SinkDown(f"sink {self._settings.name!r}: {error}") from error
        finally:
            if not is_refused:
                self._probes.ended()

    async def _may_try_again(self, refused: CircuitOpen, until: float) -> bool:
        """Wait beside probes, outside of the bulkhead: they, and others, need its places."""
        is_beside = self._waits_for_probes and refused.state == CircuitState.HALF_OPEN.name
        return is_beside and await self._probes.wait(until)

    def _count_cut(self, request: _Request) -> None:
        """Count a call as failed that was cut with its handler, if the service owed an answer.

        A service that hangs would not be found out by handlers that come to their end before their calls do:
        a cancelled call is none to its breaker. One that answers is not to blame for a handler that makes
        more calls than it has time for.
        """
        handler, waited_s = HANDLER_TIME.get(), request.cut_after_s
        if handler is None or not handler.is_over or waited_s is None:
            return
        is_silent = self._answered_at < time.monotonic() - handler.seconds
        if not is_silent and waited_s < _LONG * min(self._settings.call_s, handler.seconds):
            return
        self._trouble = f"{request.call} had no answer within the {handler.seconds:g} s of its handler"
        if self.breaker.state is not CircuitState.OPEN:
            # Its own permit was given back just now.
            with suppress(CircuitOpen):
                self.breaker.fail(self.breaker.acquire(), waited_s)

    async def _attempt(self, request: _Request) -> HttpAnswer:
        session = self._session or self._connect()
        call = request.call
        where = URL(self._base + call.path, encoded=True)
        began = time.monotonic()
        try:
            async with (
                asyncio.timeout(self._settings.call_s),
                session.request(
                    call.method,
                    where,
                    data=request.body,
                    headers=request.headers,
                    allow_redirects=False,
                ) as response,
            ):
                content = await _read(response)
                found = {name.lower(): value for name, value in response.headers.items()}
                answer = HttpAnswer(response.status, found, content)
        except asyncio.CancelledError:
            request.cut_after_s = time.monotonic() - began
            raise
        except TimeoutError as error:
            seconds = f"{self._settings.call_s:g} s"
            raise self._no_answer(f"{call} had no answer within {seconds}") from error
        except _TooLongError as error:
            # Whenever it is made: it is the call's fault, and not an outage.
            raise HandlerError(f"{call} was answered, {error}") from error
        except ValueError as error:
            # aiohttp refuses it before it is sent: a header with an end of a line in it, say.
            raise HandlerError(f"{call} cannot be made: {error}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._no_answer(f"{call} had no answer: {type(error).__name__}: {error}") from error
        if is_down(answer.status, self._settings.down):
            pause = pause_s(found.get("retry-after"), datetime.now(UTC))
            raise self._no_answer(f"{call} was answered with {answer}", pause)
        self._answered_at = time.monotonic()
        return answer

    def _no_answer(self, trouble: str, pause: float | None = None) -> _NoAnswer:
        self._trouble = trouble
        return _NoAnswer(f"sink {self._settings.name!r}: {trouble}", pause)

    def _connect(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            # The bulkhead limits them.
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=10),
            headers=self._settings.headers,
            # Each attempt is cut as a whole.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
            # aiohttp's own `trust_env` asks a thread twice for each call: a quarter of the calls in a second.
            proxy=proxy_of(self._url.scheme, self._url.host or ""),
        )
        return self._session

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()
            # Sockets are closed in the loop's next turn.
            await asyncio.sleep(0)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, which is not to take all the memory there is."""
    content = bytearray()
    async for part in response.content.iter_any():
        content += part
        if len(content) > _LONGEST_ANSWER:
            response.close()
            raise _TooLongError(f"with more than {_LONGEST_ANSWER:,} bytes, which nobody can hold")
    return bytes(content)
