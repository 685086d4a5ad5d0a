"""Who is taken for gone, and what is ended of it: only what was left by those who are not in the group."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.errors import BrokersUnreachable, ClusterError
from holdfast.kafka.members import Group, Member
from holdfast.kafka.positions import Committed
from holdfast.record import TopicPartition
from holdfast.runtime import predecessors as module
from holdfast.runtime.predecessors import AGAIN_S, STRANGER_S, PredecessorPorts, Predecessors

OWN = "g.host-0"


class Bench:
    """A group, its positions, and time that passes by waiting only."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.owners: dict[int, str] = {}
        self.members = [OWN]
        self.ended: list[str] = []
        self.fail: set[str] = set()
        self.on_end: Any = lambda: None
        self.peers = SimpleNamespace(own_id=OWN, owners={}, seen={})
        ports = PredecessorPorts("g.{}".format, self._group, self._end)
        self.predecessors = Predecessors(("in",), self.peers, ports, 5.0)  # type: ignore[arg-type]

    def _group(self) -> Group:
        return Group("g", "stable", tuple(Member(f"{it}-1", it, "h", it, ()) for it in self.members))

    def _end(self, owner: str) -> None:
        self.on_end()
        if owner in self.fail:
            raise ClusterError("not authorized")
        self.ended.append(owner)

    def standing(self, places: Any, _: float, *, is_stable: bool) -> dict[TopicPartition, Committed]:
        """The positions as they were before open transactions."""
        assert not is_stable
        return {place: Committed(5, owner=self.owners.get(place.partition)) for place in places}

    def sleep(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    def see(self, *ids: str) -> None:
        """A look at the group finds these."""
        self.peers.seen |= dict.fromkeys(ids, self.now)

    def claim(self, *shards: int) -> None:
        """Shards are claimed, and what that begins is through."""
        self.predecessors.look(self, shards)  # type: ignore[arg-type]
        for thread in threading.enumerate():
            if thread.name == "predecessors":
                thread.join(10)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench of its own."""
    bench = Bench()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: bench.now, sleep=bench.sleep))
    return bench


def test_what_a_worker_that_was_seen_and_is_gone_left_open_is_ended_at_once(bench: Bench) -> None:
    began = bench.now
    bench.see("g.host-1")
    bench.owners = {3: "host-1"}
    bench.claim(3)
    assert bench.ended == ["g.host-1"]
    assert bench.now == began


def test_who_is_in_the_group_is_let_be(bench: Bench) -> None:
    """It gave the shard away in good order, or is back in its slot."""
    bench.see("g.host-1")
    bench.members += ["g.host-1"]
    bench.owners = {3: "host-1"}
    bench.claim(3)
    assert bench.ended == []


def test_nothing_is_ended_under_the_own_id(bench: Bench) -> None:
    bench.owners = {3: "host-0"}
    bench.claim(3)
    assert bench.ended == []


def test_one_that_was_never_seen_is_given_time_to_join(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes its transactional id over before it joins: a start of several looks like this."""
    bench.owners = {3: "host-1", 4: "host-2"}
    began = bench.now

    def sleep(seconds: float) -> None:
        bench.now += seconds
        bench.members.append("g.host-1")

    monkeypatch.setattr(module.time, "sleep", sleep)
    bench.claim(3, 4)
    assert bench.ended == ["g.host-2"]
    assert bench.now == began + STRANGER_S


def test_the_group_is_asked_before_each_is_ended(bench: Bench) -> None:
    """Ending one takes its time, in which the next may have come back."""
    bench.see("g.host-1", "g.host-2")
    bench.owners = {3: "host-1", 4: "host-2"}
    bench.on_end = lambda: bench.members.append("g.host-2")
    bench.claim(3, 4)
    assert bench.ended == ["g.host-1"]


def test_an_answer_without_ourselves_is_not_believed(bench: Bench) -> None:
    """It is we who are gone: the others in it may be alive."""
    bench.see("g.host-1")
    bench.owners = {3: "host-1"}
    bench.members = []
    bench.claim(3)
    assert bench.ended == []
    bench.members = [OWN]
    bench.claim(3)
    assert bench.ended == ["g.host-1"]


def test_one_that_cannot_be_ended_does_not_keep_the_others_from_it(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.see("g.host-1", "g.host-2")
    bench.owners = {3: "host-1", 4: "host-2"}
    bench.fail = {"g.host-1"}
    bench.claim(3, 4)
    assert bench.ended == ["g.host-2"]
    assert "what g.host-1 left open could not be ended" in caplog.text
    bench.fail = set()
    bench.claim(3)
    assert bench.ended == ["g.host-2", "g.host-1"], "tried again with the next claim"


def test_claims_that_are_made_again_end_nothing_twice(bench: Bench) -> None:
    """Until the shard is committed once its position names the one who is gone."""
    bench.see("g.host-1")
    bench.owners = {3: "host-1"}
    for _ in range(3):
        bench.claim(3)
        bench.now += AGAIN_S / 4
    assert bench.ended == ["g.host-1"]


def test_one_that_came_back_and_is_gone_again_is_ended_again(bench: Bench) -> None:
    bench.see("g.host-1")
    bench.owners = {3: "host-1"}
    bench.claim(3)
    bench.now += 5.0
    bench.see("g.host-1")
    bench.now += 5.0
    bench.claim(3)
    assert bench.ended == ["g.host-1", "g.host-1"]


def test_one_that_froze_before_its_first_commit_is_known_from_the_group(bench: Bench) -> None:
    """The position still names whoever had the shard before it."""
    bench.see("g.host-1", "g.host-2")
    bench.members += ["g.host-1"]
    bench.peers.owners = {OWN: frozenset({0}), "g.host-2": frozenset({3, 4})}
    bench.owners = {3: "host-1"}
    bench.claim(3)
    assert bench.ended == ["g.host-2"]


def test_brokers_that_do_not_tell_who_had_the_shards_are_told_of(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim is asked again as a whole."""

    def standing(*_: object, **__: object) -> None:
        raise BrokersUnreachable("no answer")

    monkeypatch.setattr(bench, "standing", standing)
    with pytest.raises(BrokersUnreachable):
        bench.claim(3)
