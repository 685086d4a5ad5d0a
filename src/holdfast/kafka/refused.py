"""Answers of the brokers that say something of a record itself: another try does not change them.

What concerns the topic, such as a right that is missing, or the cluster, such as too few replicas in sync,
is no record's fault, and is not among them. Neither is `POLICY_VIOLATION`: where a broker gives it to a
producer, it is for what the whole cluster may take.
"""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError

from holdfast.errors import OutputRefused

OF_RECORD: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
    }
)

BESIDE: Final = KafkaError._INVALID_DIFFERENT_RECORD
"""What the client says of the other records in the batch of one that was refused (KIP-467)."""

_SIZE = (
    "Raise max.message.bytes of the topic, or write less for one record. Batches are made as large as the "
    "declared topics allow: if the limit was lowered, declare it, and start the workers again"
)
_TIME = (
    "What comes of a record has the record's own time, and the topic takes none so far from now: raise its "
    "message.timestamp.after.max.ms, or message.timestamp.before.max.ms for a time long ago"
)
_RECORD = "Write what the topic takes: one that is compacted, for example, takes nothing without a key"
_ADVICE: Final = {
    KafkaError.MSG_SIZE_TOO_LARGE: _SIZE,
    KafkaError.RECORD_LIST_TOO_LARGE: _SIZE,
    KafkaError.INVALID_TIMESTAMP: _TIME,
}


def refusal_of(topic: str, error: KafkaError) -> OutputRefused | None:
    """The refusal of a record that was to be written to a topic; None if the answer is not about it."""
    if error.code() not in OF_RECORD:
        return None
    return OutputRefused(
        topic,
        f"{error.str()} ({error.name()})",
        _ADVICE.get(error.code(), _RECORD),
        is_time=error.code() == KafkaError.INVALID_TIMESTAMP,
    )
