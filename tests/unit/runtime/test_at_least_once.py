"""The at-least-once writer: offsets only after every record is on the brokers."""

from __future__ import annotations

import pytest

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
