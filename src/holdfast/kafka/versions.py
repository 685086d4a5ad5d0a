"""The versions of a processor that a cluster knows of: their groups, and which of them is live.

A version is a group with positions in the processor's inputs, or with members that read them. What it is
among the others stands beside its positions (`holdfast.kafka.positions.Role`), and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from holdfast.errors import VersionRefused
from holdfast.kafka.members import Member
from holdfast.kafka.offsets import CALL_S
from holdfast.kafka.positions import Role
from holdfast.kafka.reader import PartitionReader
from holdfast.kafka.settings import Properties
from holdfast.kafka.standing import GroupStanding, standing
from holdfast.record import TopicPartition
from holdfast.topology.fields import VERSION_PATTERN
from holdfast.topology.model import ProcessorDecl

_VERSION = re.compile(VERSION_PATTERN)


@dataclass(frozen=True, slots=True)
class KnownVersion:
    """A version of a processor on a cluster.

    Attributes:
        decl: the processor's declaration, in this version.
        stands: where its group stands in the processor's inputs.
        members: who works in it.
    """

    decl: ProcessorDecl
    stands: GroupStanding
    members: tuple[Member, ...] = ()

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return self.decl.version_name

    @property
    def role(self) -> Role:
        """What it is. Inputs that were added later have no position yet, and say nothing."""
        return role_of(it.role for it in self.stands.committed.values())


def role_of(roles: Iterable[Role]) -> Role:
    """The role of a group, or of a shard, whose positions tell these; the most careful of them counts."""
    found = set(roles)
    return next((it for it in (Role.RETIRED, Role.SHADOW, Role.LIVE) if it in found), Role.UNKNOWN)


def version_of(group_id: str, owner: ProcessorDecl) -> ProcessorDecl | None:
    """The declaration of the version whose group this is; None if it is another processor's.

    Args:
        group_id: the group.
        owner: the processor, in any of its versions.
    """
    base = owner.in_version(None)
    if group_id == base.group_id:
        return base
    found = group_id.removeprefix(f"{base.group_id}.")
    return base.in_version(found) if found != group_id and _VERSION.fullmatch(found) else None


def known_versions(
    reader: PartitionReader,
    owner: ProcessorDecl,
    places: Sequence[TopicPartition],
    servers: str,
    properties: Properties,
    *,
    but_this: bool = False,
) -> tuple[KnownVersion, ...]:
    """The versions of a processor that the cluster knows of.

    Args:
        reader: asks for groups.
        owner: the processor, in any of its versions.
        places: all partitions of its inputs.
        servers: the brokers.
        properties: the user's client properties.
        but_this: leave out the version of `owner` itself.

    Raises:
        ClusterError: the brokers do not tell, or a transaction that may change a version's positions is open.
    """
    decls = version_decls(reader, owner)
    chosen = [decl for decl in decls if not (but_this and decl.group_id == owner.group_id)]
    return tuple(it for it in (_look_at(reader, decl, places, servers, properties) for decl in chosen) if it)


def version_decls(reader: PartitionReader, owner: ProcessorDecl) -> tuple[ProcessorDecl, ...]:
    """The versions that there are groups for, whether or not these have positions.

    Raises:
        ClusterError: the brokers do not tell.
    """
    # A coordinator that is just loading lists nothing; this group is asked for in any case.
    names = {owner.in_version(None).group_id, *reader.groups(CALL_S)}
    return tuple(decl for name in sorted(names) if (decl := version_of(name, owner)))


def _look_at(
    reader: PartitionReader,
    decl: ProcessorDecl,
    places: Sequence[TopicPartition],
    servers: str,
    properties: Properties,
) -> KnownVersion | None:
    members = reader.ask_group(decl.group_id, CALL_S).wait().members
    stands = standing(decl.group_id, places, servers, properties)
    return KnownVersion(decl, stands, members) if _is_about(places, stands, members) else None


def _is_about(places: Collection[TopicPartition], stands: GroupStanding, members: Collection[Member]) -> bool:
    """Whether a group reads these inputs: an application may be called like another one's processor."""
    topics = {place.topic for place in places}
    known = any(it.offset is not None or it.role is not Role.UNKNOWN for it in stands.committed.values())
    # A member that was given nothing yet may be about to read them.
    return known or any(not it.partitions or {p.topic for p in it.partitions} & topics for it in members)


def require_sole(
    reader: PartitionReader,
    owner: ProcessorDecl,
    places: Sequence[TopicPartition],
    servers: str,
    properties: Properties,
) -> Role:
    """What a partition is to a version that has no position of its own there.

    Most often it has none anywhere: it may be live only if no other version is or was. But a position may
    have been set by another tool, or an input have grown, and the version's other positions tell what it is.

    Whoever asks is in its group by then. So of two versions that start for the first time at the same
    moment, each or one of them sees the other.

    Args:
        reader: asks for groups.
        owner: the version that asks.
        places: all partitions of its inputs.
        servers: the brokers.
        properties: the user's client properties.

    Raises:
        VersionRefused: there is another one.
        ClusterError: the brokers do not tell.
    """
    stands = standing(owner.group_id, places, servers, properties)
    own = role_of(it.role for it in stands.committed.values())
    if own is Role.SHADOW:
        return own
    known = known_versions(reader, owner, places, servers, properties, but_this=True)
    harmless = (Role.SHADOW, Role.RETIRED) if own is Role.LIVE else (Role.SHADOW,)
    others = [it for it in known if it.role not in harmless]
    if others:
        raise VersionRefused(_not_sole(owner, others))
    return Role.LIVE


def _not_sole(owner: ProcessorDecl, others: Sequence[KnownVersion]) -> str:
    there = ", ".join(f"{it.name} ({_said(it.role)})" for it in others)
    command = f"`holdfast replay {owner.name} --from beginning --into {owner.version}`"
    prepare = f"{command} prepares it as a shadow. " if owner.version else ""
    groups = ", ".join(it.decl.group_id for it in others)
    return (
        f"{owner.group_id} has no position of its own in a partition, and {owner.name} has another version: "
        f"{there}. It would write outputs again, so it does not begin. {prepare}If the other version is "
        f"not wanted any more, stop it and delete its group ({groups})."
    )


def _said(role: Role) -> str:
    return "not known yet" if role is Role.UNKNOWN else role.value
