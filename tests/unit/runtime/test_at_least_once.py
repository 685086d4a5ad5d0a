"""The at-least-once writer: offsets only after every record is on the brokers."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from holdfast.kafka.at_least_once import AtLeastOnceWriter
from holdfast.kafka.unit_writer import ChangelogRows, Outcome
from holdfast.local.ports import free_ports
from holdfast.record import Output, TopicPartition


class NoOffsets:
    """Nothing may be committed."""

    def commit(self, positions: object) -> None:
        """Fail."""
        pytest.fail(f"committed {positions}")


@pytest.mark.parametrize("what", ["output", "changelog"])
def test_a_record_that_was_not_delivered_leaves_the_unit_uncommitted(what: str) -> None:
    """Also the one record of a changelog that asks for its own delivery report."""
    [port] = free_ports(1)
    settings = {"bootstrap.servers": f"127.0.0.1:{port}", "message.timeout.ms": 200, "log_level": 0}
    writer = AtLeastOnceWriter(settings, 5.0, NoOffsets())
    writer.begin()
    if what == "output":
        writer.send([Output("out", b"v", b"k", 0, [])])
    else:
        writer.send([], [ChangelogRows(TopicPartition("log", 0), [(b"k", b"v")])])
    ending = writer.finish({TopicPartition("in", 0): 7}, None)
    assert ending.outcome is Outcome.UNKNOWN
    assert writer.conclude(ending, {TopicPartition("in", 0): 7}).outcome is Outcome.UNKNOWN
    writer.close()


OUT_OF_ORDER = KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "simulated", fatal=True)


class Broken:
    """A client that is of no use any more, and says so where it is asked next.

    Long waits are cut into pieces by confluent-kafka: the next piece calls Python with the exception set.
    """

    def __init__(self, told: Callable[[KafkaError, Failed], None]) -> None:
        self._told = told
        self._is_said = False
        self._left = 1

    def __len__(self) -> int:
        return self._left

    def flush(self, timeout: float) -> int:
        """Wait."""
        if not self._is_said:
            self._is_said = True
            if timeout >= 0.2:
                raise SystemError("returned a result with an exception set")
            raise KafkaException(OUT_OF_ORDER)
        if self._left:
            self._left = 0
            self._told(OUT_OF_ORDER, Failed())
        return 0


class Failed:
    """A record that was given up."""

    def topic(self) -> str:
        """Its topic."""
        return "out"


def test_a_unit_is_given_up_as_unknown_when_the_client_is_of_no_use_any_more() -> None:
    """The worker replaces its client then; what the client raises would end the worker."""
    [port] = free_ports(1)
    writer = AtLeastOnceWriter({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0}, 5.0, NoOffsets())
    writer.begin()
    writer._client = cast("Producer", Broken(writer._note_delivery))
    ending = writer.abandon()
    assert ending.outcome is Outcome.UNKNOWN
    assert "simulated" in ending.reason
