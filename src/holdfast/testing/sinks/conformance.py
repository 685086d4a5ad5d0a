"""What every sink has to do: durable, in order, nothing lost, and no more than once if it says so."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from threading import Thread
from typing import Any, Final

from holdfast.sinks.base import Refusal, Sink, SinkBatch
from holdfast.testing.sinks.feed import Feed
from holdfast.testing.sinks.mistakes import missing, refuse_misspelt

PAYLOADS: Final[tuple[Any, ...]] = (
    *(0, -1, 9_007_199_254_740_993, 1.5, -2.25e-7, True, False, None, "", "text", "Ärger ☕ \U0001f9ea"),
    *('"quoted" \\ and\nbroken', [], [1, None, "x"], {}, {"a": {"b": [{"c": 1}]}, "": 0}),
)
"""Of every kind that JSON has, with those that get lost on the way: no double holds the third."""

_GRACE_S: Final = 5.0
_CUTS: Final = 3
_SHOWN: Final = 12


class SinkConformance:
    """The tests of every sink. See also the classes derived from it.

    Each test has keys, a topic and a group of its own, so the system need not be empty.

    Attributes:
        timeout_s: the sink's timeout, in seconds.
        once: whether a batch that comes again changes nothing: the sink is exactly-once, or idempotent.
        keeps_all: whether the system holds all that was written under a key, or the last of it.
        payloads: what is to arrive as it was written.

    A method that is missing fails each test that needs it. The class is not abstract: pytest passes over
    those without a word.

    Raises:
        TypeError: a class derived from it has an attribute that is nearly one of these.
    """

    timeout_s: float = 10.0
    once: bool = False
    keeps_all: bool = True
    payloads: Sequence[Any] = PAYLOADS

    def __init_subclass__(cls, **given: Any) -> None:
        super().__init_subclass__(**given)
        refuse_misspelt(cls)

    def sink(self) -> Sink:
        """Make a sink. All sinks of a test write to the same system; the suite closes them."""
        raise missing(self, "sink")

    def value(self, key: str, payload: Any) -> Any:  # noqa: ARG002 - for those that derive
        """Make what a handler returns to have `payload`, a value of JSON, held under `key`."""
        raise missing(self, "value")

    def held(self, key: str) -> Sequence[Any]:  # noqa: ARG002 - likewise
        """Return what the system holds under a key, in the order in which it got there.

        It asks the system, and no sink.
        """
        raise missing(self, "held")

    @property
    def limit_s(self) -> float:
        """Seconds after which a write is given up: a worker would end its process then."""
        return 2 * self.timeout_s + _GRACE_S

    def test_it_takes_what_handlers_return(self) -> None:
        """`accepts` has the classes, and the values are of them."""
        with self.opened() as sink:
            accepts: object = sink.accepts
            ok = isinstance(accepts, tuple) and bool(accepts) and all(isinstance(it, type) for it in accepts)
            assert ok, f"`accepts` is a tuple of classes, not {accepts!r}"
            value = self.value("key", 1)
            assert isinstance(value, sink.accepts), f"{value!r} is none of {sink.accepts}"

    def test_what_write_returned_for_is_there(self) -> None:
        """Before the sink is closed, or writes anything else."""
        feed = self.feed()
        for n in range(20):
            feed.add(f"k{n}", n)
        with self.opened() as sink:
            self.write(sink, feed.batch())
            self.check(feed)

    def test_every_kind_of_value_arrives_as_it_was(self) -> None:
        """Numbers, texts, nothing, lists and objects."""
        feed = self.feed()
        for n, payload in enumerate(self.payloads):
            feed.add(f"k{n}", payload)
        with self.opened() as sink:
            self.write(sink, feed.batch())
        self.check(feed)

    def test_a_partition_keeps_its_order(self) -> None:
        """Within a batch, and from one to the next; also of the writes of one record."""
        feed = self.feed()
        with self.opened() as sink:
            for batch in range(3):
                for n in range(batch * 60, batch * 60 + 60):
                    feed.add(f"k{n % 6}", n, partition=n % 3)
                feed.add("k0", "a", "b", "c")
                feed.add("k1", "last", partition=1)
                self.write(sink, feed.batch())
                feed.commit()
        self.check(feed)

    def test_records_without_writes_are_passed_over(self) -> None:
        """Handlers may return nothing; what comes after counts."""
        feed = self.feed()
        with self.opened() as sink:
            for n in range(3):
                feed.add_values("none")
                feed.add("k", n)
                feed.add_values("none")
                self.write(sink, feed.batch())
                feed.commit()
        self.check(feed)

    def test_an_empty_batch_changes_nothing(self) -> None:
        """It has nothing to be refused."""
        feed = self.feed()
        feed.add_values("none")
        with self.opened() as sink:
            refusals = self.write(sink, feed.batch())
            assert not refusals, f"there was nothing that could be refused, and yet: {refusals}"
            feed.commit()
            feed.add("k", 1)
            self.write(sink, feed.batch())
        self.check(feed)

    def test_a_batch_that_comes_again_is_not_lost_and_not_reordered(self) -> None:
        """Its positions did not reach Kafka. Once is once, if the sink says so."""
        feed = self.feed()
        for n in range(30):
            feed.add(f"k{n % 4}", n, partition=n % 2)
        with self.opened() as sink:
            for _ in range(3):
                self.write(sink, feed.batch())
        self.check(feed, again=True)

    def test_a_batch_that_comes_to_the_next_owner_is_not_lost_and_not_reordered(self) -> None:
        """The worker was killed before its commit: another sink gets the same, and more."""
        feed = self.feed()
        for n in range(30):
            feed.add(f"k{n % 4}", n, partition=n % 2)
        with self.opened() as sink:
            self.write(sink, feed.batch())
        feed.token += 1
        for n in range(30, 40):
            feed.add(f"k{n % 4}", n, partition=n % 2)
        with self.opened() as sink:
            self.write(sink, feed.batch())
        self.check(feed, again=True)

    def test_batches_may_come_again_in_any_cut(self) -> None:
        """Smaller, larger and overlapping ones, to the same worker or another: whatever commits fail."""
        for seed in range(_CUTS):
            feed = self.feed()
            for n in range(90):
                if n % 7:
                    feed.add(f"k{n % 5}-{n % 3}", n, partition=n % 3)
                else:
                    feed.add_values("none", partition=n % 3)
            self._write_in_cuts(feed, random.Random(seed))
            self.check(feed, again=True, cause=f" (cuts by seed {seed})")

    def _write_in_cuts(self, feed: Feed, choose: random.Random) -> None:
        while not feed.is_committed():
            with self.opened() as sink:
                is_alive = True
                while is_alive and not feed.is_committed():
                    ends = feed.cut(choose)
                    self.write(sink, feed.batch(ends))
                    fate = choose.random()
                    is_alive = fate < 0.75
                    if fate < 0.4:
                        feed.commit(ends)
            feed.token += 1

    def test_groups_do_not_know_of_each_other(self) -> None:
        """Two processors may write what they make of the same records."""
        feed = self.feed()
        feed.add("k", "first")
        other = self.feed()
        other.add("k", "second")
        with self.opened() as sink:
            self.write(sink, feed.batch())
        with self.opened() as sink:
            # The same positions, and what the other processor made of them.
            writes = [
                write._replace(value=theirs.value)
                for write, theirs in zip(feed.batch().writes, other.batch().writes, strict=True)
            ]
            self.write(sink, replace(feed.batch(), group=other.group, writes=writes))
        self.check(feed)
        self.check(other)

    def test_a_topic_that_was_made_anew_begins_anew(self) -> None:
        """It has the same offsets once more: other records. Tokens go on."""
        feed = self.feed()
        for n in range(10):
            feed.add(f"k{n}", n)
        with self.opened() as sink:
            self.write(sink, feed.batch())
            feed.made_anew()
            for n in range(5):
                feed.add(f"k{n}", f"new {n}")
            self.write(sink, feed.batch())
        self.check(feed)

    def test_closing_it_twice_is_closing_it_once(self) -> None:
        """Also before it was used."""
        feed = self.feed()
        feed.add("k", 1)
        for batches in ([], [feed.batch()]):
            sink = self.sink()
            for batch in batches:
                self.write(sink, batch)
            for _ in range(2):
                sink.close()
        self.check(feed)

    def feed(self) -> Feed:
        """Records for one test."""
        return Feed(self.value)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Sink]:
        """A sink, which is closed after that; not while it still writes."""
        sink = self.sink()
        try:
            yield sink
        except StuckWriteError:
            raise
        except BaseException:
            sink.close()
            raise
        sink.close()

    def write(self, sink: Sink, batch: SinkBatch) -> Sequence[Refusal]:
        """Write a batch, as a worker does: on a thread of its own, and not for longer than it would wait.

        Raises:
            AssertionError: it does not return, or not what it may.
            Exception: what `write` raised.
        """
        ending: Future[Sequence[Refusal]] = Future()

        def run() -> None:
            try:
                ending.set_result(sink.write(batch))
            except BaseException as error:  # noqa: BLE001 - it is raised again where the end is waited for
                ending.set_exception(error)

        Thread(target=run, name="sink-under-test", daemon=True).start()
        try:
            refusals: object = ending.result(self.limit_s)
        except FutureTimeout:
            if ending.done():  # it is the sink's own
                raise
            raise StuckWriteError(
                f"`write` did not return within {self.limit_s:g} s, though the sink's timeout is "
                f"{self.timeout_s:g} s: a worker would end its process. Each call to the system has to end "
                "in time, with SinkDown"
            ) from None
        ok = isinstance(refusals, Sequence) and all(isinstance(each, Refusal) for each in refusals)
        assert ok, f"`write` returns a list of Refusal, not {refusals!r}"
        assert isinstance(refusals, Sequence)
        return refusals

    def check(self, feed: Feed, *, again: bool = False, cause: str = "") -> None:
        """Compare what the system holds with what was written.

        Args:
            feed: the records.
            again: whether some of them came more than once.
            cause: said in addition.
        """
        for key, written in feed.written.items():
            expected = [_text(payload) for payload in (written if self.keeps_all else written[-1:])]
            found = [_text(payload) for payload in self.held(key)]
            if again and not self.once and found:
                assert found[-1] == expected[-1], (
                    f"under {key!r} the last is {found[-1]}, and {expected[-1]} came after it{cause}"
                )
                found = list(dict.fromkeys(found))
            assert found == expected, f"under {key!r} {_difference(expected, found)}{cause}"


class StuckWriteError(AssertionError):
    """A write did not return; its sink must not be touched any more."""


def _text(payload: Any) -> str:
    # Python takes 1 and True for the same.
    return json.dumps(payload, sort_keys=True, ensure_ascii=False)


def _difference(expected: Sequence[str], found: Sequence[str]) -> str:
    lost = [each for each in expected if each not in found]
    strange = [each for each in found if each not in expected]
    doubled = sorted({each for each in found if found.count(each) > expected.count(each)} - {*strange})
    parts = [
        f"{what}: {_some(which)}"
        for what, which in (("missing", lost), ("more than once", doubled), ("never written", strange))
        if which
    ]
    if not parts:
        parts = [f"the order is {_some(found)}, not {_some(expected)}"]
    return "; ".join(parts)


def _some(texts: Sequence[str]) -> str:
    more = f", and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
