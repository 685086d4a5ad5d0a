"""Taking over a transactional id: asked again soon, and no longer than there is use in it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from holdfast.errors import ClusterError
from holdfast.kafka import takeover
from holdfast.kafka.takeover import take_over

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


def asked(client: Coordinated, within: float) -> None:
    take_over(cast("Producer", client), "app.worker-0", within)


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
