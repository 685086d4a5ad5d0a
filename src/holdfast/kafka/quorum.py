"""Which controller leads the quorum: a question that the client has no call for.

A KRaft broker names any live broker as "the controller" in its metadata, since clients need not know; only
DescribeQuorum (KIP-595, api key 55) tells. One request, written by hand: version 0, flexible encoding.
"""

from __future__ import annotations

import socket
import struct

from holdfast.errors import ClusterError

_API_KEY, _VERSION, _CORRELATION = 55, 0, 1
_TOPIC = b"__cluster_metadata"
_NO_TAGS = b"\0"


def quorum_leader(bootstrap_servers: str, *, timeout: float = 2.0) -> int:
    """Return the id of the controller that leads.

    Args:
        bootstrap_servers: ``host:port`` of some brokers, separated by commas; without TLS or a login.
        timeout: seconds for each of them.

    Raises:
        ClusterError: no broker knows a leader.
    """
    said = []
    for address in bootstrap_servers.split(","):
        try:
            return _ask(address, timeout)
        except (OSError, ValueError, struct.error) as error:
            said.append(f"{address}: {str(error) or type(error).__name__}")
    raise ClusterError(f"no broker knows which controller leads the quorum: {'; '.join(said)}")


def _ask(address: str, timeout: float) -> int:
    host, _, port = address.strip().rpartition(":")
    header = struct.pack(">hhih", _API_KEY, _VERSION, _CORRELATION, -1) + _NO_TAGS
    partition = struct.pack(">i", 0) + _NO_TAGS
    topic = bytes([len(_TOPIC) + 1]) + _TOPIC + bytes([2]) + partition + _NO_TAGS
    request = header + bytes([2]) + topic + _NO_TAGS
    with socket.create_connection((host, int(port)), timeout) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        (length,) = struct.unpack(">i", _read(connection, 4))
        return _leader(_read(connection, length))


def _leader(answer: bytes) -> int:
    """Read correlation id, tags, error; then one topic with one partition: index, error, leader."""
    (error,) = struct.unpack_from(">h", answer, 5)
    at = 7
    if error == 0 and answer[at] == 2:
        at += (
            1 + answer[at + 1]
        )  # the topic's name, whose length is one less than it says, and one byte for it
        if answer[at] == 2:
            _, error, leader = struct.unpack_from(">ihi", answer, at + 1)
            if error == 0 and leader >= 0:
                return int(leader)
    raise ValueError(f"it answers with error {error} and no leader")


def _read(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise OSError("it closed the connection")
        data += part
    return data
