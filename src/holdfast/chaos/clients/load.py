"""A steady load of events, each send of which is in the history before it is tried."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from holdfast.chaos.history import Invoked, Recorder, send
from holdfast.errors import ChaosError
from holdfast.kafka.partitioner import partition_of
from holdfast.kafka.settings import Properties, producer_config
from holdfast.schema import Encoded, Event, TopicEncoder

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


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to be published.

    Attributes:
        topic: where to.
        partition: which of its partitions.
        record: its key, value and headers.
        key: its key as text, as the history has it; None if it has none.
        value: an integer by which the history knows it: its partition and key have it once.
    """

    topic: str
    partition: int
    record: Encoded
    key: str | None
    value: int


def encoded(encoder: TopicEncoder, partitions: int, events: Iterable[Offered]) -> Iterator[Outgoing]:
    """Encode events for a topic with so many partitions."""
    for offered in events:
        record = encoder.encode(offered.event)
        number = partition_of(record[0] or b"", partitions)
        yield Outgoing(encoder.topic, number, record, offered.key, offered.value)


class Load:
    """Publishes records at a steady rate, from a thread of its own, while its block lasts.

    What cannot be published at its time is published as soon as that is possible, as a service whose
    requests wait would.

    Args:
        servers: the brokers.
        records: what to publish.
        rate: records per second.
        recorder: takes the history.
        properties: more librdkafka properties.

    Attributes:
        published: events that the client took.
        acknowledged: those that all in-sync replicas have.
        has_ended: whether there is nothing more to publish.
    """

    def __init__(
        self,
        servers: str,
        records: Iterator[Outgoing],
        rate: int,
        recorder: Recorder,
        properties: Properties | None = None,
    ) -> None:
        self._records = records
        self._rate = rate
        self._recorder = recorder
        self._settings = producer_config(servers, {**(properties or {}), "delivery.timeout.ms": 120_000})
        self.has_ended = False
        self._lives = 0
        self._close_s = CLOSE_S
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._error: BaseException | None = None
        self.published = self.acknowledged = 0

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
            while not self._end.is_set() and not self.has_ended:
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
        while not self._end.is_set() and not is_broken.is_set() and not self.has_ended:
            due = int((time.monotonic() - began) * self._rate)
            while made < due and not self._end.is_set() and not is_broken.is_set():
                outgoing = next(self._records, None)
                if outgoing is None:
                    self.has_ended = True
                    break
                self._publish(producer, process, outgoing, is_broken.set)
                made += 1
            producer.poll(BURST_S)
            self._end.wait(max(0.0, BURST_S - (time.monotonic() - began) % BURST_S))
        producer.flush(self._close_s)
        producer.purge()
        producer.flush(1.0)

    def _publish(
        self, producer: Producer, process: str, outgoing: Outgoing, give_up: Callable[[], None]
    ) -> None:
        topic, number = outgoing.topic, outgoing.partition
        key, value, wire = outgoing.record
        headers: list[tuple[str, str | bytes | None]] = [*wire]
        step = send(f"{topic}-{number}", outgoing.value, key=outgoing.key)
        operation = self._recorder.invoke(process, "send", [step])
        delivered = partial(self._delivered, operation, outgoing, give_up)
        while not self._end.is_set():
            try:
                producer.produce(topic, value, key, number, headers=headers, on_delivery=delivered)
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
        outgoing: Outgoing,
        give_up: Callable[[], None],
        error: KafkaError | None,
        message: Message,
    ) -> None:
        if error is None:
            self.acknowledged += 1
            log = f"{message.topic()}-{message.partition()}"
            operation.ok([send(log, outgoing.value, key=outgoing.key, offset=message.offset())])
            return
        # What the client gave up may have been written all the same: only the log can tell.
        operation.unknown(error.str())
        if error.fatal():
            give_up()
