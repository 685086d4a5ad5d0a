"""Which replicas can be read, and what is said of the others."""

from __future__ import annotations

import pytest

from holdfast.kafka.replicas.plan import (
    RACK_AWARE,
    Brokers,
    PartitionView,
    Route,
    Unreadable,
    plan_routes,
)
from holdfast.record import TopicPartition

RACKS: dict[int, str | None] = {1: "a", 2: "b", 3: "c", 4: "a"}


def view(
    replicas: tuple[int, ...] = (1, 2, 3), leader: int | None = 1, out: tuple[int, ...] = ()
) -> PartitionView:
    """A partition; `out` is not in sync."""
    return PartitionView(TopicPartition("t", 0), leader, replicas, frozenset(replicas) - set(out))


def brokers(racks: dict[int, str | None] = RACKS, selector: str = RACK_AWARE) -> Brokers:
    """The brokers that are there, alike in their selector."""
    return Brokers(racks, dict.fromkeys(racks, selector))


def reason(found: Route | Unreadable) -> str:
    """Why a replica cannot be read."""
    assert isinstance(found, Unreadable)
    return found.reason


def test_each_replica_is_read_by_its_rack() -> None:
    """One broker for each rack."""
    assert plan_routes(view(), brokers()) == {1: Route("a"), 2: Route("b"), 3: Route("c")}


def test_brokers_that_do_not_tell_their_selector_are_tried() -> None:
    """Not everybody may see brokers' settings; reading shows whether it works."""
    assert plan_routes(view(), Brokers(RACKS, {})) == {1: Route("a"), 2: Route("b"), 3: Route("c")}


def test_without_racks_or_selector_only_the_leader_is_read() -> None:
    """The reason says what to set."""
    for found, why in (
        (plan_routes(view(), brokers(dict.fromkeys((1, 2, 3)))), "has no rack"),
        (plan_routes(view(), brokers(selector="")), "broker 1 sends no reader to a follower"),
    ):
        assert isinstance(found[1], Route)
        for follower in (2, 3):
            assert why in reason(found[follower])
            assert "broker.rack" in reason(found[follower])
            assert f"replica.selector.class={RACK_AWARE}" in reason(found[follower])


@pytest.mark.parametrize("replicas", [(1, 2, 4), (2, 1, 4)])
def test_followers_that_share_a_rack_cannot_be_chosen(replicas: tuple[int, ...]) -> None:
    """With the leader or with each other: readers would get one of them, unknown which."""
    found = plan_routes(view(replicas, leader=replicas[0]), brokers())
    assert 'shares the rack "a" with 1' in reason(found[4])
    assert found[replicas[0]] == Route(RACKS[replicas[0]])


def test_a_replica_that_is_away_or_behind_is_not_read() -> None:
    """Nobody serves readers from it."""
    found = plan_routes(view((1, 2, 5), out=(2, 5)), brokers())
    assert "not in sync" in reason(found[2])
    assert "broker 5 is not there" in reason(found[5])


def test_of_a_partition_that_nobody_leads_nothing_is_read() -> None:
    """It is the leaders who send readers to followers."""
    assert all("nobody leads" in reason(it) for it in plan_routes(view(leader=None), brokers()).values())
