"""What errors of another Kafka cluster mean for a sink."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.errors import ClusterError, SinkDown, SinkError, SinkFenced
from holdfast.kafka.errors import is_lasting
from holdfast.sinks.kafka.shard import BeginAnewError


def judge(error: Exception, sink: str, servers: str) -> Exception:
    """Tell what to do about what was raised.

    Args:
        error: it.
        sink: the sink's name, for messages.
        servers: the brokers, likewise: the application has others of its own.

    Returns:
        `SinkError` for a login, a right or a property that a person has to change, `SinkDown` for all else
        that the brokers and their client say; what is a sink's error already, or none of these, as it is.
    """
    if isinstance(error, SinkError):
        text = str(error)
        return error if text.startswith("sink ") else type(error)(f"sink {sink!r}: {text}")
    if not isinstance(error, (BeginAnewError, ClusterError)):
        return error
    told = str(error) if servers in str(error) else f"on {servers}: {error}"
    if isinstance(error, ClusterError) and is_lasting(error):
        return SinkError(f"sink {sink!r} cannot be written to as it is declared: {told}")
    return SinkDown(f"sink {sink!r}: {told}")


def worst(errors: Iterable[Exception]) -> Exception:
    """The one of several that decides: what a person has to mend, then a lost shard, then an outage."""
    return min(errors, key=lambda error: 2 if isinstance(error, SinkDown) else isinstance(error, SinkFenced))
