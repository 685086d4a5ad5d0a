"""Known ways to break the engine, to see that the simulation notices.

A simulation that finds nothing is worth what its faults and its checks are worth. Each mutant here is a
mistake that somebody made or might make in such an engine, as a small patch of the real code. Each must be
caught within a thousand seeds; only `offsets-unanswered` and `standby-taken-as-it-is`, whose moments are too
short for faults by chance, take faults that aim at them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from holdfast.engine.mutes import Mutes
from holdfast.engine.shard import ShardTask
from holdfast.engine.state import ShardTable
from holdfast.kafka.client import KafkaException
from holdfast.kafka.consumer import Batch
from holdfast.kafka.moves import Move, Mover
from holdfast.kafka.reader import PartitionReader
from holdfast.kafka.transaction import TransactionalWriter
from holdfast.kafka.unit_writer import Ending, Outcome
from holdfast.record import Message, TopicPartition
from holdfast.runtime import assembly
from holdfast.runtime.commit import CommitPipeline
from holdfast.runtime.committer import Committer
from holdfast.runtime.opening import OpenShard, ShardOpener
from holdfast.runtime.owner_notes import OwnerNotes
from holdfast.runtime.ownership import OwnedShard, Ownership
from holdfast.runtime.peers import Peers
from holdfast.runtime.predecessors import Predecessors
from holdfast.runtime.restore import Restorer

Patch = tuple[Any, str, Any]
"""Whose attribute, which, and what it becomes."""


def metadata_cached() -> list[Patch]:
    """The member's standing is read once and used for every commit."""
    original = Committer.__init__

    def init(self: Any, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        ask = self._group_metadata
        kept: list[Any] = []

        def cached() -> Any:
            if not kept:
                kept.append(ask())
            return kept[0]

        self._group_metadata = cached

    return [(Committer, "__init__", init)]


def checkpoint_before_commit() -> list[Patch]:
    """The local store is written before the transaction is committed."""
    original = Committer._commit

    def commit(self: Any) -> None:
        start = self._pipeline.start

        def early(unit: Any, metadata: Any) -> None:
            for part in unit.shards:
                shard = self._shards.owned.get(part.partition)
                if shard is not None and shard.store is not None:
                    shard.store.store.apply(part.changes, {})
            start(unit, metadata)

        self._pipeline.start = early
        try:
            original(self)
        finally:
            self._pipeline.start = start

    return [(Committer, "_commit", commit)]


def no_generation_stamp() -> list[Patch]:
    """Records that were fetched under an ownership that ended since are handled."""

    def drop(self: Batch, partitions: Iterable[TopicPartition]) -> None:
        """Keep them all."""

    return [(Batch, "drop", drop)]


def stale_restore() -> list[Patch]:
    """A restore that was asked for by an earlier ownership is taken for the present one."""

    def current(self: Ownership, claim: Any) -> OwnedShard | None:
        return self.get(claim.partition)

    def cancel(self: Restorer, partition: int) -> None:
        """Let it go on."""

    return [
        (Ownership, "current", current),
        (Restorer, "_is_wanted", lambda self, claim: claim.partition in self._wanted),
        (Restorer, "cancel", cancel),
    ]


def restore_to_last_record() -> list[Patch]:
    """A restore is done when the last record before the end was seen, not when the position is there."""
    original = PartitionReader.read

    def read(
        self: PartitionReader, most: int, wait: float
    ) -> tuple[list[Message], dict[TopicPartition, int]]:
        return original(self, most, wait)[0], {}

    return [(PartitionReader, "read", read)]


def restore_to_stable_offset() -> list[Patch]:
    """A restore ends at the last stable offset instead of the high watermark.

    Nor are the transactions of gone workers ended before it: who takes their ids over waits for the end of
    what was committed under them, and mostly there is nothing left between the two offsets.
    """

    def stable(self: PartitionReader, place: TopicPartition, timeout: float) -> int:
        return self.bounds(place, timeout)[1]

    def look(*_: object) -> None:
        pass

    return [(PartitionReader, "high_watermark", stable), (Predecessors, "look", look)]


def producer_reused() -> list[Patch]:
    """After a commit that was not answered in time the producer asks again, and goes on being used."""
    original = TransactionalWriter.reopen

    def reopen(self: Any) -> None:
        for again in (self._client.commit_transaction, self._client.abort_transaction):
            with suppress(KafkaException):
                again(self._timeout)
                return
        original(self)

    return [(TransactionalWriter, "reopen", reopen)]


def offsets_unanswered() -> list[Patch]:
    """Offsets that were not acknowledged in time are aborted, and the producer goes on being used."""
    original = TransactionalWriter._unusable

    def unusable(self: Any, cause: KafkaException) -> Ending:
        if self._client._state == "open" and not cause.args[0].fatal():
            aborted: Ending = self._abort(self._client, cause)
            return aborted
        return original(self, cause)

    return [(TransactionalWriter, "_unusable", unusable)]


def offsets_outside() -> list[Patch]:
    """Positions are committed by the consumer, after the transaction."""

    class Outside(TransactionalWriter):
        late: Any

        def finish(self, positions: Mapping[TopicPartition, int], group_metadata: Any) -> Ending:  # noqa: ARG002
            client, ends = self._client, self._ends
            try:
                client.commit_transaction(self._timeout)
            except KafkaException as error:
                if error.args[0].txn_requires_abort():
                    return self._abort(client, error)
                return self._unusable(error)
            return Ending(Outcome.COMMITTED, changelog_ends=ends)

        def conclude(self, ending: Ending, positions: Mapping[TopicPartition, int]) -> Ending:
            if ending.outcome is Outcome.COMMITTED:
                self.late.commit(positions)
            return ending

    original = assembly._writer

    def writer(decl: Any, settings: Any, late: Any, present: Any) -> Any:
        made = original(decl, settings, late, present)
        made.__class__ = Outside
        made.late = late  # type: ignore[attr-defined]
        return made

    return [(assembly, "_writer", writer)]


def overlay_kept() -> list[Patch]:
    """An abort goes back to the committed positions, but keeps the changes of the records after them."""

    def reset(self: ShardTable[Any]) -> None:
        self.failure = None

    return [(ShardTable, "reset", reset)]


def positions_kept() -> list[Patch]:
    """An abort drops the changes, but does not go back to the committed positions."""
    original = ShardTask.reset

    def reset(self: Any) -> None:
        current = dict(self._positions.current)
        original(self)
        self._positions.committed, self._positions.current = dict(current), current

    return [(ShardTask, "reset", reset)]


def timeout_taken_for_abort() -> list[Patch]:
    """A timeout of the commit counts as an abort."""
    original = CommitPipeline.take

    def take(self: Any, wait: float | None = 0.0) -> Any:
        finished = original(self, wait)
        if finished is not None and finished.ending.outcome is Outcome.UNKNOWN:
            self._writer.reopen()
            return type(finished)(finished.unit, Ending(Outcome.ABORTED, finished.ending.reason))
        return finished

    return [(CommitPipeline, "take", take)]


def orphans_left() -> list[Patch]:
    """Shards that nobody owns in a group at rest are left alone."""
    return [(Peers, "orphans", property(lambda _: frozenset()))]


def token_forgotten() -> list[Patch]:
    """A new ownership takes the time of day for its token, whatever the last one was."""
    original = OwnerNotes.begin

    def begin(self: OwnerNotes, partition: int, last: int) -> int:  # noqa: ARG001
        # As on machines whose clocks differ by minutes.
        self._tokens[partition] = original(self, partition, 0) % 60_000
        return self._tokens[partition]

    return [(OwnerNotes, "begin", begin)]


def standby_taken_as_it_is() -> list[Patch]:
    """A warm shard is taken over without what was written since it was last read."""

    def take_over(self: ShardOpener, reader: PartitionReader, warm: OpenShard) -> OpenShard:  # noqa: ARG001
        for table in warm.tables.values():
            table.begin = table.end = table.position
        return warm

    return [(ShardOpener, "_take_over", take_over)]


def replay_writes_again() -> list[Patch]:
    """Outputs of a replay are written again."""
    return [(Mutes, "count_muted", lambda self, topic, messages: 0)]  # noqa: ARG005


def fronts_not_awaited() -> list[Patch]:
    """An input whose replay is done goes on while another is still behind."""
    return [
        (Mutes, "waits", lambda self, topic, position: False),  # noqa: ARG005
        (Mutes, "count_ready", lambda self, topic, messages: len(messages)),  # noqa: ARG005
    ]


def replay_looks_once() -> list[Patch]:
    """Whoever comes to a group between the look at its positions and the new ones is not seen."""
    original = Mover._require_unmoved

    def require_unmoved(self: Mover, move: Move, isolation: str) -> None:
        if isolation == "read_committed":
            original(self, move, isolation)

    return [
        (Mover, "_require_alone", lambda self, group_id: None),  # noqa: ARG005
        (Mover, "_require_unmoved", require_unmoved),
    ]


MUTANTS: Mapping[str, Callable[[], list[Patch]]] = {
    "metadata-cached": metadata_cached,
    "checkpoint-before-commit": checkpoint_before_commit,
    "no-generation-stamp": no_generation_stamp,
    "stale-restore": stale_restore,
    "restore-to-last-record": restore_to_last_record,
    "restore-to-stable-offset": restore_to_stable_offset,
    "producer-reused": producer_reused,
    "offsets-outside": offsets_outside,
    "offsets-unanswered": offsets_unanswered,
    "overlay-kept": overlay_kept,
    "positions-kept": positions_kept,
    "timeout-taken-for-abort": timeout_taken_for_abort,
    "orphans-left": orphans_left,
    "token-forgotten": token_forgotten,
    "standby-taken-as-it-is": standby_taken_as_it_is,
    "replay-writes-again": replay_writes_again,
    "fronts-not-awaited": fronts_not_awaited,
    "replay-looks-once": replay_looks_once,
}
"""Mutants by name."""


@contextmanager
def mutated(name: str | None) -> Iterator[None]:
    """Break the engine inside the block; not at all for None."""
    patches = MUTANTS[name]() if name else []
    originals = [(owner, attribute, getattr(owner, attribute)) for owner, attribute, _ in patches]
    try:
        for owner, attribute, value in patches:
            setattr(owner, attribute, value)
        yield
    finally:
        for owner, attribute, value in originals:
            setattr(owner, attribute, value)
