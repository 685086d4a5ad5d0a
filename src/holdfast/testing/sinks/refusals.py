"""What a sink has to do whose system refuses some records for what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.record import Position
from holdfast.sinks.base import Refusal
from holdfast.testing.sinks.conformance import SinkConformance
from holdfast.testing.sinks.feed import Feed
from holdfast.testing.sinks.mistakes import missing
from holdfast.testing.sinks.positions import WithPositions


class WithRefusals(SinkConformance):
    """For sinks that name records which their system refuses.

    Attributes:
        is_atomic: whether the system can take back what it had of a record before it refused the rest of it.
            Calls of a service, say, are not taken back.
    """

    is_atomic: bool = True

    def refused(self, key: str) -> Any:  # noqa: ARG002 - for those that derive
        """Make a value that the system refuses, whenever it is tried."""
        raise missing(self, "refused")

    def test_a_refused_record_is_named_and_costs_no_other(self) -> None:
        """Those before and after it are written; also those of its key."""
        feed = self.feed()
        with self.opened() as sink:
            refused = self._mixed(feed)
            self._expect(self.write(sink, feed.batch()), refused)
        self.check(feed)

    def test_nothing_of_a_refused_record_is_written(self) -> None:
        """What was made of one record is written as a whole or not at all."""
        feed = self.feed()
        first, last = feed.key("first"), feed.key("last")
        feed.add_values("k", self.refused(last), self.value(last, "after"))
        feed.add("good", 1)
        with self.opened() as sink:
            self._expect(self.write(sink, feed.batch()), [0])
            self._none(last)
            if self.is_atomic:
                feed.commit()
                feed.add_values("k", self.value(first, "before"), self.refused(first))
                self._expect(self.write(sink, feed.batch()), [2])
                self._none(first)
        self.check(feed)

    def test_a_batch_of_nothing_else_is_refused(self) -> None:
        """It is no reason to fail."""
        feed = self.feed()
        for n in range(3):
            feed.add_values("k", self.refused(feed.key(f"k{n}")))
        with self.opened() as sink:
            self._expect(self.write(sink, feed.batch()), [0, 1, 2])

    def test_a_refusal_is_told_again_until_kafka_knows_it(self) -> None:
        """The commit failed that would have had its dead letter; another worker has to write that."""
        feed = self.feed()
        refused = self._mixed(feed)
        with self.opened() as sink:
            for _ in range(2):
                self._expect(self.write(sink, feed.batch()), refused)
        feed.token += 1
        feed.add("k", "more")
        with self.opened() as sink:
            self._expect(self.write(sink, feed.batch()), refused)
            feed.commit()
            feed.add("k", "and more")
            self._expect(self.write(sink, feed.batch()), [])
        self.check(feed, again=True)

    def test_a_refused_record_that_stops_its_shard_is_written_when_its_cause_is_mended(self) -> None:
        """`on_refused: stop`. It comes again, with all after it, and counts as if it had never come.

        For sinks that say `can_stop`; no other is told to.
        """
        with self.opened() as sink:
            if not sink.can_stop:
                return
        feed = self.feed()
        for n in range(10):
            if n == 3:
                feed.add_values("late", self.refused(feed.key("late")))
            else:
                feed.add(f"k{n % 4}", n)
            feed.add(f"k{n % 4}-other", n, partition=1)
        if self.once:
            # Others may have it there already; with it the order of its key would be another one.
            feed.add("late", "after")
        with self.opened() as sink:
            self._expect(self.write(sink, feed.batch(stops_at_refusal=True)), [3])
            # What the shard commits before it stops.
            before = {feed.place(0): 3, feed.place(1): 10}
            self._expect(self.write(sink, feed.batch(before, stops_at_refusal=True)), [])
            feed.commit(before)
        feed.token += 1
        feed.mend(3, "late", "mended")
        with self.opened() as sink:
            self._expect(self.write(sink, feed.batch(stops_at_refusal=True)), [])
        self.check(feed, again=True)

    def test_what_was_refused_before_a_refusal_stops_is_set_aside_all_the_same(self) -> None:
        """Its policy was changed after a crash. What follows is written: it cannot be tried in its order.

        For sinks that keep positions, and say `can_stop`.
        """
        with self.opened() as sink:
            if not (sink.can_stop and isinstance(self, WithPositions)):
                return
            feed = self.feed()
            refused = self._mixed(feed)
            self._expect(self.write(sink, feed.batch()), refused)
        feed.token += 1
        with self.opened() as sink:
            told = self.write(sink, feed.batch(stops_at_refusal=True))
            self._expect(told, refused)
            assert all(each.is_noted for each in told), "a refusal that was noted says so: `is_noted`"
        self.check(feed, again=True)

    def _mixed(self, feed: Feed) -> list[int]:
        refused = [3, 11, 12]
        for n in range(20):
            if n in refused:
                feed.add_values(f"k{n % 4}", self.refused(feed.key(f"k{n % 4}")))
            else:
                feed.add(f"k{n % 4}", n)
        return refused

    def _expect(self, refusals: Sequence[Refusal], offsets: Sequence[int]) -> None:
        found = sorted(refusal.position.offset for refusal in refusals)
        assert found == [*offsets], (
            f"the records at {[*offsets]} are refused, but `write` named those at {found}; each is named once"
        )
        for refusal in refusals:
            assert isinstance(refusal.position, Position), f"{refusal.position!r} is no Position"
            assert isinstance(refusal.error, Exception), f"{refusal.error!r} is no error that says why"
            assert str(refusal.error), "a refusal says why: its text goes into the dead letter"

    def _none(self, key: str) -> None:
        found = list(self.held(key))
        assert not found, f"a record is refused, and {found} of it is there; it counts as a whole"
