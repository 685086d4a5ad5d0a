"""What a link does to a packet: pass it, hold it for a time, or drop it. Knows no socket and no clock."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

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


@dataclass(slots=True)
class Met:
    """What a rule has done to the packets of a link since it was imposed: the proof that a fault happened.

    Attributes:
        held: packets that it delayed.
        dropped: packets that were lost by it, cut, or did not fit into its queue.
    """

    held: int = 0
    dropped: int = 0


@dataclass(slots=True)
class LinkCount:
    """What happened on a link since the switch began.

    Attributes:
        passed: packets that went on at once.
        held: packets that were delayed, and then went on.
        dropped: packets that were lost, cut or did not fit into the queue.
        bytes: of all that came in.
        met: what each fault has done that is under way, by its name.
    """

    passed: int = 0
    held: int = 0
    dropped: int = 0
    bytes: int = 0
    met: Mapping[str, Met] = field(default_factory=dict)

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """Read it as the switch says it."""
        return cls(**{**said, "met": {fault: Met(**met) for fault, met in said["met"].items()}})


class Imposed:
    """A rule that lies on a link.

    Args:
        rule: the rule.
    """

    __slots__ = ("_free_at", "met", "rule")

    def __init__(self, rule: LinkRule) -> None:
        self.rule = rule
        self.met = Met()
        self._free_at = 0.0

    def due(self, size: int, now: float, chance: random.Random) -> float | None:
        """When a packet goes on that comes at `now`; None if it is dropped. It is counted."""
        at = self._through(size, now, chance)
        if at is None:
            self.met.dropped += 1
        elif at > now:
            self.met.held += 1
        return at

    def _through(self, size: int, now: float, chance: random.Random) -> float | None:
        rule = self.rule
        if rule.cut or (rule.loss and chance.random() < rule.loss):
            return None
        at = now
        if rule.rate is not None:
            begin = max(now, self._free_at)
            if begin - now > QUEUE_S:
                return None
            self._free_at = at = begin + size / rule.rate
        if rule.delay_s or rule.jitter_s:
            at += max(0.0, rule.delay_s + chance.uniform(-rule.jitter_s, rule.jitter_s))
        return at


class Link:
    """One direction between two hosts.

    What several faults do to it happens to a packet one after the other, as on a way of several parts. So it
    is seen what each of them has done: what the first one drops, the second one does not meet.

    Args:
        seed: of the throws for loss and jitter.

    Attributes:
        imposed: what lies on it, by the name of the fault, in the order of their beginnings.
    """

    __slots__ = ("_count", "_random", "imposed")

    def __init__(self, seed: str) -> None:
        self.imposed: Mapping[str, Imposed] = {}
        self._count = LinkCount()
        self._random = random.Random(seed)

    @property
    def is_used(self) -> bool:
        """Whether anything has come in."""
        return self._count.bytes > 0

    @property
    def count(self) -> LinkCount:
        """What has happened on it."""
        return replace(self._count, met={fault: it.met for fault, it in self.imposed.items()})

    def set_rules(self, rules: Mapping[str, LinkRule]) -> None:
        """Replace all rules; one that stays as it is goes on counting."""
        before = self.imposed
        self.imposed = {
            fault: before[fault] if fault in before and before[fault].rule == rule else Imposed(rule)
            for fault, rule in rules.items()
        }

    def due(self, size: int, now: float) -> float | None:
        """When a packet goes on.

        Args:
            size: its bytes.
            now: seconds of any clock that does not go back.

        Returns:
            `now` or a later time of the same clock; None for a packet that is dropped.
        """
        count = self._count
        count.bytes += size
        at = now
        for each in self.imposed.values():
            later = each.due(size, at, self._random)
            if later is None:
                count.dropped += 1
                return None
            at = later
        if at > now:
            count.held += 1
        else:
            count.passed += 1
        return at
