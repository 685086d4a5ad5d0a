"""The client's errors become ours, with the original as cause."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from holdfast.errors import BrokersUnreachable, ClusterError, Fenced, HoldfastError, SettingError
from holdfast.kafka.errors import describe, is_lasting, kafka_error, mapped, translate


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        (KafkaError._ALL_BROKERS_DOWN, BrokersUnreachable),
        (KafkaError._TRANSPORT, BrokersUnreachable),
        (KafkaError._TIMED_OUT, BrokersUnreachable),
        (KafkaError.NOT_COORDINATOR, BrokersUnreachable),
        (KafkaError.COORDINATOR_NOT_AVAILABLE, BrokersUnreachable),
        (KafkaError.COORDINATOR_LOAD_IN_PROGRESS, BrokersUnreachable),
        (KafkaError._FENCED, Fenced),
        (KafkaError.PRODUCER_FENCED, Fenced),
        (KafkaError.FENCED_INSTANCE_ID, Fenced),
        (KafkaError._INVALID_ARG, SettingError),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, ClusterError),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, ClusterError),
    ],
)
def test_each_client_error_has_its_place_in_the_tree(code: int, ours: type[HoldfastError]) -> None:
    """The message says what was tried; the client's error is the cause."""
    original = KafkaException(KafkaError(code))
    with pytest.raises(ours, match=r"^creating topic orders: ") as caught, mapped("creating topic orders"):
        raise original
    assert caught.value.__cause__ is original


def test_other_errors_pass_unchanged() -> None:
    """Only the client's errors are mapped."""
    with pytest.raises(ValueError, match="mine"), mapped("anything"):
        raise ValueError("mine")


def test_a_missing_topic_says_how_to_create_it() -> None:
    """The reason is in our words, with the client's name for it."""
    text = describe(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    assert "holdfast apply" in text
    assert "(UNKNOWN_TOPIC_OR_PART)" in text


def test_a_missing_right_to_a_topic_is_not_said_to_be_that_of_writing() -> None:
    """It may be that of reading."""
    text = describe(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    assert "may not write" not in text
    assert "right" in text
    assert "(TOPIC_AUTHORIZATION_FAILED)" in text


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_error_that_lasts_is_known_as_such_however_it_was_told(wrapped: bool) -> None:
    """Some errors are raised by the client, others come with a record or a partition."""
    refused = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    error = translate(KafkaException(refused) if wrapped else refused, "reading orders")
    assert isinstance(error, ClusterError)
    assert is_lasting(error)


def test_an_exception_without_an_error_object_is_understood() -> None:
    """The client sometimes raises plain text."""
    assert "some text" in kafka_error(KafkaException("some text")).str()
