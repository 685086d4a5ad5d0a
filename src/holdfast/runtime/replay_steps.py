"""The steps of a replay, from what the brokers know of a processor to what is to be done with its group.

What an earlier try left open is ended (`end_unfinished`), the brokers are asked (`look`), `runtime.replay`
plans, and the plan becomes the `Rewind` that `holdfast.kafka.rewind` does. A simulation does the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from holdfast.kafka.groups import GroupAdmin, partitions_of
from holdfast.kafka.moves import Move, Mover
from holdfast.kafka.positions import Note, Role
from holdfast.kafka.rewind import Rewind, replay_id
from holdfast.kafka.settings import Properties
from holdfast.kafka.standing import GroupStanding, offsets_at, standing
from holdfast.record import TopicPartition
from holdfast.runtime.replay import Known, ReplayPlan, Start
from holdfast.topology import ProcessorDecl, Topology


def inputs_of(declared: Topology, owner: ProcessorDecl) -> tuple[TopicPartition, ...]:
    """All partitions of a processor's inputs."""
    return partitions_of(owner.reads, declared.topic(owner.reads[0]).partitions)


def redriven_of(declared: Topology, owner: ProcessorDecl) -> tuple[TopicPartition, ...]:
    """All partitions by which dead letters are given back to a processor; none if it takes none."""
    shards = declared.partitions(owner.name)
    return partitions_of((declared.redrive_topic,), shards) if owner.takes_redriven else ()


def end_unfinished(owner: ProcessorDecl, servers: str, properties: Properties) -> None:
    """Abort what a replay of this version, or a switch, left open when it was killed.

    Raises:
        ClusterError: the brokers fail.
    """
    for id_ in (replay_id(owner.group_id), owner.switch_id):
        Mover(id_, servers, properties).end_unfinished()


def look(
    declared: Topology, owner: ProcessorDecl, start: Start, admin: GroupAdmin, servers: str
) -> tuple[GroupStanding, Mapping[TopicPartition, Known]]:
    """What the brokers know of a processor's inputs, and where its group stands in all that it reads.

    Raises:
        ClusterError: the brokers do not tell.
    """
    places = inputs_of(declared, owner)
    everything = (*places, *redriven_of(declared, owner))
    stands = standing(owner.group_id, everything, servers, declared.kafka)
    begins, ends = admin.begins(places), admin.ends(places)
    times: Mapping[TopicPartition, int] = {}
    if start.time is not None:
        times = offsets_at(start.time, places, admin, servers, declared.kafka)
    known = {
        place: Known(
            begins[place],
            ends[place],
            stands.committed[place].offset,
            stands.committed[place].muted,
            times.get(place),
        )
        for place in places
    }
    return stands, known


def has_lost_positions(owner: ProcessorDecl, stands: GroupStanding, admin: GroupAdmin) -> bool:
    """Whether a processor's changelogs hold something, and its group has no positions at all.

    Raises:
        ClusterError: the brokers do not tell.
    """
    if any(it.was_noted for it in stands.committed.values()):
        return False
    shards = {place.partition for place in stands.committed}
    places = [
        TopicPartition(owner.changelog(table), shard) for table in owner.state_tables for shard in shards
    ]
    begins, ends = admin.begins(places), admin.ends(places)
    return any(begins[place] < ends[place] for place in places)


def rewind_in_place(
    owner: ProcessorDecl,
    stands: GroupStanding,
    plan: ReplayPlan,
    admin: GroupAdmin,
    *,
    emit: bool = False,
    keep_state: bool = False,
) -> Rewind:
    """New positions of a processor's own group, and the tables of the replayed shards emptied.

    Args:
        owner: the processor.
        stands: where its group stands.
        plan: where it goes.
        admin: asked for the sizes of changelogs.
        emit: write outputs again.
        keep_state: leave the tables as they are.

    Raises:
        ClusterError: the brokers do not tell.
    """
    notes = {it.place: stands.note(it.place, None if emit else it.muted) for it in plan.steps}
    return _rewind(owner, stands, plan, notes, () if keep_state else owner.state_tables, admin)


def rewind_shadow(owner: ProcessorDecl, stands: GroupStanding, plan: ReplayPlan, admin: GroupAdmin) -> Rewind:
    """Positions of a new version, noted as a shadow's; what an earlier life of it left in tables is emptied.

    Raises:
        ClusterError: the brokers do not tell.
    """
    notes = {it.place: stands.note(it.place, None)._replace(role=Role.SHADOW) for it in plan.steps}
    return _rewind(owner, stands, plan, notes, owner.state_tables, admin, role=Role.SHADOW)


def _rewind(
    owner: ProcessorDecl,
    stands: GroupStanding,
    plan: ReplayPlan,
    notes: Mapping[TopicPartition, Note],
    emptied: Collection[str],
    admin: GroupAdmin,
    role: Role = Role.LIVE,
) -> Rewind:
    places = tuple(
        TopicPartition(owner.changelog(table), shard) for table in emptied for shard in plan.shards
    )
    begins, ends = admin.begins(places), admin.high_watermarks(places)
    after, noted = {it.place: it.start for it in plan.steps}, dict(notes)
    if emptied or role is Role.SHADOW:
        # What was redriven stands in the inputs, and comes again from there.
        inputs = {it.place.topic for it in plan.steps}
        redriven = [it for it in stands.committed if it.topic not in inputs and it.partition in plan.shards]
        after |= admin.ends(redriven)
        noted |= {it: stands.note(it, None)._replace(role=role) for it in redriven}
    move = Move(owner.group_id, stands.committed, after, noted)
    return Rewind(move, places, sum(ends[place] - begins[place] for place in places))
