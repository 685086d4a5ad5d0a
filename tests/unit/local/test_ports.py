from __future__ import annotations

import socket

import pytest

from holdfast.errors import EmbeddedClusterError
from holdfast.local import ports


def test_a_port_with_a_listener_is_not_free() -> None:
    """And it is free again once the listener is gone."""
    with socket.create_server((ports.HOST, 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port)
        assert ports.answers(port)
    assert ports.is_free(port)
    assert not ports.answers(port)


def test_free_ports_differ_and_lie_below_the_range_of_outgoing_connections() -> None:
    """Otherwise a client's socket could sit on the port of a broker that restarts."""
    found = ports.free_ports(6)
    assert len(set(found)) == 6
    assert all(ports.LOWEST <= port < ports.HIGHEST < 32_768 for port in found)


def test_taken_ports_are_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports of the same cluster count as taken, whoever listens."""
    monkeypatch.setattr(ports, "LOWEST", 20_000)
    monkeypatch.setattr(ports, "HIGHEST", 20_004)
    with pytest.raises(EmbeddedClusterError, match="no 1 free ports"):
        ports.free_ports(1, taken={20_000, 20_001, 20_002, 20_003})
