"""What is offered to an application: the events of the producers that its topology declares."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from holdfast.chaos.clients.load import Outgoing
from holdfast.errors import HoldfastError
from holdfast.kafka.partitioner import partition_of
from holdfast.kafka.routing import encoder_of, encoders_for
from holdfast.record import Message
from holdfast.runtime.sources import Arguments, events_of, failure, parameters_of
from holdfast.schema import Event, Tombstone
from holdfast.topology import ResolvedProducer, ResolvedTopology

NUMBER_HEADER = "holdfast-chaos"
"""Header by which a published event is found again: its number in the run."""

SEED = "seed"
"""An argument of this name is the run's seed, unless the experiment gives another value."""


def number_of(record: Message) -> int | None:
    """The number of a record that the load published; None of any other record."""
    found = dict(record.headers() or ()).get(NUMBER_HEADER)
    return None if found is None else int(found)


def with_seed(producers: Mapping[str, ResolvedProducer], arguments: Arguments, seed: int) -> Arguments:
    """The arguments of all producers, with the run's seed for those that take one and are given none."""
    return {
        name: {**({SEED: seed} if SEED in parameters_of(producer) else {}), **arguments.get(name, {})}
        for name, producer in producers.items()
    }


def published(resolved: ResolvedTopology, arguments: Arguments) -> Iterator[Outgoing]:
    """Yield the events of all producers, numbered from 0; one of each in turn, as long as they have more.

    Raises:
        EventRefused: an event that its producer's topics do not take.
        PublishError: a producer's own code failed.
    """
    encoding = [
        _encoded(producer, arguments.get(name, {}), resolved.topology.app)
        for name, producer in resolved.producers.items()
    ]
    numbers = itertools.count()
    while encoding:
        for each in tuple(encoding):
            if (made := next(each, None)) is None:
                encoding.remove(each)
                continue
            topic, partition, (key, value, headers) = made
            number = next(numbers)
            marked = [*headers, (NUMBER_HEADER, str(number).encode())]
            text = None if key is None else key.decode(errors="backslashreplace")
            yield Outgoing(topic, partition, (key, value, marked), text, number)


_Made = tuple[str, int, tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]]
"""Topic, partition, and key, value and headers."""


def _encoded(producer: ResolvedProducer, arguments: Mapping[str, Any], app: str) -> Iterator[_Made]:
    encoders = {encoder.topic: encoder for encoder in encoders_for(producer.writes, app)}
    partitions = {topic.decl.name: topic.decl.partitions for topic in producer.writes}
    turns = dict.fromkeys(partitions, 0)
    for event, named in _events(producer, arguments):
        encoder = encoder_of(encoders, event, named)
        topic, record = encoder.topic, encoder.encode(event)
        if (key := record[0]) is not None:
            yield topic, partition_of(key, partitions[topic]), record
            continue
        # Without keys they take turns, since a send is in the history before the client could choose.
        turns[topic] += 1
        yield topic, turns[topic] % partitions[topic], record


def _events(
    producer: ResolvedProducer, arguments: Mapping[str, Any]
) -> Iterator[tuple[Event | Tombstone, str | None]]:
    try:
        yield from events_of(producer, arguments)
    except HoldfastError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise failure(error) from error
