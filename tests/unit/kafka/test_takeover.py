"""Taking over a transactional id: asked again soon, and no longer than there is use in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from threading import enumerate as enumerate_threads
from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from holdfast.errors import ClusterError
from holdfast.kafka import takeover
from holdfast.kafka.takeover import take_over
from holdfast.kafka.transaction import TransactionalWriter
from holdfast.local.ports import free_ports

BUSY = KafkaError(KafkaError.CONCURRENT_TRANSACTIONS, "still ending what was open", retriable=True)
FORBIDDEN = KafkaError(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "not yours", fatal=True)


class Coordinated:
    """A client whose coordinator answers what it is told to, and no sooner than a call ends."""

    def __init__(self, clock: Clock, answers: Iterator[KafkaError | None]) -> None:
        self.calls: list[float] = []
        self._clock = clock
        self._answers = answers

    def init_transactions(self, timeout: float) -> None:
        """Ask."""
        self.calls.append(timeout)
        self._clock.now += timeout
        if (error := next(self._answers)) is not None:
            raise KafkaException(error)


class Clock:
    """Stands still but when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """What `time` calls it."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the clock that it looks at."""
    clock = Clock()
    monkeypatch.setattr(takeover, "time", clock)
    return clock


def asked(client: Coordinated, within: float, unless: Callable[[], object] | None = None) -> bool:
    return take_over(cast("Producer", client), "app.worker-0", within, unless)


def test_a_coordinator_that_is_busy_is_asked_again_well_before_the_client_would(clock: Clock) -> None:
    """By itself it waits for half a second each time, with all shards waiting for it."""
    client = Coordinated(clock, iter([BUSY, BUSY, BUSY, BUSY, None]))
    asked(client, 60.0)
    assert len(client.calls) == 5
    assert max(client.calls) <= 0.2


def test_it_is_given_up_when_its_time_is_over(clock: Clock) -> None:
    """With the id, and what the coordinator said last."""
    client = Coordinated(clock, repeat(BUSY))
    with pytest.raises(ClusterError, match=r"(?s)app\.worker-0.*still ending what was open"):
        asked(client, 2.0)
    assert 2.0 <= clock.now <= 2.2


def test_who_may_not_is_not_asked_twice(clock: Clock) -> None:
    """It would not be different then."""
    client = Coordinated(clock, iter([FORBIDDEN]))
    with pytest.raises(ClusterError, match="not yours"):
        asked(client, 60.0)
    assert len(client.calls) == 1


def test_nothing_is_asked_once_nobody_wants_the_id_any_more(clock: Clock) -> None:
    """Whoever has it by then would be fenced."""
    client = Coordinated(clock, repeat(BUSY))
    assert not asked(client, 60.0, lambda: len(client.calls) == 3)
    assert len(client.calls) == 3
    unasked = Coordinated(clock, iter([None]))
    assert not asked(unasked, 60.0, lambda: True)
    assert unasked.calls == []
    assert asked(unasked, 60.0, lambda: False)


@pytest.mark.parametrize("by", ["its owner", "its end", "a new client"])
def test_a_writer_that_is_not_wanted_any_more_stops_to_ask(by: str) -> None:
    """A term was ended while the coordinator did not answer, and another may lead; or a client is new."""
    [port] = free_ports(1)
    settings = {"bootstrap.servers": f"127.0.0.1:{port}", "transactional.id": "app.leader", "log_level": 0}
    unwanted: list[str] = []
    writer = TransactionalWriter(settings, 10.0, unless=lambda: unwanted)
    asking = [thread for thread in enumerate_threads() if thread.name == "take-over"]
    assert asking
    if by == "its owner":
        unwanted.append("ended")
        with pytest.raises(ClusterError, match="given up: nobody wants it"):
            writer.begin()
    elif by == "a new client":
        writer.reopen()
    else:
        writer.close()
    for thread in asking:
        thread.join(5)
        assert not thread.is_alive()
    writer.close()
