"""Who leads the quorum of controllers, as the brokers' answer says it."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from holdfast.errors import ClusterError
from holdfast.kafka.quorum import quorum_leader
from holdfast.kafka.roles import _java_hash

TOPIC = b"__cluster_metadata"


def answer(*, error: int = 0, partition_error: int = 0, leader: int = 2) -> bytes:
    """DescribeQuorum's response, version 0: header, error, one topic with one partition and no voters."""
    partition = struct.pack(">ihiiq", 0, partition_error, leader, 7, 99) + b"\1\1\0"
    topic = bytes([len(TOPIC) + 1]) + TOPIC + b"\2" + partition + b"\0"
    return struct.pack(">i", 1) + b"\0" + struct.pack(">h", error) + b"\2" + topic + b"\0"


@contextmanager
def broker(response: bytes | None) -> Iterator[str]:
    """Serve one question with a response, in two pieces; None hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                (length,) = struct.unpack(">i", connection.recv(4))
                connection.recv(length)
                if response is not None:
                    framed = struct.pack(">i", len(response)) + response
                    connection.sendall(framed[:9])
                    connection.sendall(framed[9:])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(5)


def test_the_leader_is_read_from_the_answer() -> None:
    with broker(answer(leader=3)) as address:
        assert quorum_leader(address) == 3


@pytest.mark.parametrize("response", [None, answer(error=41), answer(partition_error=6), answer(leader=-1)])
def test_a_broker_that_does_not_know_is_passed_over(response: bytes | None) -> None:
    with broker(response) as first, broker(answer(leader=1)) as second:
        assert quorum_leader(f"{first},{second}") == 1


def test_without_an_answer_every_broker_is_named() -> None:
    with broker(answer(leader=-1)) as address, pytest.raises(ClusterError, match="no leader") as told:
        quorum_leader(f"{address},127.0.0.1:1", timeout=1)
    assert address in str(told.value)
    assert "127.0.0.1:1" in str(told.value)


def test_transactional_ids_are_hashed_as_java_does() -> None:
    """`String.hashCode`, from which the broker that coordinates them follows."""
    assert _java_hash("abc") == 96_354
    assert _java_hash("holdfast") == 0xFFFF_FFFF & sum(
        ord(char) * 31 ** (7 - place) for place, char in enumerate("holdfast")
    )
