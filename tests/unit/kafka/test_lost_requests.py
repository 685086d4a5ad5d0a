"""Lines of the client's log that say that a request may be left on its way."""

from __future__ import annotations

import logging

import pytest

from holdfast.kafka.lost_requests import LostRequests

FORM = "%s [%s] %s"


def heard(facility: str, text: str) -> str:
    """What is thought lost after one line of the log."""
    lost = LostRequests(logging.getLogger("test"))
    lost.log(logging.WARNING, FORM, facility, "worker#producer-1", text)
    return lost.reason


@pytest.mark.parametrize(
    ("facility", "text"),
    [
        ("FAIL", "127.0.0.1:1/1: Disconnected (after 2340ms in state UP)"),
        ("FAIL", "TxnCoordinator/2: 127.0.0.1:1: Disconnected: verify that ... (after 12ms in state UP)"),
        ("FAIL", "a:1/1: 1 request(s) timed out: disconnect (average rtt 2ms) (after 9ms in state UP)"),
        ("FAIL", "127.0.0.1:1/1: Receive failed: Connection reset by peer (after 9ms in state UP)"),
        ("FAIL", "127.0.0.1:1/1: Disconnected (after 3ms in state AUTH_HANDSHAKE)"),
        ("FAIL", "words of a later release"),
        ("REQTMOUT", "127.0.0.1:1/1: Timed out EndTxnRequest in flight (after 2000ms, timeout #0)"),
    ],
)
def test_a_lost_connection_and_a_timeout_count(facility: str, text: str) -> None:
    """What is not understood counts too."""
    assert heard(facility, text) == text


@pytest.mark.parametrize(
    ("facility", "text"),
    [
        ("FAIL", "127.0.0.1:1/1: Connect to ipv4#127.0.0.1:1 failed: refused (after 0ms in state CONNECT)"),
        ("FAIL", "a:1/1: Failed to resolve 'a:1': unknown (after 0ms in state TRY_CONNECT)"),
        ("FAIL", "a:1/1: SSL handshake failed: certificate expired (after 4ms in state SSL_HANDSHAKE)"),
        ("FAIL", "a:1/1: Disconnected: connection reset by peer (after 2ms in state APIVERSION_QUERY)"),
        ("FAIL", "a:1/1: Disconnected: connection closed by peer (after 2ms in state SSL_HANDSHAKE)"),
        ("GETPID", "Failed to acquire transactional PID: retrying"),
    ],
)
def test_a_broker_that_cannot_be_reached_does_not(facility: str, text: str) -> None:
    """Nothing was sent to it; counted, each unit would replace its client while a broker is down."""
    assert heard(facility, text) == ""


def test_the_first_reason_stays_and_every_line_is_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    """A log is still a log."""
    lost = LostRequests(logging.getLogger("test"))
    with caplog.at_level(logging.INFO):
        for text in ("Disconnected (after 1ms in state UP)", "Disconnected (after 2ms in state UP)"):
            lost.log(logging.INFO, FORM, "FAIL", "worker#producer-1", text)
    assert lost.reason == "Disconnected (after 1ms in state UP)"
    assert [record.getMessage().split()[-1] for record in caplog.records] == ["UP)", "UP)"]
