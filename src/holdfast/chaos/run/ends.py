"""What is in the topics when the workers of a run have stopped, so that it stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from holdfast.chaos.checker.finished import PartitionEnd
from holdfast.chaos.run.scene import Scene
from holdfast.chaos.run.wholeness import make_whole
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
        restarted: brokers that did not come back by themselves.
        error: why not all could be read; empty if it was.
    """

    partitions: tuple[PartitionEnd, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    checks: tuple[CheckResult, ...] = ()
    restarted: Sequence[str] = ()
    error: str = ""


def read_ends(scene: Scene) -> Ends:
    """Read all topics to their ends, into the history; what was read before an error is told beside it.

    A transaction that stays open is such an error: what is behind it is read by nobody.
    """
    found = Ends()
    try:
        found = Ends(restarted=make_whole(scene.lab, scene.workload.source))
        found = _partition_ends(scene, found)
        found = replace(found, counts=scene.workload.record_end(scene.recorder))
        return replace(found, checks=scene.workload.checks())
    except HoldfastError as error:
        return replace(found, error="; ".join(filter(None, (found.error, str(error)))))


def _partition_ends(scene: Scene, known: Ends) -> Ends:
    admin = OffsetAdmin(scene.lab.bootstrap_servers)
    places = [place for found in admin.partitions(scene.workload.outputs).values() for place in found]
    found = settled_ends(admin, places)
    stuck = ", ".join(f"{place.topic}-{place.partition}" for place in found.stuck)
    return replace(
        known,
        partitions=tuple(
            PartitionEnd(place.topic, place.partition, found.stable[place], end)
            for place, end in found.wanted.items()
        ),
        error=f"a transaction stays open in {stuck}" if stuck else "",
    )
