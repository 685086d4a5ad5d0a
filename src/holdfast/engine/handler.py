"""Handlers: what a user writes, and what the engine learns from its signature.

A handler's first parameter is the event (a class, or a union of classes and
`Tombstone`). Every further parameter is `State[T]`, named like a declared table,
or `Context`. It returns nothing, one event, an iterable of events, or yields them.

An `async` handler asks downstream systems: it takes their clients instead of state,
named like the systems that its processor `asks`, and returns what others return.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, overload

from holdfast.downstream import Client
from holdfast.engine.context import Context
from holdfast.engine.state import State
from holdfast.errors import HandlerError
from holdfast.schema import Event, Tombstone

Handler = Callable[..., Any]
F = TypeVar("F", bound=Handler)
E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class To(Generic[E]):
    """An event with the topic it goes to, for handlers that write one class to two topics.

    Attributes:
        topic: a topic that the processor declares in `writes`.
        event: the event, or a `Tombstone`.
    """

    topic: str
    event: E | Tombstone


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a handler after the event.

    Attributes:
        name: the parameter's name; for `state` it is the table's name, for `client` the system's.
        kind: what the engine passes.
        value_type: as the handler sees it: the table's value type for `state`, the class for `client`.
    """

    name: str
    kind: Literal["state", "context", "client"]
    value_type: Any = None


@dataclass(frozen=True, slots=True)
class HandlerSpec:
    """A handler and what its signature says.

    Attributes:
        function: the user's function.
        name: `module:function`, for messages.
        events: the event classes that it accepts.
        accepts_tombstones: whether `Tombstone` is among the accepted values.
        parameters: the parameters after the event, in order.
        is_generator: whether it yields its outputs.
        is_async: whether it is a coroutine function.
        returns: the return annotation; None if there is none.
    """

    function: Handler
    name: str
    events: tuple[type[Event], ...]
    accepts_tombstones: bool
    parameters: tuple[Parameter, ...] = field(default=())
    is_generator: bool = False
    is_async: bool = False
    returns: Any = None

    @property
    def takes_context(self) -> bool:
        """Whether the handler asks for a `Context`, and so may use a fencing token."""
        return any(p.kind == "context" for p in self.parameters)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that the handler asks for."""
        return tuple(p.name for p in self.parameters if p.kind == "state")


@overload
def processor(function: F, /) -> F: ...
@overload
def processor() -> Callable[[F], F]: ...
def processor(function: F | None = None, /) -> F | Callable[[F], F]:
    """Mark a function as a handler, and check its signature where it is defined.

    Raises:
        HandlerError: the signature cannot be served; the text says which parameter.
    """
    if function is None:
        return processor
    inspect_handler(function)
    return function


def inspect_handler(function: Handler) -> HandlerSpec:
    """Read a handler's signature.

    Raises:
        HandlerError: it is not a function, is an async generator, has no event parameter, or has a
            parameter that the engine cannot supply.
    """
    name = f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', function)}"
    if not inspect.isfunction(function):
        raise HandlerError(f"{name} is not a function; a handler is a plain function or a generator function")
    if inspect.isasyncgenfunction(function):
        raise HandlerError(f"{name} is async and yields; let it return its outputs in a list")
    parameters = list(inspect.signature(function).parameters.values())
    hints = hints_of(function, name)
    if not parameters:
        raise HandlerError(
            f"{name} takes no parameters; its first one must be the event, like `order: OrderPlaced`"
        )
    events, tombstones = _event_types(name, parameters[0], hints)
    is_async = inspect.iscoroutinefunction(function)
    return HandlerSpec(
        function=function,
        name=name,
        events=events,
        accepts_tombstones=tombstones,
        parameters=tuple(_parameter(name, p, hints, is_async) for p in parameters[1:]),
        is_generator=inspect.isgeneratorfunction(function),
        is_async=is_async,
        returns=hints.get("return"),
    )


def hints_of(function: Handler, name: str) -> dict[str, Any]:
    """Return the annotations of a user's function.

    Raises:
        HandlerError: they cannot be read.
    """
    try:
        return get_type_hints(function)
    except NameError as error:
        raise HandlerError(
            f"{name}: its annotations name {error.name!r}, which its module does not define at run time; "
            "import it outside `if TYPE_CHECKING:`"
        ) from error
    except Exception as error:
        # Annotations are expressions: evaluating them can fail in any way.
        raise HandlerError(f"{name}: its annotations cannot be read: {error}") from error


def _event_types(
    name: str, parameter: inspect.Parameter, hints: dict[str, Any]
) -> tuple[tuple[type[Event], ...], bool]:
    _check_kind(name, parameter)
    hint = hints.get(parameter.name)
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    events = tuple(m for m in members if isinstance(m, type) and issubclass(m, Event))
    tombstones = [m for m in members if m is Tombstone or get_origin(m) is Tombstone]
    if (not events and not tombstones) or len(events) + len(tombstones) != len(members):
        raise HandlerError(
            f"{name}: its first parameter {parameter.name!r} must be annotated with an Event class "
            f"or a union of them, not {_show(hint)}"
        )
    return events, bool(tombstones)


def _parameter(name: str, parameter: inspect.Parameter, hints: dict[str, Any], is_async: bool) -> Parameter:
    _check_kind(name, parameter)
    hint = hints.get(parameter.name)
    if hint is Context:
        return Parameter(parameter.name, "context")
    if hint is State or get_origin(hint) is State:
        if is_async:
            raise HandlerError(
                f"{name} is async and takes table {parameter.name!r}: while it waits for an answer, other "
                "records are handled. Keep the state in a processor before or after it"
            )
        return Parameter(parameter.name, "state", next(iter(get_args(hint)), None))
    if isinstance(hint, type) and issubclass(hint, Client):
        if not is_async:
            raise HandlerError(
                f"{name} takes {_show(hint)} {parameter.name!r}, whose answers have to be awaited; make it "
                "an `async def`"
            )
        return Parameter(parameter.name, "client", hint)
    takes = "a client (such as HttpClient)" if is_async else "State[...]"
    raise HandlerError(
        f"{name}: parameter {parameter.name!r} is annotated with {_show(hint)}; "
        f"after the event {'an async' if is_async else 'a'} handler takes {takes} or Context"
    )


def _check_kind(name: str, parameter: inspect.Parameter) -> None:
    """The engine passes arguments by position, one for each parameter."""
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise HandlerError(f"{name}: *{parameter.name} cannot be supplied; name each table that it uses")
    if parameter.kind is parameter.KEYWORD_ONLY:
        raise HandlerError(f"{name}: parameter {parameter.name!r} is keyword-only; move it before the `*`")


def _show(hint: Any) -> str:
    if hint is None:
        return "nothing"
    return getattr(hint, "__name__", None) or str(hint)
