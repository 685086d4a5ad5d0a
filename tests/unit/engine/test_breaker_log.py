"""The topic of the breakers: what its records add up to, and which order a breaker has to follow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdfast.engine.breaker_log import (
    FORGET_AFTER,
    BreakerLog,
    ControlRecord,
    Order,
    Report,
    key_of,
    told,
    value_of,
)
from tests.support.breaker_reports import report

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def order(sink: str = "gateway", mode: str = "open", **fields: Any) -> Order:
    """Somebody's order."""
    return Order.model_validate({"sink": sink, "mode": mode, "by": "ann@ops", "why": "maintenance", **fields})


def at(seconds: float) -> datetime:
    """A time after noon."""
    return NOON + timedelta(seconds=seconds)


def log(*written: tuple[float, Order | Report | bytes]) -> BreakerLog:
    """What these records add up to, each with its seconds after noon."""
    found = BreakerLog()
    for offset, (seconds, each) in enumerate(written):
        key, value = (b"?", each) if isinstance(each, bytes) else (key_of(each), value_of(each))
        found.take(ControlRecord(offset, round(at(seconds).timestamp() * 1000), key, value))
    return found


def test_the_last_order_of_a_sink_counts_until_it_is_released() -> None:
    """With the brokers' time, and its offset, by which reports name it."""
    found = log((0, order(mode="closed")), (5, order(mode="open")))
    standing = found.order_for(["gateway"], at(6))
    assert standing is not None
    assert (standing.offset, standing.at, standing.order.mode) == (1, at(5), "open")
    assert told(standing) == "forced open by ann@ops: maintenance"
    assert found.order_for(["history"], at(6)) is None
    released = log((0, order()), (1, order(mode="automatic", why="")))
    assert released.order_for(["gateway"], at(2)) is None
    last = released.last_order(["gateway"])
    assert last is not None
    assert told(last) == "released by ann@ops"


def test_an_order_for_a_time_ends_by_itself() -> None:
    """That many seconds after the brokers took it, whatever the operator's clock says."""
    found = log((10, order(for_s=60.0)))
    assert found.order_for(["gateway"], at(69)) is not None
    assert found.order_for(["gateway"], at(70)) is None


def test_of_orders_for_several_sinks_the_one_counts_that_stops_calls() -> None:
    """A breaker that stands before two systems must not let calls to the stopped one pass."""
    found = log((0, order("gateway", "open")), (1, order("oracle", "closed")))
    standing = found.order_for(["oracle", "gateway"], at(2))
    assert standing is not None
    assert standing.order.sink == "gateway"


def test_a_report_is_stale_when_the_next_one_is_missing() -> None:
    """How long that takes is its own to say; a clock that is behind makes none older."""
    found = log((0, report("quiet")), (0, report("troubled", every_s=5.0)))
    heard = {each.report.slot: each for each in found.reports.values()}
    assert [heard[slot].is_stale(at(14)) for slot in ("quiet", "troubled")] == [False, False]
    assert [heard[slot].is_stale(at(16)) for slot in ("quiet", "troubled")] == [False, True]
    assert heard["quiet"].is_stale(at(66))
    assert heard["quiet"].age_s(at(-9)) == 0.0


def test_a_worker_that_ended_in_good_order_is_gone() -> None:
    """Its reports are deleted; another's stay, and so do orders."""
    found = log((0, report("a-0")), (0, report("b-0")), (0, order()))
    found.take(ControlRecord(3, 0, key_of(report("a-0")), None))
    assert [each.report.slot for each in found.reports.values()] == ["b-0"]
    assert list(found.orders) == ["gateway"]
    found.take(ControlRecord(4, 0, key_of(order()), None))
    assert not found.orders


def test_followers_are_the_workers_that_answer_and_whether_each_does_what_it_has_to() -> None:
    """Also nothing, where no order holds any more."""
    reports = [(0.0, report("follows", order=0)), (0.0, report("does not"))]
    stale = (-100.0, report("stale"))
    found = log((0, order(for_s=60.0)), stale, *reports)
    told_of = {each.report.slot: follows for each, follows in found.followers("gateway", at(1)).items()}
    assert told_of == {"follows": True, "does not": False}
    later = {each.report.slot: follows for each, follows in found.followers("gateway", at(62)).items()}
    assert later == {"follows": False, "does not": True}


def test_what_is_silent_for_long_can_be_deleted() -> None:
    """Slots that are never used again must not make the topic grow."""
    found = log((0, report("gone")), (60, report("there")))
    assert found.forgotten(NOON + FORGET_AFTER + timedelta(seconds=30)) == [key_of(report("gone"))]


@pytest.mark.parametrize("value", [b"", b"{}", b'{"kind": "newer"}', b"\xff"])
def test_what_nobody_can_read_is_counted(value: bytes) -> None:
    """A newer version wrote it, or a stranger."""
    assert log((0, value)).unreadable == 1


def test_a_field_of_a_newer_version_is_ignored() -> None:
    """Versions are mixed while one is rolled out."""
    newer = value_of(order()).removesuffix(b"}") + b', "colour": "red"}'
    found = BreakerLog()
    found.take(ControlRecord(0, 0, key_of(order()), newer))
    assert found.orders["gateway"].order == order()
