"""What a handler's return annotation promises: which events, and whether it names their topics."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Union, get_args, get_origin

from holdfast.engine.handler import To
from holdfast.schema import Event


class Promised(NamedTuple):
    """One event class that a handler may return.

    Attributes:
        event: the class as annotated; what is returned may be a subclass.
        addressed: whether it is returned in `To`, which names the topic.
    """

    event: type[Event]
    addressed: bool


def returned(annotation: Any) -> Iterator[type]:
    """Yield the classes of a return annotation, one for each thing that a handler may return or yield."""
    members = _members(annotation)
    if members is not None:
        yield from (each for member in members for each in returned(member))
    elif isinstance(annotation, type) and annotation not in (type(None), Any) and not _is_bare(annotation):
        yield annotation


def _members(annotation: Any) -> tuple[Any, ...] | None:
    """What a union or a container of several things names; None for anything else."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return args
    if isinstance(origin, type) and issubclass(origin, Iterable) and not issubclass(origin, Mapping):
        # A generator's further arguments are what it is sent and what it ends with.
        return args if origin is tuple else args[:1]
    return None


def _is_bare(annotation: type) -> bool:
    """Whether it is a container that says nothing of its members."""
    is_builtin = annotation.__module__ in ("builtins", "collections.abc", "typing")
    return (
        is_builtin and issubclass(annotation, Iterable) and not issubclass(annotation, (str, bytes, Mapping))
    )


def promised(annotation: Any) -> Iterator[Promised]:
    """Yield the event classes of a return annotation; what it does not name is left to run time."""
    if isinstance(annotation, type) and issubclass(annotation, Event):
        yield Promised(annotation, addressed=False)
        return
    if get_origin(annotation) is To:
        addressed = get_args(annotation)
        yield from (Promised(each.event, addressed=True) for arg in addressed for each in promised(arg))
        return
    yield from (each for member in _members(annotation) or () for each in promised(member))
