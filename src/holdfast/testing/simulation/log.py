"""One partition of a simulated topic: records, control records, open transactions, compaction, retention.

Offsets are Kafka's: a control record takes one and is never handed out; compaction leaves gaps; what an open
transaction wrote, and everything after it, is not there for readers of committed records (the last stable
offset).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from holdfast.record import TopicPartition
from holdfast.testing.message import MemoryMessage

NO_PRODUCER = -1


class SimMessage(MemoryMessage):
    """A record as the client hands it out."""

    __slots__ = ()

    def error(self) -> None:
        """None: it is a record."""

    def __len__(self) -> int:
        return len(self.value() or b"")


class Fate(Enum):
    """What readers of committed records see of an entry."""

    OPEN = "open"
    VISIBLE = "visible"
    ABORTED = "aborted"
    CONTROL = "control"


@dataclass(slots=True)
class Entry:
    """One offset that is taken.

    Attributes:
        offset: which.
        message: the record; None for a control record.
        producer: the producer id, `NO_PRODUCER` for records outside transactions.
        epoch: its epoch.
        fate: what readers see of it.
        commits: of a control record, whether it commits.
        at: when it was written, in virtual seconds.
    """

    offset: int
    message: SimMessage | None
    producer: int
    epoch: int
    fate: Fate
    commits: bool = False
    at: float = 0.0


@dataclass(slots=True)
class Written:
    """A producer's state in a partition: its epoch, and the batches that it may send again."""

    epoch: int
    next: int = 0
    recent: dict[int, int] = field(default_factory=dict)


class Refused(Exception):
    """A broker refuses; carries the name of the protocol's error."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


Row = tuple[bytes | None, bytes | None, int, list[tuple[str, bytes]] | None]
"""Key, value, timestamp in milliseconds and headers of a record to be written."""


class PartitionLog:
    """A partition.

    Args:
        place: which.
        compacted: whether its topic is compacted.

    Attributes:
        entries: what is kept, oldest first.
        history: the same with everything that compaction and retention removed.
        start: the first offset that is kept.
        end: the high watermark, open transactions included.
    """

    def __init__(self, place: TopicPartition, compacted: bool) -> None:
        self.place = place
        self.compacted = compacted
        self.entries: list[Entry] = []
        self.history: list[Entry] = []
        self.start = 0
        self.end = 0
        self._offsets: list[int] = []
        self._open: dict[int, list[Entry]] = {}
        self._written: dict[int, Written] = {}

    @property
    def stable(self) -> int:
        """The last stable offset: where readers of committed records stop."""
        if not self._open:
            return self.end
        return min(entries[0].offset for entries in self._open.values())

    def write(self, rows: Sequence[Row], at: float) -> int:
        """Append records outside any transaction; returns the first one's offset."""
        first = self.end
        for row in rows:
            self._append(row, NO_PRODUCER, 0, Fate.VISIBLE, at)
        return first

    def produce(
        self, producer: int, epoch: int, sequence: int, rows: Sequence[Row], at: float, *, transactional: bool
    ) -> int:
        """Append a batch of an idempotent producer; returns the first record's offset.

        A batch that is sent again is not appended again.

        Raises:
            Refused: the epoch is old, or a batch before this one is missing.
        """
        state = self._written.get(producer)
        if state is not None and epoch < state.epoch:
            raise Refused("INVALID_PRODUCER_EPOCH")
        if state is None or epoch > state.epoch:
            # What was written before under an older epoch is not asked for again.
            state = self._written[producer] = Written(epoch)
        if sequence in state.recent:
            return state.recent[sequence]
        if sequence != state.next and state.next:
            raise Refused("OUT_OF_ORDER_SEQUENCE_NUMBER")
        first = self.end
        fate = Fate.OPEN if transactional else Fate.VISIBLE
        for row in rows:
            entry = self._append(row, producer, epoch, fate, at)
            if transactional:
                self._open.setdefault(producer, []).append(entry)
        state.next = sequence + len(rows)
        state.recent[sequence] = first
        if len(state.recent) > 5:
            del state.recent[next(iter(state.recent))]
        return first

    def mark(self, producer: int, epoch: int, at: float, *, commit: bool) -> None:
        """Append the control record that ends a producer's transaction here."""
        state = self._written.setdefault(producer, Written(epoch))
        if epoch > state.epoch:
            self._written[producer] = Written(epoch)
        for entry in self._open.pop(producer, ()):
            entry.fate = Fate.VISIBLE if commit else Fate.ABORTED
        self._take(Entry(self.end, None, producer, epoch, Fate.CONTROL, commit, at))

    def first_from(self, offset: int) -> int:
        """The index of the first entry at or after an offset."""
        return bisect_left(self._offsets, offset)

    def read(self, position: int, most: int) -> tuple[list[SimMessage], int]:
        """Committed records from a position on, and the position after what was looked at."""
        found: list[SimMessage] = []
        stable = self.stable
        for index in range(self.first_from(position), len(self.entries)):
            entry = self.entries[index]
            if entry.offset >= stable:
                return found, max(position, stable)
            if len(found) == most:
                return found, entry.offset
            if entry.fate is Fate.VISIBLE and entry.message is not None:
                found.append(entry.message)
        return found, max(position, stable)

    def committed(self) -> list[SimMessage]:
        """All records that readers of committed ones see by now."""
        return self.read(self.start, len(self.entries) + 1)[0]

    def compact(self, keep_from: int) -> None:
        """Keep only the last record of each key below an offset, and no control records there."""
        limit = min(keep_from, self.stable)
        last: dict[bytes | None, int] = {}
        for entry in self.entries:
            if entry.offset < limit and entry.fate is Fate.VISIBLE and entry.message is not None:
                last[entry.message.key()] = entry.offset
        kept = [
            entry
            for entry in self.entries
            if entry.offset >= limit
            or (entry.message is not None and last.get(entry.message.key()) == entry.offset)
        ]
        self._replace(kept)

    def trim(self, start: int) -> None:
        """Forget everything before an offset, as retention does."""
        self.start = max(self.start, min(start, self.stable))
        self._replace([entry for entry in self.entries if entry.offset >= self.start])

    def _append(self, row: Row, producer: int, epoch: int, fate: Fate, at: float) -> Entry:
        key, value, timestamp, headers = row
        topic, partition = self.place
        message = SimMessage(
            topic, partition, self.end, key=key, value=value, timestamp=timestamp, headers=headers
        )
        return self._take(Entry(self.end, message, producer, epoch, fate, at=at))

    def _take(self, entry: Entry) -> Entry:
        self.entries.append(entry)
        self.history.append(entry)
        self._offsets.append(entry.offset)
        self.end += 1
        return entry

    def _replace(self, entries: list[Entry]) -> None:
        self.entries = entries
        self._offsets = [entry.offset for entry in entries]
