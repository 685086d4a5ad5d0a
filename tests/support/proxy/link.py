"""One client's connection through the proxy to one broker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from tests.support.proxy.rules import Fault, Rule
from tests.support.proxy.wire import Request, correlation_of, error_of, framed, parse, read_frame

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_ANSWERS_S = 5.0
"""Seconds that answers are waited for when the client has gone: a broker works on what it has read."""


class Link:
    """Passes requests one way and answers the other, and does to them what the rules say.

    Args:
        client: the client's side.
        broker: the broker's side.
        match: the rule that a request falls under, if any.
        answered: told about each answer that has come; names the rule that it released, which goes first.
    """

    def __init__(
        self,
        client: Streams,
        broker: Streams,
        match: Callable[[Request], Rule | None],
        answered: Callable[[Request], Rule | None],
    ) -> None:
        self._client, self._broker = client, broker
        self._match, self._answered = match, answered
        self._pending: dict[int, tuple[Request, Rule | None]] = {}
        self._idle = asyncio.Event()
        self._is_silent = False

    async def run(self) -> None:
        """Work until both sides have ended."""
        answers = asyncio.create_task(self._pass_answers())
        try:
            await self._pass_requests()
            if self._pending:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._idle.wait(), _ANSWERS_S)
        finally:
            _close(self._broker[1])
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
            _close(self._client[1])

    async def _pass_requests(self) -> None:
        while (frame := await read_frame(self._client[0])) is not None:
            request = parse(frame)
            rule = self._match(request)
            fault = rule.fault if rule else None
            if rule and fault is Fault.DROP_REQUEST:
                rule.finish()
                while await read_frame(self._client[0]) is not None:
                    pass
                return
            if rule and fault is Fault.CUT_BEFORE:
                _close(self._client[1])
                rule.finish()
                return
            if rule and fault is Fault.CUT_AND_HOLD:
                _close(self._client[1])
            if rule and fault in (Fault.HOLD_REQUEST, Fault.CUT_AND_HOLD):
                await rule.released()
            self._idle.clear()
            self._pending[request.correlation] = (request, rule)
            if not await _write(self._broker[1], frame):
                return

    async def _pass_answers(self) -> None:
        while (frame := await read_frame(self._broker[0])) is not None:
            request, rule = self._pending.pop(correlation_of(frame))
            if self._is_silent:
                pass
            elif rule is not None:
                rule.answer_error = error_of(request, frame)
                await self._hurt_answer(rule, frame)
            else:
                released = self._answered(request)
                if released is not None:
                    await released.finished()
                await _write(self._client[1], frame)
            if not self._pending:
                self._idle.set()
        self._idle.set()
        _close(self._client[1])

    async def _hurt_answer(self, rule: Rule, frame: bytes) -> None:
        try:
            if rule.fault is Fault.HOLD_ANSWER:
                await rule.released()
            if rule.fault is Fault.CUT_AFTER:
                _close(self._client[1])
            elif rule.fault is Fault.DROP_ANSWER:
                self._is_silent = True
            else:
                await _write(self._client[1], frame)
        finally:
            # Also when the client has gone while its answer was held.
            rule.finish()


async def _write(stream: asyncio.StreamWriter, frame: bytes) -> bool:
    """Write a frame; False when nobody reads any more."""
    if stream.is_closing():
        return False
    try:
        stream.write(framed(frame))
        await stream.drain()
    except OSError:
        return False
    return True


def _close(stream: asyncio.StreamWriter) -> None:
    """Close a connection at once, with what was not sent: as a broken one does."""
    with contextlib.suppress(OSError):
        stream.transport.abort()
