"""Which brokers follow a partition, by what the brokers say of its copies."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.kafka import roles
from holdfast.kafka.roles import BrokerRoles
from holdfast.record import TopicPartition


@pytest.fixture
def followers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that tells who follows a partition of this leader, these copies, and these in sync."""

    def told(leader: int, replicas: list[int], isrs: list[int]) -> tuple[int, ...]:
        found = SimpleNamespace(leader=leader, replicas=replicas, isrs=isrs)
        topics = {"steps": SimpleNamespace(partitions={0: found})}

        class Client:
            def __init__(self, _config: object) -> None:
                """Of whatever brokers."""

            def list_topics(self, _name: str, timeout: float) -> SimpleNamespace:  # noqa: ARG002
                return SimpleNamespace(topics=topics)

        monkeypatch.setattr(roles, "AdminClient", Client)
        return BrokerRoles("b:1").followers(TopicPartition("steps", 0))

    return told


def test_only_a_broker_whose_copy_is_in_sync_is_a_follower(followers: Any) -> None:
    """One that lags, or is down, could be drawn otherwise though another one is there."""
    assert followers(2, [3, 2, 1], [2, 3]) == (3,)
    assert followers(2, [3, 2, 1], [2]) == ()


def test_followers_are_in_an_order_that_does_not_depend_on_who_was_in_sync_last(followers: Any) -> None:
    """What is drawn among them is the same in each run of a seed."""
    assert followers(2, [4, 3, 2, 1], [4, 1, 3, 2]) == followers(2, [1, 2, 3, 4], [2, 3, 1, 4]) == (1, 3, 4)


def test_nobody_follows_where_nobody_leads(followers: Any) -> None:
    """The last ones in sync are down: nothing can be done to them."""
    assert followers(-1, [1, 2, 3], [2]) == ()
