"""What operators and workers write to the topic of the breakers, and what it adds up to.

Two kinds of records. An `Order` forces the breakers of a sink, or gives them back to themselves; the topic
keeps the last one of each sink. A `Report` is one breaker of one worker; the topic keeps the last one of
each, and none of a worker that ended in good order. Neither holds a time: the brokers' clock, which stamps
the records, is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from holdfast.resilience import CircuitState

FORGET_AFTER = timedelta(days=1)
"""After which silence a worker's reports are deleted: with slots that are never used again, as where hosts
get new names, the topic would grow without end."""

_LATE_S = 5.0
"""How late a report may be that is only slow on its way."""


class _Written(BaseModel):
    """Base of the records; a field that a newer version adds is ignored by an older one."""

    model_config = ConfigDict(frozen=True, extra="ignore")


Mode = Literal["open", "closed", "automatic"]


class Order(_Written):
    """Somebody decided what the breakers of a sink do.

    Attributes:
        sink: whose breakers.
        mode: open: no call passes; closed: all pass, and are counted; automatic: as they would by themselves.
        by: who.
        why: the reason that was given.
        for_s: for how many seconds it holds; None until the next order.
    """

    kind: Literal["order"] = "order"
    sink: str
    mode: Mode
    by: str
    why: str = ""
    for_s: float | None = None


class Report(_Written):
    """A breaker as its worker saw it.

    Attributes:
        processor: whose worker.
        slot: the worker's slot.
        host: its machine.
        pid: its process.
        sinks: the sinks whose calls it counts; one of them, as this version writes it.
        state: its state.
        state_s: for how many seconds it had been in it.
        wait_s: after how many seconds it would let a call pass; None while it is forced open.
        pause_s: after how many seconds its worker tries the system again that asked for a pause, or failed,
            whatever the state; None while that is not waited for.
        calls: how many calls were in its window.
        failure_rate: fraction of them that failed; None while they were too few to say.
        slow_call_rate: fraction of them that were slow; None likewise, and where nothing says what is slow.
        succeeded: calls of the process that succeeded,
        failed: that failed,
        refused: and that were not made.
        reason: why it is in its state.
        trouble: what the system said last, while it is in trouble.
        paused: the shards that wait for it.
        order: the offset of the order that it follows; None if it follows none.
        every_s: how many seconds pass at most until the next report.
    """

    kind: Literal["report"] = "report"
    processor: str
    slot: str
    host: str
    pid: int
    sinks: tuple[str, ...]
    state: CircuitState
    state_s: float
    wait_s: float | None
    pause_s: float | None = None
    calls: int
    failure_rate: float | None
    slow_call_rate: float | None
    succeeded: int
    failed: int
    refused: int
    reason: str = ""
    trouble: str = ""
    paused: tuple[int, ...] = ()
    order: int | None = None
    every_s: float


class ControlRecord(NamedTuple):
    """A record of the topic.

    Attributes:
        offset: its offset.
        at_ms: when the brokers took it, in milliseconds since the epoch.
        key: its key.
        value: its bytes; None for what is deleted.
    """

    offset: int
    at_ms: int
    key: bytes | None
    value: bytes | None


class Standing(NamedTuple):
    """The last order of a sink.

    Attributes:
        offset: its offset, by which reports name it.
        at: when it was given.
        order: the order.
    """

    offset: int
    at: datetime
    order: Order

    @property
    def until(self) -> datetime | None:
        """When it ends by itself; None if it does not."""
        return None if self.order.for_s is None else self.at + timedelta(seconds=self.order.for_s)

    def holds(self, now: datetime) -> bool:
        """Whether it forces anything."""
        return self.order.mode != "automatic" and (self.until is None or now < self.until)


class Heard(NamedTuple):
    """The last report of a breaker.

    Attributes:
        at: when it came.
        report: the report.
    """

    at: datetime
    report: Report

    def age_s(self, now: datetime) -> float:
        """How many seconds ago that was; clocks that differ make it no less than 0."""
        return max((now - self.at).total_seconds(), 0.0)

    def is_stale(self, now: datetime) -> bool:
        """Whether the next one is missing: the worker hangs, was killed, or does not reach the brokers."""
        return self.age_s(now) > 2 * self.report.every_s + _LATE_S


_RECORD: TypeAdapter[Order | Report] = TypeAdapter(Annotated[Order | Report, Field(discriminator="kind")])


def key_of(written: Order | Report) -> bytes:
    """Return a record's key."""
    if isinstance(written, Order):
        return f"order/{written.sink}".encode()
    return f"report/{written.processor}/{written.slot}/{','.join(written.sinks)}".encode()


def value_of(written: Order | Report) -> bytes:
    """Return a record's value."""
    return written.model_dump_json().encode()


class BreakerLog:
    """What the topic says, as far as its records were taken.

    Attributes:
        orders: the last order of each sink.
        reports: the last report of each breaker, by its key.
        unreadable: how many records nobody can read; a newer version wrote them, or a stranger.
    """

    def __init__(self) -> None:
        self.orders: dict[str, Standing] = {}
        self.reports: dict[bytes, Heard] = {}
        self.unreadable = 0

    def take(self, record: ControlRecord) -> None:
        """Take the next record."""
        key = record.key or b""
        if record.value is None:
            self.reports.pop(key, None)
            self.orders.pop(key.decode(errors="replace").removeprefix("order/"), None)
            return
        try:
            written = _RECORD.validate_json(record.value)
        except ValidationError:
            self.unreadable += 1
            return
        at = datetime.fromtimestamp(record.at_ms / 1000, UTC)
        if isinstance(written, Order):
            self.orders[written.sink] = Standing(record.offset, at, written)
        else:
            self.reports[key] = Heard(at, written)

    def order_for(self, sinks: Collection[str], now: datetime) -> Standing | None:
        """The order that a breaker of these sinks has to follow; None if it is left to itself.

        Of several that differ the one counts that stops calls.
        """
        found = (self.orders.get(sink) for sink in sinks)
        holding = [each for each in found if each is not None and each.holds(now)]
        return max(holding, key=lambda each: (each.order.mode == "open", each.offset), default=None)

    def last_order(self, sinks: Collection[str]) -> Standing | None:
        """The last order about any of these sinks, whether it holds or not."""
        found = (self.orders.get(sink) for sink in sinks)
        return max((each for each in found if each is not None), default=None, key=lambda each: each.offset)

    def followers(self, sink: str, now: datetime) -> dict[Heard, bool]:
        """The breakers of a sink whose workers answer, and whether each follows what it has to."""
        found = {}
        for heard in self.reports.values():
            if sink in heard.report.sinks and not heard.is_stale(now):
                order = self.order_for(heard.report.sinks, now)
                found[heard] = heard.report.order == (order.offset if order else None)
        return found

    def forgotten(self, now: datetime) -> list[bytes]:
        """Keys of the reports that can be deleted."""
        return [key for key, heard in self.reports.items() if now - heard.at > FORGET_AFTER]


def told(standing: Standing) -> str:
    """An order in words, with who gave it and why: "forced open by ann@ops-1: maintenance"."""
    order = standing.order
    what = "released" if order.mode == "automatic" else f"forced {order.mode}"
    return f"{what} by {order.by}{f': {order.why}' if order.why else ''}"
