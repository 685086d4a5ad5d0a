"""Writing batches in transactions under an id that one writer has at a time, on a cluster without our groups.

There are no positions of a group in these transactions: whoever writes keeps its own among the records. So
nothing but the id decides who may write. Taking it over ends what the writer before had open and refuses
whatever that still sends, however late: what is read after that changes only by ourselves. For the same
reason a client that lost a connection is not replaced here: what was read may be old then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from holdfast.errors import OutputRefused
from holdfast.kafka.errors import LASTING
from holdfast.kafka.lost_requests import LostRequests
from holdfast.kafka.refused import refusal_of
from holdfast.kafka.serving import flush, reason_of, serve
from holdfast.kafka.settings import Properties, producer_config
from holdfast.kafka.transaction import TransactionalWriter
from holdfast.kafka.unit_writer import Ending, Outcome
from holdfast.record import Output, TopicPartition

_ANY_PARTITION: Final = -1
_ALONE: Final[Mapping[str, Any]] = {"batch.num.messages": 1, "linger.ms": 0}
"""Each record is a request of its own: what the brokers say of it, they say of no other."""

_DETAILED: Final = KafkaError.INVALID_RECORD
"""What the client says of single records, where the brokers name them (KIP-467)."""


class SoleWriter(TransactionalWriter):
    """Writes records, each batch in a transaction.

    Args:
        servers: the brokers.
        transactional_id: who the writer is.
        properties: the user's own client properties.
        call_s: seconds that one call to the brokers may take.
        transaction_s: seconds after which the brokers end a transaction that nobody ends.
        alone: send each record by itself, to find those that are refused.

    Attributes:
        named: of the open or last transaction: records that the brokers do not take, by the numbers that
            `send_numbered` was given. Only those that are surely meant.
        is_lasting: whether what ended the last transaction stays until a person changes something.

    Raises:
        SettingError: the client refuses a property.
    """

    def __init__(
        self,
        servers: str,
        transactional_id: str,
        properties: Properties,
        *,
        call_s: float,
        transaction_s: float,
        alone: bool = False,
    ) -> None:
        settings = producer_config(
            servers, properties, transactional_id=transactional_id, transaction_ms=int(transaction_s * 1000)
        )
        self.named: dict[int, OutputRefused] = {}
        self.is_lasting = False
        self._alone = alone
        own = {"client.id": transactional_id, **(_ALONE if alone else {})}
        super().__init__({**settings, **own}, call_s, replaces=False)

    def is_ours(self, within: float) -> bool:
        """Whether the id is taken over.

        Args:
            within: seconds to wait for it. It is gone on with after that.

        Raises:
            ClusterError: it cannot be taken over.
        """
        taken: Future[bool] = self._initialised
        try:
            return taken.result(max(within, 0.0))
        except FutureTimeout:
            if taken.done():
                raise
            return False

    @property
    def doubt(self) -> str:
        """Why this client must not write again, as it lost a connection; "" if it may."""
        serve(self._client)
        return self._lost.reason

    def begin(self) -> None:
        """Open a transaction; see `TransactionalWriter.begin`. The id is to be taken over."""
        self.named = {}
        self.is_lasting = False
        super().begin()

    def send_numbered(self, number: int, outputs: Sequence[Output]) -> None:
        """Hand over what was made of one record, and have it named if the brokers do not take it.

        Raises:
            ClusterError: the client takes no records.
        """
        report = partial(self._note_numbered, number)
        for topic, value, key, timestamp, headers in outputs:
            try:
                self._retry(topic, value, key, _ANY_PARTITION, report, None, timestamp, list(headers))
            except KafkaException as error:
                self._not_taken(topic, error)

    def _note_numbered(self, number: int, error: KafkaError | None, message: Any) -> None:
        refused = None if error is None else refusal_of(message.topic(), error)
        if error is None or refused is None:
            return
        self._note_refused(message.topic(), error)
        if self._alone or error.code() == _DETAILED:
            self.named[number] = refused

    def settle(self) -> Mapping[TopicPartition, int]:
        """Wait for what was handed over as rows, and return where they end; without those that failed."""
        flush(self._client, self._timeout, unless=lambda: self._refused)
        return dict(self._ends)

    def end(self) -> Ending:
        """Commit."""
        ending = self.finish({}, None)
        if ending.outcome is Outcome.REFUSED and not self.named:
            # The client says why the transaction failed before each record's own report is served.
            serve(self._client)
        return ending

    def _await_records(self, client: Producer, lost: LostRequests) -> None:
        """Wait for the records, and no longer when one is refused: those behind it are not sent any more."""
        flush(client, self._timeout, unless=lambda: self._refused or lost.reason)

    def _unusable(self, cause: KafkaException) -> Ending:
        reason = reason_of(self._client, cause)
        self.is_lasting = reason.args[0].code() in LASTING
        return super()._unusable(reason)
