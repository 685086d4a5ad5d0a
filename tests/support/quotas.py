"""A limit on how fast a client may read, which the brokers keep themselves: our client cannot ask for one."""

from __future__ import annotations

import contextlib
import socket
import struct

_ALTER_CLIENT_QUOTAS = 49
_TIMEOUT_S = 15.0


def limit_reading(servers: str, client: str, bytes_per_second: int) -> None:
    """Have every broker let a client read so much a second.

    What a client did not use up in some ten seconds it may read at once.

    Args:
        servers: the brokers.
        client: the client's id.
        bytes_per_second: how much from each broker.
    """
    entity = struct.pack(">i", 1) + _text("client-id") + _text(client)
    change = struct.pack(">i", 1) + _text("consumer_byte_rate") + struct.pack(">d?", bytes_per_second, False)
    content = struct.pack(">i", 1) + entity + change + struct.pack(">?", False)
    head = struct.pack(">hhi", _ALTER_CLIENT_QUOTAS, 0, 1) + _text("test")
    with _connected(servers) as connection:
        connection.sendall(struct.pack(">i", len(head + content)) + head + content)
        with connection.makefile("rb") as answers:
            (size,) = struct.unpack(">i", answers.read(4))
            answer = answers.read(size)
    # The correlation, the time that we were throttled for, how many entities, and the first one's error.
    *_, error = struct.unpack_from(">iiih", answer)
    assert error == 0, f"the brokers refuse the limit: {answer!r}"


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _connected(servers: str) -> socket.socket:
    """A connection to one of the brokers, any that lives: each passes the change on to the controller."""
    for server in servers.split(","):
        host, port = server.rsplit(":", 1)
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection((host, int(port)), _TIMEOUT_S)
    raise AssertionError(f"no broker answers at {servers}")
