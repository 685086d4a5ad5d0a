"""Standbys: changelogs of other workers' shards are followed, and a claim begins with what is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.errors import StateError
from holdfast.record import TopicPartition
from holdfast.runtime.claims import Claim, Restored
from holdfast.runtime.known_topics import KnownTopics
from holdfast.runtime.opening import RestoreSettings
from holdfast.runtime.peers import Peers
from holdfast.runtime.restore import Restorer
from holdfast.runtime.standby import StandbyStatus
from holdfast.runtime.store import RocksStore, StoreMemory
from tests.unit.runtime.kit import MemoryReader, MemoryTopics, away, member, wait_until

IN, LOG = "in", "log"
MEMORY = StoreMemory()


class Bench:
    """The restorer of worker `me`, beside a worker `other` that owns shards 0 and 1."""

    def __init__(self, folder: Path) -> None:
        self.topics = MemoryTopics()
        self.topics.members = [member("me", IN), member("other", IN, 0, 1)]
        self.readers: list[MemoryReader] = []
        self.folder = folder
        self.peers = Peers("group", "me", 4, 5.0)
        self.restorer = Restorer(
            RestoreSettings((IN,), {"sums": LOG}, folder, "earliest", timeout=5.0, retry=0.01, standby=1),
            self._connect,  # type: ignore[arg-type]
            MEMORY,
            KnownTopics((IN, LOG), 5.0),
            self.peers,
        )

    def _connect(self) -> MemoryReader:
        self.readers.append(reader := MemoryReader(self.topics))
        return reader

    def changes(self, partition: int, *rows: tuple[bytes, bytes | None] | None) -> None:
        """Append to a shard's changelog; None is a control record."""
        self.topics.log(TopicPartition(LOG, partition)).extend(rows)

    def begin(self) -> None:
        """Own a shard of its own, with which the topics' ids become known."""
        self.restorer.ask(Claim(2, 1))
        self.restored().store.close()

    def until_warm(self, shards: int = 2) -> None:
        """Wait until shards are kept warm, and behind in nothing."""
        wait_until(lambda: self.restorer.standbys == StandbyStatus(shards, 0))

    def until_followed(self, partition: int) -> None:
        """Wait until all that is in a shard's changelog is in its standby."""
        place = TopicPartition(LOG, partition)
        wait_until(lambda: self.readers[-1].position(place) == len(self.topics.log(place)))
        asked = self.topics.calls["ask_group"]
        # What was read is written before the group is asked for again.
        wait_until(lambda: self.topics.calls["ask_group"] > asked)

    def restored(self) -> Restored:
        """The next answer, a good one."""
        wait_until(lambda: not self.restorer.results.empty())
        result = self.restorer.results.get()
        assert isinstance(result, Restored), result
        return result

    def content(self, restored: Restored) -> dict[bytes, bytes]:
        """What a store holds, after which it is closed."""
        content = dict(restored.store.items("sums"))
        restored.store.close()
        return content


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A bench that is closed at the end."""
    monkeypatch.setattr("holdfast.runtime.peers.LOOK_S", 0.02)
    monkeypatch.setattr("holdfast.runtime.standby.RETRY_S", 0.02)
    bench = Bench(tmp_path)
    yield bench
    bench.restorer.close()


def test_a_claim_of_a_warm_shard_reads_only_the_tail(bench: Bench) -> None:
    """What came before was read while another worker owned it."""
    bench.changes(0, *[(f"{i}".encode(), b"1") for i in range(20)], None)
    bench.begin()
    bench.until_warm()
    bench.until_followed(0)
    bench.topics.open_from[TopicPartition(LOG, 0)] = 21
    bench.changes(0, (b"5", b"2"), None)
    bench.restorer.ask(Claim(0, 2))
    wait_until(lambda: bench.restorer.progress() and bench.restorer.progress()[0].total == 2)
    del bench.topics.open_from[TopicPartition(LOG, 0)]
    restored = bench.restored()
    assert restored.records == 1
    assert bench.content(restored) == {f"{i}".encode(): b"2" if i == 5 else b"1" for i in range(20)}


def test_the_store_says_in_the_end_how_far_it_is(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the last marker too: or it would seem to be behind for as long as nothing changes."""
    monkeypatch.setattr("holdfast.runtime.standby.COMPLETE_S", 0.2)
    bench.begin()
    bench.until_warm()
    for number in range(5):
        bench.changes(0, (b"a", b"%d" % number), None)
        bench.until_followed(0)

    def noted() -> int | None:
        store = RocksStore(bench.folder / "0", ["sums"], MEMORY, read_only=True)
        try:
            return store.checkpoint("sums")
        finally:
            store.close()

    wait_until(lambda: noted() == 10)


def test_uncommitted_changes_are_not_followed(bench: Bench) -> None:
    """An open transaction may be aborted."""
    bench.changes(0, (b"a", b"1"), None, (b"a", b"2"))
    bench.topics.open_from[TopicPartition(LOG, 0)] = 2
    bench.begin()
    wait_until(lambda: bench.restorer.standbys == StandbyStatus(2, 1))
    # The transaction is aborted: its record is never handed out.
    bench.topics.logs[TopicPartition(LOG, 0)][2] = None
    bench.changes(0, None)
    del bench.topics.open_from[TopicPartition(LOG, 0)]
    bench.until_warm()
    bench.restorer.ask(Claim(0, 2))
    assert bench.content(bench.restored()) == {b"a": b"1"}


def test_a_shard_that_goes_back_to_another_worker_is_followed_again(bench: Bench) -> None:
    """From its checkpoint; its store must be closed before."""
    bench.changes(0, (b"a", b"1"), None)
    bench.begin()
    bench.until_warm()
    bench.restorer.ask(Claim(0, 2))
    restored = bench.restored()
    bench.until_warm(1)
    restored.store.close()
    bench.restorer.cancel(0)
    bench.restorer.released(0)
    bench.until_warm(2)
    bench.changes(0, (b"b", b"2"), None)
    bench.until_followed(0)
    bench.restorer.ask(Claim(0, 3))
    again = bench.restored()
    assert again.records == 0
    assert bench.content(again) == {b"a": b"1", b"b": b"2"}


def test_standbys_follow_the_group(bench: Bench) -> None:
    """Those that somebody else would inherit are let go; while the group changes, nothing is."""
    bench.begin()
    bench.until_warm()
    bench.topics.group_state = "preparing_rebalancing"
    bench.topics.members = [member("me", IN), member("other", IN)]
    asked = bench.topics.calls["ask_group"]
    wait_until(lambda: bench.topics.calls["ask_group"] > asked + 3)
    assert bench.restorer.standbys.shards == 2
    bench.topics.group_state = "stable"
    bench.topics.members = [member("me", IN, 2, 3), member("other", IN, 1), member("third", IN, 0)]
    wait_until(lambda: bench.restorer.standbys.shards == 0)


@pytest.mark.parametrize("call", ["read", "bounds", "high_watermark", "ask_group", "start", "committed"])
def test_brokers_that_do_not_answer_cost_no_standby(bench: Bench, call: str) -> None:
    """They are followed again when there are brokers, and claims are answered."""
    bench.changes(0, (b"a", b"1"), None)
    bench.begin()
    bench.until_warm()
    bench.topics.faults[call] = [away(), None, away()]
    bench.changes(0, (b"b", b"2"), None)
    bench.restorer.ask(Claim(0, 2))
    assert bench.content(bench.restored()) == {b"a": b"1", b"b": b"2"}
    bench.changes(1, (b"c", b"1"), None)
    bench.until_warm(1)
    bench.until_followed(1)


def test_a_standby_whose_changelog_was_emptied_is_rebuilt(bench: Bench) -> None:
    """What lies between its position and the first offset that is kept is not known."""
    bench.changes(0, (b"a", b"1"), (b"b", b"1"), None)
    bench.begin()
    bench.until_warm()
    bench.topics.open_from[TopicPartition(LOG, 0)] = 3
    bench.changes(0, (b"a", None), (b"c", b"3"))
    bench.topics.firsts[TopicPartition(LOG, 0)] = 4
    bench.restorer.ask(Claim(0, 2))
    wait_until(bench.restorer.progress)
    del bench.topics.open_from[TopicPartition(LOG, 0)]
    assert bench.content(bench.restored()) == {b"c": b"3"}


def test_a_standby_that_cannot_be_written_is_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It harms nobody else."""
    apply, faults = RocksStore.apply, [StateError("the disk is full")]

    def failing(store: RocksStore, *arguments: object, **options: bool) -> None:
        if store.path.name == "0" and faults:
            raise faults.pop()
        apply(store, *arguments, **options)  # type: ignore[arg-type]

    bench.begin()
    bench.until_warm()
    monkeypatch.setattr(RocksStore, "apply", failing)
    bench.changes(0, (b"a", b"1"), None)
    wait_until(lambda: not faults)
    bench.until_warm()
    bench.restorer.ask(Claim(0, 2))
    assert bench.content(bench.restored()) == {b"a": b"1"}


def test_without_standbys_nobody_is_followed(tmp_path: Path) -> None:
    """The default."""
    bench = Bench(tmp_path)
    bench.restorer.close()
    peers = Peers("group", "me", 4, 5.0)
    settings = RestoreSettings((IN,), {"sums": LOG}, tmp_path / "none", "earliest", timeout=5.0)
    reader = MemoryReader(bench.topics)
    restorer = Restorer(settings, lambda: reader, MEMORY, KnownTopics((IN, LOG), 5.0), peers)  # type: ignore[arg-type,return-value]
    restorer.ask(Claim(2, 1))
    wait_until(lambda: not restorer.results.empty())
    restorer.results.get().store.close()  # type: ignore[union-attr]
    wait_until(lambda: peers.owners)
    assert restorer.standbys == StandbyStatus()
    restorer.close()
