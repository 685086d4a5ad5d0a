"""Ranges of settings, refused with the same words everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from inspect import signature

from holdfast.errors import PolicyError

_NOTHING = object()


def positive(name: str, value: float) -> None:
    """Refuse what is not a finite number above 0."""
    if not (_is_number(value) and 0 < value < math.inf):
        raise PolicyError(f"{name} must be a number above 0, not {value!r}")


def not_negative(name: str, value: float) -> None:
    """Refuse what is not a finite number from 0 on."""
    number_from(name, value, 0)


def number_from(name: str, value: float, least: float) -> None:
    """Refuse what is not a finite number from `least` on."""
    if not (_is_number(value) and least <= value < math.inf):
        raise PolicyError(f"{name} must be a number, {least:g} or more, not {value!r}")


def fraction(name: str, value: float) -> None:
    """Refuse what is not above 0 and at most 1."""
    if not (_is_number(value) and 0 < value <= 1):
        raise PolicyError(f"{name} must be a fraction above 0 and at most 1 (0.5 is 50 %), not {value!r}")


def named(name: object) -> str:
    """Return a name, or refuse what is none."""
    if not (isinstance(name, str) and name):
        raise PolicyError(f"name must be a text that names the downstream, not {name!r}")
    return name


def at_least(name: str, value: object, least: int) -> None:
    """Refuse what is not a whole number from `least` on."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise PolicyError(f"{name} must be a whole number, {least} or more, not {value!r}")


def a_layer(name: str, value: object, kind: type, example: str) -> None:
    """Refuse what is no `kind`; it would fail only when something is called.

    Args:
        name: of the argument.
        value: what was given for it.
        kind: the class that it has to be of.
        example: how one is made.
    """
    if not isinstance(value, kind):
        raise PolicyError(f"{name} must be a {kind.__name__}, such as {example}, not {value!r}")


def errors(name: str, value: object) -> None:
    """Refuse what `except` could not take."""
    kinds = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        raise PolicyError(f"{name} must be classes of errors in a tuple, not {value!r}")


def kinds(name: str, value: object) -> None:
    """Refuse what `isinstance` could not take."""
    for kind in _leaves(value):
        try:
            isinstance(_NOTHING, kind)  # type: ignore[arg-type] # whether it takes it is the question
        except TypeError:
            said = f"{name} must be what isinstance takes, such as (OSError, ValueError), not {value!r}"
            raise PolicyError(said) from None


def _leaves(value: object) -> Iterator[object]:
    """What is in tuples within tuples: `isinstance` does not look at what stands behind a match."""
    if isinstance(value, tuple):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


def a_function(name: str, value: object, does: str) -> None:
    """Refuse what cannot be called; `does` says what it has to take and answer."""
    if not callable(value):
        raise PolicyError(f"{name} must be a function that {does}, not {value!r}")


def takes_one(name: str, value: Callable[..., object], what: str) -> None:
    """Refuse a function that cannot be called with one argument, `what`; one that cannot be read is taken."""
    try:
        parameters = signature(value)
    except (TypeError, ValueError):
        return
    try:
        parameters.bind(_NOTHING)
    except TypeError:
        raise PolicyError(
            f"{name} must be a function that can be called with one argument, {what}; this one is written "
            f"{parameters}"
        ) from None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
