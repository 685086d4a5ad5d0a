"""The consumer groups of a workload, as a run watches them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class TopicSize(NamedTuple):
    """A topic and how many partitions it has."""

    topic: str
    partitions: int


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """A consumer group of a workload, as a run watches it.

    Attributes:
        group: its id.
        source: the topic by whose partitions its shards are called.
        inputs: what it has to handle to the end; nothing of a group that handles no records.
        members: its workers by `group.instance.id`; empty if they cannot be told apart, and are not watched.
        label: begins the names of its shards, where a workload has several groups.
    """

    group: str
    source: TopicSize
    inputs: Sequence[TopicSize]
    members: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
