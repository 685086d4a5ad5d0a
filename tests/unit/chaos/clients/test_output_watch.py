"""How long an output was silent, from what a watch has seen of it."""

from __future__ import annotations

import time

from holdfast.chaos.clients.output_watch import Interval, OutputWatch


def watch() -> OutputWatch:
    """A watch of two partitions that has not begun to look."""
    return OutputWatch("127.0.0.1:1", "sums", 2, fresh_s=1.0)


def test_a_silence_that_is_over_is_a_gap_and_one_that_lasts_ends_with_the_watch() -> None:
    found, now = watch(), time.monotonic()
    found._partitions[0].seen, found._partitions[1].seen = now - 7, now - 4
    found._take(1, time.time(), now - 1, time.time())
    assert found.gaps() == [Interval(1, now - 4, now - 1)]
    found._end(now)
    assert Interval(0, now - 7, now) in found.gaps()


def test_an_output_is_as_silent_as_the_most_silent_partition() -> None:
    found, now = watch(), time.monotonic()
    found._partitions[0].seen, found._partitions[1].seen = now - 7, now - 4
    assert 7.0 <= found.silent_s < 8.0
