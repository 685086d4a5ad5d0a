"""Who has which part of the work over time: owners of shards, leaders of partitions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from holdfast.chaos.run.result import Span
from holdfast.errors import HoldfastError
from holdfast.kafka.groups import GroupAdmin
from holdfast.kafka.roles import BrokerRoles

LOOK_S = 0.2
_ASK_S = 1.5
"""Seconds for one question: brokers that do not answer must not keep the watch from those that do."""

NOBODY = "nobody"


class Holders:
    """Who holds each of some things, as intervals. Pure.

    Attributes:
        spans: subject, holder, since, until (None for what lasts), on the clock of the calls.
    """

    def __init__(self) -> None:
        self.spans: list[tuple[str, str, float, float | None]] = []
        self._open: dict[str, int] = {}

    def see(self, holders: Mapping[str, str], at: float) -> None:
        """Take a look at who has what; what is not named is as it was."""
        for subject, holder in holders.items():
            place = self._open.get(subject)
            if place is not None:
                _, before, since, _ = self.spans[place]
                if before == holder:
                    continue
                self.spans[place] = (subject, before, since, at)
            self._open[subject] = len(self.spans)
            self.spans.append((subject, holder, at, None))

    def holder(self, subject: str) -> str | None:
        """Who has something, as it was last seen; None if nobody was seen with it."""
        place = self._open.get(subject)
        return None if place is None else self.spans[place][1]

    def changed(self, since: float, until: float) -> float | None:
        """When something first got a new holder, other than nobody, within some time."""
        found = [began for _, holder, began, _ in self.spans if since < began <= until and holder != NOBODY]
        return min(found, default=None)

    def as_spans(self, zero: float) -> tuple[Span, ...]:
        """The intervals for the report, in seconds since `zero`."""
        return tuple(
            Span(subject, holder, began - zero, None if ended is None else ended - zero)
            for subject, holder, began, ended in self.spans
        )


class PartsWatch:
    """Looks at owners and leaders again and again, on a thread of its own. Use it in a ``with`` statement.

    Args:
        servers: the brokers.
        group: the consumer group whose members own the shards.
        worker_of: name of the worker of a group instance id.
        topic: whose leaders are watched.

    Attributes:
        owners: who had which shard.
        leaders: who led which partition.
    """

    def __init__(self, servers: str, group: str, worker_of: Mapping[str, str], topic: str) -> None:
        self._servers = servers
        self._group = group
        self._worker_of = worker_of
        self._topic = topic
        self.owners = Holders()
        self.leaders = Holders()
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(look,), daemon=True)
            for look in (self._watch_owners, self._watch_leaders)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, look: Callable[[], None]) -> None:
        while not self._end.is_set():
            # A client that was never connected, or lost all brokers, is made anew.
            try:
                look()
            except HoldfastError:
                self._end.wait(LOOK_S)

    def _watch_owners(self) -> None:
        with GroupAdmin(self._servers, timeout=_ASK_S) as admin:
            while not self._end.is_set():
                group = admin.describe(self._group)
                found = {
                    str(place.partition): self._worker_of.get(member.instance_id or "", member.client_id)
                    for member in group.members
                    for place in member.partitions
                    if place.topic == self._topic
                }
                if group.state == "stable":
                    self.owners.see(found, time.monotonic())
                self._end.wait(LOOK_S)

    def _watch_leaders(self) -> None:
        roles = BrokerRoles(self._servers, timeout=_ASK_S)
        while not self._end.is_set():
            found = {
                f"{self._topic}/{number}": f"broker-{leader}" if leader >= 0 else NOBODY
                for number, leader in roles.leaders(self._topic).items()
            }
            self.leaders.see(found, time.monotonic())
            self._end.wait(LOOK_S)
