"""Where partitions end, asked without waiting."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from confluent_kafka import IsolationLevel
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined] # re-exported silently

from holdfast.kafka.errors import mapped
from holdfast.record import TopicPartition


class EndsQuestion:
    """A question for the ends of committed records (last stable offsets), under way to the brokers.

    Args:
        client: asks it.
        places: whose ends.
        timeout: seconds for the answers.

    Raises:
        ClusterError: the client takes no question.
    """

    def __init__(self, client: AdminClient, places: Collection[TopicPartition], timeout: float) -> None:
        wanted = {ClientPartition(*place): OffsetSpec.latest() for place in places}  # type: ignore[no-untyped-call]
        with mapped("asking for the ends of inputs"):
            self._answers = client.list_offsets(
                wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=timeout
            )

    @property
    def is_answered(self) -> bool:
        """Whether `answers` would not wait."""
        return all(answer.done() for answer in self._answers.values())

    def answers(self) -> Mapping[TopicPartition, int]:
        """The ends that the brokers told; a partition that nobody leads at the moment is missing."""
        return {
            TopicPartition(each.topic, each.partition): int(answer.result().offset)
            for each, answer in self._answers.items()
            if answer.exception() is None and answer.result().offset >= 0
        }
