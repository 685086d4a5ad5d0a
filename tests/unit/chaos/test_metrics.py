"""The numbers beside the verdict."""

from __future__ import annotations

from pathlib import Path

from holdfast.chaos.history import read, send
from tests.support.stories import Story, verdict

S = 10**9


def test_unseen_rises_with_acknowledgements_and_falls_with_reads(tmp_path: Path) -> None:
    story = (
        Story()
        .ok("w", "send", send("x", 1, offset=0), at=(0, 10 * S))
        .ok("w", "send", send("x", 2, offset=1), at=(20 * S, 30 * S))
        .ok("r", "poll", read("x", 1, offset=0), at=(40 * S, 50 * S))
        .ok("r", "poll", read("x", 2, offset=1), at=(60 * S, 100 * S))
    )
    curve = verdict(story.operations, tmp_path).metrics["unseen"]
    at = dict(curve)
    assert [at[second * S] for second in (5, 10, 25, 30, 45, 50, 95, 100)] == [0, 1, 1, 2, 2, 1, 1, 0]


def test_realtime_lag_is_how_stale_the_last_poll_before_the_next_read_was(tmp_path: Path) -> None:
    story = (
        Story()
        .ok("w", "send", send("x", 1, offset=0), at=(0, 1 * S))
        .ok("r", "poll", read("x", 1, offset=0), at=(2 * S, 3 * S))
        .ok("w", "send", send("x", 2, offset=1), at=(4 * S, 5 * S))
        .ok("r", "poll", at=(8 * S, 9 * S))
        .ok("r", "poll", read("x", 2, offset=1), at=(10 * S, 11 * S))
    )
    lag = verdict(story.operations, tmp_path).metrics["realtime_lag"]
    assert lag == {"seconds": 3.0, "process": "r", "log": "x", "at": 8 * S}


def test_there_is_no_lag_behind_what_was_let_go(tmp_path: Path) -> None:
    story = (
        Story()
        .ok(
            "w", "send", send("x", 1, offset=0), send("x", 2, offset=1), send("y", 1, offset=0), at=(0, 1 * S)
        )
        .ok("r", "poll", read("x", 1, offset=0), at=(1 * S, 2 * S))
        .ok("r", "assign", at=(3 * S, 4 * S), assigned=("y",))
        .ok("r", "poll", read("y", 1, offset=0), at=(90 * S, 91 * S))
        .ok("s", "poll", read("x", 1, offset=0), read("x", 2, offset=1), at=(92 * S, 93 * S))
    )
    assert verdict(story.operations, tmp_path).metrics["realtime_lag"] == {"seconds": 0.0}


def test_who_reads_a_log_anew_is_not_late_until_it_has_caught_up(tmp_path: Path) -> None:
    """The reader of all logs at the end begins where they begin: that is its wish, and no staleness."""
    story = (
        Story()
        .ok("w", "send", *(send("x", n, offset=n) for n in (1, 2, 3)), at=(0, 1 * S))
        .ok("r", "assign", at=(90 * S, 90 * S), assigned=("x",), sought=("x",))
        .ok("r", "poll", read("x", 1, offset=1), at=(91 * S, 92 * S))
        .ok("r", "poll", read("x", 2, offset=2), read("x", 3, offset=3), at=(93 * S, 94 * S))
    )
    assert verdict(story.operations, tmp_path).metrics["realtime_lag"] == {"seconds": 0.0}
    (
        story.ok("w", "send", send("x", 4, offset=4), at=(95 * S, 96 * S))
        .ok("r", "poll", at=(98 * S, 99 * S))
        .ok("r", "poll", read("x", 4, offset=4), at=(100 * S, 101 * S))
    )
    lag = verdict(story.operations, tmp_path).metrics["realtime_lag"]
    assert lag == {"seconds": 2.0, "process": "r", "log": "x", "at": 98 * S}


def test_consume_counts_are_of_processes_that_subscribed(tmp_path: Path) -> None:
    story = Story().ok("w", "send", send("x", 1, offset=0), send("x", 2, offset=1))
    story.ok("r", "subscribe", assigned=("x",)).ok(
        "r", "poll", read("x", 1, offset=0), read("x", 2, offset=1)
    )
    story.ok("r", "poll", read("x", 2, offset=1)).ok("s", "poll", read("x", 1, offset=0))
    assert verdict(story.operations, tmp_path).metrics["consume_counts"] == {"1": 1, "2": 1}
