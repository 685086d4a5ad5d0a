"""What the restorer is asked for, and what it answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from holdfast.errors import HoldfastError
from holdfast.runtime.store import RocksStore


@dataclass(frozen=True, slots=True)
class Claim:
    """One ownership of one shard; a shard that comes back is a new claim."""

    partition: int
    epoch: int


class Fences:
    """The fencing tokens of a worker's shards. Tokens are chosen on one thread, and read on others.

    A token exceeds the one that the shard's positions were last committed with, by 1 at least. It is the
    time of day where that is more: if the positions are deleted or reset, and the notes with them, tokens go
    on from where no system outside has seen one yet.

    Args:
        now: the time of day in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._tokens: dict[int, int] = {}

    def choose(self, partition: int, last: int) -> int:
        """The token of a new ownership of a shard, after one with the token `last`."""
        token = self._tokens[partition] = max(last + 1, int(self._now() * 1000))
        return token

    def of(self, partition: int) -> int:
        """The token of a shard; 0 before one was chosen."""
        return self._tokens.get(partition, 0)


@dataclass(frozen=True, slots=True)
class Restored:
    """A shard that is ready for work.

    Attributes:
        claim: whose it is.
        store: its state, complete up to the committed offsets.
        positions: for each input topic, where to go on.
        records: changelog records read.
        seconds: how long it took.
        fence: the fencing token of this ownership, which holds once a commit has noted it.
    """

    claim: Claim
    store: RocksStore
    positions: Mapping[str, int]
    records: int
    seconds: float
    fence: int = 0


@dataclass(frozen=True, slots=True)
class NotRestored:
    """A shard that cannot be made ready; the error says why."""

    claim: Claim
    error: HoldfastError


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a restore is.

    Attributes:
        partition: the shard.
        done: changelog offsets behind us.
        total: changelog offsets to pass in all.
    """

    partition: int
    done: int
    total: int
