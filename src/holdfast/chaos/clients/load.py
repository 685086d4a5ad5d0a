"""A steady load of events, each send of which is in the history before it is tried."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from holdfast.chaos.history import Invoked, Recorder, send
from holdfast.errors import ChaosError
from holdfast.kafka.partitioner import partition_of
from holdfast.kafka.settings import producer_config
from holdfast.schema import Event, TopicEncoder

BURST_S = 0.05
"""Seconds from one burst of events to the next. Each takes a request for every partition: many more would be
work for brokers, not load for the application."""

CLOSE_S = 60.0
"""Seconds for the last events to be acknowledged."""

HURRY_S = 5.0
"""The same where the run was interrupted: nobody will look at what became of them."""

_END_S = 10.0
"""Seconds beyond that for the client to end."""


@dataclass(frozen=True, slots=True)
class Offered:
    """An event to be published.

    Attributes:
        event: the event.
        key: its key as text.
        value: an integer that its key has once.
    """

    event: Event
    key: str
    value: int


class Load:
    """Publishes events of one topic at a steady rate, from a thread of its own, while its block lasts.

    What cannot be published at its time is published as soon as that is possible, as a service whose
    requests wait would.

    Args:
        servers: the brokers.
        encoder: of the topic.
        partitions: of the topic.
        events: what to publish, without end.
        rate: events per second.
        recorder: takes the history.

    Attributes:
        published: events that the client took.
        acknowledged: those that all in-sync replicas have.
        unknown: those whose fate is not known.
    """

    def __init__(
        self,
        servers: str,
        encoder: TopicEncoder,
        partitions: int,
        events: Iterator[Offered],
        rate: int,
        recorder: Recorder,
    ) -> None:
        self._encoder = encoder
        self._partitions = partitions
        self._events = events
        self._rate = rate
        self._recorder = recorder
        self._settings = producer_config(servers, {"delivery.timeout.ms": 120_000})
        self._lives = 0
        self._close_s = CLOSE_S
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._error: BaseException | None = None
        self.published = self.acknowledged = self.unknown = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._close_s = HURRY_S
        self._end.set()
        self._thread.join(self._close_s + _END_S)
        if self._thread.is_alive() and self._error is None:
            self._error = ChaosError(f"the load had not ended {self._close_s + _END_S:g} s after its end")
        if error is None:
            self.check()

    def check(self) -> None:
        """Raise what ended the load before its time, if anything did."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._end.is_set():
                self._live()
        except BaseException as error:  # noqa: BLE001 - raised again by `check`
            self._error = error

    def _live(self) -> None:
        """Publish with one client, until the end or until the client is of no more use."""
        producer = Producer(self._settings)
        process = f"load-{self._lives}"
        self._lives += 1
        began, made = time.monotonic(), 0
        is_broken = threading.Event()
        while not self._end.is_set() and not is_broken.is_set():
            due = int((time.monotonic() - began) * self._rate)
            while made < due and not self._end.is_set() and not is_broken.is_set():
                self._publish(producer, process, next(self._events), is_broken.set)
                made += 1
            producer.poll(BURST_S)
            self._end.wait(max(0.0, BURST_S - (time.monotonic() - began) % BURST_S))
        producer.flush(self._close_s)
        producer.purge()
        producer.flush(1.0)

    def _publish(
        self, producer: Producer, process: str, offered: Offered, give_up: Callable[[], None]
    ) -> None:
        key, value, wire = self._encoder.encode(offered.event)
        headers: list[tuple[str, str | bytes | None]] = [*wire]
        number = partition_of(key or b"", self._partitions)
        step = send(f"{self._encoder.topic}-{number}", offered.value, key=offered.key)
        operation = self._recorder.invoke(process, "send", [step])
        delivered = partial(self._delivered, operation, offered, give_up)
        while not self._end.is_set():
            try:
                producer.produce(self._encoder.topic, value, key, headers=headers, on_delivery=delivered)
            except BufferError:
                producer.poll(BURST_S)
            except KafkaException as error:
                # The client is in a state that it does not leave: the next one goes on.
                operation.fail(str(error))
                give_up()
                return
            else:
                self.published += 1
                return
        operation.fail("there was no room in the client's queue until the end")

    def _delivered(
        self,
        operation: Invoked,
        offered: Offered,
        give_up: Callable[[], None],
        error: KafkaError | None,
        message: Message,
    ) -> None:
        if error is None:
            self.acknowledged += 1
            log = f"{message.topic()}-{message.partition()}"
            operation.ok([send(log, offered.value, key=offered.key, offset=message.offset())])
            return
        # What the client gave up may have been written all the same: only the log can tell.
        self.unknown += 1
        operation.unknown(error.str())
        if error.fatal():
            give_up()
