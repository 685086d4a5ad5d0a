"""Where standbys are put: where the group will put the shards."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.runtime.placement import Owners, after_loss, standbys


@st.composite
def groups(draw: st.DrawFn) -> Owners:
    """Members with shards, as balanced as an assignor leaves them."""
    count, shards = draw(st.integers(1, 7)), draw(st.integers(0, 30))
    order = draw(st.permutations(range(shards)))
    return {f"host-{i}": frozenset(order[i::count]) for i in range(count)}


@given(groups())
def test_a_loss_moves_the_shards_of_the_lost_member_only_and_keeps_the_balance(owners: Owners) -> None:
    """That is what cooperative-sticky promises."""
    for lost in owners:
        after = after_loss(owners, lost)
        assert after.keys() == owners.keys() - {lost}
        assert all(after[member] >= owners[member] for member in after)
        if after:
            assert frozenset().union(*after.values()) == frozenset().union(*owners.values())
            counts = [len(shards) for shards in after.values()]
            assert max(counts) - min(counts) <= 1


@given(groups(), st.integers(0, 3))
def test_every_shard_is_warm_on_as_many_others_as_asked_for(owners: Owners, count: int) -> None:
    """Or on all others, where there are fewer; never at its owner's."""
    kept = {member: standbys(owners, member, count) for member in owners}
    for owner, shards in owners.items():
        for shard in shards:
            warm = [member for member in owners if shard in kept[member]]
            assert len(warm) == min(count, len(owners) - 1)
            assert owner not in warm


@given(groups(), st.data())
def test_after_as_many_losses_as_standbys_every_shard_is_where_it_was_warm(
    owners: Owners, data: st.DataObject
) -> None:
    """Whoever goes first."""
    count = data.draw(st.integers(1, 3))
    shards = frozenset().union(*owners.values())
    now: Owners = owners
    lost = data.draw(st.sampled_from(sorted(owners)))
    moved = owners[lost]
    for _ in range(min(count, len(owners) - 1)):
        now = after_loss(now, lost)
        for member, theirs in now.items():
            assert theirs & moved <= standbys(owners, member, count)
        heirs = sorted(member for member, theirs in now.items() if theirs & moved)
        if not heirs:
            break
        lost = data.draw(st.sampled_from(heirs))
        moved &= now[lost]
    assert shards == frozenset().union(*owners.values())


def test_shards_are_dealt_from_the_highest_down_to_the_member_with_the_fewest() -> None:
    """As seen of librdkafka; ties go by name."""
    owners = {"a": frozenset({0, 1}), "b": frozenset({2, 3}), "c": frozenset({4, 5})}
    assert after_loss(owners, "c") == {"a": {0, 1, 5}, "b": {2, 3, 4}}
    uneven = {"a": frozenset({0, 1, 6}), "b": frozenset({2, 3}), "c": frozenset({4, 5})}
    assert after_loss(uneven, "c") == {"a": {0, 1, 6, 4}, "b": {2, 3, 5}}


def test_a_member_alone_keeps_nothing_warm() -> None:
    """Nor does one whom nobody knows yet."""
    assert standbys({"a": frozenset({0, 1})}, "a", 2) == frozenset()
    assert standbys({"a": frozenset({0, 1})}, "b", 1) == frozenset()
