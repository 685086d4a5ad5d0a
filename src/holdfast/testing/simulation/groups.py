"""The group coordinator: generations, static members, session timeouts, cooperative hand-over, offsets.

The classic protocol with `cooperative-sticky`. A member that comes back under its `group.instance.id` takes
its predecessor's place without a rebalance, and the predecessor is fenced. What moves from one living member
to another is first revoked, and given away only by the rebalance after that. Offsets of a transaction are
taken from the group's present generation only (KIP-447), and are pending until the transaction has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from holdfast.record import TopicPartition
from holdfast.testing.simulation.brokers import OFFSETS_TOPIC, Brokers, internal
from holdfast.testing.simulation.log import Refused

LOOK_S = 0.5
"""Seconds between two looks for members whose session is over."""

REBALANCE_S = 60.0
"""How long a rebalance waits for members that send heartbeats and do not join
(`max.poll.interval.ms`; shorter here than the client's default, to save virtual time)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A member's standing in its group; what a commit is fenced by."""

    group: str
    generation: int
    member: str
    instance: str | None


def outsider(group: str, instance: str | None = None) -> Standing:
    """The standing of one who is not in a group, or not yet."""
    return Standing(group, -1, "", instance)


@dataclass(frozen=True, slots=True)
class Given:
    """What a member learns at the end of a rebalance."""

    standing: Standing
    shards: frozenset[int]


@dataclass(frozen=True, slots=True)
class Joining:
    """A request to join."""

    group: str
    member: str
    instance: str
    topic: str
    session: float
    owned: frozenset[int]
    answer: Callable[[Given], None]


@dataclass(slots=True)
class Member:
    """One member."""

    name: str
    request: Joining
    heard: float
    joined: bool = False
    shards: frozenset[int] = frozenset()


@dataclass(slots=True)
class Group:
    """One group.

    Attributes:
        offsets: committed positions with their metadata.
        pending: positions of transactions that have not ended here, by producer id.
    """

    name: str
    generation: int = 0
    preparing: bool = False
    prepared_at: float = 0.0
    away: bool = False
    joins: int = 0
    members: dict[str, Member] = field(default_factory=dict)
    offsets: dict[TopicPartition, tuple[int, str]] = field(default_factory=dict)
    pending: dict[int, dict[TopicPartition, tuple[int, str]]] = field(default_factory=dict)

    def of_instance(self, instance: str) -> Member | None:
        """The member that holds a static place."""
        return next((m for m in self.members.values() if m.request.instance == instance), None)


class Groups:
    """The coordinators of all groups.

    Args:
        brokers: where topics are looked up.
    """

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self._kernel = brokers.kernel
        self.by_name: dict[str, Group] = {}
        self.verify: Callable[[int, int, str], None] = lambda *_: None
        self.on_commit: Callable[[str, TopicPartition, int], None] = lambda *_: None
        self._kernel.at(LOOK_S, self._expire)

    def group(self, name: str) -> Group:
        """A group; made when it is first asked for."""
        group = self.by_name.get(name)
        if group is None:
            group = self.by_name[name] = Group(name)
        return group

    # -- membership

    def join(self, request: Joining) -> None:
        """Join, or join again; the answer comes when the rebalance is complete.

        Raises:
            Refused: another member has the static place, or the member is not known.
        """
        group = self.group(request.group)
        holder = group.of_instance(request.instance)
        if request.member and (holder is None or holder.name != request.member):
            raise Refused("UNKNOWN_MEMBER_ID" if holder is None else "FENCED_INSTANCE_ID")
        now = self._kernel.now
        if request.member and holder is not None:
            holder.request, holder.heard, holder.joined = request, now, True
            if not group.preparing:
                self._prepare(group)
                holder.joined = True
        else:
            group.joins += 1
            name = f"{request.instance}-{group.joins}"
            member = Member(name, request, now, joined=True)
            if holder is not None:
                member.shards = holder.shards
                del group.members[holder.name]
            group.members[name] = member
            if holder is not None and not group.preparing:
                # A static member is back: nobody else hears of it.
                self._answer(group, member)
                return
            if not group.preparing:
                self._prepare(group)
            member.joined = True
        self._complete_if_all(group)

    def leave(self, standing: Standing) -> None:
        """Leave for good: the others share the member's shards.

        Raises:
            Refused: it is a member no longer.
        """
        group = self.group(standing.group)
        member = self._checked(group, standing)
        self._kernel.say("group", group.name, "is left by", member.name)
        del group.members[member.name]
        if not group.preparing:
            self._prepare(group)
        self._complete_if_all(group)

    def heartbeat(self, standing: Standing) -> None:
        """Say that a member lives.

        Raises:
            Refused: it should join again, or it is a member no longer.
        """
        group = self.group(standing.group)
        member = self._checked(group, standing)
        member.heard = self._kernel.now
        if standing.generation != group.generation:
            raise Refused("ILLEGAL_GENERATION")
        if group.preparing and not member.joined:
            raise Refused("REBALANCE_IN_PROGRESS")

    def _checked(self, group: Group, standing: Standing) -> Member:
        if standing.instance is not None:
            holder = group.of_instance(standing.instance)
            if holder is None:
                raise Refused("UNKNOWN_MEMBER_ID")
            if holder.name != standing.member:
                raise Refused("FENCED_INSTANCE_ID")
            return holder
        if standing.member not in group.members:
            raise Refused("UNKNOWN_MEMBER_ID")
        return group.members[standing.member]

    def _prepare(self, group: Group) -> None:
        group.preparing, group.prepared_at = True, self._kernel.now
        for member in group.members.values():
            member.joined = False
        self._kernel.say("group", group.name, "prepares a rebalance after generation", group.generation)

    def _complete_if_all(self, group: Group) -> None:
        if group.preparing and all(member.joined for member in group.members.values()):
            self._complete(group)

    def _complete(self, group: Group) -> None:
        group.preparing = False
        group.generation += 1
        members = list(group.members.values())
        if members:
            count = self._brokers.partitions(members[0].request.topic)
            for name, shards in _assign(count, {m.name: m.request.owned for m in members}).items():
                group.members[name].shards = shards
            self._kernel.say(
                "group",
                group.name,
                "generation",
                group.generation,
                {m.name: sorted(m.shards) for m in members},
            )
            for member in members:
                self._answer(group, member)

    def _answer(self, group: Group, member: Member) -> None:
        standing = Standing(group.name, group.generation, member.name, member.request.instance)
        member.request.answer(Given(standing, member.shards))

    def _expire(self) -> None:
        now = self._kernel.now
        for group in self.by_name.values():
            if not self._brokers.serves(internal(OFFSETS_TOPIC, group.name), None):
                group.away = True
                continue
            if group.away:
                # Another broker coordinates now: it gives everybody a whole session.
                group.away = False
                for member in group.members.values():
                    member.heard = now
            gone = [m for m in group.members.values() if now - m.heard > m.request.session]
            if group.preparing and now - group.prepared_at > REBALANCE_S:
                gone += [m for m in group.members.values() if not m.joined and m not in gone]
            for member in gone:
                self._kernel.say("group", group.name, "loses", member.name)
                del group.members[member.name]
            if gone and not group.preparing:
                self._prepare(group)
            if gone:
                self._complete_if_all(group)
        self._kernel.at(LOOK_S, self._expire)

    # -- offsets

    def commit(self, standing: Standing, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None:
        """Commit positions outside a transaction.

        Raises:
            Refused: the member's standing is an old one.
        """
        group = self.group(standing.group)
        self._require(group, standing)
        self._take(group, offsets)

    def commit_in_transaction(
        self,
        standing: Standing,
        producer: int,
        epoch: int,
        offsets: Mapping[TopicPartition, tuple[int, str]],
    ) -> None:
        """Add positions to a producer's transaction.

        Raises:
            Refused: the member's standing is an old one, or the transaction does not hold the group.
        """
        group = self.group(standing.group)
        self.verify(producer, epoch, standing.group)
        self._require(group, standing)
        group.pending.setdefault(producer, {}).update(offsets)

    def end(self, name: str, producer: int, *, commit: bool) -> None:
        """A transaction has ended: its positions hold, or never were."""
        group = self.group(name)
        offsets = group.pending.pop(producer, {})
        if commit:
            self._take(group, offsets)

    def fetch(
        self, name: str, places: Iterable[TopicPartition], *, stable: bool = True
    ) -> dict[TopicPartition, tuple[int, str] | None]:
        """Committed positions.

        Raises:
            Refused: some of them are pending, and stable ones are wanted.
        """
        group = self.group(name)
        wanted = list(places)
        if stable and any(place in pending for pending in group.pending.values() for place in wanted):
            raise Refused("UNSTABLE_OFFSET_COMMIT")
        return {place: group.offsets.get(place) for place in wanted}

    def _take(self, group: Group, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None:
        group.offsets.update(offsets)
        for place, (offset, _) in offsets.items():
            self.on_commit(group.name, place, offset)

    def _require(self, group: Group, standing: Standing) -> None:
        if not self._brokers.writable:
            raise Refused("COORDINATOR_NOT_AVAILABLE")
        if standing.generation < 0 and not standing.member and standing.instance is None:
            # As version 0 of the request: no member is named, so none is checked.
            return
        self._checked(group, standing)
        if standing.generation != group.generation:
            raise Refused("ILLEGAL_GENERATION")


def _assign(count: int, owned: Mapping[str, frozenset[int]]) -> dict[str, frozenset[int]]:
    """Spread shards evenly, each staying where it is if it can; what must move goes nowhere yet."""
    claimed: dict[int, str] = {}
    for name in sorted(owned):
        for shard in sorted(owned[name]):
            if shard < count:
                claimed.setdefault(shard, name)
    most = -(-count // len(owned))
    kept: dict[str, list[int]] = {name: [] for name in sorted(owned)}
    for shard, name in sorted(claimed.items()):
        kept[name].append(shard)
    allowed_most = count % len(owned) or len(owned)
    # Those that own the most keep the larger shares.
    for rank, name in enumerate(sorted(kept, key=lambda n: (-len(kept[n]), n))):
        limit = most if rank < allowed_most else count // len(owned)
        del kept[name][limit:]
    free = [shard for shard in range(count) if shard not in claimed]
    target = {name: list(shards) for name, shards in kept.items()}
    for shard in free:
        name = min(target, key=lambda n: (len(target[n]), n))
        target[name].append(shard)
    return {name: frozenset(shards) for name, shards in target.items()}
