"""What an HTTP status means, and what a call may be."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from holdfast import Event
from holdfast.errors import HandlerError
from holdfast.sinks.http import HttpAnswer, HttpCall
from holdfast.sinks.http.judge import LONGEST_PAUSE_S, is_down, pause_s
from holdfast.topology.sink_decls import DOWN_STATUSES

NOW = datetime(2026, 11, 29, 12, 0, 0, tzinfo=UTC)


class Charged(Event):
    order_id: str
    amount: Decimal


@pytest.mark.parametrize("status", [401, 403, 407, 408, 425, 429, 500, 502, 503, 504, 599])
def test_a_service_in_trouble_is_down(status: int) -> None:
    """Also one that does not know us: setting records aside would empty the topic."""
    assert is_down(status, DOWN_STATUSES)


@pytest.mark.parametrize("status", [200, 201, 204, 301, 400, 402, 404, 405, 409, 410, 413, 422, 451])
def test_what_is_the_records_own_matter_is_not(status: int) -> None:
    """The same answer would come again, whenever it is tried."""
    assert not is_down(status, DOWN_STATUSES)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("86400", LONGEST_PAUSE_S),
        ("Sun, 29 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 29 Nov 2026 11:59:00 GMT", 0.0),
        ("Sun, 29 Nov 2026 12:00:30 -0000", 30.0),
        ("Mon, 30 Nov 2026 12:00:00 GMT", LONGEST_PAUSE_S),
        ("soon", None),
        ("-3", None),
        ("1.5", None),
        ("٣", None),
        pytest.param("9" * 5_000, LONGEST_PAUSE_S, id="more digits than a number has"),
        ("Sun, 06 Nov 99999999999999999999 08:49:37 GMT", None),
        ("Sun, 29 Nov 2026 12:00:30 +99999999999999999999", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", LONGEST_PAUSE_S),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
    ],
)
def test_a_pause_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    """Anything else is no pause that could be kept."""
    assert pause_s(header, NOW) == seconds


@pytest.mark.parametrize(
    "path",
    [
        *("charges", "", "http://elsewhere/charges", "//elsewhere/charges"),
        *("/a b", "/a\r\nHost: b", "/ä", "/..", "/./x", "/a/../b", "/a/..?x"),
    ],
)
def test_a_call_stays_with_its_service(path: str) -> None:
    """Another host would be counted as this one, and a line's end begin another request."""
    with pytest.raises(HandlerError, match="is below the `url` of its sink"):
        HttpCall("POST", path)


@pytest.mark.parametrize("path", ["/", "/a/b?c=/../d", "/a%2F..%2Fb", "/..a/.b", "/a//b", "/?q"])
def test_a_path_may_be_anything_below_it(path: str) -> None:
    """With its query; what is quoted is data."""
    assert HttpCall("GET", path).path == path


@pytest.mark.parametrize("method", ["", "NO METHOD", "GET\r\n", "1"])
def test_a_method_is_one_word(method: str) -> None:
    """Else it would be the begin of another request."""
    with pytest.raises(HandlerError, match="is no method of HTTP"):
        HttpCall(method, "/")


def test_a_body_is_what_pydantic_writes() -> None:
    """Events as well as plain values."""
    event = Charged(order_id="o1", amount=Decimal("9.90"))
    assert HttpCall("POST", "/", event).body() == b'{"order_id":"o1","amount":"9.90"}'
    assert HttpCall("POST", "/", {"at": NOW}).body() == b'{"at":"2026-11-29T12:00:00Z"}'
    assert HttpCall("POST", "/", content=b"raw").body() == b"raw"
    assert HttpCall("GET", "/").body() is None


def test_what_cannot_be_a_body_is_told() -> None:
    """With the call that it is of."""
    with pytest.raises(HandlerError, match="POST /charges: its body cannot be written as JSON"):
        HttpCall("POST", "/charges", {"at": object()}).body()
    with pytest.raises(HandlerError, match="either `json` or `content`"):
        HttpCall("POST", "/charges", {}, b"raw")


def test_an_answer_is_shown_in_one_line() -> None:
    """Status, its meaning and the begin of the body."""
    assert str(HttpAnswer(422, {}, b"no\n such  order")) == "422 Unprocessable Entity: no such order"
    assert str(HttpAnswer(299, {}, b"")) == "299"
    assert len(str(HttpAnswer(500, {}, b"x" * 10_000))) < 300
