"""A broker that closes no connection, and of which the others know that it is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from holdfast.errors import ClusterError
from holdfast.kafka.departures import Departures, departed


def within(seconds: float, condition: Callable[[], object]) -> bool:
    """Whether something comes to hold in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Cluster:
    """Brokers that come and go."""

    def __init__(self, *brokers: int) -> None:
        self.brokers = set(brokers)
        self.answers = threading.Event()
        self.answers.set()
        self.questions = 0

    def present(self) -> set[int]:
        self.questions += 1
        if not self.answers.wait(5):
            raise ClusterError("no answer")
        return set(self.brokers)


def noted(cluster: Cluster) -> Departures:
    """A watch that knows who is there."""
    departures = Departures(cluster.present)
    departures.note()
    assert within(5, lambda: departures._known)
    return departures


@pytest.mark.parametrize(
    ("present", "told"),
    [
        ({1, 2, 3}, ""),
        ({1, 3}, "broker 2 has left the cluster"),
        ({2}, "brokers 1, 3 have left the cluster"),
        ({1, 2, 3, 4}, ""),
    ],
)
def test_who_is_gone_is_told_by_id(present: set[int], told: str) -> None:
    assert departed({1, 2, 3}, present) == told


def test_a_broker_that_leaves_is_noticed_by_who_looks_again() -> None:
    cluster = Cluster(1, 2, 3)
    departures = noted(cluster)
    assert departures.look() == ""
    cluster.brokers.remove(2)
    assert within(5, lambda: departures.look() == "broker 2 has left the cluster")


def test_one_that_was_not_there_before_is_not_missed() -> None:
    """It has been down for days, or joins while the client works."""
    cluster = Cluster(1, 3)
    departures = noted(cluster)
    cluster.brokers.add(2)
    departures.look()
    assert within(5, lambda: cluster.questions == 2)
    assert departures.look() == ""


def test_nobody_waits_for_an_answer_that_does_not_come() -> None:
    cluster = Cluster(1, 2)
    departures = noted(cluster)
    cluster.answers.clear()
    for _ in range(20):
        assert departures.look() == ""
    assert cluster.questions <= 2
    cluster.brokers.remove(1)
    cluster.answers.set()
    assert within(5, lambda: departures.look() == "broker 1 has left the cluster")


def test_brokers_that_cannot_be_asked_are_no_reason_and_are_asked_again() -> None:
    """In trouble of all kinds: the first answer says who should be there."""
    cluster = Cluster(1, 2)

    def present() -> set[int]:
        found = cluster.present()
        if cluster.questions <= 2:
            raise ClusterError("no answer")
        return found

    departures = Departures(present)
    departures.note()
    assert within(5, lambda: departures.look() == "" and departures._known)
    cluster.brokers.remove(2)
    assert within(5, lambda: departures.look() == "broker 2 has left the cluster")


def test_one_that_went_for_good_is_missed_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(1, 2, 3)
    departures = noted(cluster)
    cluster.brokers.remove(3)
    departures.note()
    assert cluster.questions == 1
    monkeypatch.setattr("holdfast.kafka.departures.NOTE_S", 0.0)
    departures.note()
    assert within(5, lambda: departures._known == {1, 2})
    departures.look()
    assert within(5, lambda: cluster.questions == 3)
    assert departures.look() == ""
