"""How fast a system that was away is given what has waited for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

import pytest

from holdfast.runtime.pace import Pace

TICK_S = 0.01
COMMIT_TICKS = 10
BATCH = 5_000


@dataclass
class Clock:
    """Seconds that a test moves on."""

    now: float = 1000.0

    def __call__(self) -> float:
        """The seconds."""
        return self.now


@dataclass
class Flow:
    """A worker with so many records each second, which commits ten times a second.

    Attributes:
        capacity: the most that the system takes per second.
        sent: for each second since the system was back, what it was sent.
    """

    rate: float
    capacity: float = inf
    clock: Clock = field(default_factory=Clock)
    backlog: float = 0.0
    sent: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with a system that is well."""
        self.pace = Pace(self.clock)
        self._waiting = 0
        self._busy_until = 0.0

    def run(self, seconds: float, *, is_away: bool = False) -> None:
        """Let time pass."""
        self.sent.clear()
        for tick in range(round(seconds / TICK_S)):
            if tick % round(1 / TICK_S) == 0:
                self.sent.append(0)
            self.clock.now += TICK_S
            self.backlog += self.rate * TICK_S
            if is_away or self.clock.now < self._busy_until:
                continue
            take = int(min(self.pace.room(self._waiting), self.backlog, BATCH - self._waiting))
            self._waiting += take
            self.backlog -= take
            if tick % COMMIT_TICKS == 0 and self._waiting:
                self.pace.sent(self._waiting)
                self.sent[-1] += self._waiting
                self._busy_until = self.clock.now + self._waiting / self.capacity
                self.pace.took(self._waiting)
                self._waiting = 0

    def outage(self, seconds: float) -> None:
        """The system goes away and comes back."""
        self.pace.away()
        self.run(seconds, is_away=True)
        self.pace.back()


@pytest.mark.parametrize("rate", [20, 300, 2_000, 30_000])
def test_the_first_second_after_an_outage_is_like_any_before_it(rate: int) -> None:
    """Not a minute's backlog at once."""
    flow = Flow(rate)
    flow.run(20)
    flow.outage(60)
    flow.run(3)
    assert 0.8 * rate <= flow.sent[0] <= 1.1 * rate
    assert flow.sent[0] < flow.sent[1] < flow.sent[2] <= 2 * rate


def test_what_has_waited_is_worked_off() -> None:
    """The rate grows until the backlog is gone, and then nothing is limited."""
    flow = Flow(2_000)
    flow.run(20)
    flow.outage(60)
    flow.run(20)
    assert flow.backlog < 300
    assert flow.pace.room(0) == inf


def test_a_system_that_is_slower_than_the_limit_sets_the_pace_itself() -> None:
    """Its limit ends; what it is sent is what it takes."""
    flow = Flow(2_000, capacity=3_000)
    flow.run(20)
    flow.outage(60)
    flow.run(10)
    assert flow.pace.room(0) == inf
    assert 2_500 <= sum(flow.sent) / 10 <= 3_500


def test_a_second_outage_in_the_middle_knows_the_rate_of_before_the_first() -> None:
    """What is sent of a backlog is no measure."""
    flow = Flow(2_000)
    flow.run(20)
    flow.outage(60)
    flow.run(5)
    flow.outage(10)
    flow.run(1)
    assert flow.sent[0] <= 1.1 * 2_000


def test_the_seconds_before_an_outage_was_noticed_are_no_measure() -> None:
    """The system was silent in them."""
    flow = Flow(2_000)
    flow.run(20)
    flow.run(0.9, is_away=True)
    flow.outage(5)
    flow.run(1)
    assert flow.sent[0] >= 0.8 * 2_000


def test_one_that_was_never_seen_begins_slowly() -> None:
    """A worker that starts in an outage knows no rate."""
    flow = Flow(2_000)
    flow.outage(60)
    flow.run(30)
    assert 50 <= flow.sent[0] <= 110
    assert flow.backlog < 2_000
