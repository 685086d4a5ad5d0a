"""What a sink has to do that keeps the inputs' positions: each record once, and nothing of a late owner."""

from __future__ import annotations

from holdfast.errors import SinkFenced
from holdfast.sinks.base import Sink, SinkBatch
from holdfast.testing.sinks.conformance import SinkConformance


class WithPositions(SinkConformance):
    """For sinks that keep positions and fencing tokens beside what they write: they are exactly-once."""

    once = True

    def test_an_owner_of_yesterday_writes_nothing(self) -> None:
        """It was frozen while another one took its shard and went on: its batch is refused when it wakes."""
        feed = self.feed()
        feed.add("k", 0)
        with self.opened() as old, self.opened() as new:
            self.write(old, feed.batch())
            feed.commit()
            feed.add("k", 1)
            late = feed.batch()
            feed.token += 1
            self.write(new, feed.batch())
            feed.commit()
            self.refuse(old, late, "a batch that the new owner has written")
            # It cannot tell these records from new ones.
            feed.add_values("k", self.value(feed.key("k"), "late"))
            self.refuse(old, feed.batch(token=feed.token - 1), "a new batch")
        self.check(feed)

    def test_a_token_counts_for_every_sink(self) -> None:
        """Also for one that has just been made, as by a worker that was started again."""
        feed = self.feed()
        feed.add("k", 0)
        feed.token = 7
        with self.opened() as sink:
            self.write(sink, feed.batch())
        feed.commit()
        late = self.value(feed.key("k"), "late")
        feed.add_values("k", late)
        with self.opened() as sink:
            self.refuse(sink, feed.batch(token=6), "a batch with an older token")
        self.check(feed)

    def test_a_new_owner_fences_also_when_it_brings_nothing_new(self) -> None:
        """All of its first batch was there already."""
        feed = self.feed()
        feed.add("k", 0)
        with self.opened() as old, self.opened() as new:
            self.write(old, feed.batch())
            feed.token += 1
            self.write(new, feed.batch())
            feed.commit()
            feed.add_values("k", self.value(feed.key("k"), "late"))
            self.refuse(old, feed.batch(token=feed.token - 1), "a batch of the owner before")
        self.check(feed)

    def test_a_token_counts_for_its_partition(self) -> None:
        """A worker that has lost one shard still writes the others."""
        feed = self.feed()
        feed.add("a", 0, partition=0)
        with self.opened() as sink:
            feed.token = 2
            self.write(sink, feed.batch())
            feed.commit()
            feed.token = 1
            feed.add("b", 1, partition=1)
            self.write(sink, feed.batch({feed.place(1): 1}))
        self.check(feed)

    def test_an_owner_of_yesterday_stays_out_of_a_topic_that_was_made_anew(self) -> None:
        """Another id does not make its token valid again."""
        feed = self.feed()
        feed.token = 5
        feed.add("k", 0)
        with self.opened() as sink:
            self.write(sink, feed.batch())
            feed.made_anew()
            feed.add_values("k", self.value(feed.key("k"), "late"))
            self.refuse(sink, feed.batch(token=4), "a batch with an older token")
        self.check(feed)

    def refuse(self, sink: Sink, batch: SinkBatch, what: str) -> None:
        """Expect a batch to be refused for its token."""
        try:
            self.write(sink, batch)
        except SinkFenced:
            return
        raise AssertionError(f"`write` took {what}; it raises SinkFenced when a newer owner has written")
