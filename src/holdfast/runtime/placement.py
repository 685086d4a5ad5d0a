"""Which worker keeps which shard warm: the one that the group will give it to.

Brokers and clients hand out shards without knowing who is warm, and a Python client cannot bring an assignor
of its own. But what they will do is no secret: librdkafka's `cooperative-sticky` leaves every shard where it
is, and deals those of a lost member, from the highest number down, each to the member with the fewest shards
(rdkafka_sticky_assignor.c, `balance`; ties go by the member's name). So the standby of a shard is put where
that rule sends it when its owner goes; the second standby, where it goes when the first one is gone too.
A wrong guess costs a restore from the changelog, never more.
"""

from __future__ import annotations

from collections.abc import Mapping

Owners = Mapping[str, frozenset[int]]
"""The shards of each member, by its static membership, which is what a worker calls itself."""


def after_loss(owners: Owners, lost: str) -> Owners:
    """Who has which shard when a member is gone and its shards were dealt to the others."""
    left = {member: set(shards) for member, shards in owners.items() if member != lost}
    if left:
        for shard in sorted(owners[lost], reverse=True):
            # The coordinator's names, by which ties are broken, are these with a dash and random digits.
            heir = min(left, key=lambda member: (len(left[member]), f"{member}-"))
            left[heir].add(shard)
    return {member: frozenset(shards) for member, shards in left.items()}


def standbys(owners: Owners, own_id: str, count: int) -> frozenset[int]:
    """The shards that a member keeps warm.

    Args:
        owners: who has which shard.
        own_id: the member.
        count: warm copies of each shard; fewer where there are not so many other members.
    """
    found: set[int] = set()
    for member in owners:
        if member != own_id:
            found |= _inherited(owners, member, own_id, count, owners[member])
    return frozenset(found)


def _inherited(owners: Owners, lost: str, own_id: str, count: int, shards: frozenset[int]) -> frozenset[int]:
    """Which of `shards` come to `own_id` when `lost` goes, then its heirs, up to `count` losses."""
    if count < 1 or len(owners) < 2:
        # Nobody is left to inherit.
        return frozenset()
    after = after_loss(owners, lost)
    found = after.get(own_id, frozenset()) & shards
    for heir, theirs in after.items():
        passed_on = theirs & shards
        if heir != own_id and passed_on:
            found |= _inherited(after, heir, own_id, count - 1, passed_on)
    return found
