"""Names for records that are the same whenever a record is handled."""

from __future__ import annotations

from holdfast.record import Position
from holdfast.sinks.base import SinkBatch


def identity_of(batch: SinkBatch, position: Position) -> str:
    """A name for a record that no other record of the cluster has, for one consumer group.

    A topic that is deleted and created again begins at offset 0 once more, so its id is in the name.
    """
    topic = batch.topic_ids.get(position.topic) or position.topic
    return f"{batch.group}/{topic}/{position.partition}/{position.offset}"
