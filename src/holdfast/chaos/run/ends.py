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
from holdfast.kafka.settled import settled_ends


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
    """Read all topics to their ends, into the history; what was read before an error is told beside it.

    A transaction that stays open is such an error: what is behind it is read by nobody.
    """
    found = Ends()
    try:
        scene.lab.brokers.wait_until_whole(START_S)
        found = _partition_ends(scene)
        found = replace(found, counts=scene.workload.record_end(scene.recorder))
        return replace(found, checks=scene.workload.checks())
    except HoldfastError as error:
        return replace(found, error="; ".join(filter(None, (found.error, str(error)))))


def _partition_ends(scene: Scene) -> Ends:
    admin = OffsetAdmin(scene.lab.bootstrap_servers)
    places = [place for found in admin.partitions(scene.workload.outputs).values() for place in found]
    found = settled_ends(admin, places)
    stuck = ", ".join(f"{place.topic}-{place.partition}" for place in found.stuck)
    return Ends(
        tuple(
            PartitionEnd(place.topic, place.partition, found.stable[place], end)
            for place, end in found.wanted.items()
        ),
        error=f"a transaction stays open in {stuck}" if stuck else "",
    )
