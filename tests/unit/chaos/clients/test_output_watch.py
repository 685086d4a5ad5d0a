"""How long an output was silent, from what a watch has seen of it."""

from __future__ import annotations

import time

from holdfast.chaos.clients.output_watch import Interval, OutputWatch


def watch() -> OutputWatch:
    """A watch of two partitions that has not begun to look."""
    return OutputWatch("127.0.0.1:1", "sums", 2, fresh_s=1.0)


def test_a_silence_that_began_before_counts_from_the_moment_that_is_asked_about() -> None:
    found, now = watch(), time.monotonic()
    found._gaps = [Interval(0, now - 10, now - 4), Interval(1, now - 30, now - 20)]
    for one in found._partitions:
        one.seen = now

    assert round(found.longest_gap(now - 8), 1) == 4.0


def test_a_silence_that_lasts_counts_so_far() -> None:
    found, now = watch(), time.monotonic()
    found._partitions[0].seen, found._partitions[1].seen = now - 7, now - 1

    assert round(found.longest_gap(now - 5), 1) == 5.0
    assert round(found.longest_gap(now - 60), 1) == 7.0
