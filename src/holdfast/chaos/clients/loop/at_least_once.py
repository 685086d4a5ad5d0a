"""The engine `at-least-once`: the loop without transactions, as many teams write it.

What it says is what it does: outputs and states are written, then the positions. Whoever dies in between has
done what the next one does again.
"""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from holdfast.chaos.clients.loop import settings
from holdfast.chaos.clients.loop.base import Loop
from holdfast.chaos.clients.loop.settings import CALL_S


class AtLeastOnce(Loop):
    """Writes, waits until it is written, and commits its positions."""

    _failure: KafkaError | None = None

    def new_producer(self) -> Producer:
        """An idempotent one: by itself it writes nothing twice."""
        return Producer({**settings.producer(self.orders), "on_delivery": self._delivered})

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        self._failure = self._failure or error

    def commit(self) -> None:
        """Everything acknowledged, then the positions."""
        if self.producer.flush(CALL_S):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "waiting for acknowledgements"))
        if self._failure is not None:
            raise KafkaException(self._failure)
        self.consumer.commit(offsets=self.offsets(), asynchronous=False)

    def failed(self, error: KafkaException) -> None:
        """End: the next process begins at the last positions that were committed."""
        raise error
