"""Restore before work: complete, independent of the other shards, and through every failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.errors import ClusterMismatch, CorruptStore, StateError, TopicReplaced, VersionRefused
from holdfast.kafka.positions import Role
from holdfast.record import TopicPartition
from holdfast.runtime import restore as restore_module
from holdfast.runtime import store as store_module
from holdfast.runtime.claims import Claim, NotRestored, Restored
from holdfast.runtime.known_topics import KnownTopics
from holdfast.runtime.opening import MAX_AGE_S, RestoreSettings
from holdfast.runtime.restore import Restorer
from holdfast.runtime.store import DISCARDED, RocksStore, StoreMemory
from tests.unit.runtime.kit import MemoryReader, MemoryTopics, away, forbidden, wait_until

IN, LOG = "in", "log"
MEMORY = StoreMemory()
_CLOCK = time.time


class Bench:
    """A restorer over topics in memory and real stores."""

    def __init__(self, folder: Path, start: str = "earliest") -> None:
        self.topics = MemoryTopics()
        self.folder = folder
        self.readers: list[MemoryReader] = []
        self._results: list[Restored | NotRestored] = []
        self.asked = 0
        self.admitted = Role.LIVE
        self.refused: Exception | None = None
        self._settings = RestoreSettings(
            (IN,), {"sums": LOG}, folder, start, timeout=5.0, retry=0.01, admit=self._admit
        )
        self.restorer = self._start()

    def _start(self) -> Restorer:
        topics = KnownTopics((IN, LOG), 5.0)
        return Restorer(self._settings, self._connect, MEMORY, topics)  # type: ignore[arg-type]

    def _admit(self, _: object) -> Role:
        self.asked += 1
        if self.refused is not None:
            raise self.refused
        return self.admitted

    def start_anew(self) -> None:
        """A new life of the worker."""
        self.restorer.close()
        self.restorer = self._start()

    def _connect(self) -> MemoryReader:
        self.readers.append(reader := MemoryReader(self.topics))
        return reader

    def changes(self, partition: int, *rows: tuple[bytes, bytes | None] | None) -> None:
        """Append to a shard's changelog; None is a control record."""
        self.topics.log(TopicPartition(LOG, partition)).extend(rows)

    def ask(self, *partitions: int, epoch: int = 1) -> None:
        """Claim shards."""
        for partition in partitions:
            self.restorer.ask(Claim(partition, epoch))

    def result(self) -> Restored | NotRestored:
        """The next answer."""
        wait_until(lambda: not self.restorer.results.empty())
        return self.restorer.results.get()

    def restored(self) -> Restored:
        """The next answer, a good one."""
        result = self.result()
        assert isinstance(result, Restored), result
        return result

    def restored_and_closed(self) -> tuple[int, int]:
        """The shard of the next answer, a good one, and how many records it took."""
        restored = self.restored()
        restored.store.close()
        return restored.claim.partition, restored.records

    def content(self, restored: Restored) -> dict[bytes, bytes]:
        """What a store holds, after which it is closed."""
        content = dict(restored.store.items("sums"))
        restored.store.close()
        return content


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Stores see a later time."""
    now = _CLOCK() + seconds
    monkeypatch.setattr("holdfast.runtime.store.time.time", lambda: now)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench that is closed at the end."""
    bench = Bench(tmp_path)
    yield bench
    bench.restorer.close()


def test_a_shard_gets_the_last_value_of_every_key(bench: Bench) -> None:
    """Control records at the end count as read: done by position, not by the last record seen."""
    bench.changes(0, (b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"b", None), None, None)
    bench.topics.committed[TopicPartition(IN, 0)] = 17
    bench.ask(0)
    restored = bench.restored()
    assert (restored.positions, restored.records) == ({IN: 17}, 4)
    assert restored.store.checkpoint("sums") == 6
    assert bench.content(restored) == {b"a": b"3"}


def test_a_restore_goes_on_from_the_checkpoint(bench: Bench) -> None:
    """Only what came since is read."""
    bench.changes(0, (b"a", b"1"), None)
    bench.ask(0)
    assert bench.content(bench.restored()) == {b"a": b"1"}
    bench.changes(0, (b"b", b"2"), None)
    bench.ask(0, epoch=2)
    restored = bench.restored()
    assert restored.records == 1
    assert bench.content(restored) == {b"a": b"1", b"b": b"2"}


def test_a_checkpoint_beyond_the_end_belongs_to_another_history(bench: Bench) -> None:
    """The changelog was made anew: the local state is thrown away."""
    bench.changes(0, (b"a", b"1"), (b"b", b"2"), None)
    bench.ask(0)
    bench.restored().store.close()
    bench.topics.logs[TopicPartition(LOG, 0)] = [(b"c", b"3")]
    bench.ask(0, epoch=2)
    assert bench.content(bench.restored()) == {b"c": b"3"}


def test_state_of_another_topic_of_the_same_name_is_rebuilt(bench: Bench) -> None:
    """Another cluster, or a changelog made anew that has grown past the checkpoint since."""
    bench.changes(0, (b"a", b"1"), (b"b", b"2"))
    bench.ask(0)
    bench.restored().store.close()
    bench.topics.ids[LOG] = "another"
    bench.topics.logs[TopicPartition(LOG, 0)] = [(b"c", b"3"), (b"d", b"4"), (b"e", b"5")]
    bench.start_anew()
    bench.ask(0)
    assert bench.content(bench.restored()) == {b"c": b"3", b"d": b"4", b"e": b"5"}
    bench.ask(0, epoch=2)
    restored = bench.restored()
    assert restored.records == 0
    restored.store.close()


def test_state_of_an_unknown_history_is_rebuilt(bench: Bench) -> None:
    """A checkpoint without the id of its topic says nothing."""
    store = RocksStore(bench.folder / "0", ["sums"], MEMORY)
    store.apply({"sums": [(b"z", b"0")]}, {"sums": 1})
    store.close()
    bench.changes(0, (b"a", b"1"), (b"b", b"2"))
    bench.ask(0)
    assert bench.content(bench.restored()) == {b"a": b"1", b"b": b"2"}


def test_state_of_another_shard_is_rebuilt(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Folders that were copied back under the wrong number: their offsets fit, their content does not."""
    bench.changes(0, (b"a", b"1"), (b"b", b"2"))
    bench.changes(1, (b"c", b"3"), (b"d", b"4"))
    bench.ask(0, 1)
    for _ in range(2):
        bench.restored().store.close()
    (bench.folder / "0").rename(bench.folder / "aside")
    (bench.folder / "1").rename(bench.folder / "0")
    (bench.folder / "aside").rename(bench.folder / "1")
    bench.start_anew()
    bench.ask(0, 1)
    restored = [bench.restored(), bench.restored()]
    found = {it.claim.partition: (it.records, bench.content(it)) for it in restored}
    assert found == {0: (2, {b"a": b"1", b"b": b"2"}), 1: (2, {b"c": b"3", b"d": b"4"})}
    assert "shard 0: the local state in" in caplog.text
    assert "is that of shard 1; it is rebuilt" in caplog.text


def test_state_that_does_not_say_which_shard_it_is_of_is_rebuilt(bench: Bench) -> None:
    """An earlier version wrote it: it may be the right one, and nobody can tell."""
    bench.changes(0, (b"a", b"1"), (b"b", b"2"))
    bench.ask(0)
    restored = bench.restored()
    restored.store._db.delete(store_module._SHARD)
    restored.store.apply({"sums": [(b"z", b"0")]}, {"sums": 1})
    restored.store.close()
    bench.ask(0, epoch=2)
    assert bench.content(bench.restored()) == {b"a": b"1", b"b": b"2"}


def test_the_ids_of_changelogs_are_asked_for_once_per_batch(bench: Bench) -> None:
    """Not once for each of perhaps hundreds of shards."""
    # The restorer's thread waits inside its first question until all the others have been asked.
    held = threading.Event()
    bench.topics.holds["committed"] = held
    bench.ask(0)
    wait_until(lambda: bench.topics.calls["committed"])
    bench.ask(*range(1, 9))
    held.set()
    for _ in range(9):
        bench.restored().store.close()
    assert bench.topics.calls["topics"] == 2


def test_state_that_is_older_than_deletions_are_kept_is_rebuilt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deletion that was compacted away meanwhile would never be seen."""
    bench.changes(0, (b"a", b"1"), (b"b", b"2"))
    bench.ask(0)
    bench.restored().store.close()
    later(monkeypatch, MAX_AGE_S + 60)
    # Compaction: `a` was deleted, and the deletion is gone as well; its offsets stay.
    bench.topics.logs[TopicPartition(LOG, 0)] = [None, (b"b", b"2"), None, None]
    bench.ask(0, epoch=2)
    assert bench.content(bench.restored()) == {b"b": b"2"}


def test_state_does_not_grow_younger_by_a_restore_that_was_cut_short(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that come and go write to the folder, and never see the deletion."""
    bench.changes(0, (b"a", b"1"), (b"b", b"2"))
    bench.ask(0)
    bench.restored().store.close()
    bench.changes(0, (b"c", b"3"), None, (b"c", b"4"))
    bench.topics.open_from[TopicPartition(LOG, 0)] = 4
    later(monkeypatch, MAX_AGE_S - 60)
    bench.ask(0, epoch=2)
    wait_until(lambda: bench.restorer.progress() and bench.restorer.progress()[0].done == 2)
    bench.restorer.cancel(0)
    wait_until(lambda: not bench.restorer.progress())
    later(monkeypatch, MAX_AGE_S + 60)
    del bench.topics.open_from[TopicPartition(LOG, 0)]
    bench.topics.logs[TopicPartition(LOG, 0)] = [None, (b"b", b"2"), None, None, (b"c", b"4")]
    bench.ask(0, epoch=3)
    assert bench.content(bench.restored()) == {b"b": b"2", b"c": b"4"}


def test_state_that_ends_before_the_first_kept_offset_is_rebuilt(bench: Bench) -> None:
    """Whatever was in the gap is not known, deletions among it."""
    bench.changes(0, (b"a", b"1"), (b"b", b"2"))
    bench.ask(0)
    bench.restored().store.close()
    bench.changes(0, (b"a", None), (b"c", b"3"))
    bench.topics.firsts[TopicPartition(LOG, 0)] = 3
    bench.ask(0, epoch=2)
    assert bench.content(bench.restored()) == {b"c": b"3"}


@pytest.mark.parametrize(("start", "position"), [("earliest", 0), ("latest", 3)])
def test_a_group_without_offsets_begins_as_declared(tmp_path: Path, start: str, position: int) -> None:
    """At the first record or after the last."""
    bench = Bench(tmp_path, start)
    bench.topics.log(TopicPartition(IN, 0)).extend([(b"k", b"v")] * 3)
    bench.ask(0)
    restored = bench.restored()
    assert restored.positions == {IN: position}
    restored.store.close()
    bench.restorer.close()


def test_an_open_transaction_on_the_changelog_is_waited_for(bench: Bench) -> None:
    """Its offsets may be committed already: markers reach partitions one after another.

    A predecessor's commit is final when the coordinator has decided it. The group's offset may show it
    while the changelog's last stable offset does not yet.
    """
    bench.changes(0, (b"a", b"1"), None, (b"a", b"2"))
    bench.topics.open_from[TopicPartition(LOG, 0)] = 2
    bench.ask(0)
    wait_until(lambda: bench.restorer.progress() and bench.restorer.progress()[0].done == 2)
    assert bench.restorer.results.empty()
    bench.changes(0, None)
    del bench.topics.open_from[TopicPartition(LOG, 0)]
    assert bench.content(bench.restored()) == {b"a": b"2"}


@pytest.mark.parametrize(
    "call", ["connect", "committed", "topics", "bounds", "high_watermark", "start", "read", "stop"]
)
def test_brokers_that_do_not_answer_are_asked_again(bench: Bench, call: str) -> None:
    """Whatever the call, every shard is answered for exactly once, completely."""
    for partition in range(3):
        bench.changes(partition, (b"a", b"1"), (b"b", b"2"), (b"c", b"3"))
    # The second call of its kind fails, so that the first shard may have got through.
    bench.topics.faults[call] = [away()] if call == "connect" else [None, away(), None, away()]
    bench.ask(0, 1, 2)
    restored = [bench.restored() for _ in range(3)]
    assert sorted(result.claim.partition for result in restored) == [0, 1, 2]
    assert all(len(bench.content(result)) == 3 for result in restored)
    bench.ask(7)
    assert bench.restored().claim.partition == 7
    assert bench.restorer.results.empty()


@pytest.mark.parametrize("call", ["committed", "topics", "bounds", "high_watermark"])
def test_a_question_that_fails_for_one_shard_leaves_the_others_under_restore(bench: Bench, call: str) -> None:
    """Hours of reading may be behind them."""
    bench.changes(0, *[(f"{i}".encode(), b"v") for i in range(50)])
    bench.changes(1, (b"a", b"1"))
    bench.topics.open_from[TopicPartition(LOG, 0)] = 40
    bench.ask(0)
    wait_until(lambda: bench.restorer.progress() and bench.restorer.progress()[0].done == 40)
    bench.topics.faults[call] = [away(), away()]
    bench.ask(1)
    assert bench.restored_and_closed() == (1, 1)
    assert [p.done for p in bench.restorer.progress()] == [40]
    del bench.topics.open_from[TopicPartition(LOG, 0)]
    assert bench.restored_and_closed() == (0, 50)
    assert len(bench.readers) == 1
    assert bench.restorer.results.empty()


@pytest.mark.parametrize("call", ["connect", "topics", "committed", "high_watermark", "read"])
def test_what_only_a_person_can_change_is_answered_instead_of_tried_for_ever(bench: Bench, call: str) -> None:
    """The user may describe the changelog, say, but not read it: the worker would look healthy."""
    bench.changes(0, (b"a", b"1"))
    bench.topics.faults[call] = [forbidden("reading log[0]") for _ in range(1_000)]
    bench.ask(0)
    result = bench.result()
    assert isinstance(result, NotRestored)
    assert "reading log[0]: this user lacks the right" in str(result.error)
    del bench.topics.faults[call]
    bench.ask(1)
    assert bench.restored().claim.partition == 1


def test_a_lasting_error_of_one_claim_leaves_the_others_under_restore(bench: Bench) -> None:
    """They have begun, and may end."""
    bench.changes(0, *[(f"{i}".encode(), b"v") for i in range(50)])
    bench.topics.open_from[TopicPartition(LOG, 0)] = 40
    bench.ask(0)
    wait_until(lambda: bench.restorer.progress() and bench.restorer.progress()[0].done == 40)
    bench.topics.faults["committed"] = [forbidden("reading committed offsets")]
    bench.ask(1)
    result = bench.result()
    assert isinstance(result, NotRestored)
    assert result.claim.partition == 1
    del bench.topics.open_from[TopicPartition(LOG, 0)]
    assert bench.restored_and_closed() == (0, 50)


def test_a_claim_that_waits_is_told_with_the_reason(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that hangs hides the positions, and everything else is answered."""
    monkeypatch.setattr(restore_module, "PROBE_AFTER_S", 0.0)
    monkeypatch.setattr(restore_module, "PROBE_EVERY_S", 0.0)
    bench.topics.faults["committed"] = [away() for _ in range(100_000)]
    bench.ask(0)
    wait_until(lambda: any(one.answered for one in bench.restorer.waiting()))
    (waiting,) = bench.restorer.waiting()
    assert (waiting.partition, waiting.why) == (0, "no answer")
    assert waiting.answered < time.monotonic() - waiting.since
    del bench.topics.faults["committed"]
    bench.restored()
    assert bench.restorer.waiting() == ()


@pytest.mark.parametrize("call", ["unstable", "high_watermark"])
def test_while_a_broker_is_away_a_claim_waits_and_no_broker_counts_as_answering(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The group's coordinator, or the leader of a partition: it may be away for hours."""
    monkeypatch.setattr(restore_module, "PROBE_AFTER_S", 0.0)
    monkeypatch.setattr(restore_module, "PROBE_EVERY_S", 0.0)
    bench.topics.faults["committed"] = [away() for _ in range(100_000)]
    bench.topics.faults[call] = [away() for _ in range(100_000)]
    bench.ask(0)
    wait_until(lambda: bench.topics.calls[call] >= 2)
    assert [one.answered for one in bench.restorer.waiting()] == [0.0]
    del bench.topics.faults[call]
    wait_until(lambda: bench.restorer.waiting()[0].answered)
    bench.topics.faults[call] = [away() for _ in range(100_000)]
    wait_until(lambda: not bench.restorer.waiting()[0].answered)


def test_a_short_wait_costs_no_further_questions(bench: Bench) -> None:
    """A coordinator that moves is found again within seconds, and the restore is not to be slower for it."""
    bench.topics.faults["committed"] = [away() for _ in range(5)]
    bench.ask(0)
    bench.restored()
    assert bench.topics.calls["unstable"] == 0


def test_a_restore_that_has_moved_on_has_not_waited_since_before(bench: Bench) -> None:
    """A connection that breaks every few minutes of a restore of hours is no standstill."""
    bench.changes(0, *[(f"{i}".encode(), b"v") for i in range(50)])
    bench.topics.open_from[TopicPartition(LOG, 0)] = 4
    bench.topics.faults["read"] = [away(), None, None, *[away() for _ in range(100_000)]]
    bench.ask(0)
    wait_until(bench.restorer.waiting)
    first = bench.restorer.waiting()[0].since
    wait_until(lambda: bench.topics.calls["read"] > 4 and bench.restorer.waiting())
    assert bench.restorer.waiting()[0].since > first


def test_a_cancelled_claim_waits_no_longer(bench: Bench) -> None:
    """The group gave it to another worker."""
    bench.topics.faults["committed"] = [away() for _ in range(100_000)]
    bench.ask(0)
    wait_until(bench.restorer.waiting)
    bench.restorer.cancel(0)
    assert bench.restorer.waiting() == ()


def test_a_shard_that_was_answered_is_not_restored_again_by_anothers_failure(bench: Bench) -> None:
    """Its store is in use by then: opening it twice would fail a running shard."""
    bench.topics.faults["bounds"] = [None, None, away(), away()]
    bench.ask(0, 1, 2)
    results = [bench.result() for _ in range(3)]
    assert sorted(result.claim.partition for result in results) == [0, 1, 2]
    assert all(isinstance(result, Restored) for result in results)
    assert bench.restorer.results.empty()


def test_one_store_that_cannot_be_written_fails_its_own_shard_only(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go on."""
    write = RocksStore.apply

    def apply(store: RocksStore, *arguments: object, **options: bool) -> None:
        if store.path.name == "1":
            raise StateError("the disk is full")
        write(store, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(RocksStore, "apply", apply)
    for partition in range(3):
        bench.changes(partition, (b"a", b"1"), (b"b", b"2"), (b"c", b"3"))
    bench.ask(0, 1, 2)
    results = {result.claim.partition: result for result in (bench.result() for _ in range(3))}
    assert {p: type(r) for p, r in results.items()} == {0: Restored, 1: NotRestored, 2: Restored}
    assert bench.restorer.results.empty()


def test_a_store_that_turns_out_corrupt_under_way_is_rebuilt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening a store reads little of it; damage may show later."""
    read, faults = RocksStore.checkpoint, [CorruptStore("block checksum mismatch")]

    def checkpoint(store: RocksStore, table: str) -> int | None:
        if faults:
            raise faults.pop()
        return read(store, table)

    bench.changes(0, (b"a", b"1"))
    bench.ask(0)
    bench.restored().store.close()
    monkeypatch.setattr(RocksStore, "checkpoint", checkpoint)
    bench.ask(0, epoch=2)
    restored = bench.restored()
    assert restored.records == 1
    assert bench.content(restored) == {b"a": b"1"}


@pytest.mark.parametrize("pattern", ["MANIFEST-*", "*.sst"])
def test_a_damaged_folder_is_rebuilt_from_the_whole_changelog(bench: Bench, pattern: str) -> None:
    """Its checkpoint is worth nothing any more."""
    bench.changes(0, (b"a", b"1"), (b"b", b"2"), (b"a", b"3"))
    bench.ask(0)
    bench.restored().store.close()
    files = list((bench.folder / "0").glob(pattern))
    assert files
    for file in files:
        data = bytearray(file.read_bytes())
        assert len(data) > 40
        data[30:] = bytes([255]) * (len(data) - 30)
        file.write_bytes(data)
    bench.ask(0, epoch=2)
    restored = bench.restored()
    assert (restored.records, restored.store.checkpoint("sums")) == (3, 3)
    assert bench.content(restored) == {b"a": b"3", b"b": b"2"}


def test_what_is_left_of_discarded_stores_is_deleted_at_the_start(tmp_path: Path) -> None:
    """A kill may have come in the middle of a deletion."""
    left = tmp_path / f"{DISCARDED}0-1"
    left.mkdir()
    (left / "000009.sst").write_bytes(b"half")
    bench = Bench(tmp_path)
    bench.ask(0)
    bench.restored().store.close()
    bench.restorer.close()
    assert not left.exists()


def test_an_unforeseen_error_is_answered_and_does_not_end_the_restorer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that waits for an answer that never comes would look healthy and do nothing."""
    bench.topics.faults["read"] = [RuntimeError("unforeseen")]
    bench.changes(0, (b"a", b"1"))
    bench.ask(0)
    result = bench.result()
    assert isinstance(result, NotRestored)
    assert "unforeseen" in str(result.error)
    bench.ask(0, epoch=2)
    bench.restored().store.close()


def test_a_cancelled_shard_gets_no_answer(bench: Bench) -> None:
    """Its store is free for the next claim."""
    bench.changes(0, *[(f"{i}".encode(), b"v") for i in range(200)])
    bench.topics.open_from[TopicPartition(LOG, 0)] = 100
    bench.ask(0)
    wait_until(lambda: bench.restorer.progress() and bench.restorer.progress()[0].done == 100)
    bench.restorer.cancel(0)
    bench.ask(0, epoch=2)
    del bench.topics.open_from[TopicPartition(LOG, 0)]
    restored = bench.restored()
    assert restored.claim.epoch == 2
    assert len(bench.content(restored)) == 200
    assert bench.restorer.results.empty()


@pytest.mark.parametrize("topic", [IN, LOG])
@pytest.mark.parametrize("claimed", [True, False])
def test_topics_made_anew_under_a_running_worker_end_it(
    bench: Bench, topic: str, claimed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clients remember the old ones: a worker that went on owned its shards and handled nothing."""
    monkeypatch.setattr("holdfast.runtime.known_topics.LOOK_S", 3600.0 if claimed else 0.05)
    bench.changes(0, (b"a", b"1"))
    bench.ask(0)
    bench.restored_and_closed()
    assert bench.restorer.ended is None
    bench.topics.ids[topic] = "made anew"
    if claimed:
        bench.ask(0, epoch=2)
    wait_until(lambda: bench.restorer.ended)
    assert isinstance(bench.restorer.ended, TopicReplaced)
    assert topic in str(bench.restorer.ended)
    assert bench.restorer.results.empty()


def test_a_look_at_the_topics_that_is_not_answered_changes_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brokers are away now and then."""
    monkeypatch.setattr("holdfast.runtime.known_topics.LOOK_S", 0.02)
    bench.changes(0, (b"a", b"1"))
    bench.ask(0)
    bench.restored_and_closed()
    before = bench.topics.calls["topics"]
    bench.topics.faults["topics"] = [away(), away()]
    wait_until(lambda: bench.topics.calls["topics"] >= before + 4)
    bench.ask(0, epoch=2)
    bench.restored_and_closed()
    assert bench.restorer.ended is None


def test_no_shard_of_an_input_that_has_grown_is_restored(bench: Bench) -> None:
    """Its keys come to other shards now: those that have a changelog, too, have the state of others."""
    bench.topics.partitions |= {IN: 4, LOG: 2}
    bench.changes(1, (b"a", b"1"))
    bench.ask(1, 2)
    for _ in range(2):
        result = bench.result()
        assert isinstance(result, NotRestored)
        assert isinstance(result.error, ClusterMismatch)
        assert f"no partition 3 of {LOG}: the number of partitions was changed" in str(result.error)


def test_each_shard_is_what_its_positions_say(bench: Bench) -> None:
    """Nobody is asked for those that tell it, whatever `start` says."""
    bench.topics.roles = {TopicPartition(IN, 0): Role.SHADOW, TopicPartition(IN, 1): Role.LIVE}
    bench.ask(0, 1)
    found = {}
    for _ in range(2):
        restored = bench.restored()
        restored.store.close()
        found[restored.claim.partition] = restored.shadow
    assert (found, bench.asked) == ({0: True, 1: False}, 0)


def test_a_shard_that_nothing_is_known_of_is_admitted_first(bench: Bench) -> None:
    """Then it is live; else the worker ends with the reason, and nothing was opened."""
    bench.topics.roles = {TopicPartition(IN, 0): Role.UNKNOWN}
    bench.ask(0)
    restored = bench.restored()
    restored.store.close()
    assert (restored.shadow, bench.asked) == (False, 1)
    bench.refused = VersionRefused("another one is live")
    bench.start_anew()
    bench.ask(0, epoch=2)
    wait_until(lambda: bench.restorer.ended is not None)
    with pytest.raises(VersionRefused, match="another one is live"):
        bench.restorer.confirm_topics()
    assert bench.restorer.results.empty()


def test_a_partition_without_a_role_has_that_of_the_others(bench: Bench) -> None:
    """Another tool has set its position, or the input has grown: a shadow stays one."""
    bench.topics.roles = {TopicPartition(IN, 0): Role.UNKNOWN}
    bench.admitted = Role.SHADOW
    bench.ask(0)
    restored = bench.restored()
    restored.store.close()
    assert restored.shadow


def test_a_retired_version_ends(bench: Bench) -> None:
    """With all of its shards, and without asking anybody."""
    bench.topics.roles = {TopicPartition(IN, 1): Role.RETIRED}
    bench.ask(1, 0)  # the other way round, the first may be restored before the second is asked about
    wait_until(lambda: bench.restorer.ended is not None)
    assert "is retired" in str(bench.restorer.ended)
    assert (bench.restorer.results.empty(), bench.asked) == (True, 0)
