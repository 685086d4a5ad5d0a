"""How far the inputs of a shard are muted, and which of them wait for the others.

After a replay or a switch of versions each input is muted up to an offset of its own, its front: below it
records make state, and their outputs were written when they were handled for the first time. With several
inputs one reaches its front before another. Its new records would then meet half a state, and their outputs
are written: so an input waits at its front until every other one has come to its own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from holdfast.record import Message


class Mutes:
    """The mutes of one shard.

    Args:
        fronts: for each input that is muted, the offset up to which it is.
        positions: for each input, the next offset to handle.
    """

    def __init__(self, fronts: Mapping[str, int], positions: Mapping[str, int]) -> None:
        self._fronts = dict(fronts)
        self._behind: frozenset[str] = frozenset()
        self.go_back(positions)

    def go_back(self, positions: Mapping[str, int]) -> None:
        """The inputs are read from these positions again."""
        self._behind = frozenset(topic for topic, front in self._fronts.items() if positions[topic] < front)

    def move(self, topic: str, position: int) -> None:
        """An input has come to a position."""
        if topic in self._behind and position >= self._fronts[topic]:
            self._behind -= {topic}

    @property
    def behind(self) -> frozenset[str]:
        """The inputs that have not come to their fronts."""
        return self._behind

    def front(self, topic: str) -> int:
        """The offset up to which an input is muted; 0 if it is not."""
        return self._fronts.get(topic, 0)

    def waits(self, topic: str, position: int) -> bool:
        """Whether an input is held at this position until others have come to their fronts."""
        return self._others_are_behind(topic) and position >= self.front(topic)

    def count_ready(self, topic: str, messages: Sequence[Message]) -> int:
        """How many of these records of an input, oldest first, need not wait for other inputs."""
        return self.count_muted(topic, messages) if self._others_are_behind(topic) else len(messages)

    def _others_are_behind(self, topic: str) -> bool:
        return not self._behind <= {topic}

    def count_muted(self, topic: str, messages: Sequence[Message]) -> int:
        """How many of these records of an input, oldest first, are muted."""
        front = self.front(topic)
        if not messages or messages[0].offset() >= front:
            return 0
        return bisect_left(messages, front, key=lambda message: message.offset())
