"""A group member's background work: join, heartbeat, and what changes for the application."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from holdfast.testing.simulation.brokers import OFFSETS_TOPIC, internal
from holdfast.testing.simulation.client import SimCluster
from holdfast.testing.simulation.groups import Given, Joining, outsider
from holdfast.testing.simulation.kernel import Process, Signal
from holdfast.testing.simulation.log import Refused

_JOIN_AGAIN_S = 3.0
"""Seconds after which a join without an answer is asked again."""


class Change(Enum):
    """What happens to an application's shards."""

    ASSIGN = "assign"
    REVOKE = "revoke"
    LOST = "lost"
    FENCED = "fenced"


class Membership:
    """One member of one group.

    Args:
        cluster: where the coordinator is.
        process: where the member lives.
        settings: librdkafka properties.
        topic: whose partitions stand for the shards.
        awake: fired when there is a change.

    Attributes:
        standing: the present standing, as commits carry it.
        owned: shards that the application was given and was not asked to return.
        changes: what the application has not heard of yet.
    """

    def __init__(
        self, cluster: SimCluster, process: Process, settings: Mapping[str, Any], topic: str, awake: Signal
    ) -> None:
        self.topic = topic
        self.owned: frozenset[int] = frozenset()
        self.changes: list[tuple[Change, list[int]]] = []
        self._cluster = cluster
        self._kernel = cluster.brokers.kernel
        self._process = process
        self._awake = awake
        self._group = str(settings["group.id"])
        self._instance = str(settings["group.instance.id"])
        self._session = float(settings["session.timeout.ms"]) / 1000
        self._interval = float(settings["heartbeat.interval.ms"]) / 1000
        self._coordinator = internal(OFFSETS_TOPIC, self._group)
        self.standing = outsider(self._group, self._instance)
        self._heard = self._kernel.now
        self._joining = 0
        self._is_joining = False
        self._rejoin_when_told = False
        self._telling = False
        self._ended = False
        self._leaving = False
        self._join()
        self._kernel.at(self._interval, self._beat, process=process)

    def close(self) -> None:
        """Say nothing any more."""
        self._ended = True

    def leave(self) -> None:
        """Leave, when the application has given its shards back."""
        self._leaving = True
        self._is_joining = self._rejoin_when_told = False
        if self.owned:
            self.changes.append((Change.REVOKE, sorted(self.owned)))
            self.owned = frozenset()
        else:
            self._leave()

    def joins_again(self) -> bool:
        """Join again when the application has dealt with a change; False for one that has left."""
        if self._ended or self._leaving:
            return False
        self._rejoin_when_told = True
        return True

    def take(self) -> tuple[Change, list[int]]:
        """The next change, which the application is told of now."""
        self._telling = True
        return self.changes.pop(0)

    def told(self) -> None:
        """The application has dealt with the change. Only then may others have what it gave away."""
        self._telling = False
        if self._leaving and not self.changes:
            self._leave()
        elif not self.changes and self._rejoin_when_told:
            self._rejoin_when_told = False
            self._join()

    def _leave(self) -> None:
        self._ended = True
        standing, groups = self.standing, self._cluster.groups
        # Nobody waits for the answer; a lost request leaves the member to the end of its session.
        self._cluster.brokers.send(
            self._process, self._coordinator, lambda: groups.leave(standing), lambda _: None
        )

    # -- joining

    def _join(self) -> None:
        if self._ended or self._leaving:
            return
        if self.changes or self._telling:
            self._rejoin_when_told = True
            return
        self._is_joining = True
        self._joining += 1
        attempt, groups = self._joining, self._cluster.groups
        kernel, process = self._kernel, self._process

        def given(answer: Given) -> None:
            kernel.at(0.001 + 0.003 * kernel.rng.random(), self._given, attempt, answer, process=process)

        request = Joining(
            self._group, self.standing.member, self._instance, self.topic, self._session, self.owned, given
        )

        def answered(answer: Any) -> None:
            if isinstance(answer, Refused) and attempt == self._joining and not self._ended:
                self._refused(answer.code)

        self._cluster.brokers.send(process, self._coordinator, lambda: groups.join(request), answered)
        kernel.at(_JOIN_AGAIN_S, self._join_again, attempt, process=process)

    def _join_again(self, attempt: int) -> None:
        if attempt == self._joining and self._is_joining:
            self._join()

    def _given(self, attempt: int, answer: Given) -> None:
        if attempt != self._joining or self._ended or self._leaving or not self._is_joining:
            return
        self._is_joining = False
        self.standing = answer.standing
        self._heard = self._kernel.now
        revoked, added = self.owned - answer.shards, answer.shards - self.owned
        self.owned = answer.shards
        if revoked:
            self.changes.append((Change.REVOKE, sorted(revoked)))
            self._rejoin_when_told = True
        if added or not revoked:
            self.changes.append((Change.ASSIGN, sorted(added)))
        self._awake.fire()

    # -- heartbeats

    def _beat(self) -> None:
        if self._ended:
            return
        kernel = self._kernel
        kernel.at(self._interval, self._beat, process=self._process)
        if kernel.now - self._heard > self._session:
            # As the client does: without its coordinator a member must take itself for dead.
            self._heard = kernel.now
            self._lose()
            return
        if self._is_joining or self.standing.generation < 0:
            return
        standing, groups = self.standing, self._cluster.groups

        def answered(answer: Any) -> None:
            if standing != self.standing or self._ended:
                return
            if isinstance(answer, Refused):
                if not self._is_joining:
                    self._refused(answer.code)
            else:
                self._heard = kernel.now

        self._cluster.brokers.send(
            self._process, self._coordinator, lambda: groups.heartbeat(standing), answered
        )

    def _refused(self, code: str) -> None:
        if code == "REBALANCE_IN_PROGRESS":
            self._heard = self._kernel.now
            if not self._is_joining:
                self._join()
        elif code == "FENCED_INSTANCE_ID":
            self._ended = True
            self.changes.append((Change.FENCED, []))
            self._awake.fire()
        elif code in ("UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION"):
            self._lose()
        else:
            self._kernel.at(0.2, self._join_again, self._joining, process=self._process)

    def _lose(self) -> None:
        lost, self.owned = sorted(self.owned), frozenset()
        self.standing = outsider(self._group, self._instance)
        # What was asked before is answered to a member that is no more.
        self._is_joining = False
        if lost:
            # What the application has not heard of was never its own; what it is to give away still is.
            unheard = {s for change, shards in self.changes if change is Change.ASSIGN for s in shards}
            going = {s for change, shards in self.changes if change is not Change.ASSIGN for s in shards}
            self.changes.clear()
            lost = sorted((set(lost) - unheard) | going)
            if lost:
                self.changes.append((Change.LOST, lost))
        if self.changes:
            self._awake.fire()
        self._join()
