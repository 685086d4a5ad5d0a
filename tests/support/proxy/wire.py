"""As much of Kafka's protocol as the proxy needs: frames, the headers of requests, a few error codes."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from enum import IntEnum

_SIZE = struct.Struct(">i")
_HEADER = struct.Struct(">hhih")


class Api(IntEnum):
    """The kinds of requests that tests hurt, by their number in the protocol."""

    PRODUCE = 0
    FETCH = 1
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    SYNC_GROUP = 14
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


_THROTTLE_THEN_ERROR: dict[int, int] = {Api.ADD_OFFSETS_TO_TXN: 2, Api.END_TXN: 2}
"""Requests whose answers begin with throttle time and error code, with the last version of which that is so
behind a header without tags."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request on its way.

    Attributes:
        api: what it asks for; see `Api`.
        version: the version of its form.
        correlation: its number on its connection, which the answer repeats.
        client: the client's id.
        frame: all of its bytes without the length.
    """

    api: int
    version: int
    correlation: int
    client: str
    frame: bytes

    @property
    def is_commit(self) -> bool:
        """Whether it is an EndTxn that commits; its last byte says so in the versions without tags."""
        assert self.api == Api.END_TXN
        assert self.version <= 2, "written for the version that librdkafka speaks"
        return self.frame[-1] == 1

    def __str__(self) -> str:
        name = Api(self.api).name if self.api in set(Api) else str(self.api)
        return f"{name} v{self.version} #{self.correlation} of {self.client}"


def parse(frame: bytes) -> Request:
    """Read a request's header; api, version, correlation and client stand first in every version of it."""
    api, version, correlation, length = _HEADER.unpack_from(frame)
    client = frame[_HEADER.size : _HEADER.size + max(length, 0)].decode()
    return Request(api, version, correlation, client, frame)


def correlation_of(frame: bytes) -> int:
    """The number of the request that an answer belongs to."""
    return int(_SIZE.unpack_from(frame)[0])


def error_of(request: Request, answer: bytes) -> int | None:
    """The error code in an answer, 0 for success; None where we cannot read it."""
    if request.version > _THROTTLE_THEN_ERROR.get(request.api, -1):
        return None
    return int(struct.unpack_from(">h", answer, 8)[0])


async def read_frame(stream: asyncio.StreamReader) -> bytes | None:
    """The next frame without its length; None at the end of the stream."""
    try:
        (size,) = _SIZE.unpack(await stream.readexactly(_SIZE.size))
        return await stream.readexactly(size)
    except (asyncio.IncompleteReadError, OSError):
        return None


def framed(frame: bytes) -> bytes:
    """A frame with its length."""
    return _SIZE.pack(len(frame)) + frame
