"""How far a shard is in its inputs: what was handled, what is being committed, what is committed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Span(NamedTuple):
    """Records of one input, from one offset up to before another."""

    topic: str
    begin: int
    end: int


class Positions:
    """The positions of one shard: for each input, the next offset to handle.

    Args:
        committed: those of the last commit.

    Attributes:
        committed: those of the last commit: where an abort goes back to.
        current: those of the open unit. Replaced, not changed, when the shard goes back.
    """

    def __init__(self, committed: Mapping[str, int]) -> None:
        self.committed = dict(committed)
        self.current = dict(committed)
        self._sealed: dict[str, int] = {}
        self._moved: set[str] = set()
        self._is_touched = False

    @property
    def have_moved(self) -> bool:
        """Whether there is something to commit."""
        return bool(self._moved)

    @property
    def unsealed(self) -> Iterator[Span]:
        """The records that were handled since the last seal."""
        begins = self.committed | self._sealed
        return (Span(topic, begins[topic], end) for topic, end in self.current.items() if end > begins[topic])

    def move(self, topic: str, position: int) -> None:
        """An input has come to a position."""
        self.current[topic] = position
        self._moved.add(topic)

    def touch(self) -> None:
        """Have all committed with the next unit, moved or not."""
        self._moved.update(self.current)
        self._is_touched = True

    def seal(self) -> Mapping[str, int]:
        """Close the open unit: what is to be committed, by input."""
        self._sealed = {topic: self.current[topic] for topic in self._moved}
        self._moved.clear()
        return self._sealed

    def commit(self) -> None:
        """What was sealed is committed."""
        self.committed.update(self._sealed)
        self._sealed = {}
        self._is_touched = False

    def go_back(self) -> None:
        """What was not committed never happened."""
        self.current = dict(self.committed)
        self._sealed = {}
        self._moved.clear()
        if self._is_touched:
            # An input in which nothing comes would have no position for long.
            self._moved.update(self.current)

    def go_behind(self, topic: str, offset: int) -> None:
        """Go back behind the last commit in one input, with nothing open."""
        self.committed[topic] = self.current[topic] = offset
