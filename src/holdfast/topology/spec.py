"""What the cluster has to hold for one topic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MIN_INSYNC = "min.insync.replicas"


@dataclass(frozen=True)
class TopicSpec:
    """A topic as the declaration wants it, or as a cluster has it.

    Attributes:
        name: the topic's name.
        partitions: how many partitions.
        replication: on how many brokers each partition is kept.
        config: topic settings; as wanted: those that must have this value; as found: all of them.
        keyed_state_of: the processors whose state depends on the number of partitions,
            because keys are spread over them (empty for what was found on a cluster).
        origin: who wants it, for messages: `topology.yaml:5` or `Holdfast`.
    """

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str] = field(default_factory=dict)
    keyed_state_of: tuple[str, ...] = ()
    origin: str = "Holdfast"


def durable(replication: int) -> dict[str, str]:
    """Return the settings that keep every acknowledged record.

    With a replication of 3 or more, two brokers must hold a write before it is acknowledged.
    Kafka's default is one, and then the loss of that one broker loses acknowledged records.
    """
    return {MIN_INSYNC: "2" if replication >= 3 else "1"}
