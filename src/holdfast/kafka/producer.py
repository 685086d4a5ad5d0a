"""The typed producer: `publish(event)` with the topic, key and headers that the declaration gives.

Idempotent, acks=all, bounded in memory. The client calls back only for events that failed, so that an
acknowledged one costs no Python call; `stats` derives the acknowledged ones by counting::

    with Producer.from_topology("topology.yaml", ["orders"]) as producer:
        producer.publish(OrderPlaced(...))

Leaving the block waits for all acknowledgements, and raises `PublishError` if an event was not delivered.
A producer is for one thread at a time.
"""

from __future__ import annotations

import logging
import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Any, NoReturn, Self

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as Client
from pydantic_core import PydanticSerializationError

from holdfast.errors import ClusterError, EventRefused, PublishError, SettingError
from holdfast.kafka.deliveries import Deliveries, DeliveryFailure
from holdfast.kafka.errors import describe, kafka_error, mapped
from holdfast.kafka.probe import require_brokers
from holdfast.kafka.routing import encoder_of, encoders_for
from holdfast.kafka.serving import SLICE_S, flush, serve
from holdfast.kafka.settings import SERVERS_VARIABLE, Properties, named_servers, producer_config
from holdfast.schema import Event, Tombstone, TopicEncoder, WireHeaders
from holdfast.topology.load import DEFAULT_FILE, load
from holdfast.topology.model import BROKER_MAX_BYTES, MAX_BYTES
from holdfast.topology.resolve import resolve
from holdfast.topology.resolved import ResolvedTopic

log = logging.getLogger("holdfast.kafka.producer")

SERVE_EVERY = 0.05
"""Seconds between looks at the client's event queue (failed deliveries, log lines) while publishing."""

CHECK_S = 5.0
"""Seconds that `check` waits for brokers, so that a command that cannot reach any says so within 10."""

_NEWS_S = 1.0
"""Seconds in which a broker hears of a topic that was just created, also one that has just come back."""

Route = tuple[str, Callable[[Event], bytes], Callable[[Event], object], WireHeaders]
"""Topic, serializer, key getter and headers of an event class that goes to one topic."""


@dataclass(frozen=True, slots=True)
class PublishStats:
    """What became of the events so far.

    Attributes:
        sent: accepted by `publish`.
        delivered: acknowledged by all in-sync replicas.
        failed: given up; each was reported.
        waiting: not acknowledged yet.
    """

    sent: int
    delivered: int
    failed: int
    waiting: int


class Producer:
    """Publishes events to the topics that declare them."""

    def __init__(
        self,
        encoders: Iterable[TopicEncoder],
        bootstrap_servers: str,
        *,
        properties: Properties | None = None,
        on_failure: Callable[[DeliveryFailure], None] | None = None,
        room_timeout: float = 60.0,
        interrupt_timeout: float = 10.0,
    ) -> None:
        """Start the client; it connects in the background.

        Args:
            encoders: one for each topic that may be published to.
            bootstrap_servers: ``host:port`` of some brokers, separated by commas.
            properties: more librdkafka properties.
            on_failure: called (inside `publish`, `flush` or `close`) for every event that was accepted but
                not delivered; `flush` and `close` then raise nothing for it.
            room_timeout: how many seconds `publish` waits for room in a full queue.
            interrupt_timeout: how many seconds are given to events that wait when the block is left by
                an exception, such as Ctrl-C.

        Raises:
            SettingError: a property is unknown or would break a guarantee.
        """
        self._encoders = {encoder.topic: encoder for encoder in encoders}
        self._routes_in = {topic: _routes(encoder) for topic, encoder in self._encoders.items()}
        self._routes = _unambiguous(self._encoders.values(), self._routes_in)
        config = {"message.max.bytes": BROKER_MAX_BYTES, **(properties or {})}
        self._max_bytes = config["message.max.bytes"]
        self._servers = bootstrap_servers
        self._properties = config
        self._room_timeout = room_timeout
        self._interrupt_timeout = interrupt_timeout
        self._deliveries = Deliveries(on_failure)
        self._sent = 0
        self._serve_at = 0.0
        self._closed = False
        with mapped("starting the producer"):
            self._client = Client(
                {**producer_config(bootstrap_servers, config), **self._deliveries.callbacks()}
            )
        self._produce = self._client.produce
        # A program that ends without closing must not lose what it published.
        self._at_exit = weakref.finalize(self, _flush_at_exit, self._client, interrupt_timeout)

    @classmethod
    def for_topics(
        cls,
        topics: Iterable[ResolvedTopic],
        bootstrap_servers: str,
        *,
        source: str,
        properties: Properties | None = None,
        on_failure: Callable[[DeliveryFailure], None] | None = None,
    ) -> Self:
        """Start a producer for topics of a topology, with the size limits that they declare.

        Args:
            topics: the topics that may be published to.
            bootstrap_servers: ``host:port`` of some brokers, separated by commas.
            source: the application's name, for CloudEvents.
            properties: the topology's librdkafka properties.
            on_failure: as for the class itself.

        Raises:
            SchemaError: an event lacks the topic's key field.
            SettingError: a property is unknown or would break a guarantee.
        """
        topics = tuple(topics)
        encoders = encoders_for(topics, source)
        limits = [int(topic.decl.config.get(MAX_BYTES, BROKER_MAX_BYTES)) for topic in topics]
        # A broker measures whole batches, so none may be larger than the smallest limit allows.
        sizes = {"message.max.bytes": max(limits), "batch.size": min(1_000_000, *limits)}
        return cls(
            encoders, bootstrap_servers, properties={**sizes, **(properties or {})}, on_failure=on_failure
        )

    @classmethod
    def from_topology(
        cls,
        path: str | Path = DEFAULT_FILE,
        topics: Iterable[str] = (),
        *,
        bootstrap_servers: str | None = None,
    ) -> Self:
        """Start a producer for topics of a topology file.

        Args:
            path: the topology file.
            topics: names of the topics that may be published to; all of the file's unless given.
            bootstrap_servers: the brokers; else those of ``HOLDFAST_BOOTSTRAP_SERVERS``, else those
                that the file names.

        Raises:
            TopologyErrors: the file or an event class that it names cannot be used.
            SettingError: no brokers are named, or a property would break a guarantee.
        """
        declared = load(Path(path))
        chosen = tuple(topics) or tuple(declared.topics)
        resolved = resolve(declared, only={f"topics.{name}" for name in chosen})
        servers = named_servers(bootstrap_servers, declared.kafka)
        if servers is None:
            raise SettingError(
                f"no brokers are named: pass bootstrap_servers, set {SERVERS_VARIABLE}, or write "
                f"`kafka: {{bootstrap.servers: ...}}` into {path}; `holdfast status` shows the address of "
                "brokers that `holdfast up` started"
            )
        found = [resolved.topics[name] for name in chosen]
        return cls.for_topics(found, servers, source=declared.app, properties=declared.kafka)

    def check(self) -> None:
        """Ask the brokers whether all topics are there; publishing itself would tell only later.

        Raises:
            BrokersUnreachable: no broker answered within 5 s.
            ClusterError: a topic does not exist.
        """
        require_brokers(self._servers, self._properties, timeout=CHECK_S)
        deadline = monotonic() + _NEWS_S
        while (missing := self._unknown()) and monotonic() < deadline:
            sleep(_NEWS_S / 10)
        if missing:
            raise ClusterError(
                f"the cluster has no topic {', '.join(missing)}. Create what the topology declares with "
                "`holdfast apply`."
            )

    def _unknown(self) -> list[str]:
        with mapped("asking for topics"):
            known = self._client.list_topics(timeout=CHECK_S).topics
        return [topic for topic in self._encoders if topic not in known]

    def publish(self, event: Event | Tombstone, topic: str | None = None, *, timestamp: int = 0) -> None:
        """Hand one event to the client, which sends it in the background.

        Blocks while the queue is full.

        Args:
            event: the event, or the tombstone that deletes its key.
            topic: where to; may be left out if one topic alone declares the event's class.
            timestamp: milliseconds since the epoch; now if 0.

        Raises:
            EventRefused: the event can never be accepted: no topic declares it, it has no usable key, or
                it is too large.
            PublishError: there was no room in time, or the producer is closed or broken.
        """
        routes = self._routes if topic is None else self._routes_in.get(topic)
        route = routes.get(type(event)) if routes is not None else None
        if route is None:
            self._publish_any(event, topic, timestamp)
        else:
            name, to_json, key_of, headers = route
            # The client takes a str as its UTF-8; everything else goes through the encoder.
            key = key_of(event)  # type: ignore[arg-type]
            if type(key) is not str:
                key = self._encoders[name].encode_key(event, key)  # type: ignore[arg-type]
            try:
                self._produce(name, to_json(event), key, -1, None, None, timestamp, headers)  # type: ignore[arg-type]
            except (BufferError, KafkaException, PydanticSerializationError, UnicodeEncodeError):
                # Again, slowly: it waits for room, and says what is wrong.
                self._publish_any(event, name, timestamp)
            else:
                self._sent += 1
        now = monotonic()
        if now > self._serve_at:
            self._serve_at = now + SERVE_EVERY
            serve(self._client)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until every event so far is acknowledged or has failed.

        Args:
            timeout: seconds to wait; without it, as long as the client itself tries (its property
                ``delivery.timeout.ms``).

        Raises:
            PublishError: an event was not delivered, or is still waiting after `timeout`.
        """
        if self._closed:
            return
        waiting = flush(self._client, timeout)
        self._deliveries.raise_failures()
        if waiting:
            raise PublishError(
                f"{waiting} of {self._sent} events were not acknowledged within {timeout:g} s{self._why()}."
            )

    def close(self) -> None:
        """Wait for all acknowledgements and let go of the client; doing it twice does no harm.

        Raises:
            PublishError: an event was not delivered.
        """
        if self._closed:
            return
        try:
            self.flush()
        except BaseException as error:
            self._give_up(error)
            raise
        self._release()

    @property
    def stats(self) -> PublishStats:
        """Counts of the events so far; exact after `flush`, a moment behind before."""
        failed = self._deliveries.failed
        waiting = 0 if self._closed else min(len(self._client), self._sent - failed)
        return PublishStats(self._sent, self._sent - failed - waiting, failed, waiting)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        elif not self._closed:
            self._give_up(error)

    def _publish_any(self, event: Event | Tombstone, topic: str | None, timestamp: int) -> None:
        """Publish by the general way, with waiting and with every error explained."""
        if self._closed:
            raise PublishError("the producer is closed; publish inside its `with` block.")
        encoder = encoder_of(self._encoders, event, topic)
        key, value, headers = encoder.encode(event)
        deadline = monotonic() + self._room_timeout
        while True:
            try:
                self._produce(encoder.topic, value, key, -1, None, None, timestamp, headers)  # type: ignore[arg-type]
            except BufferError:
                if monotonic() > deadline:
                    raise PublishError(
                        f"no room for another event within {self._room_timeout:g} s: {self.stats.waiting} "
                        f"wait for brokers that do not take them{self._why()}."
                    ) from None
                # Returns as soon as an acknowledgement makes room; between two such waits Ctrl-C is seen.
                serve(self._client, SLICE_S)
            except KafkaException as error:
                self._refuse(error, encoder.topic, event, len(key or b"") + len(value or b""))
            else:
                self._sent += 1
                return

    def _refuse(self, error: KafkaException, topic: str, event: Event | Tombstone, size: int) -> NoReturn:
        kind = event.event_type if isinstance(event, Tombstone) else type(event)
        what = f"{kind.__event_name__ if kind else 'tombstone'} to topic {topic}"
        if kafka_error(error).code() == KafkaError.MSG_SIZE_TOO_LARGE:
            raise EventRefused(
                f"{what}: {size} bytes are more than the limit of {self._max_bytes}. Make the event "
                "smaller, or raise the topic's max.message.bytes and the client's message.max.bytes."
            ) from error
        raise PublishError(f"{what} was not accepted: {describe(error)}.") from error

    def _give_up(self, error: BaseException) -> None:
        """Give waiting events a bounded time on the way out of `error`, and note there how many were lost."""
        try:
            flush(self._client, self._interrupt_timeout)
        finally:
            # What is left fails now, so that it is counted and reported like every other failure.
            self._client.purge()
            flush(self._client, 1.0)
            stats = self.stats
            self._release()
            if stats.failed:
                note = f"{stats.failed} of {stats.sent} published events were not acknowledged{self._why()}."
                error.add_note(note)
                log.warning(note)

    def _release(self) -> None:
        self._closed = True
        self._at_exit.detach()
        self._routes, self._routes_in = {}, {}
        del self._client, self._produce

    def _why(self) -> str:
        return f" ({self._deliveries.last_error})" if self._deliveries.last_error else ""


def _routes(encoder: TopicEncoder) -> dict[type[Any], Route]:
    """Return the shortcuts of a topic: for events that have a key and constant headers."""
    return {
        event: (encoder.topic, parts.to_json, parts.key, parts.headers)
        for event, parts in encoder.by_class.items()
        if parts.key is not None and parts.headers is not None
    }


def _unambiguous(
    encoders: Iterable[TopicEncoder], routes_in: dict[str, dict[type[Any], Route]]
) -> dict[type[Any], Route]:
    """Return the shortcuts of the event classes that one topic alone declares."""
    declared = Counter(event for encoder in encoders for event in encoder.by_class)
    return {
        event: route
        for routes in routes_in.values()
        for event, route in routes.items()
        if declared[event] == 1
    }


def _flush_at_exit(client: Any, timeout: float) -> None:
    """Send what a producer that was never closed still holds."""
    left = flush(client, timeout)
    if left:
        log.warning("%d published events were not acknowledged before the program ended.", left)
