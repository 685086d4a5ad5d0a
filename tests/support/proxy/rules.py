"""What the proxy does to which request, and the proof that it did."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from enum import Enum

from tests.support.proxy.wire import Api, Request

_ANSWER_S = 5.0


class Fault(Enum):
    """What happens to one request.

    A connection keeps its order, as TCP does: what is held holds up all that comes after it on the same
    connection, in the same direction, and what is dropped takes all of that with it.
    """

    DROP_REQUEST = "request dropped"
    """The broker never hears of it, nor of what follows on the connection, and the client waits."""

    DROP_ANSWER = "answer dropped"
    """The broker did it, and what follows on the connection; the client hears nothing of it, and waits."""

    HOLD_REQUEST = "request delayed"
    """It reaches the broker when the rule is released, even if the client has given up."""

    HOLD_ANSWER = "answer delayed"
    """The broker did it; the client hears of it when the rule is released."""

    CUT_BEFORE = "cut before"
    """The connection is closed; the broker never hears of it."""

    CUT_AFTER = "cut after"
    """The broker did it; the connection is closed instead of the answer."""

    CUT_AND_HOLD = "cut, request delayed"
    """The connection is closed at once, and the request reaches the broker all the same when the rule is
    released: as if it had been in a queue on the way."""


class Rule:
    """One fault for one request.

    Args:
        fault: what to do.
        api: to which kind of request.
        client: of the client with this id.
        nth: to the how-many-th such request since the rule was made; 1 is the next.
        only: a further condition; requests that do not fulfil it are not counted.
        at_most: seconds after which what is held is released in any case.

    Attributes:
        request: what it was done to; None until then.
        answer_error: the broker's answer to it, where the code can be read; also if the client never saw it.
        released_by: what ended a delay: "next transaction", "time" or "test".
    """

    def __init__(
        self,
        fault: Fault,
        api: Api,
        client: str,
        *,
        nth: int = 1,
        only: Callable[[Request], bool] | None = None,
        at_most: float = 60.0,
    ) -> None:
        self.fault, self.api, self.client = fault, api, client
        self.request: Request | None = None
        self.answer_error: int | None = None
        self.released_by = ""
        self.happened = threading.Event()
        self.done = threading.Event()
        self._left = nth
        self._only = only
        self._at_most = at_most
        self._deadline = 0.0
        self._gate = asyncio.Event()
        self._finish = asyncio.Event()
        self._ended_before = False
        self._sign = Api.TXN_OFFSET_COMMIT if api is Api.TXN_OFFSET_COMMIT else Api.PRODUCE

    def __str__(self) -> str:
        return f"{self.fault.value}: {self.request or self.api.name}"

    def wants(self, request: Request) -> bool:
        """Count a request; True for the one to be hurt. Called by the proxy."""
        if self.request is not None or (request.api, request.client) != (self.api, self.client):
            return False
        if self._only is not None and not self._only(request):
            return False
        self._left -= 1
        if self._left:
            return False
        self.request = request
        self._deadline = time.monotonic() + self._at_most
        self.happened.set()
        return True

    def note_answer(self, request: Request) -> bool:
        """Release what is held when the client's next transaction has begun; True when it did. By the proxy.

        It has begun when a transaction was ended, or a producer taken over, and a record written after that.
        Delayed offsets wait for that transaction's own offsets: those before them they could not harm.
        """
        if self.request is None or request is self.request or request.client != self.client:
            return False
        if request.api in (Api.END_TXN, Api.INIT_PRODUCER_ID):
            self._ended_before = True
        elif self._ended_before and request.api == self._sign and not self.released_by:
            self.open_gate("next transaction")
            return True
        return False

    async def finished(self) -> None:
        """Wait until a released request was answered. Called by the proxy."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._finish.wait(), _ANSWER_S)

    def finish(self) -> None:
        """All is done that was to be done. Called by the proxy."""
        self._finish.set()
        self.done.set()

    async def released(self) -> None:
        """Wait until what is held may go on. Called by the proxy."""
        try:
            await asyncio.wait_for(self._gate.wait(), max(self._deadline - time.monotonic(), 0.0))
        except TimeoutError:
            self.open_gate("time")

    def open_gate(self, why: str) -> None:
        """Let go of what is held, on the proxy's thread; see `Proxy.release`."""
        self.released_by = self.released_by or why
        self._gate.set()
