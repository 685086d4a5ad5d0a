"""Commits on their way: one at a time, never waited for without end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import pytest

from holdfast.engine.unit import SealedUnit
from holdfast.kafka.unit_writer import Ending, Outcome
from holdfast.record import Output, TopicPartition
from holdfast.runtime.commit import CommitPipeline
from tests.unit.runtime.kit import wait_until

UNIT = SealedUnit([Output("out", b"v", b"k", 0, ())], (), 1, 0)


class HeldWriter:
    """A `UnitWriter` whose commit ends when it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.calls: list[str] = []
        self.error: Exception | None = None
        self.given_up: Ending | None = None

    def begin(self) -> None:
        """Note it."""
        self.calls.append("begin")

    def send(self, outputs: Any, changelog: Any = ()) -> None:
        """Note what."""
        self.calls.append(f"send {len(list(outputs))} {len(list(changelog))}")

    def finish(self, positions: Mapping[TopicPartition, int], group_metadata: Any) -> Ending:  # noqa: ARG002
        """Wait."""
        self.let_go.wait()
        if self.error:
            raise self.error
        return Ending(Outcome.COMMITTED)

    def stop_waiting(self, *, is_late: bool = False) -> Ending | None:  # noqa: ARG002
        """When the test says so."""
        return self.given_up

    def conclude(self, ending: Ending, positions: Any) -> Ending:  # noqa: ARG002
        """Nothing to add."""
        return ending

    def abandon(self) -> Ending:
        """Note it."""
        self.calls.append("abandon")
        return Ending(Outcome.ABORTED)

    def reopen(self) -> None:
        """Note it."""
        self.calls.append("reopen")

    def close(self) -> None:
        """Note it."""
        self.calls.append("close")


@pytest.fixture
def writer() -> Iterator[HeldWriter]:
    """A writer that lets go at the end at the latest."""
    writer = HeldWriter()
    yield writer
    writer.let_go.set()


def test_outputs_are_sent_ahead_unless_a_commit_is_in_flight(writer: HeldWriter) -> None:
    """The transaction is begun once for a unit."""
    pipeline = CommitPipeline(writer, {})
    outputs = [*UNIT.outputs, *UNIT.outputs]
    pipeline.send(outputs)
    assert outputs == []
    pipeline.start(UNIT, None)
    assert pipeline.in_flight
    pipeline.send(outputs := list(UNIT.outputs))
    assert len(outputs) == 1
    assert writer.calls == ["begin", "send 2 0", "send 1 0"]
    writer.let_go.set()
    wait_until(pipeline.take)
    assert not pipeline.in_flight
    pipeline.send(outputs)
    assert writer.calls[3:] == ["begin", "send 1 0"]


def test_only_what_was_begun_is_abandoned(writer: HeldWriter) -> None:
    """An open unit of which nothing was sent costs nothing."""
    pipeline = CommitPipeline(writer, {})
    assert pipeline.abandon() is None
    pipeline.send(list(UNIT.outputs))
    assert pipeline.abandon() is not None
    assert pipeline.abandon() is None


def test_a_commit_that_hangs_counts_as_unknown_in_time(writer: HeldWriter) -> None:
    """The next one does not wait for it, and closing does not either."""
    pipeline = CommitPipeline(writer, {}, patience=0.2)
    pipeline.start(UNIT, None)
    assert pipeline.take() is None
    began = time.monotonic()
    finished = pipeline.take(wait=None)
    assert 0.1 < time.monotonic() - began < 2
    assert finished is not None
    assert finished.ending == Ending(Outcome.UNKNOWN, "no answer within 0 s")
    pipeline.reopen()
    pipeline.start(UNIT, None)
    pipeline.close()
    assert writer.calls[-1] == "close"


def test_a_commit_that_its_writer_gives_up_is_not_waited_for(writer: HeldWriter) -> None:
    """Also when it does so while somebody waits for it."""
    pipeline = CommitPipeline(writer, {})
    pipeline.start(UNIT, None)
    assert pipeline.take(0.01) is None
    given_up = Ending(Outcome.GIVEN_UP, "lost the coordinator")
    threading.Timer(0.1, setattr, (writer, "given_up", given_up)).start()
    began = time.monotonic()
    finished = pipeline.take(wait=None)
    assert time.monotonic() - began < 2
    assert finished is not None
    assert finished.ending == given_up
    assert not pipeline.in_flight


def test_an_unforeseen_error_leaves_the_outcome_unknown(writer: HeldWriter) -> None:
    """It is not raised into the worker's loop."""
    pipeline = CommitPipeline(writer, {})
    writer.error = RuntimeError("unforeseen")
    writer.let_go.set()
    pipeline.start(UNIT, None)
    finished = pipeline.take(wait=None)
    assert finished is not None
    assert finished.ending.outcome is Outcome.UNKNOWN
    assert "unforeseen" in finished.ending.reason


def test_a_commit_that_ends_while_it_is_looked_for_is_not_lost(
    writer: HeldWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it was taken for unknown, for which the worker replaced its client and restored every shard."""

    class EndsRightAfter(Future[Ending]):
        """Ends in the moment between a wait that ran out and the next look."""

        def result(self, timeout: float | None = None) -> Ending:
            try:
                return super().result(timeout)
            except FutureTimeout:
                writer.let_go.set()
                wait_until(self.done)
                raise

    monkeypatch.setattr("holdfast.runtime.unit_end.Future", EndsRightAfter)
    pipeline = CommitPipeline(writer, {})
    pipeline.start(UNIT, None)
    finished = pipeline.take()
    writer.let_go.set()
    finished = finished or pipeline.take(wait=None)
    assert finished is not None
    assert finished.ending.outcome is Outcome.COMMITTED
