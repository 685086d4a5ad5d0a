"""Ends the transactions that workers who are gone left open.

Such a transaction holds up everybody: its records hide all later ones from readers of committed records, a
restore of the changelog among them, and its offsets hide the group's from whoever asks where to go on. A
worker that comes back to its slot ends its own; one that does not come back soon, or is frozen, leaves it to
the brokers. They end it when it is as old as `transaction.timeout.ms`, and look for such only every 10 s: a
successor waited up to 20 s, long after the group had given it the shard.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Final

from holdfast.errors import ClusterError
from holdfast.kafka.members import Group
from holdfast.kafka.reader import PartitionReader
from holdfast.record import TopicPartition
from holdfast.runtime.peers import Peers

log = logging.getLogger(__name__)

STRANGER_S: Final = 3.0
"""Seconds that a worker is given to join which was never seen in the group. It takes its transactional id
over before it joins, so one that starts just now looks like one that is gone."""

AGAIN_S: Final = 60.0
"""Seconds until what one worker left open is ended another time, unless it was in the group in between. Its
shards may be claimed again and again before they are committed once."""


@dataclass(frozen=True, slots=True)
class PredecessorPorts:
    """What it takes to end transactions. Both may block.

    Attributes:
        slot_id: what the worker in a slot calls itself in the group, and its transactional id.
        group: asks who is in the group; raises `ClusterError`.
        end: ends what is open under a transactional id; raises `ClusterError`.
    """

    slot_id: Callable[[str], str]
    group: Callable[[], Group]
    end: Callable[[str], None]


class Predecessors:
    """Looks who had the shards that were just claimed, and ends what those who are gone left open.

    Who had them stands beside the committed positions, and the group's members were seen now and then: one
    who got a shard and froze before its first commit is known only from there. Gone is who is not in the
    group, asked just before each is ended. Were one back in its slot in that moment, it would be refused
    once, and restore its shards again.

    Args:
        inputs: the processor's input topics.
        peers: the workers, as they were seen last.
        ports: brokers.
        timeout: seconds for the question who committed last.
    """

    def __init__(
        self, inputs: tuple[str, ...], peers: Peers, ports: PredecessorPorts, timeout: float
    ) -> None:
        self._inputs = inputs
        self._peers = peers
        self._ports = ports
        self._timeout = timeout
        self._lock = Lock()
        self._last: dict[str, float] = {}

    def look(self, reader: PartitionReader, shards: Collection[int]) -> None:
        """Begin with it, on a thread of its own: the brokers take their time.

        Raises:
            ClusterError: the brokers do not tell who had the shards.
        """
        places = [TopicPartition(topic, shard) for shard in shards for topic in self._inputs]
        # Positions as they were before any open transaction: behind those one would wait.
        found = reader.standing(places, self._timeout, is_stable=False)
        owners = {self._ports.slot_id(each.owner) for each in found.values() if each.owner is not None}
        owners |= {it for it, theirs in self._peers.owners.items() if not theirs.isdisjoint(shards)}
        others = self._to_end(owners - {self._peers.own_id})
        if others:
            Thread(target=self._end_gone, args=(others,), name="predecessors", daemon=True).start()

    def _to_end(self, owners: Iterable[str]) -> list[str]:
        """Those that nobody here has begun with lately."""
        now, seen = time.monotonic(), self._peers.seen
        with self._lock:
            others = [
                it
                for it in sorted(owners)
                if (last := self._last.get(it)) is None or last < seen.get(it, 0.0) or now - last >= AGAIN_S
            ]
            self._last.update(dict.fromkeys(others, now))
        return others

    def _end_gone(self, others: list[str]) -> None:
        seen = self._peers.seen
        strangers = [it for it in others if it not in seen]
        for owner in others:
            if owner in seen:
                self._end(owner)
        if strangers:
            time.sleep(STRANGER_S)
        for owner in strangers:
            self._end(owner)

    def _end(self, owner: str) -> None:
        try:
            members = {member.client_id for member in self._ports.group().members}
            if owner in members:
                self._forget(owner)
            elif self._peers.own_id not in members:
                # Then it is we who are gone, or this is not an answer that tells members by their names.
                self._forget(owner)
                log.info("not ending what %s left open: this worker is not in the group itself", owner)
            else:
                log.info("%s is gone; what it left open is ended", owner)
                self._ports.end(owner)
        except ClusterError as error:
            self._forget(owner)
            log.warning("what %s left open could not be ended, so the brokers do it later: %s", owner, error)

    def _forget(self, owner: str) -> None:
        """Look at it again with the next claim."""
        with self._lock:
            self._last.pop(owner, None)
