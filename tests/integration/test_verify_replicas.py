"""`holdfast verify replicas` on brokers of its own, with replicas that are damaged on disk."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient

from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.replicas import origin
from holdfast.kafka.replicas.check import ReplicaCheck
from holdfast.kafka.replicas.digest import record_digest
from holdfast.kafka.replicas.reader import ReplicaReader
from holdfast.kafka.replicas.sort import Trouble
from holdfast.kafka.replicas.verdict import Verdict
from holdfast.kafka.scan import LogScanner
from holdfast.local.cluster import EmbeddedCluster
from holdfast.record import TopicPartition
from holdfast.topology import TopicSpec
from tests.support.command import holdfast
from tests.support.segments import flip, rewrite, segments

pytestmark = pytest.mark.integration

COUNT = 3_000


@pytest.fixture(scope="module")
def brokers() -> Iterator[EmbeddedCluster]:
    """Three brokers that nobody else uses; they look for something to compact twice a second."""
    with EmbeddedCluster.temporary(overrides={"log.cleaner.backoff.ms": "500"}) as cluster:
        yield cluster


@pytest.fixture
def admin(brokers: EmbeddedCluster) -> AdminClient:
    """Asks these brokers."""
    return AdminClient(client(brokers))


def client(brokers: EmbeddedCluster) -> dict[str, Any]:
    """A client's properties; brokers that are away are part of the tests and nothing to complain of."""
    return {"bootstrap.servers": brokers.bootstrap_servers, "log_level": 0}


def create(brokers: EmbeddedCluster, topic: str, partitions: int = 1, **config: str) -> None:
    """Create a topic with three replicas."""
    settings = {name.replace("_", "."): value for name, value in config.items()}
    spec = TopicSpec(topic, partitions, 3, settings, origin="a test")
    TopicAdmin(brokers.bootstrap_servers).create([spec])


def fill(
    brokers: EmbeddedCluster,
    topic: str,
    partitions: int = 1,
    count: int = COUNT,
    pad: int = 0,
    **config: Any,
) -> None:
    """Write `count` records into each partition, in small batches that are not compressed."""
    producer = Producer(client(brokers) | {"batch.num.messages": 50} | config)
    for number in range(count):
        for partition in range(partitions):
            text = f"value-{partition}-{number:06}!" + pad * "."
            producer.produce(topic, text.encode(), f"key-{number}", partition, headers={"n": str(number)})
        producer.poll(0)
    assert producer.flush(30) == 0


def followers(admin: AdminClient, topic: str, partition: int = 0) -> tuple[int, list[int]]:
    """A partition's leader, and its in-sync followers."""
    found = admin.list_topics(topic, timeout=10).topics[topic].partitions[partition]
    return found.leader, [broker for broker in found.isrs if broker != found.leader]


def until(condition: Callable[[], object], what: str, within: float = 60.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {within} s"
        time.sleep(0.2)


def until_in_sync(admin: AdminClient, topic: str) -> None:
    """Wait until every partition of a topic has three replicas in sync."""

    def in_sync() -> bool:
        partitions = admin.list_topics(topic, timeout=10).topics[topic].partitions
        return all(len(each.isrs) == 3 for each in partitions.values())

    until(in_sync, "three replicas in sync")


def damaged(
    brokers: EmbeddedCluster, admin: AdminClient, topic: str, broker: int, damage: Callable[[], object]
) -> Any:
    """Damage files of a broker while it is stopped in good order, and wait until it is in sync again."""
    brokers.stop_node(broker)
    result = damage()
    brokers.start_node(broker)
    brokers.wait_ready(60)
    until_in_sync(admin, topic)
    return result


def verify(brokers: EmbeddedCluster, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    servers = ("--bootstrap-servers", brokers.bootstrap_servers)
    return holdfast("verify", "replicas", *servers, *arguments, folder=folder, timeout=120)


def reader_in(brokers: EmbeddedCluster, rack: str | None) -> ReplicaReader[bytes]:
    """A reader of the replicas in a rack."""
    return ReplicaReader(brokers.bootstrap_servers, rack, None, record_digest, patience=20)


def rows_of(done: subprocess.CompletedProcess[str], code: int) -> dict[tuple[int, int], dict[str, Any]]:
    """Its rows by partition and broker."""
    assert done.returncode == code, done.stdout + done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {(row["partition"], row["replica"]): row for row in found}


def test_replicas_that_hold_the_same_are_read_one_by_one(
    brokers: EmbeddedCluster, admin: AdminClient, topic_name: str, tmp_path: Path
) -> None:
    """Every replica of every partition, aborted records included, with offsets chosen or all of them."""
    create(brokers, topic_name, partitions=2)
    fill(brokers, topic_name, partitions=2, **{"compression.type": "zstd"})
    aborting = Producer(client(brokers) | {"transactional.id": topic_name})
    aborting.init_transactions(20)
    aborting.begin_transaction()
    aborting.produce(topic_name, None, "tombstone", 0)
    aborting.flush(20)
    aborting.abort_transaction(20)
    rows = rows_of(verify(brokers, tmp_path, topic_name), 0)
    assert set(rows) == {(partition, broker) for partition in (0, 1) for broker in (1, 2, 3)}
    assert {row["verdict"] for row in rows.values()} == {"same"}
    assert [rows[0, broker]["records"] for broker in (1, 2, 3)] == [COUNT + 1] * 3
    assert [rows[1, broker]["records"] for broker in (1, 2, 3)] == [COUNT] * 3
    assert sum(row["leader"] for row in rows.values()) == 2
    some = rows_of(verify(brokers, tmp_path, topic_name, "-p", "1", "--from", "100", "--last", "150"), 0)
    assert {row["records"] for row in some.values()} == {150}
    assert {(row["from"], row["to"]) for row in some.values()} == {(COUNT - 150, COUNT)}


def test_a_changed_record_with_a_fitting_checksum_is_found_in_the_one_replica_that_has_it(
    brokers: EmbeddedCluster, admin: AdminClient, topic_name: str, tmp_path: Path
) -> None:
    """Readers of the leader see nothing of it; the check names broker and offset, and its advice mends it."""
    create(brokers, topic_name, partitions=2)
    fill(brokers, topic_name, partitions=2)
    _, [victim, *_] = followers(admin, topic_name, 1)
    (file,) = segments(brokers, victim, topic_name, 1)
    old, new = b"value-1-001234!", b"value-1-00X234!"
    damaged(brokers, admin, topic_name, victim, lambda: rewrite(file, old, new))
    assert file.read_bytes().count(new) == 1
    leader, _ = followers(admin, topic_name, 1)
    assert leader != victim
    values = [record.value() for record in LogScanner(brokers.bootstrap_servers).topic(topic_name)]
    assert len(values) == 2 * COUNT
    assert old in values
    assert new not in values
    rows = rows_of(verify(brokers, tmp_path, topic_name), 1)
    found = rows.pop((1, victim))
    assert (found["verdict"], found["offset"], found["records"]) == ("differs", 1234, COUNT)
    assert "it has another value than broker" in found["detail"]
    assert f"stop broker {victim}" in found["detail"]
    assert {row["verdict"] for row in rows.values()} == {"same"}
    assert len(rows) == 5
    damaged(brokers, admin, topic_name, victim, lambda: shutil.rmtree(file.parent))
    rows_of(verify(brokers, tmp_path, topic_name), 0)


def test_a_flipped_bit_is_reported_as_damage_of_that_replica(
    brokers: EmbeddedCluster, admin: AdminClient, topic_name: str, tmp_path: Path
) -> None:
    """The batch's checksum does not fit: named with broker, partition and the batch's offset."""
    create(brokers, topic_name)
    fill(brokers, topic_name)
    _, [victim, *_] = followers(admin, topic_name)
    (file,) = segments(brokers, victim, topic_name)
    offset = damaged(brokers, admin, topic_name, victim, lambda: flip(file, b"value-0-002000!"))
    assert 0 < offset <= 2000
    assert b"value-0-002000!" not in file.read_bytes()
    assert len(list(LogScanner(brokers.bootstrap_servers).topic(topic_name))) == COUNT
    rows = rows_of(verify(brokers, tmp_path, topic_name), 1)
    found = rows.pop((0, victim))
    assert (found["verdict"], found["offset"], found["records"]) == ("corrupt", offset, offset)
    assert "CRC32C" in found["detail"]
    assert {row["verdict"] for row in rows.values()} == {"same"}
    assert {row["records"] for row in rows.values()} == {COUNT}
    # A reader that meant the leader and met the damage of another broker does not blame the leader.
    leader, _ = followers(admin, topic_name)
    with closing(reader_in(brokers, f"rack-{victim}")) as reader:
        reader.open(TopicPartition(topic_name, 0), leader, 0)
        until(lambda: (stop := reader.read().stop) and stop.trouble is Trouble.ELSEWHERE, "damage elsewhere")


@pytest.mark.slow
def test_lost_segments_are_a_difference_unless_retention_explains_them(
    brokers: EmbeddedCluster, admin: AdminClient, topic_name: str, tmp_path: Path
) -> None:
    """A replica that begins later than the leader is noticed although the leader answers for it."""
    create(brokers, topic_name, segment_bytes="1048576", retention_ms="-1")
    fill(brokers, topic_name, pad=1_000)
    _, [victim, *_] = followers(admin, topic_name)
    first, second, *_ = segments(brokers, victim, topic_name)
    begin = int(second.stem)

    def lose() -> None:
        for file in first.parent.glob(f"{first.stem}.*"):
            file.unlink()

    damaged(brokers, admin, topic_name, victim, lose)
    rows = rows_of(verify(brokers, tmp_path, topic_name), 1)
    found = rows.pop((0, victim))
    assert (found["verdict"], found["records"]) == ("differs", COUNT - begin)
    assert f"no record before offset {begin}" in found["detail"]
    assert {row["verdict"] for row in rows.values()} == {"same"}


@pytest.mark.slow
def test_replicas_that_were_compacted_differently_are_compared_by_what_both_kept(
    brokers: EmbeddedCluster, admin: AdminClient, topic_name: str, tmp_path: Path
) -> None:
    """A gap is no difference there; another value under the same offset is."""
    config = {"cleanup_policy": "compact", "segment_bytes": "1048576", "min_cleanable_dirty_ratio": "0.0"}
    create(brokers, topic_name, segment_ms="500", **config)
    producer = Producer(client(brokers) | {"batch.num.messages": 50})
    _, [late, other] = followers(admin, topic_name)
    # It never compacts, and the others do.
    properties = brokers.node(late).files.properties
    before = properties.read_text()
    brokers.stop_node(late)
    properties.write_text(f"{before}log.cleaner.enable=false\n")
    brokers.start_node(late)
    brokers.wait_ready(60)
    try:
        until_in_sync(admin, topic_name)
        for number in range(2_000):
            producer.produce(topic_name, f"value-0-{number:06}!".encode(), f"k{number % 100}", 0)
            producer.poll(0)
        assert producer.flush(30) == 0

        def is_compacted() -> bool:
            # Only a segment that is followed by another one is compacted.
            producer.produce(topic_name, b"more", "more", 0)
            producer.flush(10)
            files = [segments(brokers, it, topic_name)[0] for it in (1, 2, 3) if it != late]
            return all(b"value-0-000500!" not in file.read_bytes() for file in files)

        until(is_compacted, "two replicas are compacted")
        rows = rows_of(verify(brokers, tmp_path, topic_name), 0)
        records = {broker: row["records"] for (_, broker), row in rows.items()}
        assert records[late] > 2_000 > records[other]
        assert {row["verdict"] for row in rows.values()} == {"same"}
        (file, *_) = segments(brokers, other, topic_name)
        change = (b"value-0-001950!", b"value-0-00x950!")
        damaged(brokers, admin, topic_name, other, lambda: rewrite(file, *change))
        rows = rows_of(verify(brokers, tmp_path, topic_name), 1)
        verdicts = {broker: (row["verdict"], row["offset"]) for (_, broker), row in rows.items()}
        assert verdicts.pop(other) == ("differs", 1950)
        assert set(verdicts.values()) == {("same", None)}
    finally:
        brokers.stop_node(late)
        properties.write_text(before)
        brokers.start_node(late)
        brokers.wait_ready(60)


@pytest.mark.slow
def test_a_replica_that_is_lost_in_the_middle_is_reported_and_the_others_are_compared(
    brokers: EmbeddedCluster, admin: AdminClient, topic_name: str
) -> None:
    """The leader answers for it from then on, and that does not count."""
    create(brokers, topic_name)
    fill(brokers, topic_name, count=40_000, pad=500, **{"batch.num.messages": 10_000})
    _, [victim, *_] = followers(admin, topic_name)
    killed = []

    def kill(topic: str, done: int, total: int) -> None:
        if done >= 1_000 and not killed:
            killed.append(brokers.node(victim).pid)
            brokers.kill(victim)

    with ReplicaCheck(brokers.bootstrap_servers, on_progress=kill) as check:
        results = {result.broker: result for result in check.topic(topic_name)}
    brokers.start_node(victim)
    brokers.wait_ready(60)
    until_in_sync(admin, topic_name)
    assert killed
    lost = results.pop(victim)
    assert lost.finding.verdict is Verdict.NOT_READ
    assert lost.finding.offset == lost.records
    assert 1_000 <= lost.records < 40_000
    assert {result.finding.verdict for result in results.values()} == {Verdict.SAME}
    assert {result.records for result in results.values()} == {40_000}


def test_what_is_deleted_while_it_is_read_is_no_difference(
    brokers: EmbeddedCluster, admin: AdminClient, topic_name: str
) -> None:
    """The replicas are compared before and after the gap, and the remark says why there is one."""
    create(brokers, topic_name)
    fill(brokers, topic_name, count=40_000, pad=1_000, **{"batch.num.messages": 1_000})
    deleted = []

    def delete(topic: str, done: int, total: int) -> None:
        if done and not deleted:
            # More than the client reads ahead.
            (answer,) = admin.delete_records([ClientPartition(topic, 0, 39_000)]).values()
            deleted.append(answer.result(20).low_watermark)

    with ReplicaCheck(brokers.bootstrap_servers, on_progress=delete) as check:
        results = list(check.topic(topic_name))
    assert deleted == [39_000]
    assert [result.finding.verdict for result in results] == [Verdict.SAME] * 3
    assert all("before 39000 were deleted while it was read" in it.finding.detail for it in results)
    assert all(1_000 < result.records < 39_000 for result in results)


@pytest.mark.slow
def test_a_replica_that_is_away_is_never_counted_as_good(
    brokers: EmbeddedCluster, admin: AdminClient, topic_name: str, tmp_path: Path
) -> None:
    """Its broker is down: the others are compared, the exit code says that it is not everything."""
    create(brokers, topic_name)
    fill(brokers, topic_name, count=100)
    _, [away, *_] = followers(admin, topic_name)
    brokers.stop_node(away)
    try:
        rows = rows_of(verify(brokers, tmp_path, topic_name), 3)
    finally:
        brokers.start_node(away)
        brokers.wait_ready(60)
        until_in_sync(admin, topic_name)
    found = rows.pop((0, away))
    assert (found["verdict"], found["records"]) == ("not read", 0)
    assert {row["verdict"] for row in rows.values()} == {"same"}
    rows_of(verify(brokers, tmp_path, topic_name), 0)


def test_what_the_leader_serves_does_not_count_as_a_followers(
    brokers: EmbeddedCluster, admin: AdminClient, topic_name: str
) -> None:
    """A reader that meant a follower and got the leader says so of every record."""
    create(brokers, topic_name)
    fill(brokers, topic_name, count=100)
    leader, [follower, *_] = followers(admin, topic_name)
    place = TopicPartition(topic_name, 0)
    got = {}
    for broker, rack in (
        (leader, None),
        (follower, None),
        (follower, f"rack-{follower}"),
        (leader, "rack-9"),
    ):
        with closing(reader_in(brokers, rack)) as reader:
            reader.open(place, broker, 0)
            own, foreign, position = 0, None, 0
            while position < 100:
                batch = reader.read()
                assert batch.stop is None
                own, foreign, position = own + len(batch.records), batch.foreign or foreign, batch.position
            got[broker, rack] = (own, foreign)
    assert got == {
        (leader, None): (100, None),
        (follower, None): (0, 100),
        (follower, f"rack-{follower}"): (100, None),
        (leader, "rack-9"): (100, None),
    }


def test_a_client_that_does_not_say_where_records_come_from_proves_nothing(
    brokers: EmbeddedCluster, topic_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another version of it might: no replica is the same then, all of them are not read."""
    create(brokers, topic_name)
    fill(brokers, topic_name, count=100)
    monkeypatch.setattr(origin, "_TAKEN", re.compile("words of another version"))
    with ReplicaCheck(brokers.bootstrap_servers) as check:
        findings = [result.finding for result in check.topic(topic_name)]
    assert [finding.verdict for finding in findings] == [Verdict.NOT_READ] * 3
    assert all("nothing that comes is proven to be from it" in finding.detail for finding in findings)


@pytest.mark.slow
def test_brokers_without_racks_are_told_what_to_set(tmp_path: Path) -> None:
    """Only the leader can be read, so nothing is compared, and the command says what it would take."""
    with EmbeddedCluster.temporary(2, overrides={"broker.rack": ""}) as plain:
        TopicAdmin(plain.bootstrap_servers).create([TopicSpec("t", 1, 2, {}, origin="a test")])
        fill(plain, "t", count=100)
        rows = rows_of(verify(plain, tmp_path, "t"), 3)
        assert sorted(row["verdict"] for row in rows.values()) == ["not compared", "not read"]
        (unread,) = [row for row in rows.values() if row["verdict"] == "not read"]
        assert f"broker {unread['replica']} has no rack" in unread["detail"]
        assert "broker.rack" in unread["detail"]
        assert "RackAwareReplicaSelector" in unread["detail"]


def test_a_topic_or_partition_that_is_not_there_is_an_error(
    brokers: EmbeddedCluster, admin: AdminClient, topic_name: str, tmp_path: Path
) -> None:
    """One sentence each, exit code 1."""
    missing = verify(brokers, tmp_path, topic_name)
    assert missing.returncode == 1
    assert f"no topic {topic_name}" in missing.stderr
    create(brokers, topic_name)
    empty = rows_of(verify(brokers, tmp_path, topic_name), 0)
    assert {row["records"] for row in empty.values()} == {0}
    beyond = verify(brokers, tmp_path, topic_name, "--partition", "7")
    assert beyond.returncode == 1
    assert f"{topic_name} has no partition 7" in beyond.stderr
    assert "Traceback" not in missing.stderr + beyond.stderr
