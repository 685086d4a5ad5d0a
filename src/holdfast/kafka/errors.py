"""The client's errors, mapped to the error tree in this one place.

Every function that calls the client wraps the call in `mapped`; what comes out is ours, with the client's
error as its cause.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from holdfast.errors import (
    BrokersUnreachable,
    ClusterError,
    Fenced,
    HoldfastError,
    SettingError,
    TopicRefused,
)

_UNREACHABLE = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        # A coordinator has died or moves: who asks again later hears of the next one.
        KafkaError._WAIT_COORD,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)

FENCED = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
    }
)
"""Codes that say that a newer owner of the same id writes now."""

LASTING = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError._UNSUPPORTED_FEATURE,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.POLICY_VIOLATION,
        KafkaError.INVALID_TRANSACTION_TIMEOUT,
        KafkaError.UNSUPPORTED_VERSION,
    }
)
"""Codes of what stays as it is until a person changes it: logins, rights, names, versions."""

_NO_TOPIC = "the topic does not exist; `holdfast apply` creates those that are declared"
_ADVICE: dict[int, str] = {
    KafkaError._UNKNOWN_TOPIC: _NO_TOPIC,
    KafkaError.UNKNOWN_TOPIC_OR_PART: _NO_TOPIC,
    KafkaError._UNKNOWN_PARTITION: "the topic has no such partition",
    KafkaError._MSG_TIMED_OUT: "no broker acknowledged it within delivery.timeout.ms",
    KafkaError.NOT_ENOUGH_REPLICAS: "fewer replicas than the topic's min.insync.replicas are in sync",
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND: "fewer replicas than min.insync.replicas are in sync",
    KafkaError.MSG_SIZE_TOO_LARGE: "it is larger than the topic's max.message.bytes",
    KafkaError.RECORD_LIST_TOO_LARGE: "the batch is larger than a segment of the topic",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "this user lacks the right to do that with the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "this user may not read in this group",
    KafkaError.INVALID_SESSION_TIMEOUT: "the brokers do not allow such a session_timeout",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "this user may not do that on the cluster",
    KafkaError._AUTHENTICATION: "the broker refused the login; check the sasl.* and ssl.* properties",
    KafkaError.SASL_AUTHENTICATION_FAILED: "the broker refused the login; check the sasl.* properties",
    KafkaError._PURGE_QUEUE: "it was given up before it was sent",
    KafkaError._PURGE_INFLIGHT: "it was sent, but given up before a broker answered; it may be in the topic",
}


def kafka_error(error: KafkaException | KafkaError) -> KafkaError:
    """Return the client's error object, unpacked from an exception if need be."""
    if isinstance(error, KafkaError):
        return error
    inner = error.args[0] if error.args else None
    return inner if isinstance(inner, KafkaError) else KafkaError(KafkaError._FAIL, str(error))


def describe(error: KafkaException | KafkaError) -> str:
    """Return the reason in our words where we have some, with the client's own name for it."""
    inner = kafka_error(error)
    text = _ADVICE.get(inner.code()) or inner.str()
    return f"{text} ({inner.name()})"


def translate(error: KafkaException | KafkaError, doing: str) -> HoldfastError:
    """Return our error for the client's, which is its cause.

    Args:
        error: the client's error.
        doing: what was tried and where, as the start of a sentence: ``creating topic orders``.
    """
    inner = kafka_error(error)
    ours = _ours(inner, doing)
    # Errors that come with a record or a partition are not raised from anything; `is_lasting` looks here.
    ours.__cause__ = error if isinstance(error, KafkaException) else KafkaException(error)
    return ours


def _ours(inner: KafkaError, doing: str) -> HoldfastError:
    text = f"{doing}: {describe(inner)}."
    if inner.code() in FENCED:
        return Fenced(f"{text} Another process with the same slot took over; this one stops.")
    if inner.code() in _UNREACHABLE:
        return BrokersUnreachable(f"{text} Check that the brokers run and that bootstrap.servers names them.")
    if inner.code() in (KafkaError._INVALID_ARG, KafkaError._CONFLICT, KafkaError._UNKNOWN_PROTOCOL):
        return SettingError(f"{doing}: {inner.str()}.")
    return ClusterError(text)


def is_lasting(error: ClusterError) -> bool:
    """Whether an error of this tree stays until a person changes something: a login, a right, a property."""
    cause = error.__cause__
    if isinstance(error, (SettingError, TopicRefused)):
        return True
    return isinstance(cause, KafkaException) and kafka_error(cause).code() in LASTING


@contextmanager
def mapped(doing: str) -> Iterator[None]:
    """Turn client errors inside the block into ours; see `translate` for `doing`."""
    try:
        yield
    except KafkaException as error:
        raise translate(error, doing) from error
