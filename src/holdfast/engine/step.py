"""The hot loop: decode, bind state, call the handler, route what came back.

Everything that is the same for all records of an input is looked up once, when the loop is
made; per record there is nothing that a record does not need. Most processors have one table
or none, so a loop for a single table stands beside the general one: unrolled it takes a fifth
less time per record.

A loop handles records until the end or the first error and says how far it came. A record is
atomic in it: outputs and state changes are kept when its handler has returned, never before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from holdfast.engine.context import Context
from holdfast.engine.handler import HandlerSpec
from holdfast.engine.outputs import Router
from holdfast.engine.state import UNREAD, State
from holdfast.errors import CorruptStore, HandlerError, UnexpectedTombstone
from holdfast.record import Message, Output
from holdfast.schema import EventDecoder

Run = Callable[[Sequence[Message], list[Output]], tuple[int, Exception | None]]
"""Handles records, adding to the outputs. Returns how many were handled, and what the next one raised.

Raises `CorruptStore` when the state cannot be read: that is no record's fault.
"""


def make_run(
    handler: HandlerSpec,
    decoder: EventDecoder,
    router: Router,
    context: Context,
    states: Mapping[str, State[Any]],
) -> Run:
    """Make the loop for one input of a shard.

    Args:
        handler: the handler.
        decoder: decodes the input's records.
        router: routes outputs.
        context: what a handler may ask about a record; bound to each in turn.
        states: the shard's handles by table; bound to each record's key in turn.
    """
    decode = _make_decode(handler, decoder)
    emit = _make_emit(router)
    if [p.kind for p in handler.parameters] == ["state"] and len(states) == 1:
        return _single_table(handler, decoder, decode, emit, states[handler.parameters[0].name])
    return _general(handler, decoder, decode, emit, context, states)


Decode = Callable[[Message], Any]
Emit = Callable[[Any, Message, list[Output]], None]


def _single_table(
    handler: HandlerSpec, decoder: EventDecoder, decode: Decode, emit: Emit, state: State[Any]
) -> Run:
    function, fast, usual = handler.function, decoder.fast, decoder.fast_headers
    table = state._table

    def run(messages: Sequence[Message], outputs: list[Output]) -> tuple[int, Exception | None]:
        # Both are replaced only between runs, when the unit is sealed or reset.
        young, overlay = table.young, table.overlay
        done = 0
        try:
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
                done += 1
        except CorruptStore:
            raise
        except SystemExit as error:
            return done, HandlerError(f"the handler ended the process with sys.exit({error.code!r})")
        except Exception as error:  # noqa: BLE001 - the policy judges whatever a handler raises
            return done, error
        return done, None

    return run


def _general(
    handler: HandlerSpec,
    decoder: EventDecoder,
    decode: Decode,
    emit: Emit,
    context: Context,
    states: Mapping[str, State[Any]],
) -> Run:
    function, fast, usual = handler.function, decoder.fast, decoder.fast_headers
    arguments = tuple(states[p.name] if p.kind == "state" else context for p in handler.parameters)
    handles = tuple(states.values())

    def run(messages: Sequence[Message], outputs: list[Output]) -> tuple[int, Exception | None]:
        done = 0
        try:
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
                done += 1
        except CorruptStore:
            raise
        except SystemExit as error:
            return done, HandlerError(f"the handler ended the process with sys.exit({error.code!r})")
        except Exception as error:  # noqa: BLE001 - the policy judges whatever a handler raises
            return done, error
        return done, None

    return run


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


def _make_emit(router: Router) -> Emit:
    direct, one, many, takes = router.direct, router.one, router.many, router.takes

    def emit(result: Any, message: Message, outputs: list[Output]) -> None:
        timestamp = message.timestamp()[1]
        route = direct.get(type(result))
        if route is not None:
            outputs.append(route(result, timestamp))
        elif takes(result):
            outputs.append(one(result, timestamp))
        else:
            outputs.extend(many(result, timestamp))

    return emit
