"""A writer whose transactional id was taken over, as successors do to a worker that looks gone.

The brokers refuse its records while it does something else. The client raises that out of whatever call comes
next; each call of the writer must end as it is declared to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import KafkaException

from holdfast.errors import Fenced
from holdfast.kafka.settings import producer_config
from holdfast.kafka.takeover import end_transaction
from holdfast.kafka.transaction import TransactionalWriter
from holdfast.kafka.unit_writer import ChangelogRows, Outcome
from holdfast.record import Output, TopicPartition
from tests.conftest import TestCluster
from tests.support.units import CALL_S, Units

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]
Names = Callable[[str], str]

REFUSED_S = 10.0
"""Seconds within which the brokers refuse what is sent too late."""


class Rivalry:
    """A writer and who takes its transactional id.

    Attributes:
        units: what the writer writes.
        writer: with a unit that is open.
    """

    def __init__(self, name: str, servers: str) -> None:
        self.units = Units(name, servers)
        self._servers = servers
        self.writer = self.units.writer(servers, TransactionalWriter)
        self.topic = f"{name}.out"
        self.writer.begin()
        self.send("before")
        assert self.writer._client.flush(CALL_S) == 0

    def send(self, value: str) -> None:
        """Send an output, and a change whose place in the changelog the writer wants to know."""
        rows = [ChangelogRows(TopicPartition(self.topic, 0), [(b"key", value.encode())])]
        self.writer.send([Output(self.topic, value.encode(), b"key", 0, [])], rows)

    def take_over(self) -> None:
        """End the writer's transaction."""
        settings = producer_config(self._servers, {}, transactional_id=self.units.name)
        end_transaction(self.units.name, settings, REFUSED_S)

    def fence(self) -> None:
        """Have the brokers refuse the writer: its client knows, and has not told."""
        self.take_over()
        self.send("too late")
        deadline = time.monotonic() + REFUSED_S
        while not self._is_refused():
            assert time.monotonic() < deadline, "the brokers did not refuse it"
            time.sleep(0.05)

    def _is_refused(self) -> bool:
        try:
            self.writer._client.produce(self.topic, b"too late", b"key")
        except KafkaException:
            return True
        return False

    def finish(self) -> Outcome:
        """End the open unit."""
        with self.units.group() as member:
            return self.units.finish(self.writer, 1, member).outcome

    def close(self) -> None:
        """Let go of the clients."""
        self.writer.close()
        self.units.close()


@pytest.fixture
def rivalry(cluster: TestCluster, unique_name: Names) -> Iterator[Rivalry]:
    """A writer of the test's own."""
    rivalry = Rivalry(unique_name("units"), cluster.bootstrap_servers)
    yield rivalry
    rivalry.close()


def test_a_fenced_writer_begins_nothing(rivalry: Rivalry) -> None:
    """Also when it is asked again."""
    rivalry.fence()
    for _ in range(2):
        with pytest.raises(Fenced):
            rivalry.writer.begin()


def test_a_fenced_writer_takes_no_records(rivalry: Rivalry) -> None:
    """Also when the client's word was heard by another call."""
    rivalry.fence()
    with pytest.raises(Fenced):
        rivalry.send("much too late")
    rivalry.writer.stop_waiting(is_late=True)
    with pytest.raises(Fenced):
        rivalry.send("much too late")


def test_the_commit_of_a_fenced_writer_is_fenced(rivalry: Rivalry) -> None:
    """Not unknown: the worker counts the two apart."""
    rivalry.fence()
    assert rivalry.finish() is Outcome.FENCED


def test_a_writer_that_is_fenced_while_it_waits_for_its_records_is_fenced(rivalry: Rivalry) -> None:
    """The brokers' refusal comes in the midst of the commit, and the records' reports after it."""
    rivalry.take_over()
    rivalry.send("too late")
    assert rivalry.finish() is Outcome.FENCED


def test_a_fenced_writer_gives_its_unit_up_as_fenced(rivalry: Rivalry) -> None:
    """What it left open was ended by who took over."""
    rivalry.fence()
    assert rivalry.writer.abandon().outcome is Outcome.FENCED


def test_to_wait_for_a_fenced_writer_raises_nothing(rivalry: Rivalry) -> None:
    """Whatever the client has to say when somebody looks how it stands: the end of the unit says it."""
    rivalry.fence()
    given_up = rivalry.writer.stop_waiting(is_late=True)
    assert given_up is not None
    assert given_up.outcome is Outcome.GIVEN_UP
    assert rivalry.writer.abandon().outcome is Outcome.FENCED


def test_a_fenced_writer_goes_on_with_a_new_client(rivalry: Rivalry) -> None:
    """Letting go of the old one raises nothing, and what it had sent is not there."""
    rivalry.fence()
    rivalry.writer.reopen()
    rivalry.units.run(rivalry.writer, 2)
    assert rivalry.units.problems() == []


def test_a_fenced_writer_can_be_closed(rivalry: Rivalry) -> None:
    """With the client's word unheard."""
    rivalry.fence()
    rivalry.writer.close()
