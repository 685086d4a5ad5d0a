"""Who takes redriven records, and where the shards stand in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from holdfast.engine.letters import Letter
from holdfast.errors import LettersRefused
from holdfast.kafka.groups import GroupAdmin, partitions_of
from holdfast.kafka.positions import Role
from holdfast.kafka.standing import standing
from holdfast.kafka.versions import role_of
from holdfast.topology import ProcessorDecl, Topology
from holdfast.topology.check import against_parked_keys


def require_takers(declared: Topology, letters: Collection[Letter]) -> dict[str, ProcessorDecl]:
    """The processors that letters go back to, by name.

    Raises:
        LettersRefused: some of them cannot take theirs.
    """
    takers: dict[str, ProcessorDecl] = {}
    for name, count in Counter(letter.processor for letter in letters).items():
        owner = declared.native.get(name)
        if owner is None:
            raise LettersRefused(
                f"{count:,} of the letters {'is' if count == 1 else 'are'} of {name}, which "
                f"{declared.source.path} does not declare. Choose others with --processor, or discard these. "
                "Nothing was changed."
            )
        if not owner.takes_redriven:
            parks = "" if any(against_parked_keys(owner)) else " (or `on_error: park-key`)"
            raise LettersRefused(
                f"{name} takes no redriven records ({count:,} letter{'s' * (count != 1)}). Declare "
                f"`redrive: true` for it in {declared.source.path}{parks}, then `holdfast apply`, and start "
                "its workers with it; or discard the letters. Nothing was changed."
            )
        takers[name] = owner
    for letter in letters:
        owner, origin = takers[letter.processor], letter.origin
        shards = declared.partitions(owner.name)
        if origin.topic not in owner.reads or origin.partition >= shards:
            raise LettersRefused(
                f"{letter.name} is of {origin}, and {owner.name} reads "
                f"{', '.join(owner.reads)} with {shards} partitions. It can only be discarded. Nothing was "
                "changed."
            )
    return takers


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the shards of a processor stand in what is redriven.

    Attributes:
        idle: the shards that nothing is under way to.
    """

    idle: frozenset[int]


def look_at(declared: Topology, owner: ProcessorDecl, servers: str, admin: GroupAdmin) -> Standing:
    """Where a processor stands. It has to be the version that is live, and to take redriven records by now.

    Raises:
        LettersRefused: it is not, or does not.
        ClusterError: the brokers do not tell.
    """
    shards = declared.partitions(owner.name)
    redriven = partitions_of((declared.redrive_topic,), shards)
    stands = standing(
        owner.group_id, [*partitions_of(owner.reads, shards), *redriven], servers, declared.kafka
    )
    role = role_of(it.role for place, it in stands.committed.items() if place not in redriven)
    if role in (Role.SHADOW, Role.RETIRED):
        raise LettersRefused(
            f"version {owner.version_name} of {owner.name} is not the one that is live ({role.value}), and "
            "redriven records are for that one: name its topology with --topology. Nothing was changed."
        )
    if missing := [str(place) for place in redriven if stands.committed[place].offset is None]:
        raise LettersRefused(
            f"no worker of {owner.name} has begun to take redriven records ({', '.join(missing)}). Start its "
            "workers with this topology (`holdfast run`), then try again. Nothing was changed."
        )
    found = admin.is_drained({owner.group_id: redriven}).groups.get(owner.group_id, {})
    return Standing(frozenset(place.partition for place, it in found.items() if it.lag == 0))
