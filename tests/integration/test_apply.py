"""Creating declared topics on real brokers, and what is said where a cluster differs or refuses."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from holdfast.errors import BrokersUnreachable, ClusterMismatch, TopicRefused
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.provision import compare, provision
from holdfast.topology import TopicSpec, Topology
from tests.support.command import rows

pytestmark = pytest.mark.integration

Names = Callable[[str], str]
Declare = Callable[..., Topology]

NOBODY = "127.0.0.1:1"
"""An address where nobody listens."""


@pytest.fixture
def admin(cluster: Any) -> TopicAdmin:
    """Give a connection to the brokers."""
    return TopicAdmin(cluster.bootstrap_servers)


@pytest.fixture
def declare(unique_name: Names) -> Declare:
    """Give a function that declares a topic, changed as given, under a stateful processor."""

    def topology(**changes: Any) -> Topology:
        orders = {"event": "a:Order", "partitions": 3, "config": {"retention.ms": 3_600_000}, **changes}
        processor = {"handler": "a:f", "reads": [unique_name("orders")], "tables": {"state": "int"}}
        return Topology.model_validate(
            {
                "app": unique_name("shop"),
                "topics": {unique_name("orders"): orders},
                "processors": {"saga": processor},
            }
        )

    return topology


def test_apply_creates_every_topic_as_declared(admin: TopicAdmin, declare: Declare) -> None:
    """The changelog and the dead letters included; the cluster then has no difference."""
    topology = declare()
    specs = topology.topic_specs()
    assert provision(admin, topology) == tuple(spec.name for spec in specs)
    found = admin.topics([spec.name for spec in specs])
    for spec in specs:
        state = found[spec.name]
        assert (state.spec.partitions, state.spec.replication) == (spec.partitions, spec.replication)
        assert spec.config.items() <= state.spec.config.items()
        assert state.leaderless == ()
    assert compare(admin, topology) == ()


def test_every_broker_knows_the_topics_when_apply_returns(
    admin: TopicAdmin, declare: Declare, cluster: Any
) -> None:
    """A client that starts at any one broker finds all partitions with their leaders."""
    topology = declare(partitions=24)
    provision(admin, topology)
    (name,) = topology.topics
    for server in cluster.bootstrap_servers.split(","):
        partitions = (
            AdminClient({"bootstrap.servers": server}).list_topics(timeout=10).topics[name].partitions
        )
        assert sorted(partitions) == list(range(24))
        assert all(partition.leader >= 0 for partition in partitions.values())


def test_a_second_apply_has_nothing_to_do(admin: TopicAdmin, declare: Declare) -> None:
    """Also when only one topic was missing the first time."""
    topology = declare()
    first, *rest = topology.topic_specs()
    admin.create([first])
    assert provision(admin, topology) == tuple(spec.name for spec in rest)
    assert provision(admin, topology) == ()


def test_two_at_once_may_both_create(cluster: Any, declare: Declare) -> None:
    """A topic that somebody else has just created in the same way is no error."""
    topology = declare()
    admin = TopicAdmin(cluster.bootstrap_servers)
    admin.create(topology.topic_specs())
    admin.create(topology.topic_specs())
    assert compare(admin, topology) == ()


def test_a_topic_that_exists_otherwise_is_left_as_it_is(admin: TopicAdmin, topic_name: str) -> None:
    """Creating does not wait for partitions that will never come; comparing is `provision`'s part."""
    admin.create([TopicSpec(topic_name, 1, 1)])
    admin.create([TopicSpec(topic_name, 5, 1)])
    assert admin.topics([topic_name])[topic_name].spec.partitions == 1


def test_a_dry_run_creates_nothing(admin: TopicAdmin, declare: Declare) -> None:
    """It tells what is missing."""
    topology = declare()
    names = tuple(spec.name for spec in topology.topic_specs())
    assert provision(admin, topology, dry_run=True) == names
    assert admin.topics(names) == {}


@pytest.mark.parametrize(
    ("there", "text"),
    [
        ({"partitions": 6}, "the cluster has 6 partitions, topology.yaml:1 wants 3"),
        ({"partitions": 1}, "Adding partitions is DESTRUCTIVE"),
        ({"replication": 1}, "the cluster has replication 1, topology.yaml:1 wants 3"),
        ({"config": {"retention.ms": 1_000}}, "retention.ms is 1000 on the cluster"),
    ],
    ids=["fewer-partitions", "more-partitions", "replication", "config"],
)
def test_a_cluster_that_differs_is_an_error_and_stays_as_it_is(
    admin: TopicAdmin, declare: Declare, there: dict[str, Any], text: str
) -> None:
    """Nothing is created beside it either."""
    other, topology = declare(**there), declare()
    admin.create(other.topic_specs()[:1])
    with pytest.raises(ClusterMismatch) as caught:
        provision(admin, topology)
    assert text in str(caught.value)
    assert list(admin.topics([spec.name for spec in topology.topic_specs()])) == list(topology.topics)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"config": {"retention.ms": "soon"}}, "Invalid value soon for configuration retention.ms"),
        ({"config": {"retention.mss": 1}}, "Unknown topic config name: retention.mss"),
        ({"replication": 5}, "replication factor of 5 cannot be reached because only 3 broker(s)"),
    ],
    ids=["value", "name", "replication"],
)
def test_a_topic_that_brokers_refuse_is_told_with_their_reason(
    admin: TopicAdmin, declare: Declare, wrong: dict[str, Any], reason: str
) -> None:
    """The text names the topic and its line, and nothing is created."""
    topology = declare(**wrong)
    with pytest.raises(TopicRefused) as caught:
        provision(admin, topology)
    assert f"the brokers refuse the topic {next(iter(topology.topics))} (topology.yaml:1): " in str(
        caught.value
    )
    assert reason in str(caught.value)
    assert admin.topics([spec.name for spec in topology.topic_specs()]) == {}


def test_all_refused_topics_are_in_one_text(admin: TopicAdmin, unique_name: Names) -> None:
    """And a good one beside them is created by the plain call."""
    good = TopicSpec(unique_name("good"), 1, 1)
    bad = [TopicSpec(unique_name(name), 1, 1, {"nonsense": "1"}) for name in ("a", "b")]
    with pytest.raises(TopicRefused) as caught:
        admin.create([*bad, good])
    assert all(spec.name in str(caught.value) for spec in bad)
    assert list(admin.topics([spec.name for spec in (*bad, good)])) == [good.name]


def test_records_are_counted(admin: TopicAdmin, cluster: Any, topic_name: str) -> None:
    """End minus begin over all partitions; a topic that is not there is left out."""
    admin.create([TopicSpec(topic_name, 3, 1)])
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
    for number in range(50):
        producer.produce(topic_name, str(number).encode(), str(number).encode())
    assert producer.flush(30) == 0
    assert admin.record_counts([topic_name, "not-there"]) == {topic_name: 50}


def test_unreachable_brokers_are_told_in_time() -> None:
    """The text names the servers."""
    began = time.monotonic()
    with pytest.raises(BrokersUnreachable, match=NOBODY):
        TopicAdmin(NOBODY)
    assert time.monotonic() - began < 10


def holdfast(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the real command line."""
    command = [sys.executable, "-m", "holdfast", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=folder)


def test_the_commands_from_an_empty_cluster_to_drift(
    cluster: Any, unique_name: Names, tmp_path: Path
) -> None:
    """Dry run, apply, apply again, look at the topics, change the file, and be refused."""
    name, servers = unique_name("orders"), ("--bootstrap-servers", cluster.bootstrap_servers)
    file = tmp_path / "topology.yaml"
    text = f"app: {unique_name('shop')}\ntopics:\n  {name}: {{event: a:Order, partitions: 3}}\n"
    file.write_text(text)

    dry = holdfast("apply", "--dry-run", *servers, folder=tmp_path)
    assert (dry.returncode, dry.stdout) == (3, f"to create: {name} (3 partitions, replication 3)\n"), (
        dry.stderr
    )
    first = holdfast("apply", *servers, folder=tmp_path)
    assert (first.returncode, first.stdout) == (0, f"created: {name} (3 partitions, replication 3)\n")
    again = holdfast("apply", "--dry-run", *servers, folder=tmp_path)
    assert (again.returncode, again.stdout) == (0, "the cluster is as declared: 1 topic\n")
    shown = holdfast("topics", *servers, folder=tmp_path)
    (row,) = [row for row in rows(shown) if row["topic"] == name]
    assert (row["partitions"], row["replication"], row["offsets"]) == (3, 3, 0)
    assert (row["no_leader"], row["behind"], row["declared"], row["differs"]) == ([], [], True, [])

    file.write_text(text.replace("partitions: 3", "partitions: 6"))
    for arguments in (("apply",), ("apply", "--dry-run")):
        refused = holdfast(*arguments, *servers, folder=tmp_path)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"{name}: the cluster has 3 partitions, topology.yaml:3 wants 6." in refused.stderr
        assert "Traceback" not in refused.stderr
    (row,) = [row for row in rows(holdfast("topics", *servers, folder=tmp_path)) if row["topic"] == name]
    assert row["differs"] == ["partitions"]


def test_the_command_tells_unreachable_brokers_without_a_traceback(tmp_path: Path) -> None:
    """Exit code 1, and one sentence."""
    (tmp_path / "topology.yaml").write_text("app: shop\ntopics: {orders: {event: a:Order, partitions: 3}}\n")
    done = holdfast("apply", "--bootstrap-servers", NOBODY, folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: no usable Kafka cluster at {NOBODY} within ")
    assert "Traceback" not in done.stderr
