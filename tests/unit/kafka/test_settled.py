"""Whoever waits for the end of open transactions waits for those that there are, and not for ever."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from holdfast.errors import BrokersUnreachable
from holdfast.kafka.settled import settled_ends
from holdfast.record import TopicPartition

PLACE = TopicPartition("out", 0)


class Brokers:
    """Brokers with one partition.

    Args:
        end: its high watermark at first; it grows by one with each question, as if somebody still wrote.
        stable: its last stable offsets, one after the other, or errors; the last one stays.
    """

    def __init__(self, end: int, *stable: int | Exception) -> None:
        self._end = end
        self._stable = list(stable)
        self.asked: list[str] = []

    def high_watermarks(self, _places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        self.asked.append("end")
        self._end += 1
        return {PLACE: self._end - 1}

    def ends(self, _places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        self.asked.append("stable")
        found = self._stable.pop(0) if len(self._stable) > 1 else self._stable[0]
        if isinstance(found, Exception):
            raise found
        return {PLACE: found}


def test_a_transaction_that_ends_meanwhile_is_not_stuck() -> None:
    brokers = Brokers(9, 7, BrokersUnreachable("a leader changes"), 7, 10)
    found = settled_ends(brokers, [PLACE], within=60.0)
    assert (found.stuck, found.wanted, found.stable) == ((), {PLACE: 9}, {PLACE: 10})


def test_the_end_is_asked_for_once_and_first() -> None:
    """A marker that comes between the two questions would make a partition look stuck otherwise."""
    brokers = Brokers(9, 9)
    assert settled_ends(brokers, [PLACE], within=60.0).stuck == ()
    assert brokers.asked == ["end", "stable"]


def test_a_transaction_that_stays_open_is_told_after_some_time() -> None:
    found = settled_ends(Brokers(9, 7), [PLACE], within=0.05)
    assert (found.stuck, found.stable) == ((PLACE,), {PLACE: 7})


def test_brokers_that_do_not_answer_for_as_long_are_an_error() -> None:
    with pytest.raises(BrokersUnreachable):
        settled_ends(Brokers(9, BrokersUnreachable("no answer")), [PLACE], within=0.05)
