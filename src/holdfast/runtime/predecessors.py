"""Ends the transactions that workers who are gone left open.

Such a transaction holds up everybody: its records hide all later ones from readers of committed records, a
restore of the changelog among them, and its offsets hide the group's from whoever asks where to go on. A
worker that comes back to its slot ends its own; one that does not come back soon, or is frozen, leaves it to
the brokers. They end it when it is as old as `transaction.timeout.ms`, and look for such only every 10 s: a
successor waited up to 20 s, long after the group had given it the shard.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from threading import Lock, Thread

from holdfast.errors import ClusterError
from holdfast.kafka.members import GroupQuestion
from holdfast.kafka.reader import PartitionReader
from holdfast.record import TopicPartition

log = logging.getLogger(__name__)


class Predecessors:
    """Looks who had the shards that were just claimed, and ends what those who are gone left open.

    Only of workers that are not in the group. Were one back in its slot just now, it would be refused once,
    and begin its unit again.

    Args:
        group_id: the group.
        own_id: this worker's own transactional id, under which nothing is ended here.
        inputs: the processor's input topics.
        end: ends what is open under a transactional id; raises `ClusterError`.
        timeout: seconds for one question.
    """

    def __init__(
        self, group_id: str, own_id: str, inputs: tuple[str, ...], end: Callable[[str], None], timeout: float
    ) -> None:
        self._group_id = group_id
        self._own_id = own_id
        self._inputs = inputs
        self._end = end
        self._timeout = timeout
        self._lock = Lock()
        self._under_way: set[str] = set()

    def look(self, reader: PartitionReader, shards: Iterable[int]) -> None:
        """Begin with it, on a thread of its own: the brokers take their time.

        Raises:
            ClusterError: the brokers do not tell who had the shards.
        """
        places = [TopicPartition(topic, shard) for shard in shards for topic in self._inputs]
        # Positions as they were before any open transaction: behind those one would wait.
        found = reader.standing(places, self._timeout, is_stable=False)
        owners = {each.owner for each in found.values() if each.owner is not None}
        # A note that came here from another group says nothing about this one's workers.
        others = {it for it in owners if it != self._own_id and it.startswith(f"{self._group_id}.")}
        with self._lock:
            others -= self._under_way
            self._under_way |= others
        if others:
            try:
                question = reader.ask_group(self._group_id, self._timeout)
            except ClusterError:
                self._forget(others)
                raise
            arguments = (question, frozenset(others))
            Thread(target=self._end_gone, args=arguments, name="predecessors", daemon=True).start()

    def _end_gone(self, question: GroupQuestion, others: frozenset[str]) -> None:
        try:
            members = {member.client_id for member in question.wait().members}
            for gone in sorted(others - members):
                log.info("%s is gone; what it left open is ended", gone)
                self._end(gone)
        except ClusterError as error:
            # The brokers end it themselves, later.
            log.warning("ending what a worker that is gone left open: %s", error)
        finally:
            self._forget(others)

    def _forget(self, others: Iterable[str]) -> None:
        with self._lock:
            self._under_way.difference_update(others)
