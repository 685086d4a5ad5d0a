"""Declaration against cluster: what is created, and what a person is told to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.topology import Difference, TopicSpec, Topology, load, plan

FILE = """\
app: shop
topics:
  orders:
    event: a:Order
    key: id
    partitions: 12
    config:
      cleanup.policy: compact,delete
      retention.ms: 1000
  outcomes: {event: a:Outcome, partitions: 6}
processors:
  saga: {handler: a:f, reads: [orders], tables: {state: int}}
"""


@pytest.fixture
def topology(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Topology:
    """Give a topology that was read from `topology.yaml`."""
    monkeypatch.chdir(tmp_path)
    Path("topology.yaml").write_text(FILE)
    return load(Path("topology.yaml"))


def as_declared(topology: Topology) -> dict[str, TopicSpec]:
    """Return a cluster that holds what is declared, and more."""
    return {spec.name: replace(spec, config={**spec.config, "other": "1"}) for spec in topology.topic_specs()}


def changed(topology: Topology, name: str, **changes: Any) -> Difference:
    """Return the one difference after a change of one topic on the cluster."""
    cluster = as_declared(topology)
    cluster[name] = replace(cluster[name], **changes)
    (difference,) = plan(topology, cluster)
    assert difference.wanted.name == name
    return difference


def test_an_empty_cluster_lacks_every_topic_our_own_included(topology: Topology) -> None:
    """All can be created."""
    differences = plan(topology, {})
    assert [difference.wanted.name for difference in differences] == [
        "orders",
        "outcomes",
        "shop.saga.state.changelog",
        "shop.dead-letters",
    ]
    assert not any(difference.is_mismatch for difference in differences)
    assert differences[0].text == "orders: to be created with 12 partitions, replication 3"


def test_a_cluster_as_declared_has_no_differences(topology: Topology) -> None:
    """Settings that nobody declared and topics of others do not matter."""
    assert plan(topology, {**as_declared(topology), "other": TopicSpec("other", 1, 1)}) == ()


def test_more_partitions_under_state_are_refused_as_destructive(topology: Topology) -> None:
    """The text names the processor whose keys would move, and the line to change."""
    difference = changed(topology, "orders", partitions=6)
    assert difference.is_mismatch
    assert difference.text == (
        "orders: the cluster has 6 partitions, topology.yaml:6 wants 12. Adding partitions is DESTRUCTIVE "
        "here and refused: keys would move to other partitions, away from the state that saga keeps for "
        "them. "
        "Declare partitions: 6, or declare a new topic with 12 and republish the records."
    )


def test_more_partitions_without_state_are_left_to_a_person(topology: Topology) -> None:
    """The command is given."""
    text = changed(topology, "outcomes", partitions=3).text
    assert "kafka-topics.sh --alter --topic outcomes --partitions 6" in text
    assert "DESTRUCTIVE" not in text


def test_fewer_partitions_are_impossible(topology: Topology) -> None:
    """Kafka cannot take any away."""
    text = changed(topology, "outcomes", partitions=9).text
    assert text == (
        "outcomes: the cluster has 9 partitions, topology.yaml:10 wants 6. Kafka cannot take partitions "
        "away. Declare partitions: 9, or declare a new topic with 6 and republish the records."
    )


def test_a_changelog_of_another_width_names_its_processor(topology: Topology) -> None:
    """Its inputs were changed under it."""
    text = changed(topology, "shop.saga.state.changelog", partitions=6).text
    assert "The state of saga is spread over 6" in text
    assert "Declare inputs with 6 partitions; or rename saga" in text


def test_another_replication_is_told(topology: Topology) -> None:
    """Both ways out are given."""
    text = changed(topology, "orders", replication=1).text
    assert "the cluster has replication 1, topology.yaml:3 wants 3. Declare replication: 1, or" in text


@pytest.mark.parametrize(
    ("setting", "value", "part"),
    [
        ("retention.ms", "5", "retention.ms is 5 on the cluster, topology.yaml:9 wants 1000."),
        ("cleanup.policy", "delete", "--add-config cleanup.policy=[compact,delete]"),
        ("min.insync.replicas", "1", "min.insync.replicas is 1 on the cluster, Holdfast wants 2."),
    ],
)
def test_another_setting_is_told_with_the_command(
    topology: Topology, setting: str, value: str, part: str
) -> None:
    """The line is that of the setting, or Holdfast is named."""
    config = as_declared(topology)["orders"].config
    difference = changed(topology, "orders", config={**config, setting: value})
    assert (difference.kind, difference.setting) == ("config", setting)
    assert part in difference.text


def test_a_setting_that_brokers_do_not_know_is_told(topology: Topology) -> None:
    """As it can have no value there."""
    config = {"cleanup.policy": "compact,delete", "min.insync.replicas": "2"}
    difference = changed(topology, "orders", config=config)
    assert difference.text == (
        "orders: topology.yaml:9 wants retention.ms, which the brokers do not know. Correct or remove it."
    )


@pytest.mark.parametrize(
    ("found", "wanted"), [("delete,compact", "compact,delete"), ("0.50", "0.5"), ("TRUE", "true")]
)
def test_the_same_value_written_otherwise_is_no_difference(found: str, wanted: str) -> None:
    """Lists in any order, numbers by value."""
    topics = {"orders": {"event": "a:B", "partitions": 1, "config": {"x": wanted}}}
    topology = Topology.model_validate({"app": "shop", "topics": topics})
    cluster = {"orders": TopicSpec("orders", 1, 3, {"x": found, "min.insync.replicas": "2"})}
    assert plan(topology, cluster) == ()


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 5), st.integers(1, 5))
def test_only_an_equal_topic_passes(wanted: int, found: int, copies: int, kept: int) -> None:
    """Whatever the numbers, each that differs is one mismatch."""
    topics = {"orders": {"event": "a:B", "partitions": wanted, "replication": copies}}
    topology = Topology.model_validate({"app": "shop", "topics": topics})
    cluster = {"orders": TopicSpec("orders", found, kept, topology.topic_specs()[0].config)}
    kinds = [difference.kind for difference in plan(topology, cluster)]
    assert kinds == ["partitions"] * (wanted != found) + ["replication"] * (copies != kept)


def test_the_redrive_topic_may_have_more_partitions_than_needed(topology: Topology) -> None:
    """Records are addressed to a partition, so that more of them do no harm; too few are said how to mend."""
    saga = topology.native["saga"].model_copy(update={"redrive": True})
    taking = topology.model_copy(update={"processors": {"saga": saga}})
    name = "shop.redrive"
    wanted = {spec.name: spec for spec in taking.topic_specs()}[name]
    assert (wanted.partitions, wanted.config["message.timestamp.type"]) == (12, "LogAppendTime")
    more = {**as_declared(taking), name: replace(as_declared(taking)[name], partitions=20)}
    assert plan(taking, more) == ()
    assert changed(taking, name, partitions=6).text == (
        "shop.redrive: the cluster has 6 partitions, Holdfast wants 12. Add them, which does no harm there: "
        "kafka-topics.sh --alter --topic shop.redrive --partitions 12"
    )
