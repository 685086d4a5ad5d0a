"""Names for records that are the same whenever a record is handled."""

from __future__ import annotations

from holdfast.record import Message, known_as
from holdfast.sinks.base import SinkBatch


def identity_of(batch: SinkBatch, message: Message) -> str:
    """A name for a record that no other record of the cluster has, for one consumer group.

    A topic that is deleted and created again begins at offset 0 once more, so its id is in the name. A record
    that is redriven keeps its name: a system may have done what it was asked before the record was set aside.
    """
    topic, partition, offset = known_as(message)
    return f"{batch.group}/{batch.topic_ids.get(topic) or topic}/{partition}/{offset}"
