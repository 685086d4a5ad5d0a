"""One connection through a gate: two transports, and what is between them.

Throughput matters here, so that these are asyncio's protocols and not its streams: what comes from one side
is written to the other in the same call.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from holdfast.chaos.gates.manners import Counts, Kind, Manner

ROOM = 1024 * 1024
"""Bytes of answers that a connection holds; no more are read from the system while it has as many."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: a connection that is closed is reset (socket(7))."""


@dataclass(slots=True)
class Traffic:
    """What all connections of a gate share.

    Attributes:
        manner: how it behaves now.
        counts: what has happened.
        links: its connections.
        draw: a number from 0 to below 1 for each call: which are answered wrongly.
    """

    draw: Callable[[], float]
    manner: Manner = field(default_factory=Manner)
    counts: Counts = field(default_factory=Counts)
    links: set[Link] = field(default_factory=set)

    @property
    def delay_s(self) -> float:
        """Seconds that answers are held now."""
        return self.manner.delay_s if self.manner.kind is Kind.SLOW else 0.0

    def become(self, manner: Manner) -> int:
        """Behave otherwise from now on; returns how many connections were reset for it."""
        self.manner = manner
        links = list(self.links)
        if manner.kind is Kind.DOWN:
            for link in links:
                link.reset()
            self.counts.reset += len(links)
            return len(links)
        if manner.kind is Kind.SLOW:
            self.counts.longest_s = 0.0
        for link in links:
            link.let_go()
        return 0


class Side(asyncio.Protocol):
    """One end of a link, as asyncio calls it."""

    def __init__(self, data: Callable[[bytes], None], ended: Callable[[], None], link: Link) -> None:
        self._data = data
        self._ended = ended
        self._link = link
        self._why_paused: set[str] = set()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self._why_paused:
            transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Something came."""
        self._data(data)

    def eof_received(self) -> bool:
        """Nothing more comes from there; what goes there may go on."""
        self._ended()
        # TLS knows no half of a connection: there it closes itself.
        return self.transport is not None and self.transport.get_extra_info("sslcontext") is None

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone, both ways."""
        self._link.lost(self, error)

    def pause_writing(self) -> None:
        """It takes nothing more at the moment."""
        self._link.other(self).hold_back("full")

    def resume_writing(self) -> None:
        """It takes more."""
        self._link.other(self).go_on("full")

    # -- for the link

    def write(self, data: bytes) -> None:
        """Send something there, if it is still there."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def hold_back(self, why: str) -> None:
        """Read nothing more from there, for one reason of several."""
        if not self._why_paused and self.transport is not None:
            self.transport.pause_reading()
        self._why_paused.add(why)

    def go_on(self, why: str) -> None:
        """A reason not to read is over."""
        if why in self._why_paused:
            self._why_paused.remove(why)
            if not self._why_paused and self.transport is not None and not self.transport.is_closing():
                self.transport.resume_reading()

    def end(self) -> None:
        """Say that nothing more comes; what was written is sent first."""
        if self.transport is None or self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def close(self) -> None:
        """Close it, when what was written is sent."""
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """Break it, with what was not sent."""
        if self.transport is None:
            return
        sock: Any = self.transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX and not self.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()


class Link:
    """A client's connection, and the one that the gate made for it to the system. Passes everything.

    What the client says goes on at once. What the system says is held as long as the gate's manner has it, in
    its order.

    Args:
        traffic: of the gate.
        loop: the clock.
    """

    def __init__(self, traffic: Traffic, loop: asyncio.AbstractEventLoop) -> None:
        self.traffic = traffic
        self._loop = loop
        self.client = Side(self.from_client, self.client_ended, self)
        self.system = Side(self.from_system, self.system_ended, self)
        self._held: deque[tuple[float, float, bytes]] = deque()
        self._held_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_last = False
        traffic.links.add(self)
        traffic.counts.connections += 1

    def other(self, side: Side) -> Side:
        """The other end."""
        return self.system if side is self.client else self.client

    # -- what comes

    def from_client(self, data: bytes) -> None:
        """Something came from the client."""
        self.system.write(data)

    def from_system(self, data: bytes) -> None:
        """Something came from the system."""
        self.answer(data)

    def client_ended(self) -> None:
        """The client says nothing more."""
        self.system.end()

    def system_ended(self) -> None:
        """The system says nothing more: what is held goes first."""
        self._is_last = True
        self._close_when_empty()

    def lost(self, side: Side, error: Exception | None) -> None:
        """An end is gone: the other one has to learn it, as it happened."""
        if side is self.client:
            self.traffic.links.discard(self)
            self._forget()
            self.system.reset()
        elif error is not None:
            self.client.reset()
        else:
            self.system_ended()

    # -- what goes to the client

    def answer(self, data: bytes) -> None:
        """Send something to the client, after what is held, and not before the delay is over."""
        delay = self.traffic.delay_s
        if not delay and not self._held:
            self.client.write(data)
            return
        now = self._loop.time()
        # Never before what came earlier, also where the delay has become shorter.
        due = max(now + delay, self._held[-1][0] if self._held else 0.0)
        self._held.append((due, now, data))
        self._held_bytes += len(data)
        self.traffic.counts.held += 1
        if self._held_bytes >= ROOM:
            self.system.hold_back("held")
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._due)

    def _due(self) -> None:
        """Send what was held long enough."""
        self._timer = None
        now = self._loop.time()
        while self._held and self._held[0][0] <= now:
            counts = self.traffic.counts
            counts.longest_s = max(counts.longest_s, now - self._held[0][1])
            self._send_first()
        if self._held:
            self._timer = self._loop.call_at(self._held[0][0], self._due)
        self._close_when_empty()

    def _send_first(self) -> None:
        _, _, data = self._held.popleft()
        self._held_bytes -= len(data)
        self.client.write(data)
        if self._held_bytes < ROOM:
            self.system.go_on("held")

    def let_go(self) -> None:
        """Send everything that is held: the gate is slow no more."""
        while self._held:
            self._send_first()
        self._forget()
        self._close_when_empty()

    def _close_when_empty(self) -> None:
        if self._is_last and not self._held:
            self.client.close()

    def _forget(self) -> None:
        self._held.clear()
        self._held_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def reset(self) -> None:
        """Break both connections."""
        self._forget()
        self.client.reset()
        self.system.reset()
        self.traffic.links.discard(self)
