"""Writing a unit at least once: its records first, then its positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from holdfast.errors import ClusterError, OutputRefused
from holdfast.kafka.refused import BESIDE, refusal_of
from holdfast.kafka.serving import flush
from holdfast.kafka.unit_writer import ClientWriter, Ending, OffsetCommitter, Outcome
from holdfast.record import TopicPartition


class AtLeastOnceWriter(ClientWriter):
    """Writes units without a transaction: records first, then offsets.

    A crash in between repeats the unit's outputs. An idempotent producer keeps retries
    within one life of the worker from doing so.

    Args:
        settings: client settings of an idempotent producer.
        timeout: seconds that one call to the brokers may take.
        offsets: commits the offsets.
    """

    def __init__(self, settings: Mapping[str, Any], timeout: float, offsets: OffsetCommitter) -> None:
        self._forget()
        super().__init__(settings, timeout)
        self._report = self._note_delivery
        self._offsets = offsets

    def _forget(self) -> None:
        """Begin with a unit of which nothing failed."""
        self._failed: str | None = None
        self._beside: str | None = None
        self._refusal: OutputRefused | None = None

    def begin(self) -> None:
        """Open a unit."""
        self._ends = {}
        self._forget()

    def finish(self, positions: Mapping[TopicPartition, int], group_metadata: Any) -> Ending:  # noqa: ARG002
        """Wait until every record is on the brokers."""
        left = flush(self._client, self._timeout)
        refused = self._refusal
        failed = self._failed or (None if refused else self._beside)
        if left or failed:
            return Ending(Outcome.UNKNOWN, failed or f"{left} records were not acknowledged in time")
        if refused:
            return Ending(Outcome.REFUSED, f"{refused.topic}: {refused.said}", refused=refused)
        return Ending(Outcome.COMMITTED, changelog_ends=self._ends)

    def stop_waiting(self, *, is_late: bool = False) -> Ending | None:  # noqa: ARG002
        """Never: the flush ends in time."""
        return None

    def conclude(self, ending: Ending, positions: Mapping[TopicPartition, int]) -> Ending:
        """Commit the offsets of a unit whose records are on the brokers.

        Not in `finish`: a commit that waits on one thread was seen not to return while another
        thread polls the same consumer.
        """
        if ending.outcome is Outcome.COMMITTED:
            try:
                self._offsets.commit(positions)
            except ClusterError as error:
                return Ending(Outcome.UNKNOWN, str(error))
        return ending

    def abandon(self) -> Ending:
        """Give up the open unit. What was sent of it stays sent, and will be repeated: at least once.

        Waits for the brokers' answers: a late refusal would look like one of the next unit's. A client that
        failed at a record may be of no use any more, and is replaced as at the end of any other unit.
        """
        if flush(self._client, self._timeout):
            return Ending(Outcome.UNKNOWN, "a unit that was given up is still on its way")
        if self._failed:
            return Ending(Outcome.UNKNOWN, self._failed)
        return Ending(Outcome.ABORTED, "given up")

    def _not_taken(self, topic: str, error: KafkaException) -> None:
        refusal = refusal_of(topic, error.args[0])
        if refusal is None:
            super()._not_taken(topic, error)
        self._refusal = self._refusal or refusal

    def _note_delivery(self, error: KafkaError | None, message: Any) -> None:
        if error is None:
            return
        if (refusal := refusal_of(message.topic(), error)) is not None:
            self._refusal = self._refusal or refusal
        elif error.code() == BESIDE:
            self._beside = f"{message.topic()}: {error.str()}"
        else:
            self._failed = f"{message.topic()}: {error.str()}"

    def _note_end(self, error: KafkaError | None, message: Any) -> None:
        # A record's own report replaces the client's: its failure would go unseen.
        super()._note_end(error, message)
        self._note_delivery(error, message)
