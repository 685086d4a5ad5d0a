"""A turn's records, handed to their shards in slices, within the time that a turn may take."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from holdfast.engine.shard import ShardTask
from holdfast.engine.unit import Unit
from holdfast.errors import StoreError
from holdfast.kafka.consumer import Batch
from holdfast.record import Message, TopicPartition
from holdfast.runtime.inputs import ShardInputs
from holdfast.runtime.ownership import StoreFailure
from holdfast.runtime.shard_manager import ShardManager

log = logging.getLogger(__name__)

FETCH_RECORDS = 4_000
"""The most records per turn: enough to make a turn's fixed cost small. Half of it was measured to be
slower by 8 %; with twice as many the commits come late."""

FIRST_FETCH_RECORDS = 1
"""Records in the first turn; the number then follows the time that turns take."""

SLICE_RECORDS = 64
"""The most records that are handled between two looks at the clock."""

TURN_OUTPUTS = 50_000
"""Outputs above which what is left of a turn is read again in the next one: they are sent between turns."""

TURN_S = 0.1
"""What a turn should take. A slow handler must not keep a transaction open for long: the broker ends
it after its timeout."""

LONGEST_TURN_S = 1.0
"""When a turn took this long, what is left of it is read again in the next one."""


class BatchHandler:
    """Hands fetched records to the shards that they belong to.

    Args:
        shards: the worker's shards.
        inputs: reads for them; asked to read again what no time was left for.

    Attributes:
        fetch_records: how many records the next turn should fetch.
    """

    def __init__(self, shards: ShardManager, inputs: ShardInputs) -> None:
        self.fetch_records = FIRST_FETCH_RECORDS
        self._shards = shards
        self._inputs = inputs
        self._slice = SLICE_RECORDS
        self._put_back: set[TopicPartition] = set()

    def handle(self, batch: Batch, unit: Unit) -> StoreFailure | None:
        """Handle a batch; shards stop at records that their policies do not set aside.

        Args:
            batch: what was fetched.
            unit: the open unit.

        Returns:
            The failure, when a shard's store cannot be read. The unit then holds part of that shard's work
            without its positions: give it up, and with it the rest of the batch, which was not handled.

        Raises:
            ClusterError: the client refuses to read an input on, or again.
            TopicReplaced: an input was deleted and created again.
        """
        began = time.monotonic()
        self._put_back.clear()
        failure = self._handle_records(batch, unit, began + LONGEST_TURN_S)
        if failure is None:
            self._note_ends(batch)
            self._let_go_on()
        if batch.records:
            # What a full unit had no room for was fetched in vain, as in a turn that took too long. Turns
            # without records, as during a restore, tell nothing of how long one takes.
            self._pace(LONGEST_TURN_S if _is_full(unit) else time.monotonic() - began)
        return failure

    def _handle_records(self, batch: Batch, unit: Unit, deadline: float) -> StoreFailure | None:
        for (topic, partition), messages in batch.records.items():
            shard = self._shards.owned.running_shard(partition)
            if shard is None or shard.task is None:
                continue
            try:
                self._handle_ready(deadline, shard.task, topic, messages, unit)
            except StoreError as error:
                return StoreFailure(shard, error)
            if shard.task.failure is not None:
                self._shards.fail(shard, shard.task.failure.cause, str(shard.task.failure.position))
        return None

    def _handle_ready(
        self, deadline: float, task: ShardTask, topic: str, messages: Sequence[Message], unit: Unit
    ) -> None:
        """Handle records; those that have to wait for other inputs are held; see `holdfast.engine.mutes`."""
        ready = task.count_ready(topic, messages)
        if not self._handle_until(deadline, task, topic, messages[:ready], unit) or ready == len(messages):
            return
        task.reach_front(topic)
        place = TopicPartition(topic, task.partition)
        self._put_back.add(place)
        others = sorted(task.inputs_behind) or "records that are redriven"
        log.info("%s waits at offset %d for %s", place, messages[ready].offset(), others)
        self._inputs.hold(place, messages[ready].offset())

    def _let_go_on(self) -> None:
        """Read inputs on that were held, if nothing keeps them any more."""
        for place in self._inputs.held:
            shard = self._shards.owned.running_shard(place.partition)
            if shard is not None and shard.task is not None and not shard.task.waits(place.topic):
                self._inputs.go_on(place)

    def _handle_until(
        self, deadline: float, task: ShardTask, topic: str, messages: Sequence[Message], unit: Unit
    ) -> bool:
        """Handle records; those left at the deadline, or when the unit is heavy, are read again next turn.

        Returns:
            Whether all were handled.
        """
        start = 0
        while start < len(messages) and task.failure is None:
            began = time.monotonic()
            if _is_full(unit) or (start and began > deadline):
                place = TopicPartition(topic, task.partition)
                self._put_back.add(place)
                self._inputs.read_again(place, messages[start].offset())
                return False
            task.handle(topic, messages[start : start + self._slice], unit)
            if (offset := task.waiting_at(topic)) is not None:
                place = TopicPartition(topic, task.partition)
                self._put_back.add(place)
                self._inputs.hold(place, offset)
                return False
            start += self._slice
            if time.monotonic() - began > TURN_S:
                self._slice = max(self._slice // 8, 1)
            elif self._slice < SLICE_RECORDS:
                self._slice *= 2
        return task.failure is None

    def _note_ends(self, batch: Batch) -> None:
        """Stop shards whose inputs cannot be read on, and let the others know what they are read up to.

        Raises:
            TopicReplaced: they cannot, because an input was deleted and created again.
        """
        if batch.errors:
            self._shards.confirm_topics()
        for place, unreadable in batch.errors.items():
            shard = self._shards.owned.running_shard(place.partition)
            if shard is not None:
                self._shards.fail(shard, unreadable, str(place))
        for place, end in batch.ends.items():
            shard = self._shards.owned.running_shard(place.partition)
            if shard is not None and shard.task is not None and place not in self._put_back:
                shard.task.advance(place.topic, end)
                if place.topic in shard.task.inputs_behind:
                    # Also where a new leader does not know all yet that its followers have (KIP-207).
                    log.warning(
                        "%s ends at %d, before the offset up to which it was handled already: outputs "
                        "begin, and other inputs of the shard go on, only beyond that",
                        place,
                        end,
                    )

    def _pace(self, seconds: float) -> None:
        if seconds > TURN_S:
            self.fetch_records = max(self.fetch_records // 2, 1)
        elif seconds < TURN_S / 4:
            self.fetch_records = min(self.fetch_records * 2, FETCH_RECORDS)


def _is_full(unit: Unit) -> bool:
    return unit.is_heavy or len(unit.outputs) >= TURN_OUTPUTS or len(unit.writes) >= TURN_OUTPUTS
