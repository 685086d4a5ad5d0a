from __future__ import annotations

import pytest

from holdfast.chaos.containers.node import NodeSetup, variable


def environment(nodes: int = 3, **overrides: str) -> dict[str, str]:
    """What the second node of a cluster is told."""
    return NodeSetup(2, nodes, 20_002, "the-id", overrides).environment()


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("log.retention.hours", "KAFKA_LOG_RETENTION_HOURS"),
        ("some_name.with-dash", "KAFKA_SOME__NAME_WITH___DASH"),
    ],
)
def test_a_setting_becomes_a_variable_as_for_kafkas_own_image(setting: str, name: str) -> None:
    """One underscore for a dot, two for an underscore, three for a dash."""
    assert variable(setting) == name


def test_brokers_and_clients_come_by_different_listeners() -> None:
    """Brokers by a name on their own network, clients by a port of this machine."""
    told = environment()
    assert told["KAFKA_ADVERTISED_LISTENERS"] == "BROKERS://kafka-2:9092,CLIENTS://127.0.0.1:20002"
    assert told["KAFKA_INTER_BROKER_LISTENER_NAME"] == "BROKERS"
    assert told["KAFKA_CONTROLLER_QUORUM_VOTERS"] == "1@kafka-1:9093,2@kafka-2:9093,3@kafka-3:9093"


def test_a_small_cluster_asks_for_no_more_copies_than_it_can_keep() -> None:
    """Else its coordinators would wait for brokers that never come."""
    assert environment(3)["KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR"] == "3"
    assert environment(3)["KAFKA_TRANSACTION_STATE_LOG_MIN_ISR"] == "2"
    assert environment(1)["KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR"] == "1"
    assert environment(2)["KAFKA_TRANSACTION_STATE_LOG_MIN_ISR"] == "1"


def test_overrides_win() -> None:
    """An experiment may change what it likes."""
    assert environment(**{"min.insync.replicas": "1"})["KAFKA_MIN_INSYNC_REPLICAS"] == "1"
