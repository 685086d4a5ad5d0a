"""What a cluster says about an application's leader: its topic, and the group of the candidates."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.engine.leader_log import History, LogRecord, fold
from holdfast.kafka.groups import GroupAdmin
from holdfast.kafka.scan import LogScanner
from holdfast.topology.model import Topology


class Candidates(NamedTuple):
    """The group of the candidates.

    Attributes:
        settled: whether the group is not just choosing.
        slots: the slots of all candidates.
        owner: the slot of the one that owns the topic's partition; None if nobody does.
    """

    settled: bool
    slots: tuple[str, ...]
    owner: str | None


def read_history(scanner: LogScanner, topology: Topology) -> History:
    """Read the leader's topic; an empty history if it does not exist.

    Raises:
        ClusterError: the brokers cannot be read.
    """
    records = scanner.topic(topology.leader_id)
    return fold(LogRecord(record.offset(), record.value()) for record in records)


def read_candidates(groups: GroupAdmin, topology: Topology) -> Candidates:
    """Ask the coordinator who is in the group of the candidates.

    Raises:
        ClusterError: it does not answer, or this user may not see the group.
    """
    found = groups.describe(topology.leader_id)
    prefix = topology.candidate_id("")
    slots = {member: member.client_id.removeprefix(prefix) for member in found.members}
    owner = next((slot for member, slot in slots.items() if member.partitions), None)
    return Candidates("rebalancing" not in found.state, tuple(slots.values()), owner)
