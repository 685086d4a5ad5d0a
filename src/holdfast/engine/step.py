"""The hot loop: decode, bind state, call the handler, route what came back.

Everything that is the same for all records of an input is looked up once, when the loop is
made; per record there is nothing that a record does not need. Most processors have one table
or none, so a loop for each of these stands beside the general one. Of the time that a record
takes here, its decoding and its handler included, they were measured to save an eighth with a
table, and a twentieth without.

A loop handles records until the end or the first error and says how far it came. A record is
atomic in it: outputs and state changes are kept when its handler has returned, never before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import length_hint
from typing import Any

from holdfast.engine.context import Context
from holdfast.engine.handler import HandlerSpec
from holdfast.engine.outputs import Emit, Emitter
from holdfast.engine.state import UNREAD, State
from holdfast.errors import HandlerError, StoreError, UnexpectedTombstone
from holdfast.record import Message
from holdfast.schema import EventDecoder

Run = Callable[[Sequence[Message], list[Any]], tuple[int, Exception | None]]
"""Handles records, adding to the outputs. Returns how many were handled, and what the next one raised.

Raises `StoreError` when the local store cannot be read: that is no record's fault.
"""


Loop = Callable[[Iterator[Message], list[Any]], None]
"""Handles what the iterator yields; lets through whatever is raised."""

Decode = Callable[[Message], Any]


def make_run(
    handler: HandlerSpec,
    decoder: EventDecoder,
    router: Emitter,
    context: Context,
    states: Mapping[str, State[Any]],
) -> Run:
    """Make the loop for one input of a shard.

    Args:
        handler: the handler.
        decoder: decodes the input's records.
        router: what becomes of that which the handler returns.
        context: what a handler may ask about a record; bound to each in turn.
        states: the shard's handles by table; bound to each record's key in turn.
    """
    decode = _make_decode(handler, decoder)
    emit = router.emit()
    asked = [p.kind for p in handler.parameters]
    if not asked and not states:
        return _counted(_event_only(handler, decoder, decode, emit))
    if asked == ["state"] and len(states) == 1:
        return _counted(_single_table(handler, decoder, decode, emit, states[handler.parameters[0].name]))
    return _counted(_general(handler, decoder, decode, emit, context, states))


def stopping(run: Run, why: Callable[[Message], Exception | None]) -> Run:
    """The loop that stops at some records as if their handler had raised.

    Args:
        run: handles all others.
        why: what counts as raised, for a record that it is to stop at.
    """

    def guarded(messages: Sequence[Message], outputs: list[Any]) -> tuple[int, Exception | None]:
        for at, message in enumerate(messages):
            cause = why(message)
            if cause is not None:
                done, error = run(messages[:at], outputs)
                return (done, error) if error is not None else (at, cause)
        return run(messages, outputs)

    return guarded


def _counted(loop: Loop) -> Run:
    """Tell how far a loop came and what stopped it."""

    def run(messages: Sequence[Message], outputs: list[Any]) -> tuple[int, Exception | None]:
        left = iter(messages)
        try:
            loop(left, outputs)
        except StoreError:
            raise
        except SystemExit as error:
            reason: Exception = HandlerError(f"the handler ended the process with sys.exit({error.code!r})")
            # For the line that did it.
            reason.__cause__ = error
        except Exception as error:  # noqa: BLE001 - the policy judges whatever a handler raises
            reason = error
        except KeyboardInterrupt:
            # A user's Ctrl-C in a test; a worker takes the signal itself.
            raise
        except BaseException as error:  # noqa: BLE001 - asyncio.CancelledError, for one, is no Exception
            reason = HandlerError(f"the handler raised {type(error).__name__}: {error}")
            reason.__cause__ = error
        else:
            return len(messages), None
        # The one that failed was taken from the iterator, but not handled.
        return len(messages) - length_hint(left) - 1, reason

    return run


def _event_only(handler: HandlerSpec, decoder: EventDecoder, decode: Decode, emit: Emit) -> Loop:
    function, fast, usual = handler.function, decoder.fast, decoder.fast_headers

    def loop(messages: Iterator[Message], outputs: list[Any]) -> None:
        for message in messages:
            value, headers = message.value(), message.headers()
            if fast is not None and value and (headers is None or headers == usual):
                event: Any = fast(value)
            else:
                event = decode(message)
            result = function(event)
            if result is not None:
                emit(result, message, outputs)

    return loop


def _single_table(
    handler: HandlerSpec, decoder: EventDecoder, decode: Decode, emit: Emit, state: State[Any]
) -> Loop:
    function, fast, usual = handler.function, decoder.fast, decoder.fast_headers
    table = state._table

    def loop(messages: Iterator[Message], outputs: list[Any]) -> None:
        # Both are replaced only between runs, when the unit is sealed or reset.
        young, overlay = table.young, table.overlay
        for message in messages:
            value, headers = message.value(), message.headers()
            if fast is not None and value and (headers is None or headers == usual):
                event: Any = fast(value)
            else:
                event = decode(message)
            key = message.key()
            # Slot writes instead of method calls: this runs for every record.
            state._key, state._changed = key, False
            state._value = young.get(key, UNREAD)  # type: ignore[arg-type]
            result = function(event, state)
            if result is not None:
                emit(result, message, outputs)
            if state._changed:
                young[key] = overlay[key] = state._value  # type: ignore[index]

    return loop


def _general(
    handler: HandlerSpec,
    decoder: EventDecoder,
    decode: Decode,
    emit: Emit,
    context: Context,
    states: Mapping[str, State[Any]],
) -> Loop:
    function, fast, usual = handler.function, decoder.fast, decoder.fast_headers
    arguments = tuple(states[p.name] if p.kind == "state" else context for p in handler.parameters)
    handles = tuple(states.values())

    def loop(messages: Iterator[Message], outputs: list[Any]) -> None:
        for message in messages:
            value, headers = message.value(), message.headers()
            if fast is not None and value and (headers is None or headers == usual):
                event: Any = fast(value)
            else:
                event = decode(message)
            context._message = message
            if handles:
                key = message.key()
                for state in handles:
                    state._key, state._value, state._changed = key, UNREAD, False
            result = function(event, *arguments)
            if result is not None:
                emit(result, message, outputs)
            for state in handles:
                if state._changed:
                    state.keep()

    return loop


def _make_decode(handler: HandlerSpec, decoder: EventDecoder) -> Decode:
    """Decode a record for which no shortcut applies."""
    full, tombstones, name = decoder.decode, handler.accepts_tombstones, handler.name

    def decode(message: Message) -> Any:
        value = message.value()
        event = full(value, message.headers(), message.key())
        if value is None and not tombstones:
            raise UnexpectedTombstone(name)
        return event

    return decode
