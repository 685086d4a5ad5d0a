"""Mistakes about positions; see `mistakes` for what each one is."""

from __future__ import annotations

from typing import Any

from confluent_kafka import OFFSET_END, Consumer, Message, TopicPartition

from holdfast.chaos.clients.loop.transactions import Transactions

_EVERY = 10
"""Records from one commit of positions to the next."""


class OffsetsFirst(Transactions):
    """Commits positions as it goes, ahead of the transaction with their results."""

    _since = 0

    def handle(self, message: Message) -> None:
        """And now and then say that it is done."""
        super().handle(message)
        self._since += 1
        if self._since == _EVERY:
            self._since = 0
            self.consumer.commit(offsets=self.offsets(), asynchronous=True)

    def send_offsets(self) -> None:
        """They are committed, or will be."""


class OffsetsOutside(Transactions):
    """Commits the transaction, and then the positions."""

    def send_offsets(self) -> None:
        """Not here."""

    def end_transaction(self) -> None:
        """By the consumer, as a loop without transactions would."""
        super().end_transaction()
        self.consumer.commit(offsets=self.offsets(), asynchronous=False)


class AutoCommit(Transactions):
    """Leaves the positions to the client."""

    def consumer_settings(self) -> dict[str, Any]:
        """As in the client's examples."""
        ours = {
            "enable.auto.commit": True,
            "enable.auto.offset.store": True,
            "auto.commit.interval.ms": 1_000,
        }
        return {**super().consumer_settings(), **ours}

    def send_offsets(self) -> None:
        """The client does it when it thinks that it is time."""


class StartsAtEnd(Transactions):
    """Begins at the end of every partition that it gets."""

    def start(self, committed: TopicPartition) -> int:  # noqa: ARG002
        """Not where the group was."""
        return int(OFFSET_END)


class ForgetsAtRebalance(Transactions):
    """Takes records in batches, and forgets half of what it has in hand when a rebalance comes."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._in_hand: list[Message] = []

    def handle(self, message: Message) -> None:
        """Later; but it counts as read."""
        self._in_hand.append(message)
        self.ahead[message.topic() or "", message.partition() or 0] = (message.offset() or 0) + 1

    def commit(self) -> None:
        """Handle the batch."""
        read, batch, self._in_hand = dict(self.ahead), self._in_hand, []
        for message in batch:
            super().handle(message)
        self.ahead.update(read)
        super().commit()

    def on_revoke(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """There is no time for all of it."""
        del self._in_hand[len(self._in_hand) // 2 :]
        super().on_revoke(consumer, places)

    def rewind(self) -> None:
        """All that is in hand is read again."""
        self._in_hand = []
        super().rewind()
