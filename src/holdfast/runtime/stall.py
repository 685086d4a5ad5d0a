"""A worker that gets nowhere although there is something to do must not look healthy.

Consumers have been seen to stop fetching without an error, in every client: after a rebalance, after a
coordinator was found again, with a position that nobody noticed to be gone. The lag then grows in
silence. Here two facts are compared that come from different places: where the shards are, and where the
brokers say that their inputs end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final

from holdfast.engine.shard import ShardTask
from holdfast.errors import ClusterError
from holdfast.kafka.ends import EndsQuestion
from holdfast.kafka.reader import PartitionReader
from holdfast.record import TopicPartition
from holdfast.runtime.claims import Progress, Waiting

log = logging.getLogger(__name__)

STALLED_S: Final = 30.0
"""Seconds that a shard may stand still before records that are there."""

RESTORE_STALLED_S: Final = 60.0
"""Seconds that a restore may stand still: it waits for open transactions. Those of a worker that is gone end
after 10 s, when the brokers look for such the next time, which they do every 10 s."""

ASK_S: Final = 5.0
"""Seconds between two questions for the ends."""

_FRESH_S: Final = 3 * ASK_S
_CHECK_S: Final = 1.0
_GRACE_S: Final = 1.0
"""Seconds beyond its time after which a question counts as lost."""
_PENDING_S: Final = 0.1


class InputEnds:
    """Asks now and then where inputs end. Never waits: the thread that asks has shards to restore.

    Args:
        timeout: seconds for one question.

    Attributes:
        places: whose ends; set it on any thread.
    """

    def __init__(self, timeout: float) -> None:
        self.places: tuple[TopicPartition, ...] = ()
        self._timeout = timeout
        self._ends: Mapping[TopicPartition, int] = {}
        self._answered = 0.0
        self._asked = 0.0
        self._due = 0.0
        self._question: EndsQuestion | None = None

    @property
    def fresh(self) -> Mapping[TopicPartition, int]:
        """The ends, as far as the brokers told them lately. Read it on any thread."""
        return self._ends if time.monotonic() - self._answered < _FRESH_S else {}

    @property
    def seconds_to_look(self) -> float:
        """Seconds until `look` has something to do."""
        return _PENDING_S if self._question else max(self._due - time.monotonic(), 0.0)

    def look(self, reader: PartitionReader) -> None:
        """Take the answer if it is there, else ask when it is time to."""
        now = time.monotonic()
        if self._question is not None:
            if self._question.is_answered:
                question, self._question = self._question, None
                self._ends, self._answered = question.answers(), now
            elif now - self._asked > self._timeout + _GRACE_S:
                # A reader that was replaced has taken it along.
                self._question = None
        elif now >= self._due:
            self._asked, self._due = now, now + ASK_S
            if self.places:
                try:
                    self._question = reader.ask_ends(self.places, self._timeout)
                except ClusterError as error:
                    log.debug("asking for the ends of inputs: %s", error)


class StallWatch:
    """Notices shards of a worker that stand still.

    Args:
        processor: its name, for messages.
        ends: where the inputs end.
        inputs: the input topics: brokers are asked for their ends also while shards are only restored.
    """

    def __init__(self, processor: str, ends: InputEnds, inputs: Sequence[str] = ()) -> None:
        self._processor = processor
        self._ends = ends
        self._inputs = inputs
        self._checked = 0.0
        self._since: dict[Hashable, tuple[int, float]] = {}

    def check(
        self, running: Iterable[ShardTask], restoring: Iterable[Progress], waiting: Iterable[Waiting] = ()
    ) -> None:
        """Compare with the last look. Cheap enough for every turn.

        Args:
            running: shards that work.
            restoring: restores under way.
            waiting: claims whose restore does not begin.

        Raises:
            ClusterError: a shard stands still. A new process may do better than a client that is stuck.
        """
        now = time.monotonic()
        if now - self._checked < _CHECK_S:
            return
        if now - self._checked > 3 * _CHECK_S:
            # The loop itself stood still, in a handler or a commit: nothing could have moved.
            self._since.clear()
        self._checked = now
        positions = {
            TopicPartition(topic, task.partition): position
            for task in running
            for topic, position in task.positions.items()
            if not task.waits(topic)
        }
        unfinished = [one for one in restoring if one.done < one.total]
        of_restores = [TopicPartition(topic, one.partition) for one in unfinished for topic in self._inputs]
        self._ends.places = tuple(dict.fromkeys((*positions, *of_restores)))
        ends = self._ends.fresh
        behind = {p: at for p, at in positions.items() if at < ends.get(p, 0)}
        restores = {one.partition: one for one in unfinished if ends}
        self._forget_all_but({*behind, *restores})
        for claim in waiting:
            if claim.answered > RESTORE_STALLED_S:
                raise ClusterError(self._stalled_claim(claim))
        for place, position in behind.items():
            if self._stands_still(place, position, now) > STALLED_S:
                raise ClusterError(self._stalled(place, position, ends[place]))
        for partition, one in restores.items():
            if self._stands_still(partition, one.done, now) > RESTORE_STALLED_S:
                raise ClusterError(self._stalled_restore(one))

    def _forget_all_but(self, keys: set[Hashable]) -> None:
        for key in self._since.keys() - keys:
            del self._since[key]

    def _stands_still(self, key: Hashable, position: int, now: float) -> float:
        before, since = self._since.get(key, (None, now))
        if before != position:
            self._since[key] = position, now
            return 0.0
        return now - since

    def _stalled(self, place: TopicPartition, position: int, end: int) -> str:
        return (
            f"processor {self._processor!r}: shard {place.partition} has stood at offset {position} of "
            f"{place} for {STALLED_S:.0f} s, though records up to {end} are there. This process ends, for "
            "another to begin anew"
        )

    def _stalled_claim(self, claim: Waiting) -> str:
        return (
            f"processor {self._processor!r}: the restore of shard {claim.partition} cannot begin: "
            f"{claim.why}. The brokers that it needs have answered other questions for "
            f"{RESTORE_STALLED_S:.0f} s. This process ends, for another to begin anew. If that does not "
            "help, look for a transaction that hangs on the group's positions (`kafka-transactions.sh "
            "find-hanging`)"
        )

    def _stalled_restore(self, one: Progress) -> str:
        return (
            f"processor {self._processor!r}: the restore of shard {one.partition} has stood still for "
            f"{RESTORE_STALLED_S:.0f} s, with {one.total - one.done} changelog offsets to go. This process "
            "ends, for another to begin anew. If that does not help, look for a transaction that hangs on "
            "the changelog (`kafka-transactions.sh find-hanging`)"
        )
