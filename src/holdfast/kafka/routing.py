"""Which topic an event goes to, of those that may be published to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from holdfast.errors import EventRefused
from holdfast.schema import Event, Tombstone, TopicEncoder
from holdfast.topology.resolved import ResolvedTopic


def encoders_for(topics: Iterable[ResolvedTopic], source: str) -> tuple[TopicEncoder, ...]:
    """Return the encoders of topics of a topology.

    Args:
        topics: the topics.
        source: the application's name, for CloudEvents.

    Raises:
        SchemaError: an event lacks the topic's key field.
    """
    return tuple(
        TopicEncoder(
            topic.decl.name,
            topic.events,
            topic.decl.key,
            cloudevents=topic.decl.cloudevents,
            source=source,
        )
        for topic in topics
    )


def encoder_of(
    encoders: Mapping[str, TopicEncoder], event: Event | Tombstone, topic: str | None
) -> TopicEncoder:
    """Return the encoder of the topic that an event goes to: the one that is named, or alone declares it.

    Args:
        encoders: those of the topics that may be published to, by topic.
        event: the event.
        topic: where to; None if its class says it.

    Raises:
        EventRefused: no topic declares the event, or several do, or it is another topic.
    """
    if topic is not None:
        if topic not in encoders:
            raise EventRefused(
                f"topic {topic} is not declared; this producer writes to {', '.join(encoders)}."
            )
        return encoders[topic]
    kind = event.event_type if isinstance(event, Tombstone) else type(event)
    found = [encoder for encoder in encoders.values() if kind in encoder.by_class]
    if len(found) == 1:
        return found[0]
    name = getattr(kind, "__event_name__", kind and kind.__name__)
    if found:
        topics = ", ".join(encoder.topic for encoder in found)
        raise EventRefused(f"{name} may go to {topics}; say which: publish(event, topic=...).")
    raise EventRefused(f"no topic of this producer declares {name}; it writes to {', '.join(encoders)}.")
