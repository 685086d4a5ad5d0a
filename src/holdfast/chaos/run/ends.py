"""What is in the topics when the workers of a run have stopped, so that it stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from holdfast.chaos.checker.finished import PartitionEnd
from holdfast.chaos.run.scene import Scene
from holdfast.chaos.run.waiting import START_S
from holdfast.checks import CheckResult
from holdfast.errors import HoldfastError
from holdfast.kafka.offsets import OffsetAdmin


@dataclass(frozen=True)
class Ends:
    """What was read when all was over.

    Attributes:
        partitions: ends of all output partitions.
        counts: how many records each topic has, by its name.
        checks: what the workload's own checks found.
        error: why not all could be read; empty if it was.
    """

    partitions: tuple[PartitionEnd, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    checks: tuple[CheckResult, ...] = ()
    error: str = ""


def read_ends(scene: Scene) -> Ends:
    """Read all topics to their ends, into the history; what was read before an error is told beside it."""
    found = Ends()
    try:
        scene.lab.brokers.wait_until_whole(START_S)
        found = replace(found, partitions=_partition_ends(scene))
        found = replace(found, counts=scene.workload.record_end(scene.recorder))
        return replace(found, checks=scene.workload.checks())
    except HoldfastError as error:
        return replace(found, error=str(error))


def _partition_ends(scene: Scene) -> tuple[PartitionEnd, ...]:
    admin = OffsetAdmin(scene.lab.bootstrap_servers)
    places = [place for found in admin.partitions(scene.workload.outputs).values() for place in found]
    committed, ends = admin.ends(places), admin.high_watermarks(places)
    return tuple(
        PartitionEnd(place.topic, place.partition, committed[place], ends[place]) for place in places
    )
