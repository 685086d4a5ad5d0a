"""The engine `client`: the client's own transactions, written by hand, with nothing left out.

Outputs, states and positions of a unit are one transaction. The rules, each of which one of the `mistakes`
breaks:

- the transactional id is the worker's own and stays the same, so a restart ends what its last life left open;
- positions go into the transaction, with the group's metadata, so that the coordinator refuses the unit of a
  worker whose shards were given to others (KIP-447);
- after an abort everything goes back to the last commit: position and state;
- after an error that leaves open what became of the transaction the producer is never used again, since its
  requests may still arrive; the positions are asked for and the states restored. So it is after a lost
  connection (docs/adr/0010-a-lost-connection-replaces-the-producer.md);
- positions are asked for before the states are restored, and only committed records are read anywhere.
"""

from __future__ import annotations

import logging
import time

from confluent_kafka import KafkaError, KafkaException, Producer

from holdfast.chaos.clients.loop import settings
from holdfast.chaos.clients.loop.base import Loop
from holdfast.chaos.clients.loop.settings import CALL_S
from holdfast.kafka.lost_requests import LostRequests

log = logging.getLogger(__name__)

_TAKE_OVER_S = 60.0
_REPLACEMENTS = 3
"""How many producers in a row may lose a connection before a unit begins on one that did."""

_MEMBER_REFUSED = (
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
)
"""The coordinator's refusal of positions: a certain answer, after which an abort is enough."""


class Aborted(Exception):
    """The open transaction is to be aborted; nothing of it is in doubt."""


class Transactions(Loop):
    """Every unit is a transaction."""

    lost = LostRequests(log)

    def new_producer(self) -> Producer:
        """One that has taken over the transactional id: what was open under it has ended.

        Raises:
            KafkaException: it could not, within a minute.
        """
        self.lost = LostRequests(log)
        producer = Producer(self.lost.settings(self.producer_settings()))
        deadline = time.monotonic() + _TAKE_OVER_S
        while True:
            try:
                producer.init_transactions(CALL_S)
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise
            else:
                return producer

    def producer_settings(self) -> dict[str, object]:
        """Properties of the producer."""
        return settings.transactional(self.orders)

    def begin(self) -> None:
        """Open a transaction, on a new producer if the present one lost a connection."""
        for _ in range(_REPLACEMENTS):
            self.producer.poll(0)
            if not self.lost.reason:
                break
            self.replace_producer()
        self.producer.begin_transaction()

    def end(self) -> None:
        """Commit the open transaction, or abort it, or begin anew from what the brokers know."""
        try:
            super().end()
        except Aborted:
            self.abort()
            self.rewind()

    def commit(self) -> None:
        """The positions, and the end of the transaction."""
        self.send_offsets()
        self.end_transaction()

    def send_offsets(self) -> None:
        """The positions become a part of the transaction, as a member of this generation of the group."""
        metadata = self.consumer.consumer_group_metadata()
        self.producer.send_offsets_to_transaction(self.offsets(), metadata, CALL_S)

    def end_transaction(self) -> None:
        """Commit, unless the experiment has it otherwise; see `Control`."""
        control = self.orders.control
        if self.chance.random() < control.aborts:
            # What was written is in the topics then, as if the brokers had aborted it.
            self.producer.flush(CALL_S)
            raise Aborted
        self.producer.commit_transaction(CALL_S)
        if self.chance.random() < control.lost_answers:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the answer to the commit was lost"))

    def failed(self, error: KafkaException) -> None:
        """Abort what was certainly refused; else nobody here knows what became of it."""
        code = error.args[0].code()
        log.warning("a transaction failed: %s", error)
        if code in _MEMBER_REFUSED:
            self.abort()
            self.rewind()
        else:
            self.start_over()

    def void(self) -> None:
        """Abort."""
        self.abort()

    def abort(self) -> None:
        """Abort the open transaction, by a new producer if this one cannot."""
        try:
            self.producer.abort_transaction(CALL_S)
        except KafkaException as error:
            log.warning("an abort failed: %s", error)
            self.replace_producer()

    def start_over(self) -> None:
        """Go on from what the brokers know: a new producer, their positions, their states."""
        self.states.discard()
        self.close_unit()
        self.replace_producer()
        if self.assigned:
            self.own(self.assigned)

    def replace_producer(self) -> None:
        """Never use this one again."""
        self.producer.purge()
        self.producer = self.new_producer()
