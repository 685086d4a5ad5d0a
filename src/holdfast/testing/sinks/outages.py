"""What a sink has to do when its system is away, or takes calls and never answers."""

from __future__ import annotations

import time
from typing import Final

from holdfast.errors import SinkDown
from holdfast.sinks.base import Sink, SinkBatch
from holdfast.testing.sinks.conformance import SinkConformance
from holdfast.testing.sinks.mistakes import missing

_RECOVERY_S: Final = 30.0
_PAUSE_S: Final = 0.05


class _Trouble(SinkConformance):
    """What both kinds of trouble have in common."""

    def expect_down(self, sink: Sink, batch: SinkBatch) -> None:
        """Expect that a batch is not taken, and that this is known in time."""
        try:
            self.write(sink, batch)
        except SinkDown as error:
            said = str(error)
        except AssertionError:
            raise
        except Exception as error:
            raise AssertionError(
                f"`write` raised {type(error).__name__} ({error}), which ends the worker; a system that does "
                "not answer is SinkDown"
            ) from error
        else:
            raise AssertionError("`write` returned as if all were written, and the system did not answer")
        assert said, "SinkDown says why: its text is what people read while they wait"

    def write_when_back(self, sink: Sink, batch: SinkBatch) -> None:
        """Write a batch to a system that is back, as a worker does: again until it is taken."""
        deadline = time.monotonic() + _RECOVERY_S
        while True:
            try:
                self.write(sink, batch)
            except SinkDown as error:
                wait = error.wait_s or _PAUSE_S
                if time.monotonic() + wait > deadline:
                    raise AssertionError(
                        f"the system has been back for {_RECOVERY_S:g} s, and `write` still raises: {error}"
                    ) from error
                time.sleep(wait)
            else:
                return


class WithOutages(_Trouble):
    """For sinks whose system can be away in a test."""

    def stop(self) -> None:
        """Let the system be away: nobody listens."""
        raise missing(self, "stop")

    def start(self) -> None:
        """Let it be back, with all that it held."""
        raise missing(self, "start")

    def test_a_system_that_goes_away_is_down_and_gets_the_same_batch_when_it_is_back(self) -> None:
        """With the connection of before, which is dead now."""
        feed = self.feed()
        for n in range(5):
            feed.add(f"k{n % 2}", n)
        with self.opened() as sink:
            self.write(sink, feed.batch())
            feed.commit()
            for n in range(5, 10):
                feed.add(f"k{n % 2}", n)
            self.stop()
            try:
                for _ in range(2):
                    self.expect_down(sink, feed.batch())
            finally:
                self.start()
            self.write_when_back(sink, feed.batch())
        self.check(feed, again=True)

    def test_a_system_that_is_not_there_at_the_start_is_down(self) -> None:
        """A worker may be started before it."""
        feed = self.feed()
        feed.add("k", 1)
        with self.opened() as sink:
            self.stop()
            try:
                self.expect_down(sink, feed.batch())
            finally:
                self.start()
            self.write_when_back(sink, feed.batch())
        self.check(feed, again=True)

    def test_closing_it_while_the_system_is_away_is_no_error(self) -> None:
        """A worker that stops then has to come to its end."""
        feed = self.feed()
        feed.add("k", 1)
        with self.opened() as sink:
            self.write(sink, feed.batch())
            self.stop()
            try:
                sink.close()
            finally:
                self.start()
        self.check(feed)


class WithHangs(_Trouble):
    """For sinks whose system can be made to hang in a test."""

    def freeze(self) -> None:
        """Let the system take calls, and never answer."""
        raise missing(self, "freeze")

    def thaw(self) -> None:
        """Let it answer again, also what it was asked meanwhile."""
        raise missing(self, "thaw")

    def test_a_system_that_hangs_is_given_up_in_time(self) -> None:
        """And gets the same batch when it answers again. What was under way may have been written."""
        feed = self.feed()
        feed.add("k", 0)
        with self.opened() as sink:
            self.write(sink, feed.batch())
            feed.commit()
            feed.add("k", 1)
            self.freeze()
            try:
                self.expect_down(sink, feed.batch())
            finally:
                self.thaw()
            self.write_when_back(sink, feed.batch())
        self.check(feed, again=True)

    def test_a_system_that_hangs_at_the_start_is_given_up_in_time(self) -> None:
        """Connecting is a call as well."""
        feed = self.feed()
        feed.add("k", 0)
        self.freeze()
        try:
            with self.opened() as sink:
                self.expect_down(sink, feed.batch())
        finally:
            self.thaw()
        with self.opened() as sink:
            self.write_when_back(sink, feed.batch())
        self.check(feed, again=True)
