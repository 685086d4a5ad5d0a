"""Who is in a consumer group, and what each member reads."""

from __future__ import annotations

import time
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from typing import Any

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from holdfast.kafka.errors import kafka_error, mapped, translate
from holdfast.kafka.offsets import silence
from holdfast.record import TopicPartition

CLIENT_WAIT_S = 3_600.0
"""The most seconds that the client takes, as what it waits for a group's coordinator: let the caller give up.

librdkafka (2.16, and those before) ends the process when a request for a coordinator times out before there
is a connection to it, and there is one later: the request, which it keeps, has been freed
(https://github.com/confluentinc/librdkafka/issues/4605).
"""

_AGAIN_S = 0.02
"""Seconds between two questions for a group's state."""

_PREPARING = ConsumerGroupState.PREPARING_REBALANCING.name.lower()


@dataclass(frozen=True, slots=True)
class Member:
    """One client in a group.

    Attributes:
        id: the coordinator's name for it, new with each life.
        client_id: the client's name for itself; Holdfast's workers give their slot.
        host: where it connects from.
        instance_id: its static membership, None for a dynamic member.
        partitions: what it reads.
    """

    id: str
    client_id: str
    host: str
    instance_id: str | None
    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group.

    Attributes:
        group_id: its name.
        state: `stable`, `empty`, `preparing_rebalancing`, `completing_rebalancing` or `dead` (there is none).
        members: the clients in it.
    """

    group_id: str
    state: str
    members: tuple[Member, ...] = ()


class GroupQuestion:
    """A question for the members of a group, under way to the brokers.

    One that is given up stays with the client, which sends it as soon as it can.

    Args:
        client: asks it.
        group_id: the group.
        timeout: seconds for the answer.

    Raises:
        ClusterError: the client takes no question.
    """

    def __init__(self, client: AdminClient, group_id: str, timeout: float) -> None:
        self._group_id = group_id
        self._timeout = timeout
        self._doing = f"describing the group {group_id}"
        with mapped(self._doing):
            self._answer = client.describe_consumer_groups([group_id], request_timeout=CLIENT_WAIT_S)[
                group_id
            ]

    @property
    def is_answered(self) -> bool:
        """Whether `wait` would not wait."""
        return bool(self._answer.done())

    def wait(self) -> Group:
        """The group; one that does not exist is `dead` and has no members.

        Raises:
            BrokersUnreachable: the coordinator does not answer.
            ClusterError: this user may not see the group.
        """
        wait_for([self._answer], self._timeout)
        try:
            found = self._answer.result(0.0)
        except KafkaException as error:
            if kafka_error(error).code() == KafkaError.GROUP_ID_NOT_FOUND:
                return Group(self._group_id, ConsumerGroupState.DEAD.name.lower())
            raise translate(error, self._doing) from error
        except FutureTimeout as error:
            raise silence(self._doing, self._timeout) from error
        members = tuple(sorted(map(_member, found.members), key=lambda it: (it.client_id, it.host)))
        return Group(self._group_id, found.state.name.lower(), members)


def waits_for_members(client: AdminClient, group_id: str, within: float) -> bool:
    """Wait until a group waits for its members to join again.

    Args:
        client: asks.
        group_id: the group.
        within: the most seconds to wait.

    Returns:
        Whether it does.

    Raises:
        ClusterError: the brokers do not tell.
    """
    deadline = time.monotonic() + within
    while (left := deadline - time.monotonic()) > 0:
        if GroupQuestion(client, group_id, left).wait().state == _PREPARING:
            return True
        time.sleep(_AGAIN_S)
    return False


def _member(found: Any) -> Member:
    parts = found.assignment.topic_partitions if found.assignment else []
    return Member(
        found.member_id,
        found.client_id,
        found.host.lstrip("/"),
        found.group_instance_id,
        tuple(sorted(TopicPartition(part.topic, part.partition) for part in parts)),
    )
