"""What is read for shards: one that goes back begins again with the next fetch, if it is still to be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from holdfast.kafka.consumer import Batch
from holdfast.record import TopicPartition
from holdfast.runtime.inputs import ShardInputs

ADDS, MORE = TopicPartition("adds", 2), TopicPartition("more", 2)


class NotingConsumer:
    """A `ShardConsumer` that notes what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def fetch(self, most: int, wait: float) -> Batch:
        """Nothing is there."""
        self.calls.append(("fetch", (most, wait)))
        return Batch()

    def start(self, positions: Mapping[TopicPartition, int]) -> None:
        """Note it."""
        self.calls.append(("start", dict(positions)))

    def stop(self, partitions: Iterable[TopicPartition]) -> None:
        """Note it."""
        self.calls.append(("stop", sorted(partitions)))

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Note it."""
        self.calls.append(("pause", sorted(partitions)))

    def resume(self, place: TopicPartition, offset: int) -> None:
        """Note it."""
        self.calls.append(("resume", (place, offset)))


@pytest.fixture
def consumer() -> NotingConsumer:
    """A consumer."""
    return NotingConsumer()


@pytest.fixture
def inputs(consumer: NotingConsumer) -> ShardInputs:
    """Two inputs on that consumer."""
    return ShardInputs(consumer, ("adds", "more"))  # type: ignore[arg-type]


def test_a_shard_that_goes_back_stops_now_and_begins_with_the_next_fetch(
    inputs: ShardInputs, consumer: NotingConsumer
) -> None:
    """Begun inside a fetch, its fresh records would be dropped with the stale ones."""
    inputs.go_back(2, {"adds": 5, "more": 7})
    assert consumer.calls == [("stop", [ADDS, MORE])]
    inputs.fetch(10, 0.5)
    inputs.fetch(10, 0.5)
    assert consumer.calls[1:] == [("start", {ADDS: 5, MORE: 7}), ("fetch", (10, 0.5)), ("fetch", (10, 0.5))]


@pytest.mark.parametrize("end", ["pause", "stop"])
def test_a_shard_that_stopped_meanwhile_does_not_begin_again(
    inputs: ShardInputs, consumer: NotingConsumer, end: str
) -> None:
    """It may belong to another worker by then, or have failed."""
    inputs.go_back(2, {"adds": 5, "more": 7})
    inputs.go_back(1, {"adds": 3, "more": 4})
    getattr(inputs, end)(2)
    inputs.fetch(10, 0.5)
    assert consumer.calls[2:-1] == [
        (end, [ADDS, MORE]),
        ("start", {TopicPartition("adds", 1): 3, TopicPartition("more", 1): 4}),
    ]


def test_the_last_position_that_a_shard_goes_back_to_counts(
    inputs: ShardInputs, consumer: NotingConsumer
) -> None:
    """Two setbacks between two fetches begin it once."""
    inputs.go_back(2, {"adds": 5})
    inputs.go_back(2, {"adds": 4})
    inputs.fetch(10, 0.5)
    assert [content for call, content in consumer.calls if call == "start"] == [{ADDS: 4}]


def test_an_input_that_is_held_goes_on_where_it_was(inputs: ShardInputs, consumer: NotingConsumer) -> None:
    """Once, and the shard's other inputs are read all the time."""
    inputs.hold(ADDS, 5)
    assert inputs.held == (ADDS,)
    inputs.go_on(ADDS)
    assert consumer.calls == [("pause", [ADDS]), ("resume", (ADDS, 5))]
    assert inputs.held == ()


@pytest.mark.parametrize("end", ["pause", "stop", "go back"])
def test_a_shard_that_stops_holds_nothing(inputs: ShardInputs, end: str) -> None:
    """It may begin elsewhere in the log, or with another worker."""
    inputs.hold(ADDS, 5)
    if end == "go back":
        inputs.go_back(2, {"adds": 4, "more": 7})
    else:
        getattr(inputs, end)(2)
    assert inputs.held == ()


def test_what_is_suspended_is_read_on_from_where_it_was(
    inputs: ShardInputs, consumer: NotingConsumer
) -> None:
    """Paused, not stopped: something of it may be uncommitted. A second time changes nothing."""
    inputs.suspend({2: {"adds": 5, "more": 7}})
    inputs.suspend({2: {"adds": 6, "more": 7}})
    assert consumer.calls == [("pause", [ADDS, MORE])]
    inputs.fetch(10, 0.5)
    inputs.resume()
    inputs.resume()
    assert sorted(consumer.calls[2:]) == [("resume", (ADDS, 5)), ("resume", (MORE, 7))]


def test_what_goes_back_while_suspended_begins_when_it_is_resumed(
    inputs: ShardInputs, consumer: NotingConsumer
) -> None:
    """And is not resumed where it was before: those records are done again."""
    inputs.suspend({2: {"adds": 5, "more": 7}})
    inputs.go_back(2, {"adds": 1, "more": 2})
    inputs.fetch(10, 0.5)
    assert [call for call, _ in consumer.calls] == ["pause", "stop", "fetch"]
    inputs.resume()
    inputs.fetch(10, 0.5)
    assert consumer.calls[3:] == [("start", {ADDS: 1, MORE: 2}), ("fetch", (10, 0.5))]


def test_a_shard_that_begins_while_suspended_waits(inputs: ShardInputs, consumer: NotingConsumer) -> None:
    """A sink in trouble gets nothing of it either."""
    inputs.suspend({})
    inputs.start(2, {"adds": 1, "more": 2})
    assert consumer.calls == []
    inputs.resume()
    inputs.fetch(10, 0.5)
    assert consumer.calls[0] == ("start", {ADDS: 1, MORE: 2})


def test_a_shard_that_is_given_up_while_suspended_is_not_resumed(
    inputs: ShardInputs, consumer: NotingConsumer
) -> None:
    """It is somebody else's."""
    inputs.suspend({2: {"adds": 5, "more": 7}})
    inputs.stop(2)
    inputs.resume()
    assert [call for call, _ in consumer.calls] == ["pause", "stop"]


def test_what_is_held_stays_held_when_reading_is_resumed(
    inputs: ShardInputs, consumer: NotingConsumer
) -> None:
    """It waits for another input, not for a sink."""
    inputs.hold(ADDS, 5)
    inputs.suspend({2: {"adds": 5, "more": 7}})
    inputs.resume()
    assert consumer.calls[1:] == [("pause", [MORE]), ("resume", (MORE, 7))]


@pytest.mark.parametrize("how", ["goes back", "is new"])
def test_a_shard_that_is_not_to_be_read_yet_begins_when_it_may(
    inputs: ShardInputs, consumer: NotingConsumer, how: str
) -> None:
    """The others do not wait for it."""
    inputs.confine({1})
    inputs.go_back(1, {"adds": 3})
    (inputs.go_back if how == "goes back" else inputs.start)(2, {"adds": 5})
    inputs.fetch(10, 0.5)
    inputs.fetch(10, 0.5)
    assert [content for call, content in consumer.calls if call == "start"] == [
        {TopicPartition("adds", 1): 3}
    ]
    inputs.confine(None)
    inputs.fetch(10, 0.5)
    assert consumer.calls[-2] == ("start", {ADDS: 5})


def test_a_shard_that_is_not_read_yet_and_stops_does_not_begin(
    inputs: ShardInputs, consumer: NotingConsumer
) -> None:
    """It is another worker's by then."""
    inputs.confine({1})
    inputs.go_back(2, {"adds": 5})
    inputs.stop(2)
    inputs.confine(None)
    inputs.fetch(10, 0.5)
    assert [call for call, _ in consumer.calls if call == "start"] == []
