"""What is said of a replica in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from holdfast.record import TopicPartition


class Verdict(Enum):
    """One word on a replica; all but `SAME` need somebody's attention."""

    SAME = "same"
    DIFFERS = "differs"
    CORRUPT = "corrupt"
    NOT_READ = "not read"
    NOT_COMPARED = "not compared"

    @property
    def is_damage(self) -> bool:
        """The replica holds something else than it should."""
        return self in (Verdict.DIFFERS, Verdict.CORRUPT)


@dataclass(frozen=True, slots=True)
class Retention:
    """What a topic's brokers delete, each by itself and at times of its own.

    Attributes:
        compacted: older records of a key may be gone.
        ms: records older than this may be gone; None if age does not matter.
        limited: old segments may be gone since the partition is large, or all of them were asked to be.
    """

    compacted: bool = False
    ms: int | None = None
    limited: bool = False

    @classmethod
    def of(cls, config: Mapping[str, str]) -> Retention:
        """From a topic's settings."""
        policies = config.get("cleanup.policy", "delete").split(",")
        deletes = "delete" in policies
        age = int(config.get("retention.ms", "-1"))
        size = int(config.get("retention.bytes", "-1"))
        return cls("compact" in policies, age if deletes and age >= 0 else None, deletes and size >= 0)

    def explains(self, newest: int, now: int) -> bool:
        """Whether a replica may have deleted its first records, the newest of them this old, before others.

        Args:
            newest: milliseconds since the epoch.
            now: the same.
        """
        return self.limited or (self.ms is not None and newest < now - self.ms)


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a replica has the verdict that it has.

    Attributes:
        verdict: the word.
        offset: where it was found.
        detail: in a sentence or two: what, and what to do.
    """

    verdict: Verdict
    offset: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ReplicaResult:
    """The result for one replica of one partition.

    Attributes:
        place: the partition.
        broker: whose replica.
        leads: whether it was the leader's when the check began.
        begin: the first offset that was to be compared.
        end: the offset after the last one.
        records: how many records were read from it.
        finding: the verdict.
    """

    place: TopicPartition
    broker: int
    leads: bool
    begin: int
    end: int
    records: int
    finding: Finding
