"""The embedded cluster as its users meet it: the command line, signals and damaged files, on real brokers.

Most tests use one node, because what they look at does not depend on the number; each has a
data folder of its own and leaves no process behind.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic  # type: ignore[attr-defined]

from holdfast.local.archive import ensure_archive
from holdfast.local.cluster import EmbeddedCluster
from holdfast.local.jars import JarCache
from holdfast.local.node import Node
from holdfast.local.progress import Silent
from holdfast.local.status import NodeState

# Several starts in one test, on machines that may be busy with other tests.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

HOLDFAST = (sys.executable, "-m", "holdfast")


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for a condition, failing with `what` when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def ended(process: psutil.Process) -> bool:
    """Tell whether a process is over, reaped or not."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Home:
    """A data folder and the commands that work on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster = EmbeddedCluster(folder / "cluster")
        self.environment = {**os.environ, "HOLDFAST_HOME": str(folder), "COLUMNS": "200"}

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [*HOLDFAST, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command to its end, check its exit code and return all that it said."""
        with self.begin(*arguments) as process:
            output, errors = process.communicate(timeout=150)
        said = output + errors
        assert process.returncode == code, said
        assert "Traceback" not in said
        return said

    def processes(self) -> list[psutil.Process]:
        """Return every living process that works in the folder, whoever started it."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and str(self.folder) in " ".join(
                    process.cmdline()
                ):
                    found.append(process)
            except psutil.Error:
                continue
        return found


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Give an empty data folder; whatever runs in it is ended afterwards."""
    home = Home(tmp_path / "home")
    yield home
    for process in home.processes():
        process.kill()
    for process in home.processes():
        wait_until(lambda process=process: ended(process), "killed")  # type: ignore[misc]


def create_topic(servers: str, name: str, *, partitions: int = 3, replication: int = 1) -> None:
    """Create a topic and wait until it is there."""
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(name, partitions, replication)])[name].result(30)


def produce(servers: str, topic: str, values: list[str]) -> None:
    """Publish values with acks=all; fail if one is not acknowledged."""
    failed: list[object] = []
    producer = Producer({"bootstrap.servers": servers, "acks": "all", "enable.idempotence": True})
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: failed.append(error) if error else None)
    assert producer.flush(60) == 0
    assert failed == []


def consume(servers: str, topic: str, count: int) -> list[str]:
    """Read `count` values of a topic from its start."""
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": f"{topic}-reader", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    deadline = time.monotonic() + 60
    values: list[str] = []
    try:
        while len(values) < count:
            assert time.monotonic() < deadline, f"only {len(values)} of {count} records"
            values += [(message.value() or b"").decode() for message in consumer.consume(count, 0.5)]
    finally:
        consumer.close()
    return values


# -- the shared cluster of the test session ----------------------------------------------------------


def test_records_come_back_from_a_replicated_topic(cluster: object, topic_name: str) -> None:
    """Three replicas, acknowledged by all that are in sync."""
    servers = cluster.bootstrap_servers  # type: ignore[attr-defined]
    create_topic(servers, topic_name, replication=3)
    values = [f"value {number}" for number in range(1000)]
    produce(servers, topic_name, values)
    assert sorted(consume(servers, topic_name, 1000)) == sorted(values)


def test_topics_need_two_replicas_in_sync_and_are_not_created_by_use(
    cluster: object, topic_name: str
) -> None:
    """The safe defaults reach the topics themselves, and a typing error makes no topic."""
    servers = cluster.bootstrap_servers  # type: ignore[attr-defined]
    create_topic(servers, topic_name, replication=3)
    admin = AdminClient({"bootstrap.servers": servers})
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic_name)
    assert admin.describe_configs([resource])[resource].result(30)["min.insync.replicas"].value == "2"
    unknown = f"{topic_name}-unknown"
    failed: list[object] = []
    producer = Producer({"bootstrap.servers": servers, "message.timeout.ms": 1500})
    producer.produce(unknown, b"x", on_delivery=lambda error, _: failed.append(error))
    producer.flush(10)
    assert [error is None for error in failed] == [False]
    assert unknown not in admin.list_topics(timeout=10).topics


# -- up, status, down ----------------------------------------------------------------------------


def test_a_cluster_starts_serves_and_stops_without_a_trace_but_its_logs(home: Home) -> None:
    """One round through the three commands."""
    assert "not running" in home.run("status", code=3)
    said = home.run("up", "--nodes", "1")
    servers = home.cluster.bootstrap_servers
    assert "is running: 1 node" in said
    assert servers in said
    create_topic(servers, "t")
    produce(servers, "t", ["a"])
    assert consume(servers, "t", 1) == ["a"]
    (node,) = home.cluster.nodes
    said = home.run("status")
    assert str(node.pid) in said
    assert "running" in said
    assert servers in said
    home.run("down")
    assert home.processes() == []
    assert "not running" in home.run("status", code=3)
    assert (
        "started (kafka.server.KafkaRaftServer)" in node.files.log.read_text()
        or node.files.log.stat().st_size > 0
    )
    assert not node.files.data.exists()


def test_a_second_up_joins_the_running_cluster(home: Home) -> None:
    """It says so, and starts nothing."""
    home.run("up", "--nodes", "1")
    pid = home.cluster.nodes[0].pid
    assert "already running" in home.run("up")
    assert home.cluster.nodes[0].pid == pid


def test_two_ups_at_once_follow_one_another(home: Home) -> None:
    """Both succeed, and there is one broker."""
    with home.begin("up", "--nodes", "1") as first, home.begin("up", "--nodes", "1") as second:
        for process in (first, second):
            output, errors = process.communicate(timeout=150)
            assert process.returncode == 0, output + errors
    assert len(home.processes()) == 1


@pytest.mark.slow
def test_topics_are_kept_only_if_asked_for(home: Home) -> None:
    """With --keep they outlive `down`, until `down --delete-data`."""
    home.run("up", "--nodes", "1", "--keep")
    servers = home.cluster.bootstrap_servers
    create_topic(servers, "t")
    produce(servers, "t", ["a"])
    assert "topics are kept" in home.run("down")
    home.run("up")
    assert home.cluster.bootstrap_servers == servers
    assert consume(servers, "t", 1) == ["a"]
    assert "topics are deleted" in home.run("down", "--delete-data")
    home.run("up")
    assert "t" not in AdminClient({"bootstrap.servers": servers}).list_topics(timeout=10).topics


@pytest.mark.slow
def test_another_node_count_is_refused_while_there_is_data(home: Home) -> None:
    """The running cluster stays as it is; the message says how to get the other size."""
    home.run("up", "--nodes", "1")
    said = home.run("up", "--nodes", "2", code=1)
    assert re.search(r"has 1 nodes?, not 2.*down --delete-data", " ".join(said.split()))
    assert home.cluster.is_running


def test_down_without_a_cluster_is_no_error(home: Home) -> None:
    """A script may say `down` in any case."""
    assert "was not running" in home.run("down")


# -- crashes -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_up_starts_only_the_node_that_crashed(home: Home) -> None:
    """After kill -9 of one of three nodes the others go on, and nothing acknowledged is lost."""
    home.run("up")
    servers = home.cluster.bootstrap_servers
    create_topic(servers, "t", replication=3)
    produce(servers, "t", ["before"])
    before = [node.pid for node in home.cluster.nodes]
    home.cluster.kill(2)
    assert [status.state for status in home.cluster.status()][1] is NodeState.STOPPED
    produce(servers, "t", ["meanwhile"])
    assert "node 2" in home.run("status")
    assert "started node 2 of 3" in home.run("up")
    after = [node.pid for node in home.cluster.nodes]
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1] not in (None, before[1])
    assert sorted(consume(servers, "t", 2)) == ["before", "meanwhile"]


@pytest.mark.slow
def test_a_pid_file_that_names_another_program_does_no_harm(home: Home) -> None:
    """After a crash of the machine the pid may belong to anybody: `up` starts, `down` spares the stranger."""
    home.run("up", "--nodes", "1")
    home.cluster.kill(1)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        home.cluster.nodes[0].files.pid.write_text(str(stranger.pid))
        home.run("up")
        home.cluster.nodes[0].files.pid.write_text(str(stranger.pid))
        home.run("down")
        assert home.processes() == []
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["formatting", "launched"])
def test_up_works_after_an_up_that_was_killed(home: Home, moment: str) -> None:
    """Whatever half of the work is there is used or done again."""

    def reached() -> bool:
        nodes = home.folder / "cluster" / "nodes" / "1"
        return any(nodes.glob(".format-*")) if moment == "formatting" else (nodes / "pid").exists()

    with home.begin("up", "--nodes", "1") as first:
        wait_until(reached, moment)
        first.kill()
        first.communicate()
    home.run("up", "--nodes", "1")
    assert [status.state for status in home.cluster.status()] == [NodeState.RUNNING]
    create_topic(home.cluster.bootstrap_servers, "t")
    home.run("down")
    assert home.processes() == []


def test_an_interrupted_up_leaves_no_half_cluster(home: Home) -> None:
    """Ctrl-C while the brokers start ends them too."""
    with home.begin("up", "--nodes", "1") as process:
        wait_until((home.folder / "cluster" / "nodes" / "1" / "pid").exists, "launched")
        process.send_signal(signal.SIGINT)
        process.communicate()
        assert process.returncode == 130
    assert home.processes() == []


def test_brokers_survive_the_end_of_their_terminal(home: Home) -> None:
    """They run in sessions of their own, out of reach of a hang-up."""
    home.run("up", "--nodes", "1")
    (node,) = home.cluster.nodes
    assert node.pid is not None
    assert os.getsid(node.pid) == node.pid


@pytest.mark.slow
def test_down_ends_a_broker_that_is_suspended(home: Home) -> None:
    """SIGTERM alone would wait for ever."""
    home.run("up", "--nodes", "1")
    home.cluster.nodes[0].signal(signal.SIGSTOP)
    home.run("down")
    assert home.processes() == []


# -- things in the way ----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_port_that_was_taken_meanwhile_is_exchanged(home: Home) -> None:
    """Kept data comes up on another port; nobody has to edit anything."""
    home.run("up", "--nodes", "1", "--keep")
    before = home.cluster.spec.nodes[0]
    create_topic(home.cluster.bootstrap_servers, "t")
    home.run("down")
    with (
        socket.create_server(("127.0.0.1", before.port)),
        socket.create_server(("127.0.0.1", before.controller_port)),
    ):
        home.run("up")
        after = home.cluster.spec.nodes[0]
        assert {after.port, after.controller_port}.isdisjoint({before.port, before.controller_port})
        assert "t" in AdminClient({"bootstrap.servers": after.address}).list_topics(timeout=10).topics


def test_a_broker_that_cannot_start_shows_its_last_words(home: Home) -> None:
    """The message holds the end of the log and its path, and no broker is left."""
    home.run("up", "--nodes", "1", "--keep")
    home.run("down")
    (home.cluster.nodes[0].files.data / "meta.properties").write_text(
        "version=1\ncluster.id=another\nnode.id=7\n"
    )
    said = home.run("up", code=1)
    assert "node 1 ended while it started" in said
    assert "cluster" in said
    assert "node-1.log" in "".join(said.split())
    assert home.processes() == []


def test_a_damaged_cluster_file_is_a_clear_error(home: Home) -> None:
    """No traceback; the message names the file."""
    (home.folder / "cluster").mkdir(parents=True)
    (home.folder / "cluster" / "cluster.json").write_text(json.dumps({"nodes": 3}))
    assert "cannot read" in home.run("up", code=1)
    assert "cannot read" in home.run("status", code=1)


def test_a_data_folder_that_cannot_be_made_is_a_clear_error(home: Home) -> None:
    """No traceback; the message names the folder and the variable."""
    home.folder.write_text("a file where the folder should be")
    said = home.run("up", code=1)
    assert "cannot write the cluster's data" in said
    assert "HOLDFAST_HOME" in said


# -- the class archive ------------------------------------------------------------------------------


class Steps(Silent):
    """A progress that remembers the steps."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def step(self, text: str) -> None:
        """Note the step."""
        self.texts.append(text)


@pytest.mark.slow
def test_the_class_archive_is_made_once_and_brokers_start_from_it(tmp_path: Path) -> None:
    """The second start finds it; the folder of the preparing run is gone."""
    class_path = JarCache().class_path()
    first, second = Steps(), Steps()
    archive = ensure_archive(class_path, first, tmp_path)
    assert archive is not None
    assert ensure_archive(class_path, second, tmp_path) == archive
    assert (len(first.texts), second.texts) == (1, [])
    assert [entry.name for entry in archive.parent.iterdir() if entry.name != ".lock"] == [archive.name]
    with EmbeddedCluster.temporary(nodes=1) as cluster:
        process = cluster.nodes[0].process()
        assert process is not None
        assert any(argument.startswith("-XX:AOTCache=") for argument in process.cmdline())


# -- temporary clusters -----------------------------------------------------------------------------

OWNER = """
import sys
from holdfast.local.archive import ensure_archive
from holdfast.local.cluster import EmbeddedCluster
cluster = EmbeddedCluster.temporary(nodes=1)
cluster.start()
print(cluster.folder, flush=True)
sys.stdin.read()
"""


def test_a_temporary_cluster_ends_with_its_owner_even_if_that_is_killed() -> None:
    """A test run that is killed leaves neither brokers nor files."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        broker = EmbeddedCluster(folder).nodes[0].process()
        assert broker is not None
        owner.kill()
    wait_until(lambda: ended(broker), "the broker ends")
    wait_until(lambda: not folder.exists(), "the folder is deleted")


@pytest.mark.slow
def test_clusters_in_different_folders_do_not_disturb_each_other() -> None:
    """Stopping one leaves the other alone; nodes are stopped and started one by one."""
    with EmbeddedCluster.temporary(nodes=1) as one, EmbeddedCluster.temporary(nodes=2) as two:
        folders = (one.folder, two.folder)
        one.stop()
        assert not one.is_running
        two.stop_node(1)
        assert [node.pid is None for node in two.nodes] == [True, False]
        two.start_node(1)
        two.wait_ready(60)
        create_topic(two.bootstrap_servers, "t", replication=2)
        brokers: list[Node] = list(two.nodes)
    assert all(node.process() is None for node in brokers)
    assert not any(folder.exists() for folder in folders)
