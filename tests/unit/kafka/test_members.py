"""Waiting for a group that is about to hand out its shards anew."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException

from holdfast.errors import ClusterError
from holdfast.kafka.members import waits_for_members

STABLE, PREPARING = ConsumerGroupState.STABLE, ConsumerGroupState.PREPARING_REBALANCING


class Coordinator:
    """Answers with one state after the other; the last one stays."""

    def __init__(self, *states: ConsumerGroupState | KafkaException) -> None:
        self.states = list(states)

    def describe_consumer_groups(self, names: list[str], request_timeout: float) -> dict[str, Future[Any]]:
        """The next state."""
        assert request_timeout > 0
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        answer: Future[Any] = Future()
        if isinstance(state, KafkaException):
            answer.set_exception(state)
        else:
            answer.set_result(SimpleNamespace(state=state, members=[]))
        return {names[0]: answer}


def test_it_waits_until_the_members_are_to_join_again() -> None:
    """Not longer: whoever asks is one of those that the group waits for."""
    coordinator = Coordinator(STABLE, STABLE, PREPARING, STABLE)
    assert waits_for_members(coordinator, "group", 5.0)  # type: ignore[arg-type]
    assert coordinator.states == [STABLE]


def test_a_group_at_rest_is_not_waited_for_for_ever() -> None:
    """There are more workers than shards: nobody gives anything up."""
    assert not waits_for_members(Coordinator(STABLE), "group", 0.1)  # type: ignore[arg-type]


def test_a_coordinator_that_does_not_tell_is_an_error() -> None:
    """For the caller to judge."""
    silent = Coordinator(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
    with pytest.raises(ClusterError):
        waits_for_members(silent, "group", 5.0)  # type: ignore[arg-type]
