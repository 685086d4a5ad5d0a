"""Whose fault a failure is: that of the record's bytes, of the handler, or of what the shard has stored."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import ValidationError

from holdfast.engine.processor_plan import Policy, ProcessorPlan
from holdfast.engine.redriven import topic_of
from holdfast.errors import (
    DecodeError,
    KeyParked,
    LetterRefused,
    StateError,
    StoppedBySink,
    UnexpectedTombstone,
)
from holdfast.record import Message


class Classified(NamedTuple):
    """A failure, and what is to become of its record.

    Attributes:
        cause: why the record failed.
        policy: what judges it.
        may_retry: whether another attempt may end otherwise.
    """

    cause: Exception
    policy: Policy
    may_retry: bool


def classify(error: Exception, message: Message, plan: ProcessorPlan) -> Classified:
    """Tell a record that cannot be decoded from a handler that raised.

    Args:
        error: what came out of the hot loop at the record.
        message: the record.
        plan: what the processor declares.
    """
    if isinstance(error, (ValidationError, DecodeError)):
        bad_record = _decoding_error(message, plan)
        if bad_record is not None:
            return Classified(bad_record, plan.on_bad_record, may_retry=False)
    if isinstance(error, UnexpectedTombstone):
        return Classified(error, plan.on_bad_record, may_retry=False)
    if isinstance(error, KeyParked):
        return Classified(error, "park-key", may_retry=False)
    if isinstance(error, (StateError, LetterRefused, StoppedBySink)):
        # A stored value that the table's type does not fit, say: it is so for every record of the key.
        return Classified(error, "stop", may_retry=False)
    return Classified(error, plan.on_error, may_retry=True)


def _decoding_error(message: Message, plan: ProcessorPlan) -> DecodeError | None:
    """Why a record cannot be decoded; None if it can.

    The fast decoder raises pydantic's own error, which a handler may raise as well; decoding is pure, so
    doing it again gives the answer and the classified cause.
    """
    try:
        plan.decoders[topic_of(message)].decode(message.value(), message.headers(), message.key())
    except DecodeError as bad_record:
        return bad_record
    return None
