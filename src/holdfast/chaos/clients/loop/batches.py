"""The right loop in another shape: it gathers a batch, and then handles all of it in one transaction."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Message

from holdfast.chaos.clients.loop.transactions import Transactions


class Batches(Transactions):
    """Nothing is written while a batch is gathered, so a worker that stops then holds nobody up."""

    commit_s = 1.0

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.in_hand: list[Message] = []

    def begin(self) -> None:
        """Not yet."""

    def handle(self, message: Message) -> None:
        """Later."""
        self.in_hand.append(message)

    def commit(self) -> None:
        """Handle the batch in a transaction."""
        super().begin()
        for message in self.in_hand:
            super().handle(message)
        super().commit()

    def close_unit(self) -> None:
        """The batch is done, or void."""
        self.in_hand.clear()
        super().close_unit()

    def void(self) -> None:
        """Nothing of the batch was begun."""
