"""A connection to Redis Sentinel: wherever it names the master, clients are told the gate's own door to it.

So clients find the master as they always do, by asking, and after a fail-over the door leads to the new one.
Sentinel begins what it says of a master with its name, its ip and its port (`addReplySentinelRedisInstance`
in Redis' sentinel.c), as bulk strings.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from holdfast.chaos.gates.link import Link, Traffic
from holdfast.chaos.gates.manners import Upstream
from holdfast.local.ports import HOST

_LONGEST = 1024 * 1024


class SentinelLink(Link):
    """One connection.

    Args:
        traffic: of the gate.
        loop: the clock.
        master: what Sentinel calls the master.
        door: the port of the gate that leads to it.
        found: told where the master is, whenever Sentinel says so.
    """

    def __init__(
        self,
        traffic: Traffic,
        loop: asyncio.AbstractEventLoop,
        master: str,
        door: int,
        found: Callable[[Upstream], None],
    ) -> None:
        super().__init__(traffic, loop)
        self._pattern = re.compile(
            re.escape(_bulk("name") + _bulk(master) + _bulk("ip"))
            + rb"\$\d+\r\n([^\r\n]+)\r\n"
            + re.escape(_bulk("port"))
            + rb"\$\d+\r\n(\d+)\r\n"
        )
        self._instead = (
            _bulk("name") + _bulk(master) + _bulk("ip") + _bulk(HOST) + _bulk("port") + _bulk(str(door))
        )
        self._found = found
        self._said = b""

    def from_system(self, data: bytes) -> None:
        """Something came from Sentinel: whole replies are passed on, with the door in them."""
        self._said += data
        end = 0
        while (after := end_of_reply(self._said, end)) is not None:
            end = after
        if end:
            self.answer(self._pattern.sub(self._replaced, self._said[:end]))
            self._said = self._said[end:]
        if len(self._said) > _LONGEST:
            self.reset()

    def _replaced(self, match: re.Match[bytes]) -> bytes:
        self._found(Upstream(match[1].decode(), int(match[2])))
        return self._instead


def _bulk(text: str) -> bytes:
    """A bulk string of Redis' protocol."""
    content = text.encode()
    return b"$%d\r\n%s\r\n" % (len(content), content)


def end_of_reply(data: bytes, at: int) -> int | None:
    """The place behind the reply that begins at a place (RESP); None if it has not come as a whole."""
    left = 1
    while left:
        line = data.find(b"\r\n", at)
        if line < 0:
            return None
        kind, text = data[at : at + 1], data[at + 1 : line]
        at, left = line + 2, left - 1
        if kind in b"*%~>" and text.lstrip(b"-").isdigit():
            # A map has twice as many.
            left += max(int(text), 0) * (2 if kind == b"%" else 1)
        elif kind in b"$=!" and text.isdigit():
            at += int(text) + 2
            if at > len(data):
                return None
    return at
