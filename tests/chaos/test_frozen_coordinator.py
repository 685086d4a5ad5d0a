"""A client outlives a question that its group's coordinator was too slow for.

librdkafka ends the process when a question for a coordinator has timed out before there was a connection to
it, and there is one later (https://github.com/confluentinc/librdkafka/issues/4605).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient, NewTopic

from holdfast.errors import BrokersUnreachable
from holdfast.kafka.groups import GroupAdmin
from holdfast.kafka.roles import BrokerRoles
from holdfast.local.cluster import EmbeddedCluster
from holdfast.record import TopicPartition

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

ASK = """
import sys

from confluent_kafka.admin import AdminClient

from holdfast.errors import BrokersUnreachable
from holdfast.kafka.members import GroupQuestion

servers, group = sys.argv[1:]
client = AdminClient({"bootstrap.servers": servers})
try:
    GroupQuestion(client, group, 1.0).wait()
except BrokersUnreachable as error:
    print(error, flush=True)
sys.stdin.readline()
print(GroupQuestion(client, group, 30.0).wait().state, flush=True)
"""


@contextmanager
def frozen_coordinator(brokers: EmbeddedCluster, group: str) -> Iterator[None]:
    """The broker that coordinates a group is suspended while the block lasts."""
    pid = brokers.node(BrokerRoles(brokers.bootstrap_servers).group_coordinator(group)).pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_coordinator_that_answers_too_late_does_not_end_who_asked(
    brokers: EmbeddedCluster, unique_name: Callable[[str], str]
) -> None:
    """What was asked meanwhile has no answer, and what is asked later has."""
    group = unique_name("group")
    with frozen_coordinator(brokers, group):
        asks = subprocess.Popen(
            [sys.executable, "-c", ASK, brokers.bootstrap_servers, group],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert asks.stdout is not None
        assert "no answer within 1 s" in asks.stdout.readline()
    assert asks.communicate("\n", timeout=60) == ("dead\n", None)
    assert asks.returncode == 0


def test_a_group_that_could_not_be_deleted_in_time_is_not_deleted_later(
    brokers: EmbeddedCluster, unique_name: Callable[[str], str]
) -> None:
    """Who was told that it failed would lose the group's positions afterwards."""
    group, place = unique_name("group"), TopicPartition(unique_name("topic"), 0)
    creator = AdminClient({"bootstrap.servers": brokers.bootstrap_servers})
    creator.create_topics([NewTopic(place.topic, 1, 3)])[place.topic].result(10)
    committer = Consumer({"bootstrap.servers": brokers.bootstrap_servers, "group.id": group})
    committer.commit(offsets=[ClientPartition(*place, 7)], asynchronous=False)
    committer.close()
    with GroupAdmin(brokers.bootstrap_servers, timeout=1.0) as admin:
        with frozen_coordinator(brokers, group), pytest.raises(BrokersUnreachable, match="no answer"):
            admin.delete(group)
        patient = GroupAdmin(brokers.bootstrap_servers, timeout=30.0)
        assert admin.delete(unique_name("another"))
        with patient:
            assert patient.committed(group, [place]) == {place: 7}
