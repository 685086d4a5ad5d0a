"""The hot loops of a shard, one for each of its inputs, and what they stop at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.engine.asking import Waiting, passing
from holdfast.engine.context import Context
from holdfast.engine.failed_records import FailedRecords
from holdfast.engine.processor_plan import ProcessorPlan
from holdfast.engine.redriven import Redriven
from holdfast.engine.state import State
from holdfast.engine.step import Run, make_run
from holdfast.errors import HandlerError
from holdfast.record import Message
from holdfast.schema import EventDecoder


class InputLoops:
    """Calls the handler of one shard for records of its inputs.

    Args:
        plan: what the processor's shards share.
        context: what the handler may ask about a record.
        states: for each table, the handle that the handler gets.
        failed: the shard's records that failed.
    """

    def __init__(
        self, plan: ProcessorPlan, context: Context, states: Mapping[str, State[Any]], failed: FailedRecords
    ) -> None:
        self._processor = plan.name
        self._context = context
        self._failed = failed
        self._hands_on = plan.has_writes
        self._runs = {
            topic: _make_run(plan, decoder, context, states) for topic, decoder in plan.decoders.items()
        }

    def run(
        self, topic: str, messages: Sequence[Message], outputs: list[Any]
    ) -> tuple[int, Exception | None]:
        """Handle records of an input: how many were handled, and why the next one was not.

        Raises:
            StoreError: the local store cannot be read.
        """
        self._context._topic = topic
        done, error = self._failed.guard(topic, self._runs[topic])(messages, outputs)
        self._count(topic, messages[:done])
        return done, error

    def run_redriven(self, topic: str, record: Redriven, outputs: list[Any]) -> Exception | None:
        """Handle a record as one of the input that it was set aside from; why it was not handled, or None.

        Neither a time nor its key hold it up: whoever calls this knows that it is its turn.

        Args:
            topic: the redrive topic.
            record: the record.
            outputs: where what the handler returns is added.

        Raises:
            StoreError: the local store cannot be read.
        """
        origin = record.sent.origin.topic
        run = self._runs.get(origin)
        if run is None:
            return HandlerError(f"{self._processor!r} does not read {origin} any more")
        self._context._topic = origin
        done, error = self._failed.verdicts.guard(topic, run)([record], outputs)
        self._count(topic, [record][:done])
        return error

    def _count(self, topic: str, handled: Sequence[Message]) -> None:
        if self._hands_on:
            self._failed.letters.handed_on(topic, handled)
        else:
            self._failed.letters.handled(len(handled))


def _make_run(
    plan: ProcessorPlan, decoder: EventDecoder, context: Context, states: Mapping[str, State[Any]]
) -> Run:
    """The loop that handles records of one input."""
    if plan.handler.is_async:
        return make_run(passing(plan.handler), decoder, Waiting(), context, states)
    return make_run(plan.handler, decoder, plan.sink or plan.router, context, states)
