"""A connection to a service over HTTP, some calls of which are answered with 500 by the gate itself.

The dangerous mistake is the one that nobody can tell from a harmless one: the service has done what it was
asked for, and the answer says that it failed. So of the calls that are answered wrongly one half is passed
on, and its answer thrown away; the other half never reaches the service.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from holdfast.chaos.gates.framing import Body, Endless, Head, Unreadable, head_of
from holdfast.chaos.gates.link import Link, Traffic
from holdfast.chaos.gates.manners import Kind

_SAID: Final = b'{"error": "the chaos lab answers for this service"}'
_WRONG: Final = (
    b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    % len(_SAID)
)


@dataclass(slots=True)
class _Call:
    """A call under way.

    Attributes:
        method: what it does.
        body: what is still to come of it.
        is_wrong: whether it is answered with 500.
        is_passed: whether the service gets it.
        answer: what is still to come of the service's answer; None before its head.
    """

    method: bytes
    body: Body
    is_wrong: bool = False
    is_passed: bool = True
    answer: Body | None = None

    @property
    def is_answered(self) -> bool:
        """Whether the service's answer has come as a whole."""
        return self.answer is not None and self.answer.is_over


class HttpLink(Link):
    """One connection; its calls come one after the other, and each is answered before the next is looked at.

    Args:
        traffic: of the gate.
        loop: the clock.
        here: what clients call the gate in their `Host`.
        there: what the service is called: it may be one of several behind an address.
    """

    def __init__(self, traffic: Traffic, loop: asyncio.AbstractEventLoop, here: str, there: str) -> None:
        super().__init__(traffic, loop)
        self._here = re.compile(rf"\r\nHost:[ \t]*{re.escape(here)}[ \t]*\r\n".encode(), re.IGNORECASE)
        self._there = f"\r\nHost: {there}\r\n".encode()
        self._asked = b""
        self._said = b""
        self._call: _Call | None = None
        self._is_tunnel = False
        # What goes each way at the end of a turn, in one piece: most messages fit one packet.
        self._to_system: list[bytes] = []
        self._to_client: list[bytes] = []

    def from_client(self, data: bytes) -> None:
        """Something came from the client."""
        if self._is_tunnel:
            super().from_client(data)
            return
        self._asked += data
        self._turn(self._take_asked)

    def _turn(self, take: Callable[[], None]) -> None:
        """Take what has come, and send what comes of it."""
        try:
            take()
        except Unreadable:
            self.reset()
            return
        if self._to_system:
            self.system.write(b"".join(self._to_system))
            self._to_system.clear()
        if self._to_client:
            self.answer(b"".join(self._to_client))
            self._to_client.clear()

    def _take_asked(self) -> None:
        while self._asked:
            call = self._call
            if call is None:
                if not self._begin():
                    return
                continue
            if call.body.is_over:
                # The next one, before this one has its answer. It waits for its turn.
                self.client.hold_back("turn")
                return
            end = call.body.take(self._asked, 0)
            if call.is_passed:
                self._to_system.append(self._asked[:end])
            self._asked = self._asked[end:]
            self._end_if_over(call)

    def _begin(self) -> bool:
        """Begin with the next call, if its head is there."""
        head = head_of(self._asked)
        if head is None:
            return False
        self._asked = self._asked[len(head.content) :]
        self._call = call = self._judged(head)
        if call.is_passed:
            self._to_system.append(self._here.sub(self._there, head.content, 1))
        self._end_if_over(call)
        return True

    def _judged(self, head: Head) -> _Call:
        """What becomes of a call."""
        traffic = self.traffic
        traffic.counts.calls += 1
        call = _Call(head.method, head.body_of_request())
        manner = traffic.manner
        if manner.kind is Kind.WRONG and traffic.draw() < manner.share:
            call.is_wrong, call.is_passed = True, traffic.draw() < 0.5
        return call

    def _end_if_over(self, call: _Call) -> None:
        """A call is over when it has come as a whole, and so has its answer if there is one to wait for."""
        if not call.body.is_over or (call.is_passed and not call.is_answered):
            return
        if call.is_wrong:
            self._say_wrong(call)
        self._call = None
        self.client.go_on("turn")

    def _say_wrong(self, call: _Call) -> None:
        # Not before: nobody knows what became of a call that was passed on and has no answer.
        if call.is_passed:
            self.traffic.counts.wrong_done += 1
        else:
            self.traffic.counts.wrong_left += 1
        self._to_client.append(_WRONG if call.method == b"HEAD" else _WRONG + _SAID)

    def from_system(self, data: bytes) -> None:
        """Something came from the service."""
        if self._is_tunnel:
            self.answer(data)
            return
        self._said += data
        self._turn(self._take_all_said)

    def _take_all_said(self) -> None:
        while self._said and self._take_said():
            pass
        # What waited for its turn.
        self._take_asked()

    def _take_said(self) -> bool:
        """Take a part of an answer; False if more has to come for that."""
        call = self._call
        if call is None or not call.is_passed or call.is_answered:
            raise Unreadable
        if call.answer is None:
            return self._take_head(call)
        end = call.answer.take(self._said, 0)
        self._pass_on(call, end)
        self._end_if_over(call)
        return True

    def _take_head(self, call: _Call) -> bool:
        head = head_of(self._said)
        if head is None:
            return False
        if head.status == 101:
            self._is_tunnel = True
            # No call any more: there is nothing that could be answered with 500.
            call.is_wrong = False
            self._pass_on(call, len(self._said))
            return False
        # Others below 200 say that an answer will come.
        if head.status >= 200:
            call.answer = head.body_of_answer(call.method)
        self._pass_on(call, len(head.content))
        self._end_if_over(call)
        return True

    def _pass_on(self, call: _Call, end: int) -> None:
        if not call.is_wrong:
            self._to_client.append(self._said[:end])
        self._said = self._said[end:]

    def system_ended(self) -> None:
        """The service says nothing more: an answer without a length ends so.

        Any other that is under way is lost, also to the client: nobody knows whether the call was done.
        """
        call = self._call
        if call is not None and call.is_wrong and isinstance(call.answer, Endless):
            call.is_wrong = False
            self._turn(partial(self._say_wrong, call))
        super().system_ended()
