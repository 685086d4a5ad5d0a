"""The sources of an application's producers: the arguments that they take, and the events that they yield."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from holdfast.engine.handler import To
from holdfast.errors import PublishError
from holdfast.schema import Event, Tombstone
from holdfast.schema.explain import explain_fields
from holdfast.topology import ResolvedProducer

Arguments = Mapping[str, Mapping[str, Any]]
"""Keyword arguments of each producer."""

Parameters = Mapping[str, inspect.Parameter]
"""Parameters by name."""


def parameters_of(producer: ResolvedProducer) -> Parameters:
    """Return the parameters that can be given by name, with their annotations evaluated if they can be."""
    try:
        signature = inspect.signature(producer.source, eval_str=True)
    except Exception:  # noqa: BLE001 - annotations are expressions: evaluating them can fail in any way
        signature = inspect.signature(producer.source)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: each for name, each in signature.parameters.items() if each.kind in named}


def missing(parameters: Parameters, given: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the arguments without a default that are not given."""
    return tuple(
        name for name, it in parameters.items() if it.default is inspect.Parameter.empty and name not in given
    )


def is_typed(parameter: inspect.Parameter) -> bool:
    """Whether the annotation says something that a value can be converted to."""
    return _adapter(parameter.annotation) is not None


def fitted(parameter: inspect.Parameter, *candidates: Any) -> Any:
    """Return the first of some readings of a value that fits a parameter, converted to its annotation.

    Raises:
        ValueError: none fits; the text says what the parameter takes, and why the last one does not fit.
    """
    adapter = _adapter(parameter.annotation)
    if adapter is None:
        return candidates[0]
    for candidate in candidates:
        try:
            return adapter.validate_python(candidate)
        except ValidationError as error:
            refused = error
    shown = inspect.formatannotation(parameter.annotation)
    raise ValueError(f"takes {parameter.name}: {shown}; {explain_fields(refused)}")


def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    """Return what converts to an annotation; None if it says nothing that a value can be converted to."""
    if annotation is inspect.Parameter.empty or isinstance(annotation, str):
        return None
    try:
        return TypeAdapter(annotation)
    except PydanticUserError:
        return None


def events_of(
    producer: ResolvedProducer, arguments: Mapping[str, Any]
) -> Iterator[tuple[Event | Tombstone, str | None]]:
    """Yield what a producer yields, each with the topic if the producer says it."""
    for event in producer.source(**arguments):
        if isinstance(event, To):
            yield event.event, event.topic
        else:
            yield event, None


def failure(error: BaseException) -> PublishError:
    """Word what a producer's own code raised, with its place in it."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return PublishError(f"a producer of the application raised {error!r} at {place.filename}:{place.lineno}")
