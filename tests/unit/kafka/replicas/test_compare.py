"""Replicas against each other, without any broker."""

from __future__ import annotations

import random

import pytest

from holdfast.kafka.replicas.compare import Comparison, Difference

Log = dict[int, bytes]

GOOD: Log = {offset: b"%d" % offset for offset in range(100)}


def compared(
    logs: dict[int, Log], *, gaps: bool = False, batch: int = 7, floors: dict[int, int] | None = None
) -> Comparison:
    """Feed whole logs as a reader would: the one that is furthest behind first, a batch at a time."""
    comparison = Comparison(0, 100, logs, gaps=gaps)
    for broker, floor in (floors or {}).items():
        comparison.skip(broker, floor)
    while (broker := comparison.next_broker()) is not None:
        start = comparison.copies[broker].position
        left = sorted(offset for offset in logs[broker] if offset >= start)
        part = left[:batch]
        comparison.feed(
            broker,
            [(offset, logs[broker][offset]) for offset in part],
            part[-1] + 1 if len(left) > batch else 100,
        )
        assert all(len(copy.waiting) <= 2 * batch for copy in comparison.copies.values())
    assert comparison.position == 100
    assert not any(copy.waiting for copy in comparison.copies.values())
    return comparison


def without(*offsets: int) -> Log:
    """The good log, with holes."""
    return {offset: digest for offset, digest in GOOD.items() if offset not in offsets}


def test_equal_replicas_have_no_difference() -> None:
    """All of them count, all of their offsets were compared."""
    copies = compared({1: GOOD, 2: GOOD, 3: GOOD}).copies
    assert [copy.first for copy in copies.values()] == [None] * 3
    assert {(copy.records, copy.accompanied) for copy in copies.values()} == {(100, 100)}


@pytest.mark.parametrize("odd", [1, 2, 3])
def test_the_majority_is_right_whoever_leads(odd: int) -> None:
    """The one replica that differs is named with its first offset and how many there are."""
    logs = dict.fromkeys((1, 2, 3), GOOD) | {odd: GOOD | {42: b"x", 70: b"y"}}
    copies = compared(logs).copies
    other = 2 if odd == 1 else 1
    assert copies[odd].first == Difference(42, other)
    assert copies[odd].differing == 2
    assert [copies[it].first for it in (1, 2, 3) if it != odd] == [None, None]


def test_between_two_nobody_is_right() -> None:
    """Both are reported: nothing says which of them was changed."""
    copies = compared({1: GOOD, 2: GOOD | {5: b"x"}}).copies
    assert copies[1].first == Difference(5, 2, disputed=True)
    assert copies[2].first == Difference(5, 1, disputed=True)


def test_a_missing_record_is_a_difference() -> None:
    """Also at the end, and also one that only one replica has."""
    copies = compared({1: GOOD, 2: without(3, 99), 3: GOOD}).copies
    assert copies[2].first == Difference(3, 1, lacks=True)
    assert copies[2].differing == 2
    copies = compared({1: without(50), 2: GOOD, 3: without(50)}).copies
    assert copies[2].first == Difference(50, 1, extra=True)
    assert copies[1].first is copies[3].first is None


def test_on_a_compacted_topic_only_what_both_kept_is_compared() -> None:
    """Each broker compacts by itself; what they kept has to be the same all the same."""
    copies = compared({1: without(*range(40)), 2: without(*range(20, 60)), 3: GOOD}, gaps=True).copies
    assert [copy.first for copy in copies.values()] == [None] * 3
    changed = {1: without(*range(40)), 2: without(*range(20, 60)) | {80: b"x"}, 3: GOOD}
    assert compared(changed, gaps=True).copies[2].first == Difference(80, 1)


def test_nothing_is_said_of_offsets_that_could_not_be_read() -> None:
    """Below its floor a replica has no vote and lacks nothing; above, all counts."""
    late = {offset: digest for offset, digest in GOOD.items() if offset >= 33}
    copies = compared({1: GOOD, 2: late | {60: b"x"}, 3: GOOD}, floors={2: 33}).copies
    assert copies[2].first == Difference(60, 1)
    assert copies[2].differing == 1
    assert copies[2].accompanied == 67
    assert copies[1].accompanied == 100


def test_nothing_is_said_of_them_in_whatever_order_replicas_are_read() -> None:
    """Also when the others pass the first offset of a late one in a single batch."""
    comparison = Comparison(0, 10, (1, 2), gaps=False)
    comparison.skip(2, 5)
    comparison.feed(2, [(offset, b"a") for offset in range(5, 10)], 10)
    comparison.feed(1, [(offset, b"a") for offset in range(10)], 10)
    assert [copy.first for copy in comparison.copies.values()] == [None, None]
    assert [copy.accompanied for copy in comparison.copies.values()] == [5, 5]


def test_the_others_go_on_when_one_ends() -> None:
    """What came from it before its end is compared, what would have come after is not missed."""
    comparison = Comparison(0, 10, (1, 2, 3), gaps=False)
    all_ten = [(offset, b"a") for offset in range(10)]
    comparison.feed(1, all_ten, 10)
    comparison.feed(2, [(0, b"a"), (1, b"x")], 2)
    comparison.end(2)
    assert comparison.next_broker() == 3
    comparison.feed(3, all_ten, 10)
    assert comparison.next_broker() is None
    assert comparison.copies[2].first == Difference(1, 1)
    assert [copy.accompanied for copy in comparison.copies.values()] == [10, 2, 10]
    assert comparison.copies[1].first is comparison.copies[3].first is None


def test_one_replica_alone_is_compared_with_nothing() -> None:
    """It counts as read, never as compared."""
    copies = compared({1: GOOD}).copies
    assert (copies[1].records, copies[1].accompanied) == (100, 0)


def test_records_beyond_the_end_are_left_out() -> None:
    """They were written after the check began."""
    comparison = Comparison(0, 2, (1, 2), gaps=False)
    comparison.feed(1, [(0, b"a"), (1, b"b"), (2, b"c")], 3)
    comparison.feed(2, [(0, b"a"), (1, b"b")], 2)
    assert [copy.records for copy in comparison.copies.values()] == [2, 2]
    assert [copy.first for copy in comparison.copies.values()] == [None, None]


@pytest.mark.parametrize("seed", range(20))
def test_any_single_change_is_found_whatever_the_batches(seed: int) -> None:
    """One offset of one replica is changed or lost; exactly that one is reported."""
    rng = random.Random(seed)
    victim, offset, batch = rng.choice((1, 2, 3)), rng.randrange(100), rng.randint(1, 120)
    changed = without(offset) if rng.random() < 0.5 else GOOD | {offset: b"changed"}
    copies = compared({1: GOOD, 2: GOOD, 3: GOOD} | {victim: changed}, batch=batch).copies
    first = copies[victim].first
    assert first is not None
    assert first.offset == offset
    assert [broker for broker, copy in copies.items() if copy.first] == [victim]
