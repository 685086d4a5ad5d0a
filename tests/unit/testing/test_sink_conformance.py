"""The tests of sinks: a sink that is right passes them all, and each mistake is noticed by the test of it."""

# ruff: noqa: ARG002 - mistakes are made by leaving things out

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from holdfast.errors import SinkDown, SinkFenced, SinkRefused
from holdfast.record import Position, TopicPartition, Write
from holdfast.sinks.base import Refusal, Sink, SinkBatch
from holdfast.testing.sinks import SinkConformance, WithHangs, WithOutages, WithPositions, WithRefusals

TIMEOUT_S = 0.05


@dataclass(frozen=True)
class Entry:
    """What handlers return."""

    key: str
    payload: Any
    is_bad: bool = False


@dataclass
class Kept:
    """What the store keeps of a partition."""

    topic_id: str | None
    position: int = 0
    token: int = 0
    refused: dict[int, str] = field(default_factory=dict)


class Store:
    """A system in memory."""

    def __init__(self) -> None:
        self.entries: dict[str, list[Any]] = {}
        self.kept: dict[object, Kept] = {}
        self.is_away = False
        self.answers = threading.Event()
        self.answers.set()


class StoreSink(Sink):
    """A sink that is right. Its steps are methods, for others to get them wrong."""

    accepts: ClassVar[tuple[type, ...]] = (Entry,)
    can_stop = True

    def __init__(self, store: Store) -> None:
        self.store = store

    def write(self, batch: SinkBatch) -> Sequence[Refusal]:
        self.call()
        kept = {place: self.kept(batch, place) for place in batch.ends}
        for place, there in kept.items():
            self.check_token(there, batch.fences[place], place)
        refusals = self.stopping(batch, kept)
        if refusals:
            return self.told(refusals)
        for position, writes in self.ordered(batch):
            there = kept[TopicPartition(*position[:2])]
            if position.offset < there.position:
                if position.offset in there.refused:
                    refusals.append(self.noted(position, there.refused[position.offset]))
            elif any(write.value.is_bad for write in writes):
                refusals.append(self.refuse(there, position, writes))
            else:
                for write in writes:
                    self.put(write.value)
        for place, end in batch.ends.items():
            kept[place].position = max(end, kept[place].position)
            kept[place].token = batch.fences[place]
        return self.told(refusals)

    def stopping(self, batch: SinkBatch, kept: dict[TopicPartition, Kept]) -> list[Refusal]:
        """The refusals for which nothing is written."""
        positions = [write.position for write in batch.writes if write.value.is_bad]
        bad = [at for at in positions if at.offset >= kept[TopicPartition(*at[:2])].position]
        return [Refusal(at, SinkRefused("it is bad")) for at in bad[: batch.stops_at_refusal]]

    def call(self) -> None:
        """Reach the store."""
        if self.store.is_away:
            raise SinkDown("nobody listens")
        if not self.store.answers.wait(TIMEOUT_S):
            raise SinkDown("no answer in time")

    def kept(self, batch: SinkBatch, place: TopicPartition) -> Kept:
        """What is kept of a partition, for its topic as it is now."""
        topic_id = batch.topic_ids[place.topic]
        there = self.store.kept.setdefault((batch.group, place), Kept(topic_id))
        if there.topic_id != topic_id:
            there.topic_id, there.position, there.refused = topic_id, 0, {}
        return there

    def check_token(self, there: Kept, token: int, place: TopicPartition) -> None:
        if there.token > token:
            raise SinkFenced(f"{place} has a newer owner")

    def ordered(self, batch: SinkBatch) -> list[tuple[Position, list[Write]]]:
        """The writes of each record."""
        records: dict[Position, list[Write]] = {}
        for write in batch.writes:
            records.setdefault(write.position, []).append(write)
        return list(records.items())

    def refuse(self, there: Kept, position: Position, writes: list[Write]) -> Refusal:
        there.refused[position.offset] = "it is bad"
        return Refusal(position, SinkRefused("it is bad"))

    def noted(self, position: Position, why: str) -> Refusal:
        return Refusal(position, SinkRefused(why), is_noted=True)

    def put(self, entry: Entry) -> None:
        self.store.entries.setdefault(entry.key, []).append(entry.payload)

    def told(self, refusals: list[Refusal]) -> list[Refusal]:
        return refusals


class Suite(WithPositions, WithRefusals, WithOutages, WithHangs):
    """All tests, on the store."""

    kind: type[StoreSink] = StoreSink
    timeout_s = TIMEOUT_S
    limit_s = 0.3

    def __init__(self) -> None:
        self.store = Store()

    def sink(self) -> Sink:
        return self.kind(self.store)

    def value(self, key: str, payload: Any) -> Entry:
        return Entry(key, payload)

    def refused(self, key: str) -> Entry:
        return Entry(key, None, is_bad=True)

    def held(self, key: str) -> Sequence[Any]:
        return self.store.entries.get(key, ())

    def stop(self) -> None:
        self.store.is_away = True

    def start(self) -> None:
        self.store.is_away = False

    def freeze(self) -> None:
        self.store.answers.clear()

    def thaw(self) -> None:
        self.store.answers.set()


class TestASinkThatIsRight(Suite):
    """Each of the tests, as pytest runs them."""

    __init__ = object.__init__

    @pytest.fixture(autouse=True)
    def made(self) -> None:
        self.store = Store()


class LastWins(StoreSink):
    """Holds the last of each key, and nothing but that: no positions, no tokens."""

    def kept(self, batch: SinkBatch, place: TopicPartition) -> Kept:
        return Kept(None)

    def put(self, entry: Entry) -> None:
        self.store.entries[entry.key] = [entry.payload]


class TestASinkThatIsIdempotent(WithRefusals):
    """It needs no positions to be right."""

    once = True
    keeps_all = False

    @pytest.fixture(autouse=True)
    def made(self) -> None:
        self.store = Store()

    def sink(self) -> Sink:
        return LastWins(self.store)

    value = Suite.value
    refused = Suite.refused
    held = Suite.held


class Forgetful(StoreSink):
    """Keeps no positions, and appends: at least once."""

    def kept(self, batch: SinkBatch, place: TopicPartition) -> Kept:
        return Kept(None)


class TestASinkThatIsAtLeastOnce(SinkConformance):
    """It claims no more, and is right."""

    @pytest.fixture(autouse=True)
    def made(self) -> None:
        self.store = Store()

    def sink(self) -> Sink:
        return Forgetful(self.store)

    value = Suite.value
    held = Suite.held


class Drops(StoreSink):
    """Forgets the last record of large batches."""

    def ordered(self, batch: SinkBatch) -> list[tuple[Position, list[Write]]]:
        records = super().ordered(batch)
        return records[:-1] if len(records) > 8 else records


class Doubles(StoreSink):
    """Sends it again, as if the answer had been lost."""

    def put(self, entry: Entry) -> None:
        super().put(entry)
        super().put(entry)


class Reorders(StoreSink):
    """Sorts what it sends."""

    def ordered(self, batch: SinkBatch) -> list[tuple[Position, list[Write]]]:
        return super().ordered(batch)[::-1]


class ReordersARecord(StoreSink):
    """Only what was made of one record."""

    def ordered(self, batch: SinkBatch) -> list[tuple[Position, list[Write]]]:
        return [(position, writes[::-1]) for position, writes in super().ordered(batch)]


class Buffers(StoreSink):
    """Writes when it is closed."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.waiting: list[Entry] = []

    def put(self, entry: Entry) -> None:
        self.waiting.append(entry)

    def close(self) -> None:
        for entry in self.waiting:
            super().put(entry)
        self.waiting.clear()


class IgnoresFences(StoreSink):
    """Takes batches of everybody."""

    def check_token(self, there: Kept, token: int, place: TopicPartition) -> None:
        pass


class OneTokenForAll(StoreSink):
    """Compares tokens of different partitions."""

    def check_token(self, there: Kept, token: int, place: TopicPartition) -> None:
        if any(kept.token > token for kept in self.store.kept.values()):
            raise SinkFenced(f"{place} has a newer owner")


class KeepsNoTokenOfNothingNew(StoreSink):
    """Stores its token with records only."""

    def write(self, batch: SinkBatch) -> Sequence[Refusal]:
        before = {place: self.kept(batch, place).token for place in batch.ends}
        is_new = any(self.kept(batch, place).position < end for place, end in batch.ends.items())
        refusals = super().write(batch)
        for place, token in before.items() if not is_new else ():
            self.kept(batch, place).token = token
        return refusals


class RemembersInTheProcess(StoreSink):
    """Keeps the positions in the sink, and not in the store."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.own = Store()

    def kept(self, batch: SinkBatch, place: TopicPartition) -> Kept:
        store, self.store = self.store, self.own
        try:
            return super().kept(batch, place)
        finally:
            self.store = store


class GoesBack(StoreSink):
    """Takes a batch's end for its position, also where it was further."""

    def write(self, batch: SinkBatch) -> Sequence[Refusal]:
        refusals = super().write(batch)
        for place, end in batch.ends.items():
            self.kept(batch, place).position = end
        return refusals


class IgnoresTopicIds(StoreSink):
    """Takes a topic for the one of the same name."""

    def kept(self, batch: SinkBatch, place: TopicPartition) -> Kept:
        return self.store.kept.setdefault((batch.group, place), Kept(None))


class MixesGroups(StoreSink):
    """Takes all groups for one."""

    def kept(self, batch: SinkBatch, place: TopicPartition) -> Kept:
        return self.store.kept.setdefault(place, Kept(batch.topic_ids[place.topic]))


class Blocks(StoreSink):
    """Waits for an answer for ever, or nearly."""

    def call(self) -> None:
        if self.store.is_away:
            raise SinkDown("nobody listens")
        self.store.answers.wait(5)


class RaisesWhatTheClientRaises(StoreSink):
    """Maps no errors."""

    def call(self) -> None:
        if self.store.is_away:
            raise ConnectionRefusedError("nobody listens")
        super().call()


class SwallowsOutages(StoreSink):
    """Tries, and goes on."""

    def write(self, batch: SinkBatch) -> Sequence[Refusal]:
        return () if self.store.is_away else super().write(batch)


class NeverConnectsAgain(StoreSink):
    """Is lost with its first connection."""

    is_lost = False

    def call(self) -> None:
        self.is_lost = self.is_lost or self.store.is_away
        if self.is_lost:
            raise SinkDown("the connection is lost")
        super().call()


class RefusesQuietly(StoreSink):
    """Leaves out what is refused."""

    def told(self, refusals: list[Refusal]) -> list[Refusal]:
        return []


class RefusesTwice(StoreSink):
    """Names a record for each of its writes."""

    def told(self, refusals: list[Refusal]) -> list[Refusal]:
        return refusals * 2


class RefusesHalf(StoreSink):
    """Writes of a refused record what is good."""

    def refuse(self, there: Kept, position: Position, writes: list[Write]) -> Refusal:
        for write in writes:
            if not write.value.is_bad:
                self.put(write.value)
        return super().refuse(there, position, writes)


class ForgetsRefusals(StoreSink):
    """Leaves out what was refused before as if it were written."""

    def refuse(self, there: Kept, position: Position, writes: list[Write]) -> Refusal:
        return Refusal(position, SinkRefused("it is bad"))


class GoesOnBehindRefusals(StoreSink):
    """Writes the rest, and notes its position behind it, where it should stop."""

    def stopping(self, batch: SinkBatch, kept: dict[TopicPartition, Kept]) -> list[Refusal]:
        return []


class TakesNotesForNews(StoreSink):
    """Tells what was refused before as if it were refused now."""

    def noted(self, position: Position, why: str) -> Refusal:
        return Refusal(position, SinkRefused(why))


class RaisesRefusals(StoreSink):
    """Fails, for one record, with all the others."""

    def refuse(self, there: Kept, position: Position, writes: list[Write]) -> Refusal:
        raise SinkRefused("it is bad")


class MakesTextOfAll(StoreSink):
    """Python's own text of a value."""

    def put(self, entry: Entry) -> None:
        super().put(Entry(entry.key, str(entry.payload)))


class MakesDoubles(StoreSink):
    """As JSON in other languages does."""

    def put(self, entry: Entry) -> None:
        is_number = isinstance(entry.payload, int) and not isinstance(entry.payload, bool)
        super().put(Entry(entry.key, int(float(entry.payload)) if is_number else entry.payload))


class ClosesOnce(StoreSink):
    """Lets go of what it has let go of."""

    is_closed = False

    def close(self) -> None:
        if self.is_closed:
            raise ValueError("it is closed")
        self.is_closed = True


class FailsWithoutWrites(StoreSink):
    """Looks at the first write."""

    def ordered(self, batch: SinkBatch) -> list[tuple[Position, list[Write]]]:
        assert batch.writes[0] is not None
        return super().ordered(batch)


class AcceptsAList(StoreSink):
    """No tuple of classes."""

    accepts = [Entry]  # type: ignore[assignment] # noqa: RUF012


class ReturnsNothing(StoreSink):
    """Forgets its `return`."""

    def told(self, refusals: list[Refusal]) -> Any:
        return None


MISTAKES: dict[type[StoreSink], tuple[str, str]] = {
    Drops: ("what_write_returned_for_is_there", "missing: 19"),
    Doubles: ("what_write_returned_for_is_there", "more than once: 0"),
    Reorders: ("a_partition_keeps_its_order", "the order is"),
    ReordersARecord: ("a_partition_keeps_its_order", "the order is"),
    Buffers: ("what_write_returned_for_is_there", "missing: 0"),
    IgnoresFences: ("an_owner_of_yesterday_writes_nothing", "raises SinkFenced when a newer owner"),
    OneTokenForAll: ("a_token_counts_for_its_partition", "has a newer owner"),
    KeepsNoTokenOfNothingNew: ("a_new_owner_fences_also_when_it_brings_nothing_new", "raises SinkFenced"),
    Forgetful: ("a_batch_that_comes_again_is_not_lost_and_not_reordered", "more than once"),
    RemembersInTheProcess: ("a_batch_that_comes_to_the_next_owner", "more than once"),
    GoesBack: ("batches_may_come_again_in_any_cut", "more than once"),
    IgnoresTopicIds: ("a_topic_that_was_made_anew_begins_anew", 'missing: "new 0"'),
    MixesGroups: ("groups_do_not_know_of_each_other", 'missing: "second"'),
    Blocks: ("a_system_that_hangs_is_given_up_in_time", "`write` did not return within 0.3 s"),
    RaisesWhatTheClientRaises: ("a_system_that_goes_away_is_down", "raised ConnectionRefusedError"),
    SwallowsOutages: ("a_system_that_goes_away_is_down", "returned as if all were written"),
    NeverConnectsAgain: ("a_system_that_goes_away_is_down", "and `write` still raises: the connection is"),
    RefusesQuietly: ("a_refused_record_is_named", "but `write` named those at []"),
    RefusesTwice: ("a_refused_record_is_named", "each is named once"),
    RefusesHalf: ("nothing_of_a_refused_record_is_written", "it counts as a whole"),
    ForgetsRefusals: ("a_refusal_is_told_again", "but `write` named those at []"),
    GoesOnBehindRefusals: ("a_refused_record_that_stops_its_shard", "named those at [3]"),
    TakesNotesForNews: ("what_was_refused_before_a_refusal_stops", "says so: `is_noted`"),
    RaisesRefusals: ("a_batch_of_nothing_else_is_refused", "it is bad"),
    MakesTextOfAll: ("every_kind_of_value_arrives_as_it_was", 'missing: 0; never written: "0"'),
    MakesDoubles: ("every_kind_of_value_arrives_as_it_was", "missing: 9007199254740993"),
    ClosesOnce: ("closing_it_twice_is_closing_it_once", "it is closed"),
    FailsWithoutWrites: ("an_empty_batch_changes_nothing", "list index out of range"),
    AcceptsAList: ("it_takes_what_handlers_return", "`accepts` is a tuple of classes"),
    ReturnsNothing: ("what_write_returned_for_is_there", "a list of Refusal, not None"),
}
"""Each with the test that tells it, and a part of what is told."""


def names_of_tests() -> list[str]:
    """The names of all tests."""
    return [name for name, _ in inspect.getmembers(Suite, inspect.isfunction) if name.startswith("test_")]


@pytest.mark.parametrize("kind", MISTAKES, ids=lambda kind: kind.__name__)
def test_each_mistake_is_told_by_the_test_of_it(
    kind: type[StoreSink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is wrong, in words."""
    monkeypatch.setattr("holdfast.testing.sinks.outages._RECOVERY_S", 0.2)
    name, text = MISTAKES[kind]
    (test,) = [each for each in names_of_tests() if name in each]
    suite = Suite()
    suite.kind = kind
    run: Callable[[], None] = getattr(suite, test)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - what the sink raises fails a test as well
        run()
    suite.thaw()
    assert text in str(caught.value)


def test_each_test_notices_a_mistake() -> None:
    """A test that no mistake fails tests nothing."""
    unused = {name for name in names_of_tests() if not any(part in name for part, _ in MISTAKES.values())}
    assert unused == {
        # Variants of those above.
        "test_a_system_that_is_not_there_at_the_start_is_down",
        "test_a_system_that_hangs_at_the_start_is_given_up_in_time",
        "test_a_token_counts_for_every_sink",
        "test_an_owner_of_yesterday_stays_out_of_a_topic_that_was_made_anew",
        "test_closing_it_while_the_system_is_away_is_no_error",
        "test_records_without_writes_are_passed_over",
    }
