"""Follows the topic of the breakers, and writes to it."""

from __future__ import annotations

import contextlib
import logging
from typing import Any, Final

from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as ClientMessage

from holdfast.errors import ClusterError
from holdfast.kafka.errors import describe, mapped
from holdfast.kafka.reader import PartitionReader, reader_settings
from holdfast.kafka.settings import Properties, consumer_config, producer_config
from holdfast.log_limit import LogLimit
from holdfast.record import Message, TopicPartition

log = logging.getLogger(__name__)
log.addFilter(LogLimit(log, lambda record: str(record.msg), most=1, seconds=60.0))

CALL_S: Final = 5.0
"""Seconds for one call to the brokers."""

_GROUP: Final = "holdfast-controls"
"""Group name of the reader; it never joins and never commits."""

_BATCH: Final = 1_000

_READER: Final[dict[str, Any]] = {
    # Brokers answer as soon as there is a record; until then one question a second is enough.
    "fetch.wait.max.ms": 1_000,
    "queued.min.messages": 1_000,
    "queued.max.messages.kbytes": 1_024,
}
_WRITER: Final[dict[str, Any]] = {
    "linger.ms": 0,
    # What is older says nothing any more; the next report is as good.
    "delivery.timeout.ms": 30_000,
    "queue.buffering.max.messages": 1_000,
    "queue.buffering.max.kbytes": 1_024,
}


class ControlLog:
    """The topic of the breakers of one application, read from its beginning on.

    Use it from one thread.

    Args:
        bootstrap_servers: `host:port` of some brokers, separated by commas.
        topic: its name.
        properties: the user's own client properties.
        client_id: what its clients call themselves.

    Raises:
        ClusterError: the topic does not exist, or cannot be read now.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        properties: Properties | None = None,
        client_id: str = "holdfast",
    ) -> None:
        place = TopicPartition(topic, 0)
        self._topic = topic
        self._failed = ""
        own = {"client.id": client_id}
        reading = consumer_config(bootstrap_servers, _GROUP, properties)
        with contextlib.ExitStack() as undo:
            self._reader = PartitionReader({**reader_settings(reading), **_READER, **own})
            undo.callback(self._reader.close)
            self._position, self._end = self._reader.bounds(place, CALL_S)
            self._reader.start({place: self._position})
            writing = producer_config(bootstrap_servers, properties)
            with mapped(f"connecting to {topic}"):
                self._client = Producer({**writing, **_WRITER, **own})
            undo.pop_all()

    def read(self, wait: float) -> tuple[list[Message], bool]:
        """Return records as they come, in order, and whether all that was there at first has been read.

        Args:
            wait: seconds to wait for a first one.

        Raises:
            ClusterError: the topic cannot be read: it is gone, or is another one of that name.
        """
        records, ends = self._reader.read(_BATCH, wait)
        self._client.poll(0)
        if records:
            self._position = records[-1].offset() + 1
        # The client tells of an end only after it has waited there for more. But the last records may have
        # been compacted away.
        self._position = max(self._position, *ends.values(), 0)
        return records, self._position >= self._end

    def write(self, key: bytes, value: bytes | None) -> None:
        """Send a record, without waiting for its acknowledgement.

        Raises:
            ClusterError: the client does not take it.
        """
        try:
            with mapped(f"writing to {self._topic}"):
                self._client.produce(self._topic, value, key, 0, on_delivery=self._note)
        except BufferError:
            raise ClusterError(f"writing to {self._topic}: too many records wait for the brokers") from None

    def flush(self, timeout: float = CALL_S) -> None:
        """Wait until what was sent is acknowledged.

        Raises:
            ClusterError: something was not, since the last call.
        """
        waiting = self._client.flush(timeout)
        failed, self._failed = self._failed, ""
        if failed or waiting:
            reason = failed or f"no acknowledgement within {timeout:g} s; it may still get there"
            raise ClusterError(f"writing to {self._topic}: {reason}.")

    def close(self) -> None:
        """Let go of the clients; what was not acknowledged is given up."""
        self._client.purge()
        self._client.flush(0.1)
        self._reader.close()

    def _note(self, error: KafkaError | None, message: ClientMessage) -> None:  # noqa: ARG002 - the client's call
        if error is not None:
            self._failed = describe(error)
            log.warning("a record for %s was not delivered: %s", self._topic, self._failed)
