"""Keeps a worker's shards: from the claim over the restore to the release, and back after an error.

It knows nothing of commits. Whoever ends a unit tells it what became of the unit: `committed`, `rewind` when
the unit is void, `restore_all` when nobody but the brokers knows.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping

from holdfast.engine.blame import explain, stack_of
from holdfast.engine.processor_plan import ProcessorPlan
from holdfast.engine.shard import ShardTask
from holdfast.engine.unit import ShardChanges
from holdfast.errors import CorruptStore, StateError
from holdfast.record import Position
from holdfast.runtime.claims import NotRestored, Restored
from holdfast.runtime.inputs import ShardInputs
from holdfast.runtime.ownership import OwnedShard, Ownership, ShardState, StoreFailure
from holdfast.runtime.restore import Restorer
from holdfast.runtime.status import RETRYING, Reporter
from holdfast.runtime.store import RocksStore
from holdfast.runtime.write_behind import WriteBehind
from holdfast.sinks.base import Refusal

log = logging.getLogger(__name__)

TOLD_S = 5.0
"""Seconds after which it is told why a shard's restore waits. A coordinator that moves is found sooner."""


class ShardManager:
    """The shards of one worker, with their stores and what is read for them.

    Args:
        plan: the processor.
        cache_entries: decoded values in memory per table, over all shards.
        inputs: reads for the shards.
        restorer: restores them.
        reporter: told about those that stop.

    Attributes:
        owned: the shards.
        restored_records: changelog records read so far.
    """

    def __init__(
        self,
        plan: ProcessorPlan,
        cache_entries: int,
        inputs: ShardInputs,
        restorer: Restorer,
        reporter: Reporter,
    ) -> None:
        self.owned = Ownership()
        self.restored_records = 0
        self._plan = plan
        self._cache_entries = cache_entries
        self._inputs = inputs
        self._restorer = restorer
        self._reporter = reporter

    # -- ownership

    def claim(self, partitions: Iterable[int]) -> None:
        """Own shards: restore them first."""
        self._drop_stale_results()
        for partition in partitions:
            self._restorer.ask(self.owned.claim(partition).claim)
        self._share_cache()

    def release(self, partitions: Iterable[int]) -> None:
        """Own shards no longer. What they have not committed is lost: commit it, or rewind, around this."""
        for partition in partitions:
            self._restorer.cancel(partition)
            self._inputs.stop(partition)
            shard = self.owned.drop(partition)
            if shard is not None:
                shard.close()
            self._restorer.released(partition)
        self._share_cache()

    def take_restored(self) -> bool:
        """Let restored shards work, and fail those that cannot be restored.

        Returns:
            Whether a shard begins to work.

        Raises:
            TopicReplaced: the worker must start anew.
            VersionRefused: this version of the processor must not work.
        """
        if self._restorer.ended is not None:
            raise self._restorer.ended
        begins = False
        while not self._restorer.results.empty():
            result = self._restorer.results.get()
            shard = self.owned.current(result.claim)
            if isinstance(result, NotRestored):
                if shard is not None:
                    self.fail(shard, result.error, f"shard {result.claim.partition}")
            elif shard is None:
                result.store.close()
            else:
                self._begin(shard, result)
                begins = True
        return begins

    def confirm_topics(self) -> None:
        """Make sure that the topics are those that the shards were restored for.

        Raises:
            TopicReplaced: the worker must start anew.
            VersionRefused: this version of the processor must not work.
        """
        self._restorer.confirm_topics()

    def close(self) -> None:
        """Close the shards' stores, which take what is committed."""
        for shard in self.owned:
            shard.close()

    def _drop_stale_results(self) -> None:
        """Close stores of claims that have ended: a shard may come back before its last result was taken."""
        results = self._restorer.results
        for _ in range(results.qsize()):
            result = results.get()
            if self.owned.current(result.claim) is not None:
                results.put(result)
            elif isinstance(result, Restored):
                result.store.close()

    def _begin(self, shard: OwnedShard, restored: Restored) -> None:
        self.restored_records += restored.records
        store = WriteBehind(restored.store)
        task = ShardTask(
            self._plan.as_shadow() if restored.shadow else self._plan,
            shard.claim.partition,
            store,
            restored.positions,
            fence=restored.fence,
            muted=restored.muted,
            now=_now,
        )
        shard.task, shard.store = task, store
        # Commits where the shard begins: `start: latest` is a moment that passes, and a successor
        # must not take a later one. The fencing token is noted by the same commit.
        task.touch()
        if self._plan.uses_fence:
            shard.state = ShardState.CLAIMING
            return
        shard.state = ShardState.RUNNING
        self._share_cache()
        self._inputs.start(shard.claim.partition, restored.positions)

    def _share_cache(self) -> None:
        tasks = [task for _, task in self.owned.running()]
        for task in tasks:
            # Two generations per table: half of the share each.
            task.limit_cache(max(self._cache_entries // (2 * len(tasks)), 1))

    # -- what became of a unit

    def committed(self, part: ShardChanges, checkpoint: Mapping[str, int]) -> None:
        """A shard's part of a unit is on the brokers: bring its store up to it."""
        shard = self.owned.get(part.partition)
        if shard is not None and shard.task is not None and shard.store is not None:
            shard.store.apply(part.changes, checkpoint)
            shard.task.committed()
            if shard.state is ShardState.CLAIMING:
                shard.state = ShardState.RUNNING
                self._share_cache()
                # This may be inside a fetch, where reading must not begin.
                self._inputs.go_back(part.partition, shard.task.committed_positions)

    def rewind(self, behind: Mapping[tuple[str, int], int] | None = None) -> None:
        """Go back to the last commit in every shard. May be called inside a fetch.

        Args:
            behind: partitions of inputs that go back further, and the offsets to which they do.
        """
        for shard, task in self.owned.with_task():
            task.reset()
            for (topic, partition), offset in (behind or {}).items():
                if partition == shard.claim.partition:
                    task.go_behind(topic, offset)
            if shard.state is ShardState.RUNNING:
                self._inputs.go_back(shard.claim.partition, task.committed_positions)
            elif shard.state is ShardState.CLAIMING:
                task.touch()

    def restore_all(self) -> None:
        """Every shard anew: only the brokers know what was committed."""
        for shard, _ in self.owned.with_task():
            if shard.state is not ShardState.FAILED:
                self._restore_again(shard)
            else:
                # It stopped at a record; what it did before that in the lost unit is done again
                # when it is restarted. Its changes must not be committed without its outputs.
                shard.let_go()

    def _restore_again(self, shard: OwnedShard) -> OwnedShard:
        """Restore a shard while it stays ours."""
        self._inputs.stop(shard.claim.partition)
        shard.close()
        again = self.owned.claim(shard.claim.partition)
        self._restorer.ask(again.claim)
        return again

    # -- stores and failures

    def write_due(self) -> StoreFailure | None:
        """Write one store that is due: one at a time, so that no turn takes long.

        Returns:
            The failure, when it cannot be written; see `rebuild`.
        """
        shard = self.owned.longest_due()
        if shard is None or shard.store is None:
            return None
        try:
            shard.store.write()
        except StateError as error:
            return StoreFailure(shard, error)
        if shard.state is ShardState.RUNNING:
            shard.error = None
        return None

    def rebuild(self, failure: StoreFailure) -> None:
        """Restore a shard whose store cannot be read or written, unless it is no longer ours.

        A second failure in a row ends the shard: a full or broken disk does not mend itself. Nothing of
        the shard may be uncommitted: `rewind` first.
        """
        shard = self.owned.current(failure.shard.claim)
        if shard is None:
            return
        if shard.error is not None:
            self.fail(shard, failure.error, f"shard {shard.claim.partition}")
            # Its store would be tried again with every turn.
            shard.let_go()
            return
        if isinstance(failure.error, CorruptStore):
            _discard(shard)
        self._restore_again(shard).error = failure.error

    def fail(self, shard: OwnedShard, error: Exception, where: str) -> None:
        """Stop a shard, which stays ours, and tell why.

        Args:
            shard: the shard.
            error: why.
            where: the record or the place, for the message.
        """
        shard.state, shard.error = ShardState.FAILED, error
        partition = shard.claim.partition
        self._inputs.pause(partition)
        reason = explain(error).rstrip(".")
        message = (
            f"processor {self._plan.name!r} stopped shard {partition} at {where}: {reason}. "
            "Nothing was skipped; the other shards go on."
        )
        stack = stack_of(error)
        log.error("%s", f"{message}\n{stack}" if stack else message)
        self._reporter.failed(partition, message, stack)

    # -- how it is

    def why_all_stopped(self) -> str:
        """Why no shard of this worker can go on."""
        reasons = "; ".join(f"shard {n}: {text}" for n, text in sorted(self.owned.failures().items()))
        return f"processor {self._plan.name!r}: every shard of this worker has stopped. {reasons}"

    @property
    def is_claiming(self) -> bool:
        """Whether a shard waits for the commit that notes its fencing token."""
        return any(shard.state is ShardState.CLAIMING for shard in self.owned)

    @property
    def is_restoring(self) -> bool:
        """Whether a shard's state is on its way."""
        return any(shard.state is ShardState.RESTORING for shard in self.owned)

    def note_refused(self, refusals: Iterable[Refusal]) -> None:
        """Count records that were set aside or dropped on the way to a commit; too many stop their shard."""
        by_shard: dict[int, list[tuple[Position, Exception]]] = {}
        for each in refusals:
            by_shard.setdefault(each.position.partition, []).append((each.position, each.error))
        for partition, records in by_shard.items():
            shard = self.owned.running_shard(partition)
            if shard is None or shard.task is None:
                continue
            shard.task.note_refused(records)
            if shard.task.failure is not None:
                self.fail(shard, shard.task.failure.cause, str(shard.task.failure.position))

    def states(self) -> dict[str, int]:
        """How many shards are in each state; one that claims is not ready yet, so it counts as restoring."""
        return dict(Counter(_state_word(shard) for shard in self.owned))

    def restoring(self) -> int:
        """Changelog offsets still to pass, over all shards under restore."""
        return sum(p.total - p.done for p in self._restorer.progress())

    def why_restores_wait(self) -> str:
        """Why restores have not begun for some seconds; empty if there is none like that."""
        long_ago = time.monotonic() - TOLD_S
        return "; ".join(sorted({it.why for it in self._restorer.waiting() if it.since < long_ago}))


def _state_word(shard: OwnedShard) -> str:
    if shard.state is ShardState.CLAIMING:
        return str(ShardState.RESTORING.value)
    if shard.state is ShardState.RUNNING and shard.task is not None and shard.task.is_retrying:
        return RETRYING
    return str(shard.state.value)


def _now() -> int:
    return int(time.time() * 1000)


def _discard(shard: OwnedShard) -> None:
    """Throw away local state that cannot be read: opening it again may not show the damage."""
    if shard.store is not None:
        path = shard.store.store.path
        shard.close()
        RocksStore.destroy(path)
