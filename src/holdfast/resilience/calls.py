"""What kind of call a function makes, and what to say of the kinds that nothing could protect."""

from __future__ import annotations

from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from types import CoroutineType

from holdfast.errors import PolicyError


def is_awaited(function: object) -> bool:
    """Whether its calls are awaited: a coroutine function, or an object that is called like one."""
    function = _innermost(function)
    return iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)


def wrappable(function: object) -> None:
    """Refuse to decorate what does its work elsewhere than in its call.

    Raises:
        PolicyError: it is no function, a class, a static or class method, or a generator.
    """
    if isinstance(function, staticmethod | classmethod):
        raise PolicyError(f"write the policy below @{type(function).__name__}, next to the function")
    if not callable(function):
        raise PolicyError(f"a policy wraps a function, not {function!r}")
    if isinstance(function, type):
        raise PolicyError(
            f"{name_of(function)} is a class: its call only makes an object, and nothing would protect what "
            "that does; write the policy above the methods that call the downstream"
        )
    innermost = _innermost(function)
    if isgeneratorfunction(innermost) or isasyncgenfunction(innermost):
        raise PolicyError(
            f"{name_of(function)} is a generator: its call only makes it, and nothing would protect what it "
            f"does afterwards; wrap what it calls for each item"
        )


def not_done(coroutine: object, function: object) -> PolicyError:
    """Close the coroutine that a plain call answered; the error that says what to write instead.

    Each `call` looks for one in its own lines (`type(answer) is CoroutineType`): a function that looked would
    cost 50 ns in every layer, and this costs 15.
    """
    assert isinstance(coroutine, CoroutineType), "asked only of what is one"
    coroutine.close()
    name = name_of(function)
    return PolicyError(
        f"{name} is asynchronous: its call only makes a coroutine, and nothing would protect what that does; "
        f"write await ...call_async({name}, ...)"
    )


def name_of(function: object) -> str:
    """How an error calls a function."""
    innermost = _innermost(function)
    return getattr(innermost, "__qualname__", None) or repr(innermost)


def _innermost(function: object) -> object:
    while isinstance(function, partial):
        function = function.func
    return function
