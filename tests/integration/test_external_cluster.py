"""On a cluster of somebody else a run is let in by a mark, touches only its own things, leaves nothing."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer

from holdfast.chaos.experiment import load
from holdfast.chaos.lab.fair_game import allow, forbid, mark_of
from holdfast.chaos.lab.leftovers import remove
from holdfast.chaos.run.runner import Runner
from holdfast.chaos.run.settings import RunSettings, Untold
from holdfast.errors import ChaosError, FaultFailed, NotFairGame
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.groups import GroupAdmin
from holdfast.kafka.identity import identify
from holdfast.kafka.offsets import OffsetAdmin
from holdfast.kafka.settings import consumer_config, producer_config
from holdfast.local.cluster import EmbeddedCluster
from holdfast.topology import TopicSpec
from tests.support.command import holdfast

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(240)]

THEIRS = "orders-of-others"
EXPERIMENT = """
name: theirs
description: On a cluster of somebody else.
cluster: {kind: external, bootstrap_servers: "SERVERS", fair_game: true}
workload: {kind: sequence, rate: 500, keys: 100, partitions: 2, workers: 2}
steady_state: {fresh_within: 3s, for: 2s, reached_within: 60s}
time_limit: LIMIT
faults:
  - {at: 2s, fault: worker.crash, target: any}
  - {at: 8s, fault: worker.kill, target: worker-1, for: 3s}
invariants: [exactly-once, state-fold, per-key-order, no-lost-writes, transactions-finished]
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[str]:
    """A cluster of one broker on which others have a topic with records, and a group with positions.

    It creates topics by use, as Kafka's default is.
    """
    with EmbeddedCluster.temporary(1, overrides={"auto.create.topics.enable": "true"}) as cluster:
        TopicAdmin(cluster.bootstrap_servers).create([TopicSpec(THEIRS, 1, 1)])
        producer = Producer(producer_config(cluster.bootstrap_servers))
        for number in range(100):
            producer.produce(THEIRS, str(number).encode())
        producer.flush(10)
        consumer = Consumer(consumer_config(cluster.bootstrap_servers, "group-of-others"))
        consumer.subscribe([THEIRS])
        consumer.commit(next(iter(consumer.consume(1, 30))), asynchronous=False)
        consumer.close()
        yield cluster.bootstrap_servers


def written(folder: Path, servers: str, limit: str = "14s") -> Path:
    """An experiment on the cluster."""
    file = folder / "theirs.yaml"
    file.write_text(EXPERIMENT.replace("SERVERS", servers).replace("LIMIT", limit))
    return file


def everything(servers: str) -> tuple[set[str], set[str], int]:
    """Topics and groups of the cluster, and how much is in the topic of others."""
    with GroupAdmin(servers) as groups:
        found = set(groups.groups())
    [end] = OffsetAdmin(servers).ends(OffsetAdmin(servers).partitions([THEIRS])[THEIRS]).values()
    return set(identify(servers).topics), found, end


def until(condition: Callable[[], object], within: float) -> None:
    """Wait for a condition with a deadline."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture
def marked(servers: str) -> Iterator[str]:
    """The cluster, marked for the time of the test."""
    allow(servers, identify(servers).cluster_id)
    yield servers
    forbid(servers)


def test_a_cluster_without_the_mark_is_not_touched_and_the_command_that_marks_it_is_told(
    tmp_path: Path, servers: str
) -> None:
    before, cluster = everything(servers), identify(servers).cluster_id
    done = holdfast("chaos", "run", str(written(tmp_path, servers)), folder=tmp_path)
    assert done.returncode == 2, done.stderr
    assert f"cluster {cluster} (1 broker, 1 topic of others), and it is not marked" in done.stderr
    command = re.search(r"holdfast (chaos allow .*)", done.stderr)
    assert command is not None
    assert everything(servers) == before

    assert holdfast(*command[1].split(), folder=tmp_path).returncode == 0
    assert mark_of(cluster) in identify(servers).topics
    back = holdfast("chaos", "forbid", "--bootstrap-servers", servers, folder=tmp_path)
    assert back.returncode == 0, back.stderr
    assert everything(servers) == before


def test_another_cluster_than_the_one_that_is_meant_is_not_marked(servers: str) -> None:
    with pytest.raises(NotFairGame, match="not AAAAAAAAAAAAAAAAAAAAAA; nothing was marked"):
        allow(servers, "AAAAAAAAAAAAAAAAAAAAAA")


def test_a_mark_that_was_mirrored_from_another_cluster_does_not_count(tmp_path: Path, servers: str) -> None:
    admin, mirrored = TopicAdmin(servers), mark_of("AAAAAAAAAAAAAAAAAAAAAA")
    admin.create([TopicSpec(mirrored, 1, 1)])
    settings = RunSettings(1, tmp_path / "run", "pytest")
    try:
        with pytest.raises(NotFairGame):
            Runner(load(written(tmp_path, servers)), settings, Untold()).run()
    finally:
        admin.delete([mirrored])


def test_a_run_is_valid_and_leaves_nothing_and_what_others_have_is_as_it_was(
    tmp_path: Path, marked: str
) -> None:
    before = everything(marked)
    settings = RunSettings(1, tmp_path / "run", "pytest")
    result = Runner(load(written(tmp_path, marked)), settings, Untold()).run()
    assert result.validity == "valid", result
    assert result.workload["brokers"] == 1
    assert [fault.error for fault in result.faults] == ["", ""]
    assert everything(marked) == before


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        pytest.param([signal.SIGINT], 130, id="interrupted"),
        pytest.param([signal.SIGINT, signal.SIGINT], 130, id="interrupted-twice"),
        pytest.param([signal.SIGKILL], -signal.SIGKILL, id="killed"),
    ],
)
def test_a_run_that_is_ended_leaves_nothing(
    tmp_path: Path, marked: str, numbers: list[signal.Signals], code: int
) -> None:
    """Ctrl-C ends it in order; where it is ended at once, its guard deletes what it has made."""
    before = everything(marked)
    file = written(tmp_path, marked, "120s")
    command = [sys.executable, "-m", "holdfast", "chaos", "run", str(file)]
    said = tmp_path / "said"
    with said.open("w") as stderr:
        run = subprocess.Popen(command, cwd=tmp_path, stderr=stderr, start_new_session=True)
    until(lambda: "worker.crash worker" in said.read_text() or run.poll() is not None, 90)
    ours = everything(marked)[0] - before[0]
    assert ours
    assert all(re.match(r"holdfast-chaos-[0-9a-f]{12}-", name) for name in ours)
    for number in numbers:
        run.send_signal(number)
        time.sleep(0.2)  # two signals that are sent at once are one
    in_order = numbers == [signal.SIGINT]
    assert run.wait(60 if in_order else 5) == code, said.read_text()
    until(lambda: everything(marked) == before, 1 if in_order else 40)


@pytest.mark.parametrize("prefix", ["", "orders", "holdfast-chaos-", "holdfast-chaos-0123456789ab-x"])
def test_nothing_is_deleted_by_a_prefix_that_no_run_has(servers: str, prefix: str) -> None:
    before = everything(servers)
    with pytest.raises(ChaosError, match="is no prefix of a run"):
        remove(servers, prefix, 1.0)
    assert everything(servers) == before


def test_no_broker_of_theirs_is_broken(marked: str) -> None:
    from holdfast.chaos.lab.external import ExternalLab

    with ExternalLab(marked, 6.0) as lab:
        assert list(lab.brokers.names) == ["broker-1"]
        for harm in (lab.brokers.kill, lab.brokers.stop, lab.brokers.suspend):
            with pytest.raises(FaultFailed, match="broker-1 is a broker of a cluster of kind `external`"):
                harm("broker-1")
