"""Writes redriven records together with what became of their letters: both, or neither.

All who do that for an application use one transactional id. Whoever begins fences the one before, whose open
transaction is aborted: so what is read after that cannot change any more, but by ourselves. For the same
reason a client that lost a connection (`holdfast.kafka.lost_requests`) is not replaced: what was read may be
old then.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer

from holdfast.errors import BrokersUnreachable, ClusterError, LettersRefused
from holdfast.kafka.errors import FENCED, describe, kafka_error, mapped, translate
from holdfast.kafka.lost_requests import LostRequests
from holdfast.kafka.offsets import CALL_S
from holdfast.kafka.serving import flush, reason_of, serve
from holdfast.kafka.settings import Properties, client_log, producer_config
from holdfast.kafka.takeover import take_over
from holdfast.record import Output, TopicPartition

log = logging.getLogger(__name__)

_COMMIT_S: Final = 30.0
_FULL_S: Final = 0.1
_ANY_PARTITION: Final = -1


class Addressed(NamedTuple):
    """A record, and the partition that it is written to.

    Attributes:
        output: the record; its timestamp is the brokers' to set if it is 0.
        partition: which; None for that of its key.
    """

    output: Output
    partition: int | None = None


def _nothing() -> None:
    """Nothing happens between the last record and the commit."""


class LetterWriter:
    """Writes batches, each in a transaction. Close it, or use it in a `with` statement.

    Args:
        transactional_id: the application's, for this.
        servers: the brokers.
        properties: the user's client properties.
        largest: bytes that a record may have.
        before_commit: called when everything of a batch is with the brokers; whatever it raises gives the
            batch up.

    Raises:
        ClusterError: the id cannot be taken over.
    """

    def __init__(
        self,
        transactional_id: str,
        servers: str,
        properties: Properties,
        *,
        largest: int,
        before_commit: Callable[[], None] = _nothing,
    ) -> None:
        self._id = transactional_id
        self._lost = LostRequests(client_log)
        self._before_commit = before_commit
        self._failed: KafkaError | None = None
        sizes = {"message.max.bytes": largest, **properties}
        settings = {
            **producer_config(servers, sizes, transactional_id=transactional_id),
            "client.id": transactional_id,
        }
        with mapped(f"taking over {transactional_id}"):
            self._client = Producer(self._lost.settings(settings))
        take_over(self._client, transactional_id, _COMMIT_S)

    def __enter__(self) -> LetterWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the client; what is open is aborted by the next one, or by the brokers."""
        with contextlib.suppress(KafkaException):
            self._client.purge()

    def write(self, batch: Sequence[Addressed]) -> dict[TopicPartition, int]:
        """Write a batch; all of it is there when this returns, or nothing if it raises.

        Returns:
            For each partition that was given, the offset after the last record.

        Raises:
            LettersRefused: somebody else has begun to do the same.
            ClusterError: the brokers failed. Nothing of the batch was written unless the text says otherwise.
        """
        ends: dict[TopicPartition, int] = {}

        def note(error: KafkaError | None, message: Any) -> None:
            if error is not None:
                self._failed = self._failed or error
            else:
                place = TopicPartition(message.topic(), message.partition())
                ends[place] = max(ends.get(place, 0), message.offset() + 1)

        serve(self._client)
        if self._lost.reason:
            raise ClusterError(
                f"a connection was lost ({self._lost.reason}), and something may be left on the way. What "
                "was written before stays; the same command again does what is left."
            )
        self._failed = None
        try:
            self._client.begin_transaction()
            for each in batch:
                self._produce(each, note)
            flush(self._client, CALL_S)
            self._before_commit()
            self._commit()
        except BaseException as error:
            self._abort()
            if isinstance(error, KafkaException):
                raise self._said(error) from error
            raise
        return ends

    def _produce(self, each: Addressed, note: Callable[..., None]) -> None:
        topic, value, key, timestamp, headers = each.output
        partition = _ANY_PARTITION if each.partition is None else each.partition
        deadline = time.monotonic() + CALL_S
        while True:
            try:
                self._client.produce(topic, value, key, partition, note, None, timestamp, list(headers))
            except BufferError:
                if time.monotonic() > deadline:
                    raise BrokersUnreachable(
                        f"writing to {topic}: not within {CALL_S:.0f} s. Nothing of this batch was written."
                    ) from None
                serve(self._client, _FULL_S)
            else:
                return

    def _commit(self) -> None:
        """Commit; asked again while the outcome is not known."""
        deadline = time.monotonic() + _COMMIT_S
        while True:
            try:
                self._client.commit_transaction(CALL_S)
            except KafkaException as error:
                if not kafka_error(error).retriable() or time.monotonic() > deadline:
                    raise
                log.info("committing: %s", kafka_error(error).str())
            else:
                return

    def _abort(self) -> None:
        # The brokers abort it anyway; this is sooner.
        with contextlib.suppress(KafkaException):
            self._client.purge()
            self._client.abort_transaction(CALL_S)

    def _said(self, error: KafkaException) -> Exception:
        failure = kafka_error(reason_of(self._client, error))
        if failure.code() in FENCED:
            return LettersRefused(
                f"another `holdfast dlq` took over ({self._id}), so this one ends. What it did stays: "
                "see `holdfast dlq list`."
            )
        if failure.retriable():
            return ClusterError(
                f"the brokers did not say whether the last batch was written ({failure.str()}). It was, as "
                "a whole, or not at all; the same command again does what is left."
            )
        reason = f" ({describe(self._failed)})" if self._failed is not None else ""
        return translate(error, f"writing a batch, of which nothing was written{reason}")
