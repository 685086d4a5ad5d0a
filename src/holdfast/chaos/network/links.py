"""What a link does to a packet: pass it, hold it for a time, or drop it. Knows no socket and no clock."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, fields
from typing import Any

QUEUE_S = 2.0
"""Seconds of traffic that a link of limited bandwidth holds; what comes on top is dropped, as in a router."""


@dataclass(frozen=True, slots=True)
class LinkRule:
    """What happens to the packets from one host to another.

    Attributes:
        cut: nothing passes.
        loss: share of packets that are dropped, 0 to 1, each by a throw of its own.
        delay_s: seconds that every packet is held.
        jitter_s: up to so many seconds more or less, evenly spread. Packets may overtake one another.
        rate: bytes per second that pass; None for no limit.
    """

    cut: bool = False
    loss: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    rate: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The rule as plain data."""
        return asdict(self)

    def joined(self, other: LinkRule) -> LinkRule:
        """What both rules together do: two faults may lie on one link."""
        rates = [rate for rate in (self.rate, other.rate) if rate is not None]
        return LinkRule(
            self.cut or other.cut,
            1 - (1 - self.loss) * (1 - other.loss),
            self.delay_s + other.delay_s,
            self.jitter_s + other.jitter_s,
            min(rates, default=None),
        )


@dataclass(slots=True)
class LinkCount:
    """What happened on a link since the switch began: the proof that a fault did something.

    Attributes:
        passed: packets that went on at once.
        held: packets that were delayed, and then went on.
        dropped: packets that were lost, cut or did not fit into the queue.
        bytes: of all that came in.
    """

    passed: int = 0
    held: int = 0
    dropped: int = 0
    bytes: int = 0

    def minus(self, before: LinkCount) -> LinkCount:
        """What was added since an earlier count."""
        return LinkCount(*(getattr(self, it.name) - getattr(before, it.name) for it in fields(self)))


class Link:
    """One direction between two hosts.

    Args:
        seed: of the throws for loss and jitter.
    """

    __slots__ = ("_free_at", "_random", "count", "rule")

    def __init__(self, seed: str) -> None:
        self.rule: LinkRule | None = None
        self.count = LinkCount()
        self._random = random.Random(seed)
        self._free_at = 0.0

    def due(self, size: int, now: float) -> float | None:
        """When a packet goes on.

        Args:
            size: its bytes.
            now: seconds of any clock that does not go back.

        Returns:
            `now` or a later time of the same clock; None for a packet that is dropped.
        """
        count = self.count
        count.bytes += size
        rule = self.rule
        if rule is None:
            count.passed += 1
            return now
        at = self._through(rule, size, now)
        if at is None:
            count.dropped += 1
        elif at > now:
            count.held += 1
        else:
            count.passed += 1
        return at

    def _through(self, rule: LinkRule, size: int, now: float) -> float | None:
        if rule.cut or (rule.loss and self._random.random() < rule.loss):
            return None
        at = now
        if rule.rate is not None:
            begin = max(now, self._free_at)
            if begin - now > QUEUE_S:
                return None
            self._free_at = at = begin + size / rule.rate
        if rule.delay_s or rule.jitter_s:
            at += max(0.0, rule.delay_s + self._random.uniform(-rule.jitter_s, rule.jitter_s))
        return at
