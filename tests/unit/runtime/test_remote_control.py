"""A worker follows the orders in its application's topic, and reports its breakers there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from holdfast.engine.breaker_log import BreakerLog, Heard, Order, Report, key_of, value_of
from holdfast.errors import ClusterError, SinkDown
from holdfast.record import Message
from holdfast.resilience import BreakerSettings, CircuitState
from holdfast.runtime import remote_control
from holdfast.runtime.breaker_view import record_of
from holdfast.runtime.guarded_sink import GuardedSink, SinkGate
from holdfast.runtime.remote_control import QUIET_S, TROUBLED_S, RemoteControl, Source
from holdfast.sinks.base import Refusal, Sink, SinkBatch
from holdfast.testing import MemoryMessage
from tests.unit.resilience.clock import ManualClock

SETTINGS = BreakerSettings(window_s=None, window_calls=4, minimum_calls=2, open_s=60.0)


class Topic:
    """A topic in memory, which can be away.

    Attributes:
        records: what was written.
        error: what reading and connecting raise.
        is_silent: no end is told, as by brokers that do not answer.
    """

    def __init__(self) -> None:
        self.records: list[Message] = []
        self.error: ClusterError | None = None
        self.is_silent = False
        self.connections = 0
        self._lock = threading.Lock()

    def write(self, key: bytes, value: bytes | None, age_s: float = 0.0) -> None:
        """Add a record that came so many seconds ago."""
        with self._lock:
            at, offset = int((time.time() - age_s) * 1000), len(self.records)
            self.records.append(MemoryMessage("shop.controls", 0, offset, key=key, value=value, timestamp=at))

    def connect(self) -> Connection:
        """Begin to read it."""
        self.connections += 1
        if self.error is not None:
            raise self.error
        return Connection(self)

    def state(self) -> BreakerLog:
        """What it adds up to."""
        found = BreakerLog()
        for record in list(self.records):
            found.take(record_of(record))
        return found


class Connection:
    """Somebody's clients of a topic."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._position = 0
        self.write = topic.write

    def read(self, wait: float) -> tuple[list[Message], bool]:
        """What is there from the position on; a short wait where that is nothing."""
        if self._topic.error is not None:
            raise self._topic.error
        found = self._topic.records[self._position :]
        self._position += len(found)
        if not found:
            time.sleep(min(wait, 0.005))
        return found, not self._topic.is_silent

    def flush(self, timeout: float) -> None:
        """All of it is there."""

    def close(self) -> None:
        """Nothing to let go of."""


class Quiet(Sink):
    """A sink that takes all, or is down."""

    accepts = (str,)

    def __init__(self) -> None:
        self.is_down = False

    def write(self, _: SinkBatch) -> Sequence[Refusal]:
        if self.is_down:
            raise SinkDown("connection refused")
        return ()


class Bench:
    """A gate under remote control."""

    def __init__(self, topic: Topic, sink: str = "gateway", slot: str = "a-0") -> None:
        self.topic = topic
        self.clock = ManualClock()
        self.late_s = 0.0
        self.sink = Quiet()
        self.guarded = GuardedSink(sink, self.sink, SETTINGS, 5.0)
        self.control = RemoteControl(
            Source("payments", slot, "node", 7), topic.connect, self.clock, lambda: time.time() + self.late_s
        )
        self.gate = SinkGate(self.guarded, control=self.control)

    def start(self) -> None:
        """Begin to control it."""
        self.control.start(self.gate)

    def order(self, mode: str, **fields: Any) -> None:
        """Somebody gives an order."""
        given = Order.model_validate({"sink": "gateway", "mode": mode, "by": "ann", "why": "test", **fields})
        self.topic.write(key_of(given), value_of(given))

    def reported(self) -> Heard | None:
        """What the topic says of the breaker."""
        return next(iter(self.topic.state().reports.values()), None)

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, what
            time.sleep(0.002)

    def until_state(self, state: CircuitState) -> Heard:
        """Wait until the breaker is in a state, and has said so."""

        def told() -> bool:
            heard = self.reported()
            return heard is not None and heard.report.state is state

        self.until(lambda: self.guarded.breaker.state is state and told(), f"{state.name}")
        found = self.reported()
        assert found is not None
        return found


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(Topic())
    yield made
    made.control.close()


def test_a_worker_tells_of_its_breaker_when_it_begins(bench: Bench) -> None:
    """And lets records through as soon as it has read what there is."""
    assert not bench.gate.is_open
    bench.start()
    heard = bench.until_state(CircuitState.CLOSED)
    report = heard.report
    assert (report.processor, report.slot, report.sinks) == ("payments", "a-0", ("gateway",))
    assert (report.every_s, report.paused, report.order) == (QUIET_S, (), None)
    bench.until(lambda: bench.gate.is_open, "the gate opens")


def test_an_order_that_was_given_before_is_followed_before_anything_passes(bench: Bench) -> None:
    """A worker that is started again knows what was forced."""
    bench.order("open")
    bench.start()
    heard = bench.until_state(CircuitState.FORCED_OPEN)
    assert heard.report.order == 0
    assert heard.report.reason == "forced open by ann: test"
    assert heard.report.wait_s is None
    bench.until(lambda: bench.gate.seconds_shut == 0.0 or bench.gate.seconds_shut > 1, "the gate is let go")
    bench.gate.look([1, 3])
    assert bench.gate.is_shut


def test_orders_are_followed_as_they_come_and_end_with_a_release(bench: Bench) -> None:
    """Open, closed, and back to what it does by itself; each is told at once, with its order."""
    bench.start()
    bench.until_state(CircuitState.CLOSED)
    bench.order("open")
    offset = len(bench.topic.records) - 1
    assert bench.until_state(CircuitState.FORCED_OPEN).report.order == offset
    bench.gate.look([1, 3])
    bench.until(lambda: (it := bench.reported()) and it.report.paused == (1, 3), "the shards are told")
    bench.order("closed")
    bench.until_state(CircuitState.METRICS_ONLY)
    bench.order("automatic", why="done")
    heard = bench.until_state(CircuitState.CLOSED)
    assert (heard.report.order, heard.report.reason) == (None, "released by ann: done")


def test_an_order_for_a_time_ends_while_it_is_followed(bench: Bench) -> None:
    """By the worker's clock; nobody has to do anything."""
    bench.start()
    bench.order("open", for_s=600.0)
    bench.until_state(CircuitState.FORCED_OPEN)
    bench.late_s = 601.0
    heard = bench.until_state(CircuitState.CLOSED)
    assert heard.report.reason == "released: the time of its order is over"


def test_the_orders_of_other_sinks_are_not_for_this_one(bench: Bench) -> None:
    """Nor are those that nobody can read."""
    bench.order("open", sink="history")
    bench.topic.write(b"order/gateway", b"?")
    bench.start()
    bench.until_state(CircuitState.CLOSED)
    bench.until(lambda: bench.gate.is_open, "the gate opens")


def test_a_change_is_told_at_once_and_the_rest_now_and_then(bench: Bench) -> None:
    """Every 5 s while it is not closed, and with what the system said last."""
    bench.start()
    bench.until_state(CircuitState.CLOSED)
    bench.sink.is_down = True
    for _ in range(2):
        with pytest.raises(SinkDown) as down:
            bench.guarded.write(SinkBatch(group="g"))
        bench.gate.failed(down.value)
    heard = bench.until_state(CircuitState.OPEN)
    assert (heard.report.every_s, heard.report.failure_rate) == (TROUBLED_S, 1.0)
    assert "2 of 2 calls failed" in heard.report.reason
    assert heard.report.trouble == "connection refused"
    bench.until(lambda: bench.gate.is_shut, "the gate is shut")
    count = len(bench.topic.records)
    time.sleep(0.05)
    assert len(bench.topic.records) == count
    bench.clock.advance(TROUBLED_S)
    bench.until(lambda: len(bench.topic.records) == count + 1, "the next report")


def test_a_pause_that_a_system_asks_for_is_told_of_a_closed_breaker(bench: Bench) -> None:
    """One answer opens nothing, and yet nothing is sent until then; when it is over that is told, too."""
    bench.start()
    bench.until_state(CircuitState.CLOSED)
    bench.gate.failed(SinkDown("answered with 429", 60.0))
    bench.gate.look([1, 3])
    bench.until(lambda: (it := bench.reported()) and it.report.paused == (1, 3), "the shards are told")
    heard = bench.until_state(CircuitState.CLOSED)
    assert 50.0 < (heard.report.pause_s or 0.0) <= 60.0
    assert heard.report.wait_s == 0.0
    assert (heard.report.trouble, heard.report.every_s) == ("answered with 429", TROUBLED_S)
    bench.gate.succeeded(1)
    bench.gate.look([1, 3])
    bench.until(lambda: (it := bench.reported()) and not it.report.paused, "they wait no more")
    assert bench.until_state(CircuitState.CLOSED).report.pause_s is None


def test_a_worker_that_ends_takes_its_report_back(bench: Bench) -> None:
    """Nobody waits for its next one; the order stays."""
    bench.order("open")
    bench.start()
    bench.until_state(CircuitState.FORCED_OPEN)
    bench.control.close()
    state = bench.topic.state()
    assert not state.reports
    assert list(state.orders) == ["gateway"]


def test_a_topic_that_is_away_holds_up_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for again, and followed when it is there."""
    monkeypatch.setattr(remote_control, "_RETRY_S", 0.01)
    bench.topic.error = ClusterError("no such topic")
    bench.start()
    bench.until(lambda: bench.gate.is_open and bench.topic.connections > 2, "records pass")
    bench.topic.error = None
    bench.order("open")
    bench.until_state(CircuitState.FORCED_OPEN)


def test_brokers_that_do_not_answer_hold_up_the_first_records_for_seconds_only(bench: Bench) -> None:
    """What was forced is not known then, and calls are made."""
    bench.topic.is_silent = True
    bench.start()
    time.sleep(0.05)
    assert not bench.gate.is_open
    bench.clock.advance(remote_control.BEGIN_S + 0.1)
    bench.until(lambda: bench.gate.is_open, "records pass")


def test_an_order_stays_in_force_while_the_topic_is_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was told last counts."""
    monkeypatch.setattr(remote_control, "_RETRY_S", 0.01)
    bench.start()
    bench.order("open")
    bench.until_state(CircuitState.FORCED_OPEN)
    bench.topic.error = ClusterError("the brokers are away")
    bench.until(lambda: bench.topic.connections > 3, "it is asked for again")
    assert bench.guarded.breaker.state is CircuitState.FORCED_OPEN
    before = bench.guarded.breaker.snapshot().state_s
    bench.topic.error = None
    bench.until(lambda: bench.topic.connections > 3 and bench.reported(), "it is there again")
    assert bench.guarded.breaker.snapshot().state_s >= before, "it was not released in between"


def test_reports_of_workers_that_are_gone_for_good_are_deleted(bench: Bench) -> None:
    """By any worker that sees them."""
    gone = Report(
        processor="payments",
        slot="gone",
        host="node",
        pid=8,
        sinks=("gateway",),
        state=CircuitState.CLOSED,
        state_s=3.0,
        wait_s=0.0,
        calls=9,
        every_s=30.0,
        failure_rate=0.0,
        slow_call_rate=None,
        succeeded=9,
        failed=0,
        refused=0,
    )
    bench.topic.write(key_of(gone), value_of(gone), age_s=86_500.0)
    bench.start()
    bench.until(
        lambda: [it.report.slot for it in bench.topic.state().reports.values()] == ["a-0"], "it is deleted"
    )
