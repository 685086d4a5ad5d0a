"""A unit goes to its sink first, and then to Kafka; what the sink says decides whether it gets there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from holdfast import Event
from holdfast.downstream import Client
from holdfast.engine.asking import AskingHandler
from holdfast.engine.handler import inspect_handler
from holdfast.engine.outputs import Router
from holdfast.engine.unit import SealedUnit, ShardChanges
from holdfast.errors import (
    BrokersUnreachable,
    CircuitOpen,
    ClusterError,
    Fenced,
    HandlerError,
    RecordFailed,
    SinkBehind,
    SinkDown,
    SinkError,
    SinkFenced,
    SinkRefused,
    SinkStuck,
)
from holdfast.kafka.unit_writer import Outcome
from holdfast.record import Output, Position, TopicPartition, Write
from holdfast.resilience import BreakerSettings, CircuitBreaker
from holdfast.runtime import stage_commit
from holdfast.runtime.asking import AskingStage
from holdfast.runtime.guarded_sink import MOST_WRITES, GuardedSink, SinkGate
from holdfast.runtime.stage_commit import StagePipeline, StageProcessor
from holdfast.sinks.base import Downstream, Refusal, Sink, SinkBatch
from holdfast.testing import MemoryMessage
from tests.unit.runtime.test_commit import HeldWriter

PLACE = TopicPartition("orders", 3)
SETTINGS = BreakerSettings(window_s=None, window_calls=4, minimum_calls=2, open_s=1.0, half_open_calls=1)


class Scripted(Sink):
    """A sink that does what the test says."""

    accepts = (str,)

    def __init__(self) -> None:
        self.batches: list[SinkBatch] = []
        self.act: Callable[[SinkBatch], Sequence[Refusal]] = lambda _: ()
        self.closed = False

    def write(self, batch: SinkBatch) -> Sequence[Refusal]:
        """Note it, and do it."""
        self.batches.append(batch)
        return self.act(batch)

    def close(self) -> None:
        """Note it."""
        self.closed = True


def unit(*values: str, outputs: Sequence[Output] = ()) -> SealedUnit:
    """A unit with a write for each of these values, from one partition."""
    writes = [
        Write(MemoryMessage("orders", 3, 10 + n, key=b"k", value=b"raw"), value)
        for n, value in enumerate(values)
    ]
    part = ShardChanges(3, {PLACE: 10 + len(values)}, {}, {PLACE: 10}, fence=7)
    return SealedUnit(list(outputs), (part,), len(values), 0, writes)


PROCESSOR = StageProcessor("projection", "shop.projection", "shop.dead-letters", lambda _: "id-1")


class Bench:
    """A pipeline between a scripted sink and a writer that commits at once."""

    def __init__(self, timeout: float = 5.0) -> None:
        self.sink = Scripted()
        self.writer = HeldWriter()
        self.writer.let_go.set()
        self.guarded = GuardedSink("history", self.sink, SETTINGS, timeout)
        self.pipeline = StagePipeline(self.writer, self.guarded, PROCESSOR)

    def block(self) -> threading.Event:
        """Have the sink write until the event is set, 20 s at most."""
        gate = threading.Event()

        def act(_: SinkBatch) -> Sequence[Refusal]:
            gate.wait(20)
            return ()

        self.sink.act = act
        return gate

    def end(self, sealed: SealedUnit) -> Any:
        """Commit a unit."""
        self.pipeline.start(sealed, None)
        return self.pipeline.take(wait=None)


def test_the_sink_has_it_before_kafka_does() -> None:
    """With all that it needs to tell what it has already."""
    bench = Bench()

    def act(_: SinkBatch) -> Sequence[Refusal]:
        bench.writer.calls.append("sink")
        return ()

    bench.sink.act = act
    finished = bench.end(unit("a", "b"))
    assert finished.ending.outcome is Outcome.COMMITTED
    assert bench.writer.calls == ["sink", "begin", "send 0 0"]
    (batch,) = bench.sink.batches
    assert [write.value for write in batch.writes] == ["a", "b"]
    assert (batch.group, batch.begins, batch.ends) == ("shop.projection", {PLACE: 10}, {PLACE: 12})
    assert (batch.fences, batch.topic_ids) == ({PLACE: 7}, {"orders": "id-1"})


def test_records_without_writes_do_not_trouble_the_sink() -> None:
    """Their positions are committed, and the outage of a sink does not stop them."""
    bench = Bench()
    finished = bench.end(unit())
    assert finished.ending.outcome is Outcome.COMMITTED
    assert bench.sink.batches == []


def test_what_the_sink_refuses_is_set_aside_in_the_same_transaction() -> None:
    """As a dead letter with the raw record, and counted."""
    bench = Bench()
    bench.sink.act = lambda batch: [Refusal(batch.writes[1].position, SinkRefused("too long"))]
    sent: list[Output] = []
    bench.writer.send = lambda outputs, changelog=(): sent.extend(outputs)  # type: ignore[method-assign]  # noqa: ARG005
    finished = bench.end(unit("a", "b", outputs=[Output("shop.dead-letters", b"earlier", None, 0, ())]))
    assert finished.unit.dead_letters == 1
    assert [(output.topic, output.value) for output in sent] == [
        ("shop.dead-letters", b"earlier"),
        ("shop.dead-letters", b"raw"),
    ]
    assert ("__streams.errors.offset", b"11") in sent[1].headers
    assert ("holdfast.attempts", b"1") in sent[1].headers


def test_a_refused_record_may_stop_its_shard_instead() -> None:
    """The first of those that are refused; nothing is committed on Kafka, and the sink knows of it."""
    bench = Bench()
    bench.pipeline = StagePipeline(bench.writer, bench.guarded, replace(PROCESSOR, stops=True))
    bench.sink.act = lambda batch: [
        Refusal(batch.writes[n].position, SinkRefused(f"{n} is too long.")) for n in (2, 1)
    ]
    with pytest.raises(RecordFailed) as caught:
        bench.end(unit("a", "b", "c"))
    assert caught.value.position == Position("orders", 3, 11)
    assert str(caught.value.cause).startswith("1 is too long. Mend the cause and start again; or declare")
    assert bench.writer.calls == []
    assert bench.sink.batches[0].stops_at_refusal
    bench.sink.act = lambda _: ()
    assert bench.end(unit("a")).ending.outcome is Outcome.COMMITTED


def test_a_letter_says_how_often_the_handler_was_called_for_its_record() -> None:
    """As whoever called it says."""
    bench = Bench()
    bench.sink.act = lambda batch: [Refusal(batch.writes[0].position, HandlerError("too long"), attempts=3)]
    sent: list[Output] = []
    bench.writer.send = lambda outputs, changelog=(): sent.extend(outputs)  # type: ignore[method-assign]  # noqa: ARG005
    bench.end(unit("a"))
    assert ("holdfast.attempts", b"3") in sent[0].headers


def test_a_sink_that_compares_positions_is_told_of_records_without_writes() -> None:
    """Or it would look behind once they are committed on Kafka. Where nothing moved, nothing is told."""
    bench = Bench()
    bench.guarded.keeps_positions = True
    bench.end(SealedUnit([], (ShardChanges(3, {PLACE: 10}, {}, {PLACE: 10}, fence=7),), 0, 0, []))
    assert bench.sink.batches == []
    bench.end(SealedUnit([], (ShardChanges(3, {PLACE: 15}, {}, {PLACE: 10}, fence=7),), 5, 0, []))
    (batch,) = bench.sink.batches
    assert (batch.writes, batch.begins, batch.ends) == ([], {PLACE: 10}, {PLACE: 15})


@pytest.mark.parametrize(
    "error",
    [SinkDown("away"), SinkFenced("newer"), SinkBehind("lost", {PLACE: 3}), SinkError("no table")],
    ids=str,
)
def test_nothing_is_committed_on_kafka_of_what_the_sink_did_not_take(error: SinkError) -> None:
    """Whatever the reason; the pipeline is free for the next unit."""
    bench = Bench()

    def act(_: SinkBatch) -> Sequence[Refusal]:
        raise error

    bench.sink.act = act
    bench.pipeline.start(unit("a"), None)
    with pytest.raises(type(error), match=str(error)):
        bench.pipeline.take(wait=None)
    assert bench.writer.calls == []
    assert not bench.pipeline.in_flight
    bench.sink.act = lambda _: ()
    assert bench.end(unit("a")).ending.outcome is Outcome.COMMITTED


@pytest.mark.parametrize("at", ["begin", "send"])
@pytest.mark.parametrize(
    ("error", "outcome"),
    [(Fenced("a rival"), Outcome.FENCED), (BrokersUnreachable("away"), Outcome.UNKNOWN)],
    ids=["fenced", "unreachable"],
)
def test_a_writer_that_was_fenced_before_the_commit_is_told_as_fenced(
    at: str, error: ClusterError, outcome: Outcome
) -> None:
    """The worker counts that apart: it gives way to a rival in its slot."""
    bench = Bench()

    def refuse(*_: Any) -> None:
        raise error

    setattr(bench.writer, at, refuse)
    ending = bench.end(unit("a")).ending
    assert (ending.outcome, ending.reason) == (outcome, str(error))


def test_an_error_of_the_sinks_own_code_is_told_as_one() -> None:
    """It is no outage: the worker ends with it."""
    bench = Bench()

    def act(_: SinkBatch) -> Sequence[Refusal]:
        raise KeyError("id")

    bench.sink.act = act
    bench.pipeline.start(unit("a"), None)
    with pytest.raises(SinkError, match="sink 'history' raised KeyError: 'id'") as caught:
        bench.pipeline.take(wait=None)
    assert not isinstance(caught.value, SinkDown)


def test_a_sink_that_names_a_record_that_it_was_not_given_is_told_so() -> None:
    """A dead letter cannot be made of it."""
    bench = Bench()
    bench.sink.act = lambda batch: [
        Refusal(batch.writes[0].position._replace(offset=99), SinkRefused("too long"))
    ]
    bench.pipeline.start(unit("a"), None)
    with pytest.raises(SinkError, match=r"refuses orders\[3\]@99, which is not in the batch"):
        bench.pipeline.take(wait=None)


def test_a_sink_that_stops_at_a_record_that_it_was_not_given_is_told_so() -> None:
    """It would be waited for again and again: it never comes."""
    bench = Bench()
    bench.pipeline = StagePipeline(bench.writer, bench.guarded, replace(PROCESSOR, stops=True))
    bench.sink.act = lambda _: [Refusal(Position("elsewhere", 3, 11), SinkRefused("no"))]
    with pytest.raises(SinkError, match=r"refuses elsewhere\[3\]@11, which is not in the batch"):
        bench.end(unit("a"))


def test_what_was_refused_before_it_would_stop_is_set_aside() -> None:
    """What follows it is written already."""
    bench = Bench()
    bench.pipeline = StagePipeline(bench.writer, bench.guarded, replace(PROCESSOR, stops=True))
    bench.sink.act = lambda batch: [Refusal(batch.writes[0].position, SinkRefused("no"), is_noted=True)]
    finished = bench.end(unit("a", "b"))
    assert (finished.ending.outcome, finished.unit.dead_letters) == (Outcome.COMMITTED, 1)


def test_a_sink_that_does_not_return_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """And when it does after all, nothing of it gets to Kafka."""
    monkeypatch.setattr(stage_commit, "_GRACE_S", 0.2)
    bench = Bench(timeout=0.1)
    gate = bench.block()
    bench.pipeline.start(unit("a"), None)
    assert bench.pipeline.take() is None
    began = time.monotonic()
    with pytest.raises(SinkStuck, match="did not return"):
        bench.pipeline.take(wait=None)
    assert time.monotonic() - began < 5
    gate.set()
    for thread in threading.enumerate():
        if thread.name == "sink":
            thread.join(5)
    assert bench.writer.calls == []


def test_an_open_circuit_is_an_outage_with_a_time() -> None:
    """The sink is not asked; the records wait for as long as the circuit is open."""
    bench = Bench()

    def act(_: SinkBatch) -> Sequence[Refusal]:
        raise SinkDown("away")

    bench.sink.act = act
    for _ in range(2):
        with pytest.raises(SinkDown, match="away"):
            bench.guarded.write(SinkBatch(group="g"))
    with pytest.raises(SinkDown, match="breaker history is OPEN") as caught:
        bench.guarded.write(SinkBatch(group="g"))
    assert caught.value.wait_s is not None
    assert 0 < caught.value.wait_s <= 1.2
    assert len(bench.sink.batches) == 2


def test_a_breaker_of_the_sinks_own_that_is_open_is_an_outage_with_a_time() -> None:
    """It is not the end of the worker, and ours does not count a call that was not made."""
    bench = Bench()
    refused = CircuitOpen("mine", "OPEN", 3.0)

    def act(_: SinkBatch) -> Sequence[Refusal]:
        raise refused

    bench.sink.act = act
    for _ in range(5):
        bench.pipeline.start(unit("a"), None)
        with pytest.raises(SinkDown, match="sink 'history': breaker mine is OPEN") as caught:
            bench.pipeline.take(wait=None)
        assert caught.value.wait_s == 3.0
        assert caught.value.__cause__ is refused
    assert bench.guarded.breaker.snapshot().calls == 0


def test_a_gate_keeps_shut_for_as_long_as_the_sinks_own_breaker_says() -> None:
    """Though its own guards would let something pass."""
    clock = Clock()
    scripted = Scripted()

    def act(_: SinkBatch) -> Sequence[Refusal]:
        raise CircuitOpen("mine", "OPEN", 3.0)

    scripted.act = act
    sink = GuardedSink("history", scripted, SETTINGS, 5.0)
    gate = SinkGate(sink, clock)
    with pytest.raises(SinkDown) as caught:
        sink.write(SinkBatch(group="g"))
    gate.failed(caught.value)
    assert 3.0 <= gate.seconds_shut <= 3.2
    assert "breaker mine is OPEN" in gate.reason


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_gate_lets_one_through_when_it_is_worth_a_try() -> None:
    """Shut at first, then neither shut nor open, and open when the sink has taken something."""
    clock, sink = Clock(), GuardedSink("history", Scripted(), SETTINGS, 5.0)
    gate = SinkGate(sink, clock)
    assert gate.is_open
    assert not gate.is_shut
    gate.failed(SinkDown("away", wait_s=3.0))
    assert not gate.is_open
    assert gate.is_shut
    assert 3.0 <= gate.seconds_shut <= 3.2
    clock.now += 3.2
    assert not gate.is_shut
    assert not gate.is_open
    gate.succeeded(1)
    assert gate.is_open
    assert gate.reason == ""


def test_batches_begin_small_after_an_outage() -> None:
    """And double with each that the sink takes, up to a limit."""
    gate = SinkGate(GuardedSink("history", Scripted(), SETTINGS, 5.0), Clock())
    gate.failed(SinkDown("away"))
    sizes = [gate.most]
    while sizes[-1] < MOST_WRITES:
        gate.succeeded(1)
        sizes.append(gate.most)
    assert sizes[:4] == [1, 2, 4, 8]
    gate.succeeded(1)
    assert gate.most == MOST_WRITES


def test_batches_shrink_when_they_take_long() -> None:
    """Before one of them takes longer than it may."""
    sink = GuardedSink("history", Scripted(), SETTINGS, 10.0)
    gate = SinkGate(sink, Clock())
    before = gate.most
    sink.took_s = 0.9
    gate.succeeded(1)
    assert gate.most == before
    sink.took_s = 1.1
    gate.succeeded(1)
    assert gate.most == before // 2


def test_a_gate_keeps_the_reason_that_the_sink_itself_gave() -> None:
    """That a circuit is open says nothing of why."""
    sink = GuardedSink("history", Scripted(), SETTINGS, 5.0)
    gate = SinkGate(sink, Clock())
    gate.failed(SinkDown("come back later", wait_s=1.0))
    sink.breaker.open()
    with pytest.raises(SinkDown) as caught:
        sink.write(SinkBatch(group="g"))
    gate.failed(caught.value)
    assert gate.reason == "come back later"


def test_a_call_refused_beside_a_probe_does_not_shut_the_gate_for_long() -> None:
    """The probe has its result soon; how long it may take at most, without end here, is no time to wait."""
    breaker = CircuitBreaker("gateway", replace(SETTINGS, open_s=0.001, half_open_s=365 * 86_400.0))
    breaker.open()
    until = time.monotonic() + 5
    while breaker.wait_s():
        assert time.monotonic() < until
    breaker.acquire()
    with pytest.raises(CircuitOpen) as refused:
        breaker.acquire()
    gate = SinkGate(GuardedSink("gateway", Scripted(), SETTINGS, 5.0), Clock())
    down = SinkDown("refused", refused.value.wait_s)
    down.__cause__ = refused.value
    gate.failed(down)
    assert gate.seconds_shut <= 10.0


def test_a_sink_that_returns_nothing_is_told_what_it_should() -> None:
    """Its author forgot the `return`."""
    bench = Bench()
    bench.sink.act = lambda _: None  # type: ignore[return-value, assignment]
    bench.pipeline.start(unit("a"), None)
    with pytest.raises(SinkError, match="returned NoneType from `write`; it returns a list of Refusal"):
        bench.pipeline.take(wait=None)


def test_a_refusal_that_is_raised_is_told_as_a_mistake() -> None:
    """It names no record."""
    bench = Bench()

    def act(_: SinkBatch) -> Sequence[Refusal]:
        raise SinkRefused("too long")

    bench.sink.act = act
    bench.pipeline.start(unit("a"), None)
    with pytest.raises(SinkError, match="a sink returns it, in a Refusal") as caught:
        bench.pipeline.take(wait=None)
    assert not isinstance(caught.value, SinkRefused)


def test_a_finished_unit_without_refusals_is_as_it_was() -> None:
    """Only refusals add to its dead letters."""
    bench = Bench()
    sealed = replace(unit("a"), dead_letters=3)
    assert bench.end(sealed).unit.dead_letters == 3


def test_closing_lets_go_of_the_sink_too() -> None:
    """After the unit on its way."""
    bench = Bench()
    bench.pipeline.start(unit("a"), None)
    bench.pipeline.close()
    assert bench.sink.closed
    assert bench.writer.calls[-1] == "close"


def test_a_stage_that_is_stuck_is_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may not be closed while it writes, and its close may wait for what never comes; the writer's may."""
    monkeypatch.setattr(stage_commit, "_GRACE_S", 0.2)
    bench = Bench(timeout=0.1)
    gate = bench.block()
    bench.pipeline.start(unit("a"), None)
    with pytest.raises(SinkStuck):
        bench.pipeline.take(wait=None)
    bench.pipeline.close()
    assert not bench.sink.closed
    assert bench.writer.calls == ["close"]
    gate.set()


def test_a_stage_that_is_found_stuck_by_the_close_is_not_closed_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The process ends for another reason, and its last unit does not."""
    monkeypatch.setattr(stage_commit, "_GRACE_S", 0.2)
    bench = Bench(timeout=0.1)
    gate = bench.block()
    bench.pipeline.start(unit("a"), None)
    bench.pipeline.close()
    assert not bench.sink.closed
    assert bench.writer.calls == ["close"]
    gate.set()


def test_closing_does_not_wait_for_an_async_handler_that_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its loop runs nothing else any more."""
    monkeypatch.setattr(stage_commit, "_GRACE_S", 0.2)
    gate = threading.Event()

    class Away(Downstream):
        client = Client

        def client_for(self, _: str) -> Client:
            return Client()

    async def block(event: Event, away: Client) -> None:
        gate.wait(20)

    asking = AskingHandler(inspect_handler(block), Router("asks", {}, {}))
    stage = AskingStage(asking, {"away": Away()}, "stop", 0.1, {"away": SETTINGS})
    pipeline = StagePipeline(
        HeldWriter(), stage, StageProcessor("asks", "shop.asks", "letters", lambda _: "id")
    )
    sealed = replace(
        unit("a"), writes=[Write(MemoryMessage("orders", 3, 10, key=b"k", value=b"raw"), Event())]
    )
    pipeline.start(sealed, None)
    with pytest.raises(SinkStuck):
        pipeline.take(wait=None)
    began = time.monotonic()
    pipeline.close()
    assert time.monotonic() - began < 5
    gate.set()
