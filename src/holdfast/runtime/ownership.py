"""The shards of a worker and their lifecycle.

assigned -> RESTORING -> CLAIMING -> RUNNING -> revoked
               |            |           |
               +-> FAILED <-+-----------+      stays owned, reads nothing, until a restart

A shard whose handler or sink may use the fencing token waits in CLAIMING until a commit has noted the token:
that commit is refused if the group has moved on, so two owners never hold the same. Others run at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from holdfast.engine.blame import explain
from holdfast.engine.shard import ShardTask
from holdfast.errors import StateError
from holdfast.runtime.claims import Claim
from holdfast.runtime.write_behind import WriteBehind


class ShardState(Enum):
    """Where a shard is in its life."""

    RESTORING = "restoring"
    CLAIMING = "claiming"
    RUNNING = "running"
    FAILED = "failed"


@dataclass(slots=True)
class OwnedShard:
    """One shard that the group gave to this worker.

    Attributes:
        claim: this ownership; a shard that comes back has a new one.
        state: where it is in its life.
        task: handles its records; set while it runs, and after it failed while running.
        store: its local state; set with `task`.
        error: why it failed.
    """

    claim: Claim
    state: ShardState = ShardState.RESTORING
    task: ShardTask | None = None
    store: WriteBehind | None = None
    error: Exception | None = None

    def close(self) -> None:
        """Close the local state."""
        if self.store is not None:
            self.store.close()
            self.store = None

    def let_go(self) -> None:
        """Have nothing to commit any more, and no local state."""
        self.task = None
        self.close()


@dataclass(frozen=True, slots=True)
class StoreFailure:
    """A shard whose local store cannot be read or written."""

    shard: OwnedShard
    error: StateError


class Ownership:
    """The shards that this worker owns, and a new epoch for every claim."""

    def __init__(self) -> None:
        self._shards: dict[int, OwnedShard] = {}
        self._epoch = 0

    def __iter__(self) -> Iterator[OwnedShard]:
        return iter(list(self._shards.values()))

    def __len__(self) -> int:
        return len(self._shards)

    def get(self, partition: int) -> OwnedShard | None:
        """The shard with this number, if it is owned."""
        return self._shards.get(partition)

    def running_shard(self, partition: int) -> OwnedShard | None:
        """The shard with this number, if it handles records."""
        shard = self._shards.get(partition)
        return shard if shard is not None and shard.state is ShardState.RUNNING else None

    def claim(self, partition: int) -> OwnedShard:
        """Own a shard, anew if it was owned already."""
        self._epoch += 1
        shard = self._shards[partition] = OwnedShard(Claim(partition, self._epoch))
        return shard

    def current(self, claim: Claim) -> OwnedShard | None:
        """The shard of a claim, or None when that ownership has ended."""
        shard = self._shards.get(claim.partition)
        return shard if shard is not None and shard.claim == claim else None

    def drop(self, partition: int) -> OwnedShard | None:
        """Own a shard no longer."""
        return self._shards.pop(partition, None)

    def running(self) -> list[tuple[OwnedShard, ShardTask]]:
        """Shards that handle records, with their tasks."""
        return [(s, s.task) for s in self if s.state is ShardState.RUNNING and s.task is not None]

    def with_task(self) -> list[tuple[OwnedShard, ShardTask]]:
        """Shards that may have something to commit: running, or stopped at a record."""
        return [(s, s.task) for s in self if s.task is not None]

    def longest_due(self) -> OwnedShard | None:
        """The shard whose store has waited longest of those that are due to be written; None if none is.

        Of many shards the first would be due again before the last had its turn.
        """
        waiting = [(s.store.due_since, s) for s in self if s.store is not None]
        due = [(since, shard) for since, shard in waiting if since is not None]
        return min(due, key=lambda one: one[0])[1] if due else None

    @property
    def all_failed(self) -> bool:
        """Whether there are shards and none of them can do anything."""
        return bool(self._shards) and all(s.state is ShardState.FAILED for s in self._shards.values())

    def failures(self) -> dict[int, str]:
        """Why shards failed, by number."""
        return {
            s.claim.partition: explain(s.error)
            for s in self
            if s.state is ShardState.FAILED and s.error is not None
        }
