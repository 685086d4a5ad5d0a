"""Changelogs that have stopped other stream processors: each restore ends right, or says what to do.

Every test names threads of users whom it would have served. F is faust-streaming/faust, R is robinhood/faust,
Q is quixio/quix-streams, all on GitHub.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer
from confluent_kafka import Producer as Client
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient

from holdfast.errors import ClusterMismatch
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.reader import PartitionReader, reader_settings
from holdfast.kafka.settings import consumer_config
from holdfast.local.cluster import EmbeddedCluster
from holdfast.record import TopicPartition
from holdfast.runtime.claims import Claim, NotRestored, Restored
from holdfast.runtime.known_topics import KnownTopics
from holdfast.runtime.opening import RestoreSettings
from holdfast.runtime.restore import Restorer
from holdfast.runtime.status import INTERVAL_S
from holdfast.runtime.store import StoreMemory
from holdfast.topology import TopicSpec
from tests.conftest import TestCluster
from tests.support.application import Application
from tests.support.events import Added
from tests.support.fold import assert_exactly_once
from tests.support.quotas import limit_reading
from tests.support.segments import segments
from tests.unit.runtime.kit import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

# Compaction alone would refuse to delete records from the front.
CHANGELOG = {"cleanup.policy": "compact,delete", "min.cleanable.dirty.ratio": "0.01"}
# Each append begins a new segment, and all but the last one are compacted, deletions included.
COMPACTED_SOON = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.0",
    "segment.ms": "1",
    "delete.retention.ms": "0",
}
MEMORY = StoreMemory()
Rows = dict[bytes, bytes]


class Rack:
    """A changelog on real brokers, and a restorer of its shard."""

    def __init__(self, servers: str, name: str, folder: Path, config: Mapping[str, str] = CHANGELOG) -> None:
        self.servers = servers
        self._config = config
        self.input, self.log = f"{name}.in", f"{name}.log"
        self.place = TopicPartition(self.log, 0)
        self._folder = folder
        self._epoch = 0
        self.admin = AdminClient({"bootstrap.servers": servers})
        self.create(self.input, self.log)
        self.commit_position()
        self._writers = 0
        self.restorer = self._start()

    def create(self, *topics: str, partitions: int = 1) -> None:
        """Create topics."""
        TopicAdmin(self.servers).create([TopicSpec(topic, partitions, 3, self._config) for topic in topics])

    def _start(self) -> Restorer:
        settings = self._reader_settings()
        return Restorer(
            RestoreSettings((self.input,), {"sums": self.log}, self._folder, "earliest", timeout=10.0),
            lambda: PartitionReader(settings),
            MEMORY,
            KnownTopics((self.input, self.log), 10.0),
        )

    def _reader_settings(self) -> dict[str, Any]:
        return reader_settings(consumer_config(self.servers, f"{self.log}.group", start="error"))

    def commit_position(self) -> None:
        """Have the group stand at the begin of its input, as one that has worked does."""
        settings = consumer_config(self.servers, f"{self.log}.group", start="error")
        member = Consumer(settings)
        try:
            member.commit(offsets=[ClientPartition(self.input, 0, 0)], asynchronous=False)
        finally:
            member.close()

    def start_anew(self) -> None:
        """A new life of the worker."""
        self.restorer.close()
        self.restorer = self._start()

    def writer(self, timeout_ms: int = 60_000) -> Client:
        """A transactional producer of its own."""
        self._writers += 1
        name = f"{self.log}.{self._writers}"
        client = Client(
            {
                "bootstrap.servers": self.servers,
                "transactional.id": name,
                "transaction.timeout.ms": timeout_ms,
                "delivery.timeout.ms": timeout_ms,
            }
        )
        client.init_transactions(20)
        return client

    def write(self, rows: dict[bytes, bytes | None], *, abort: bool = False) -> None:
        """Write rows in one transaction, and commit or abort it."""
        client = self.begin(rows)
        if abort:
            client.abort_transaction(20)
        else:
            client.commit_transaction(20)

    def begin(self, rows: dict[bytes, bytes | None], timeout_ms: int = 60_000) -> Client:
        """Write rows in a transaction that stays open."""
        client = self.writer(timeout_ms)
        client.begin_transaction()
        for key, value in rows.items():
            client.produce(self.log, value, key, 0)
        assert client.flush(20) == 0
        return client

    def delete_before(self, offset: int) -> None:
        """Delete records from the front, as retention does; -1 deletes all."""
        answers = self.admin.delete_records([ClientPartition(self.log, 0, offset)])
        for answer in answers.values():
            answer.result(20)

    def offsets(self) -> tuple[list[int], int]:
        """Where the changelog has records, those of aborted transactions included, and its end."""
        settings = self._reader_settings() | {"isolation.level": "read_uncommitted"}
        found: list[int] = []
        with closing(PartitionReader(settings)) as reader:
            reader.start({self.place: 0})
            ends: dict[TopicPartition, int] = {}
            while not ends:
                records, ends = reader.read(10_000, 5.0)
                found += [record.offset() for record in records]
        return found, ends[self.place]

    def ask(self) -> None:
        """Claim the shard."""
        self._epoch += 1
        self.restorer.ask(Claim(0, self._epoch))

    def answer(self, within: float = 20.0) -> Restored | NotRestored:
        """The restorer's next answer."""
        wait_until(lambda: not self.restorer.results.empty(), within)
        return self.restorer.results.get()

    def restore(self, within: float = 20.0) -> tuple[Rows, int]:
        """Restore the shard: its rows, and how many changelog records were read for them."""
        self.ask()
        return self.result(within)

    def result(self, within: float = 20.0) -> tuple[Rows, int]:
        """The next answer, a good one: the shard's rows, and how many changelog records were read."""
        found = self.answer(within)
        assert isinstance(found, Restored), found
        rows = dict(found.store.items("sums"))
        found.store.close()
        return rows, found.records


@pytest.fixture
def rack(cluster: TestCluster, unique_name: Callable[[str], str], tmp_path: Path) -> Iterator[Rack]:
    """A rack that is taken down at the end."""
    rack = Rack(cluster.bootstrap_servers, unique_name("rack"), tmp_path / "state")
    yield rack
    rack.restorer.close()


@pytest.fixture(scope="module")
def brokers() -> Iterator[EmbeddedCluster]:
    """Three brokers that nobody else uses: to kill, and to compact soon."""
    with EmbeddedCluster.temporary(overrides={"log.cleaner.backoff.ms": "500"}) as cluster:
        yield cluster


def test_control_records_at_the_end(rack: Rack) -> None:
    """Commit markers take the last offsets: the last record is not at the end. F#47, F#155, Q#1017."""
    rack.write({b"a": b"1", b"b": b"2"})
    for _ in range(3):
        rack.write({b"a": b"1"})
    assert rack.restore() == ({b"a": b"1", b"b": b"2"}, 5)


def test_an_aborted_transaction_at_the_end(rack: Rack) -> None:
    """Its records and its marker are never handed out, but take offsets. F#47, R#658."""
    rack.write({b"a": b"1"})
    rack.write({b"a": b"9", b"z": b"9"}, abort=True)
    assert rack.restore() == ({b"a": b"1"}, 1)


def test_nothing_but_an_aborted_transaction(rack: Rack) -> None:
    """A changelog with offsets and without a single record, as compaction leaves one too. F#176, PR F#373."""
    rack.write({b"a": b"9"}, abort=True)
    assert rack.restore() == ({}, 0)


@pytest.mark.parametrize("commits", [True, False])
def test_an_open_transaction_at_the_end(rack: Rack, commits: bool) -> None:
    """The restore waits for it, since it may be this shard's last commit, and takes it or leaves it."""
    rack.write({b"a": b"1"})
    client = rack.begin({b"a": b"2"})
    rack.ask()
    wait_until(lambda: rack.restorer.progress() and rack.restorer.progress()[0].done == 2)
    assert rack.restorer.results.empty()
    if commits:
        client.commit_transaction(20)
    else:
        client.abort_transaction(20)
    assert rack.result()[0] == {b"a": b"2" if commits else b"1"}


def test_an_open_transaction_of_a_writer_that_is_gone(rack: Rack) -> None:
    """The brokers end it after its time-out; no longer does the restore take."""
    rack.write({b"a": b"1"})
    client = rack.begin({b"a": b"2"}, timeout_ms=1_000)
    del client
    assert rack.restore(within=40) == ({b"a": b"1"}, 1)


def test_a_changelog_that_was_emptied(rack: Rack) -> None:
    """Low and high watermark are the same, and not 0: the record before the end does not exist. F#597."""
    rack.write({b"a": b"1"})
    rack.delete_before(-1)
    assert rack.restore() == ({}, 0)
    rack.write({b"b": b"2"})
    assert rack.restore() == ({b"b": b"2"}, 1)


def test_retention_past_the_checkpoint(rack: Rack) -> None:
    """What lies between is not known, deletions least of all: the state is rebuilt. F#651, Q#1114."""
    rack.write({b"a": b"1", b"b": b"1"})
    assert rack.restore() == ({b"a": b"1", b"b": b"1"}, 2)
    rack.write({b"a": None})
    rack.write({b"c": b"3"})
    rack.delete_before(5)
    assert rack.restore() == ({b"c": b"3"}, 1)


def test_retention_up_to_the_checkpoint(rack: Rack) -> None:
    """Nothing is missing, so nothing is read again. Q#1114."""
    rack.write({b"a": b"1", b"b": b"1"})
    assert rack.restore()[1] == 2
    rack.delete_before(3)
    assert rack.restore() == ({b"a": b"1", b"b": b"1"}, 0)
    rack.write({b"a": None})
    assert rack.restore() == ({b"b": b"1"}, 1)


def test_a_checkpoint_beyond_the_end(rack: Rack) -> None:
    """The changelog was deleted and created again while the worker was away. F#158, R#658, Q#1067."""
    rack.write({b"a": b"1", b"b": b"2"})
    assert rack.restore()[1] == 2
    rack.restorer.close()
    rack.admin.delete_topics([rack.log])[rack.log].result(20)
    wait_until(lambda: rack.log not in rack.admin.list_topics(timeout=10).topics, 20)
    rack.create(rack.log)
    rack.start_anew()
    assert rack.restore(within=40) == ({}, 0)
    rack.write({b"c": b"3"})
    assert rack.restore() == ({b"c": b"3"}, 1)


def test_a_restore_that_is_taken_away_in_the_middle(rack: Rack) -> None:
    """And comes back, twice: it goes on where it was, and answers once. Q PR#1146."""
    rack.write({f"{number}".encode(): b"1" for number in range(500)})
    client = rack.begin({b"a": b"2"})
    for left in (502, 2):
        rack.ask()
        wait_until(lambda: rack.restorer.progress() and rack.restorer.progress()[0].total == left)  # noqa: B023
        wait_until(lambda: rack.restorer.progress()[0].done == left - 1)  # noqa: B023
        rack.restorer.cancel(0)
        wait_until(lambda: not rack.restorer.progress())
    rack.ask()
    wait_until(lambda: rack.restorer.progress() and rack.restorer.progress()[0].total == 2)
    client.commit_transaction(20)
    rows, read = rack.result()
    assert (len(rows), read) == (501, 1)
    assert rack.restorer.results.empty()


def test_a_store_that_cannot_be_read(rack: Rack, tmp_path: Path) -> None:
    """It is thrown away and rebuilt, by itself. F#21, R#147."""
    rack.write({b"a": b"1", b"b": b"2"})
    assert rack.restore()[1] == 2
    for file in (tmp_path / "state" / "0").glob("MANIFEST-*"):
        file.write_bytes(os.urandom(500))
    assert rack.restore() == ({b"a": b"1", b"b": b"2"}, 2)


def test_a_changelog_with_fewer_partitions_than_the_input(rack: Rack, tmp_path: Path) -> None:
    """Somebody created it by hand: there is no place for the shard's state, and the answer says so."""
    narrow = Rack(rack.servers, f"{rack.log}.narrow", tmp_path / "narrow")
    try:
        narrow.restorer.ask(Claim(3, 1))
        found = narrow.answer()
        assert isinstance(found, NotRestored)
        assert isinstance(found.error, ClusterMismatch)
        assert "there is no partition 3 of" in str(found.error)
    finally:
        narrow.restorer.close()


def test_a_large_changelog_is_restored_while_it_grows(rack: Rack) -> None:
    """The end is taken once: a restore that chased a moving end would never be done. F#74, R#218."""
    rack.write({f"{number}".encode(): b"1" for number in range(20_000)})
    client = rack.writer()
    rack.ask()
    deadline = time.monotonic() + 30
    while rack.restorer.results.empty() and time.monotonic() < deadline:
        client.begin_transaction()
        client.produce(rack.log, b"2", b"0", 0)
        client.commit_transaction(20)
    rows, read = rack.result()
    assert len(rows) == 20_000
    assert read >= 20_000


def test_a_tail_that_was_compacted_away(
    brokers: EmbeddedCluster, unique_name: Callable[[str], str], tmp_path: Path
) -> None:
    """All but the oldest records are gone, deletions too: none is left near the end. F#176, PR F#373.

    Brokers never compact the segment that they write to. Here that holds a marker, and no record.
    """
    rack = Rack(brokers.bootstrap_servers, unique_name("rack"), tmp_path / "state", COMPACTED_SOON)
    try:
        rack.write({b"a": b"1", b"b": b"2"})
        doomed = [f"{number}".encode() for number in range(100)]
        rack.write(dict.fromkeys(doomed, b"1"))
        rack.write(dict.fromkeys(doomed))
        _, written = rack.offsets()
        # With a marker for each of the three.
        assert written == 2 + 100 + 100 + 3

        def is_compacted() -> bool:
            kept, _ = rack.offsets()
            if kept != [0, 1] and kept[-1] < written:
                # Deletions go in a second round, and a round needs something new.
                rack.write({b"z": b"9"}, abort=True)
            return kept == [0, 1]

        wait_until(is_compacted, 60)
        kept, end = rack.offsets()
        assert kept == [0, 1]
        assert end >= written
        assert rack.restore() == ({b"a": b"1", b"b": b"2"}, 2)
    finally:
        rack.restorer.close()


@pytest.mark.timeout(240)
def test_a_broker_that_is_lost_in_the_middle_of_a_restore(
    brokers: EmbeddedCluster, unique_name: Callable[[str], str], tmp_path: Path
) -> None:
    """Its worker goes on at the next leader from where it was, and has all. F#523."""
    # In small portions: so the limit makes a slow restore of it, and not one that stands and jumps.
    small = {"compression.type": "none", "batch.size": 10_000, "max.partition.fetch.bytes": 10_000}
    app = Application(
        *(tmp_path, brokers.bootstrap_servers, unique_name("app")),
        topic={"partitions": 1},
        kafka=small,
        # Longer than a broker is missed: the group does not take the shard away meanwhile.
        session_timeout="30s",
    )
    app.provision()
    events = [Added(key=f"k{number}", n=number) for number in range(10_000)]
    app.publish(*events)
    with app.run() as run:
        run.until_drained()
    shutil.rmtree(app.state_folder())
    [file] = segments(brokers, leader(brokers, app.changelog), app.changelog)
    # Half of it is read at once, and the other half takes ten seconds.
    limit_reading(app.servers, app.slot_id("slot-0"), file.stat().st_size // 20)
    with app.run() as run:
        run.until(lambda: 0 < run.views[0].status.restoring < 0.6 * len(events), 40, "half of a restore")
        dead = leader(brokers, app.changelog)
        brokers.kill(dead)
        try:
            # Nobody leads the changelog yet, and what was on its way has come.
            run.let_run(2 * INTERVAL_S)
            assert run.views[0].status.restoring > 0.1 * len(events)
            assert run.running() == 0
            run.until_running(1, within=60)
            assert run.views[0].status.restored == len(events), "not each record, once"
            limit_reading(app.servers, app.slot_id("slot-0"), 2**30)
            app.publish(*events)
            run.until_drained(60)
        finally:
            brokers.start_node(dead)
            brokers.wait_ready(60)
    assert assert_exactly_once(app) == 2 * len(events)


def leader(brokers: EmbeddedCluster, topic: str) -> int:
    """Who leads the only partition of a topic."""
    client = AdminClient({"bootstrap.servers": brokers.bootstrap_servers})
    return int(client.list_topics(topic, timeout=10).topics[topic].partitions[0].leader)
