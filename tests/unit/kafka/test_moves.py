"""Moving groups: each attempt is a transaction of a client of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest
from confluent_kafka import Producer

from holdfast.errors import ReplayRefused
from holdfast.kafka import moves
from holdfast.kafka.lost_requests import LostRequests
from holdfast.kafka.moves import LOOKS_APART_S, Move, Mover
from holdfast.kafka.positions import Committed, Note
from holdfast.record import TopicPartition

PLACE = TopicPartition("orders", 0)
MOVE = Move("shop.totals", {PLACE: Committed(9)}, {PLACE: 3}, {PLACE: Note("id-1")})
LOST = "Disconnected while requesting (after 1200ms in state UP)"


class Clock:
    """Stands still but when something takes long."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """What `time` calls it."""
        return self.now


class Brokers:
    """What its clients did, in order; each is a number, and the transactional id is the newest one's.

    Attributes:
        calls: with the client's number.
        slow: clients in whose attempt the brokers are slow.
        losing: clients that lose a connection when they send offsets.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.clients = 0
        self.slow: Sequence[int] = ()
        self.losing: Sequence[int] = ()
        self.clock = Clock()

    def client(self, settings: Mapping[str, Any]) -> Client:
        """Make one."""
        self.clients += 1
        return Client(self, self.clients, settings["logger"])


class Client:
    """A producer."""

    def __init__(self, brokers: Brokers, number: int, log: LostRequests) -> None:
        self._brokers, self._number, self._log = brokers, number, log
        self._unheard: list[str] = []

    def _note(self, what: str) -> None:
        self._brokers.calls.append(f"{self._number} {what}")

    def init_transactions(self, _: float) -> None:
        """Take the id over."""
        self._note("takes over")

    def begin_transaction(self) -> None:
        """Begin."""
        self._note("begins")

    def send_offsets_to_transaction(self, *_: Any) -> None:
        """Take a while, or lose a connection, which the client tells in its log with a later call."""
        if self._number in self._brokers.slow:
            self._brokers.clock.now += LOOKS_APART_S
        if self._number in self._brokers.losing:
            self._unheard.append(LOST)

    def poll(self, _: float) -> int:
        """Hand out the log."""
        for text in self._unheard:
            self._log.log(20, "%s", "FAIL", text)
        self._unheard.clear()
        return 0

    def purge(self) -> None:
        """Nothing is left."""

    def abort_transaction(self, _: float) -> None:
        """Abort."""
        self._note("aborts")

    def commit_transaction(self, _: float) -> None:
        """Commit."""
        self._note("commits")


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Brokers:
    """Give brokers on which nobody else does anything."""
    brokers = Brokers()
    monkeypatch.setattr(moves, "Producer", brokers.client)
    monkeypatch.setattr(moves, "time", brokers.clock)
    for name in ("_outsider", "_require_alone", "_require_unmoved"):
        monkeypatch.setattr(Mover, name, lambda *_: None)
    return brokers


def moved(brokers: Brokers) -> int:
    """Move the group, and return the number of the client that `also` was given."""

    def also(client: Producer) -> int:
        brokers.calls.append("also")
        return cast("Client", client)._number

    return Mover("shop.totals.replay", "127.0.0.1:1", {}).move([MOVE], "moving", also)


def test_a_move_is_one_transaction(brokers: Brokers) -> None:
    """Of a client that took the transactional id over for it."""
    assert moved(brokers) == 1
    assert brokers.calls == ["1 takes over", "1 begins", "also", "1 commits"]


@pytest.mark.parametrize("flaw", ["slow", "losing"])
def test_an_attempt_that_is_done_again_is_another_clients(brokers: Brokers, flaw: str) -> None:
    """What the one before left on the way, an abort say, would end the next transaction half written."""
    setattr(brokers, flaw, [1, 2])
    assert moved(brokers) == 3
    assert brokers.calls == [
        "1 takes over",
        "1 begins",
        "2 takes over",
        "2 begins",
        "3 takes over",
        "3 begins",
        "also",
        "3 commits",
    ]


@pytest.mark.parametrize(
    ("flaw", "said"), [("slow", "answer too slowly"), ("losing", "a connection was lost .*state UP")]
)
def test_a_move_that_never_succeeds_says_why_and_leaves_nothing_open(
    brokers: Brokers, flaw: str, said: str
) -> None:
    """Workers would wait for its end. No client comes after the last that could be hurt by a late abort."""
    setattr(brokers, flaw, range(99))
    with pytest.raises(ReplayRefused, match=f"{said}.*5 times in a row. Nothing was changed"):
        moved(brokers)
    assert brokers.calls[-3:] == ["5 takes over", "5 begins", "5 aborts"]
    assert "also" not in brokers.calls
