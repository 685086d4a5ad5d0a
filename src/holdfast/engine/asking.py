"""Processors whose handlers are coroutines: they ask downstream systems, and their answers take time.

The shard only decodes: the events wait in the unit, as what is written to a sink does, and are handled when
the unit is committed, many at once and in the order of each key. So a slow system never holds up the thread
that polls the group. How they are run is the caller's; this is what can be said without an event loop.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from holdfast.engine.context import Context
from holdfast.engine.handler import HandlerSpec
from holdfast.engine.outputs import Emit, Router
from holdfast.engine.redriven import topic_of
from holdfast.errors import HandlerError
from holdfast.record import Message, Output, Write


class Waiting:
    """Keeps each event with its record, for the handler to come."""

    def emit(self) -> Emit:
        """The way to go for each event."""

        def emit(event: Any, message: Message, writes: list[Any]) -> None:
            writes.append(Write(message, event))

        return emit


def passing(handler: HandlerSpec) -> HandlerSpec:
    """A handler that accepts the same events and returns them as they are."""
    return replace(handler, function=_itself, parameters=(), is_async=False)


class AskingHandler:
    """A coroutine function with all that is the same for its records.

    Args:
        handler: the handler.
        router: routes what it returns.
    """

    def __init__(self, handler: HandlerSpec, router: Router) -> None:
        self._function = handler.function
        self._parameters = handler.parameters
        self._emit = router.emit()

    async def handle(self, write: Write, clients: dict[str, Any], fence: int) -> list[Output]:
        """Handle one event.

        Args:
            write: the event, with its record.
            clients: what it asks with, for this record, by name.
            fence: the fencing token of the shard's ownership.

        Raises:
            Exception: what the handler raised, or that which it returned is no output of this processor.
        """
        arguments = [
            clients[each.name] if each.kind == "client" else _context(write.message, fence)
            for each in self._parameters
        ]
        try:
            result = await self._function(write.value, *arguments)
        except SystemExit as error:
            raise HandlerError(f"the handler ended the process with sys.exit({error.code!r})") from error
        outputs: list[Output] = []
        if result is not None:
            self._emit(result, write.message, outputs)
        return outputs


def _itself(event: Any) -> Any:
    return event


def _context(message: Message, fence: int) -> Context:
    """One of its own for each record: others are handled meanwhile."""
    context = Context(message.partition(), fence)
    context._topic, context._message = topic_of(message), message
    return context
