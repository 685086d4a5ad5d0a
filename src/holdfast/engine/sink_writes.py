"""What a handler returns for a sink: checked, and kept with its record."""

from __future__ import annotations

from typing import Any

from holdfast.engine.outputs import Emit, are_several
from holdfast.errors import HandlerError
from holdfast.record import Message, Write


class SinkWrites:
    """Takes what a handler returns for a sink, in the order in which it returns it.

    Args:
        processor: the processor's name, for messages.
        sink: the sink's name, for messages.
        accepts: the classes that the sink takes.
    """

    def __init__(self, processor: str, sink: str, accepts: tuple[type, ...]) -> None:
        self._processor = processor
        self._sink = sink
        self._accepts = accepts

    def emit(self) -> Emit:
        """The way to go for each result, everything looked up beforehand."""
        accepts, new = self._accepts, tuple.__new__

        def emit(result: Any, message: Message, writes: list[Any]) -> None:
            if isinstance(result, accepts):
                # A named tuple's own constructor takes twice as long.
                writes.append(new(Write, (message, result)))
            else:
                writes.extend([new(Write, (message, one)) for one in self._many(result)])

        return emit

    def _many(self, results: Any) -> list[Any]:
        if not are_several(results):
            raise self._wrong(results)
        found = list(results)
        for one in found:
            if not isinstance(one, self._accepts):
                raise self._wrong(one)
        return found

    def _wrong(self, result: Any) -> HandlerError:
        names = ", ".join(each.__name__ for each in self._accepts)
        return HandlerError(
            f"processor {self._processor!r} returned {type(result).__name__}, which sink {self._sink!r} does "
            f"not take; it takes {names}, or several of them"
        )
