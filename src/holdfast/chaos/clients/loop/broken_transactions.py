"""Mistakes about transactions themselves; see `mistakes` for what each one is."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from holdfast.chaos.clients.loop.batches import Batches
from holdfast.chaos.clients.loop.settings import CALL_S
from holdfast.chaos.clients.loop.transactions import Transactions

log = logging.getLogger(__name__)


class KeepsDeadProducer(Transactions):
    """Has one producer for all its life."""

    def replace_producer(self) -> None:
        """It will surely do again."""
        log.warning("the producer is kept")


class NoFencing(Batches):
    """Is nobody in particular."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._stranger = Consumer(self.consumer_settings())

    def producer_settings(self) -> dict[str, object]:
        """A new id for each producer."""
        return {**super().producer_settings(), "transactional.id": str(uuid.uuid4())}

    def send_offsets(self) -> None:
        """For the group, as anybody: one that never joined has no member id and no generation."""
        metadata = self._stranger.consumer_group_metadata()
        self.producer.send_offsets_to_transaction(self.offsets(), metadata, CALL_S)

    def on_lost(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Lost is as good as revoked: so it is in a client that was not told to tell them apart."""
        self.on_revoke(consumer, places)


class ReadsUncommitted(Transactions):
    """Reads what may never happen."""

    isolation = "read_uncommitted"


class WrongPartitioner(Transactions):
    """Leaves the choice of the partition to the client."""

    def producer_settings(self) -> dict[str, object]:
        """With its default."""
        return {**super().producer_settings(), "partitioner": "consistent_random"}
