"""Everything that was committed in a simulation, as checks read it; a `holdfast.checks.TopicReader`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from holdfast.checks import Recorded
from holdfast.errors import DecodeError
from holdfast.record import Message, Position
from holdfast.schema import EventDecoder, ValueCodec
from holdfast.testing.simulation.brokers import Brokers
from holdfast.testing.simulation.log import Fate
from holdfast.topology.resolved import ResolvedTopology


class CommittedLog:
    """The committed records of all topics, those that retention or compaction removed included.

    Args:
        brokers: the simulated brokers.
        resolved: the application.
    """

    def __init__(self, brokers: Brokers, resolved: ResolvedTopology) -> None:
        self._brokers = brokers
        self._resolved = resolved
        self._decoders = {name: EventDecoder(topic.events) for name, topic in resolved.topics.items()}

    def records(self, topic: str) -> Iterator[Message]:
        """The raw records of any topic, one partition after the other."""
        for place, log in self._brokers.logs.items():
            if place.topic == topic:
                for entry in log.history:
                    if entry.fate is Fate.VISIBLE and entry.message is not None:
                        yield entry.message

    def events(self, topic: str) -> Iterator[Recorded]:
        """The records of a declared topic, decoded; those that cannot be decoded are left out.

        Raises:
            TopologyError: the topic is not declared.
        """
        self._resolved.topology.topic(topic)
        decode = self._decoders[topic].decode
        for message in self.records(topic):
            try:
                event = decode(message.value(), message.headers(), message.key())
            except DecodeError:
                continue
            place = Position(topic, message.partition(), message.offset())
            yield Recorded(place, _text(message.key()), message.timestamp()[1], event)

    def table(self, processor: str, table: str) -> Mapping[str, Any]:
        """A table of a processor, folded from its changelog.

        Raises:
            TopologyError: the processor is not declared.
        """
        resolved = self._resolved.processors[self._resolved.topology.processor(processor).name]
        decode = ValueCodec(resolved.tables[table]).decode
        rows: dict[str, Any] = {}
        for message in self.records(resolved.decl.changelog(table)):
            key, value = str(_text(message.key())), message.value()
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = decode(value)
        return rows

    def dead_letters(self) -> Iterator[Message]:
        """The records that were set aside."""
        return self.records(self._resolved.topology.dead_letter_topic)


def _text(key: bytes | None) -> str | None:
    return None if key is None else key.decode(errors="backslashreplace")
