"""The other workers of a processor, as the group's coordinator last named them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Final

from holdfast.errors import ClusterError
from holdfast.kafka.members import Group, GroupQuestion
from holdfast.kafka.reader import PartitionReader

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""Seconds between two questions."""

ORPHANED_LOOKS: Final = 4
"""Looks in a row that must find shards without an owner. Between two steps of a rebalance one may."""

_PENDING_S: Final = 0.05
"""Seconds between two looks for an answer."""


class Peers:
    """Asks now and then who is in the group. Never waits: the thread that asks has shards to restore.

    Args:
        group_id: the processor's group.
        own_id: what this worker calls itself, its client id.
        shards: how many shards the processor has.
        timeout: seconds for one question.

    Attributes:
        owners: the shards of each member, by what it calls itself; read it on any thread. Members that
            have none are in it.
        seen: when each member was last seen in it at rest, by `time.monotonic`.
    """

    def __init__(self, group_id: str, own_id: str, shards: int, timeout: float) -> None:
        self.owners: Mapping[str, frozenset[int]] = {}
        self.seen: Mapping[str, float] = {}
        self._heard: tuple[float, bool] | None = None
        self._asked = 0.0
        self._group_id = group_id
        self.own_id = own_id
        self._shards = frozenset(range(shards))
        self._timeout = timeout
        self._orphaned = 0
        self._due = 0.0
        self._question: GroupQuestion | None = None

    def has_others(self, since: float) -> bool | None:
        """Whether another worker is in the group; None when that is not known.

        Args:
            since: when the last rebalance was, by `time.monotonic`. What was heard before counts for nothing.
        """
        heard = self._heard
        return None if heard is None or heard[0] < since else heard[1]

    @property
    def orphans(self) -> frozenset[int]:
        """Shards that no member of a group at rest has had for seconds; those that moved have been restored.

        A static member that is asked to give shards away, and is restarted before it has, comes back without
        them and without a rebalance: the coordinator takes what it had been given last for all that it has.
        """
        if self._orphaned < ORPHANED_LOOKS:
            return frozenset()
        return self._shards.difference(*self.owners.values())

    @property
    def leads(self) -> bool:
        """Whether it is for this worker to do what one of them has to do."""
        return self.own_id == min(self.owners, default=None)

    def forget_orphans(self) -> None:
        """Look anew: something is done about them."""
        self._orphaned = 0

    @property
    def seconds_to_look(self) -> float:
        """Seconds until `look` has something to do."""
        if self._question is not None:
            return _PENDING_S
        return max(self._due - time.monotonic(), 0.0)

    def look(self, reader: PartitionReader) -> None:
        """Take the answer if it is there, else ask when it is time to.

        What the brokers do not say is not known for a while. A question without an answer is asked again:
        when a reader is replaced, its client takes what was asked with it.
        """
        try:
            if self._question is None:
                if time.monotonic() >= self._due:
                    self._asked = time.monotonic()
                    self._due = self._asked + LOOK_S
                    self._question = reader.ask_group(self._group_id, self._timeout)
            elif self._question.is_answered:
                question, self._question = self._question, None
                self._take(question.wait())
            elif time.monotonic() - self._asked > self._timeout:
                self._question = None
        except ClusterError as error:
            log.debug("looking at the group: %s", error)

    def _take(self, group: Group) -> None:
        owners = {
            member.client_id: frozenset(place.partition for place in member.partitions)
            for member in group.members
        }
        # One value, since it is read on another thread.
        self._heard = self._asked, bool(owners.keys() - {self.own_id})
        if group.state in ("stable", "empty"):
            # In between, members are listed without what they own.
            if owners != self.owners:
                # The same object otherwise: what is computed from it need not be computed again.
                self.owners = owners
            self.seen = {**self.seen, **dict.fromkeys(owners, self._asked)}
            is_whole = self._shards.issubset(frozenset().union(*owners.values()))
            self._orphaned = 0 if is_whole or not owners else self._orphaned + 1
        else:
            self._orphaned = 0
