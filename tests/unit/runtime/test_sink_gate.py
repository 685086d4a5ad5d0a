"""A gate whose breakers somebody forces: it shuts, stays shut, and follows when that ends."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import pytest

from holdfast.errors import CircuitOpen, SinkDown, SinkSlow
from holdfast.resilience import BreakerSettings, CircuitBreaker, CircuitState
from holdfast.runtime.guarded_sink import GuardedSink, SinkGate
from holdfast.runtime.guards import Guard
from holdfast.sinks.base import Refusal, Sink, SinkBatch
from tests.unit.resilience.clock import ManualClock

SETTINGS = BreakerSettings(window_s=None, window_calls=4, minimum_calls=2, open_s=1.0, half_open_calls=1)
BATCH = SinkBatch(group="g")


class Scripted(Sink):
    """A sink that is down or not, and has a breaker with the test's clock."""

    accepts = (str,)

    def __init__(self, clock: ManualClock) -> None:
        self.breaker = CircuitBreaker(
            "history", SETTINGS, failures=(SinkDown,), clock=clock, jitter=lambda: 0.5
        )
        self.is_down = False
        self.calls = 0

    def write(self, _: SinkBatch) -> Sequence[Refusal]:
        assert self.breaker is not None
        try:
            return self.breaker.call(self._call)
        except CircuitOpen as error:
            raise SinkDown(str(error), error.wait_s) from error

    def _call(self) -> Sequence[Refusal]:
        self.calls += 1
        if self.is_down:
            raise SinkDown("away")
        return ()


class Bench:
    """A gate before a scripted sink, with a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.sink = Scripted(self.clock)
        self.guarded = GuardedSink("history", self.sink, SETTINGS, 5.0)
        self.gate = SinkGate(self.guarded, self.clock)
        self.breaker = self.guarded.breaker

    def offer(self) -> bool:
        """Send a record if the gate lets one through; tells whether it did."""
        self.gate.look([2, 0])
        if self.gate.is_shut:
            return False
        try:
            self.guarded.write(BATCH)
        except SinkDown as error:
            self.gate.failed(error)
        else:
            self.gate.succeeded(1)
        return True


def test_a_gate_that_is_forced_open_shuts_before_anything_is_refused() -> None:
    """It says why, and which shards wait."""
    bench = Bench()
    bench.breaker.force_open("forced open by ann: maintenance")
    assert not bench.offer()
    assert (bench.gate.seconds_shut, bench.gate.paused) == (inf, (0, 2))
    assert bench.gate.reason == "forced open by ann: maintenance"
    assert bench.breaker.snapshot().refused == 0


def test_a_gate_opens_again_when_the_force_ends() -> None:
    """However long it was shut: it is asked, and no time is waited for that was known before."""
    bench = Bench()
    bench.breaker.force_open()
    bench.clock.advance(86_400)
    assert not bench.offer()
    bench.breaker.close("released")
    bench.gate.look([2, 0])
    assert (bench.gate.is_open, bench.gate.reason, bench.gate.paused) == (True, "", ())
    assert bench.gate.most == 1
    assert bench.offer()


def test_a_batch_that_was_on_its_way_when_the_force_came_waits_like_all_others() -> None:
    """It is refused, which is no reason to wait for ever; nor does it take the reason's place."""
    bench = Bench()
    bench.breaker.force_open("forced open by ann: maintenance")
    with pytest.raises(SinkDown) as refused:
        bench.guarded.write(BATCH)
    assert refused.value.wait_s == inf
    bench.gate.failed(refused.value)
    bench.gate.look([1])
    assert bench.gate.is_shut
    assert bench.gate.reason == "forced open by ann: maintenance"
    bench.breaker.close("released")
    bench.gate.look([1])
    assert bench.gate.is_open


def test_a_system_that_was_down_before_it_was_forced_open_is_tried_first() -> None:
    """With a single record; what it said is told again meanwhile."""
    bench = Bench()
    bench.sink.is_down = True
    bench.offer()
    bench.breaker.force_open("forced open by ann: maintenance")
    bench.gate.look([1])
    assert bench.gate.reason == "forced open by ann: maintenance"
    bench.breaker.close("released")
    bench.clock.advance(10.0)
    bench.gate.look([1])
    assert (bench.gate.is_open, bench.gate.is_shut, bench.gate.reason) == (False, False, "away")


def test_an_outage_is_one_while_records_are_tried() -> None:
    """People would be told with each try that it is over. Where nothing comes to be tried it is not known."""
    bench = Bench()
    bench.sink.is_down = True
    assert not bench.gate.is_troubled
    for _ in range(5):
        bench.offer()
        assert bench.gate.is_troubled
        while bench.gate.is_shut:
            bench.clock.advance(0.05)
            bench.gate.look([1])
        assert bench.gate.is_troubled
    bench.clock.advance(5.0)
    bench.gate.look([1])
    assert not bench.gate.is_troubled
    bench.sink.is_down = False
    bench.offer()
    assert bench.gate.is_open
    assert not bench.gate.is_troubled


def test_a_pause_without_end_is_none_that_a_system_can_ask_for() -> None:
    """Whoever asks something that is forced open, and says so in its own words."""
    bench = Bench()
    bench.gate.failed(SinkDown("no service", inf))
    bench.clock.advance(10.0)
    assert bench.offer()


def test_a_gate_of_a_breaker_that_is_forced_closed_never_waits_for_it() -> None:
    """Calls are made whatever happens, with the pauses of the gate itself between those that fail."""
    bench = Bench()
    bench.sink.is_down = True
    for _ in range(3):
        bench.offer()
        bench.clock.advance(0.5)
    assert bench.breaker.state is CircuitState.OPEN
    bench.breaker.observe_only("forced closed by ann: try")
    calls = bench.sink.calls
    for _ in range(20):
        bench.clock.advance(10.0)
        assert bench.offer()
    assert bench.sink.calls == calls + 20
    assert bench.breaker.state is CircuitState.METRICS_ONLY
    bench.sink.is_down = False
    bench.clock.advance(10.0)
    assert bench.offer()
    assert bench.gate.is_open


def test_a_circuit_that_opened_by_itself_and_is_closed_by_order_is_tried_at_once() -> None:
    """The rest of its open time is not waited for."""
    bench = Bench()
    bench.breaker.open()
    with pytest.raises(SinkDown) as refused:
        bench.guarded.write(BATCH)
    bench.gate.failed(refused.value)
    assert not bench.offer()
    bench.breaker.close("by ann")
    assert bench.offer()


def test_a_controlled_gate_begins_shut_until_it_is_known_what_was_forced() -> None:
    """Not for long, and without a word of trouble; then all records pass, not only one."""

    class Control:
        closed = False

        def close(self) -> None:
            self.closed = True

    bench, control = Bench(), Control()
    gate = SinkGate(bench.guarded, bench.clock, control)
    gate.look([1])
    assert (gate.is_open, gate.is_shut, gate.reason) == (False, True, "")
    assert 0 < gate.seconds_shut < 0.1
    gate.let_go()
    assert (gate.is_open, gate.is_shut) == (True, False)
    gate.close()
    assert control.closed


def test_a_gate_of_several_breakers_waits_for_each_of_them() -> None:
    """One that is half-open does not hide another that is forced open."""
    clock = ManualClock()
    breakers = [CircuitBreaker(name, SETTINGS, clock=clock, jitter=lambda: 0.5) for name in ("a", "b")]

    class Two(GuardedSink):
        def __init__(self) -> None:
            super().__init__("a, b", Scripted(clock), SETTINGS, 5.0)
            self.guards = [Guard([each.name], each) for each in breakers]

    gate = SinkGate(Two(), clock)
    breakers[0].open()
    clock.advance(1.0)
    breakers[0].acquire()
    assert breakers[0].state is CircuitState.HALF_OPEN
    breakers[1].force_open()
    gate.look([0])
    assert gate.is_shut
    breakers[1].close()
    assert not gate.is_shut


def test_a_batch_that_was_too_large_is_no_outage() -> None:
    """What is left of it is not held back: the system is there, and takes what it can."""
    clock = ManualClock()
    gate = SinkGate(GuardedSink("gateway", Scripted(clock), SETTINGS, 5.0), clock)
    gate.failed(SinkSlow("300 of 1,000 records were done", 300))
    assert gate.is_open
    assert gate.most == 150
    gate.succeeded(150)
    assert not gate.is_pacing
    gate.failed(SinkDown("no answer"))
    gate.succeeded(1)
    assert gate.is_pacing


def test_batches_that_were_too_large_open_no_breaker() -> None:
    """A sink that counts no calls itself has one around it, which counts whole batches."""

    class Slow(Sink):
        accepts = (str,)

        def write(self, _: SinkBatch) -> Sequence[Refusal]:
            raise SinkSlow("3 of 10 records were done", 3)

    guarded = GuardedSink("gateway", Slow(), SETTINGS, 5.0)
    for _ in range(10):
        with pytest.raises(SinkSlow):
            guarded.write(BATCH)
    assert guarded.breaker.state is CircuitState.CLOSED


def test_a_gate_tells_the_states_of_its_breakers_in_words() -> None:
    """As workers report them: closed, open after failures, forced."""
    bench = Bench()
    assert bench.gate.states == {"history": "closed"}
    bench.sink.is_down = True
    bench.offer()
    bench.clock.advance(5.0)
    bench.offer()
    assert bench.gate.states == {"history": "open"}
    bench.breaker.force_open("maintenance")
    assert bench.gate.states == {"history": "forced open"}
