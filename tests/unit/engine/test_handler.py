"""What a handler's signature may be, and how each other one is refused."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from holdfast import Context, State, Tombstone, processor
from holdfast.engine.handler import inspect_handler
from holdfast.errors import HandlerError
from holdfast.sinks.http import HttpClient
from tests.unit.engine.kit import Added, Sum, Taken, Totalled


def test_events_tables_and_context_are_read_from_the_signature() -> None:
    """Every part of the specification."""

    def handle(event: Added | Taken | Tombstone, sums: State[Sum], at: Context) -> Totalled | None: ...

    spec = inspect_handler(handle)
    assert spec.events == (Added, Taken)
    assert spec.accepts_tombstones
    assert spec.tables == ("sums",)
    assert [(p.name, p.kind, p.value_type) for p in spec.parameters] == [
        ("sums", "state", Sum),
        ("at", "context", None),
    ]
    assert not spec.is_generator


def test_a_generator_function_is_known_as_one() -> None:
    """It yields its outputs."""

    def handle(event: Added) -> Iterator[Totalled]:
        yield Totalled(key=event.key, total=event.n)

    assert inspect_handler(handle).is_generator


def test_the_decorator_works_with_and_without_parentheses() -> None:
    """It returns the function as it is."""

    def handle(event: Added) -> None: ...

    assert processor(handle) is handle
    assert processor()(handle) is handle


def _no_parameters() -> None: ...
def _no_annotation(event) -> None: ...  # type: ignore[no-untyped-def]
def _not_an_event(event: int) -> None: ...
def _may_be_none(event: Added | None) -> None: ...
async def _async_with_state(event: Added, sums: State[Sum]) -> None: ...
async def _async_unknown(event: Added, gateway: Sum) -> None: ...
def _plain_with_client(event: Added, gateway: HttpClient) -> None: ...
async def _async_generator(event: Added) -> AsyncIterator[Totalled]:
    yield Totalled(key=event.key, total=1)


def _args(event: Added, *sums: State[Sum]) -> None: ...
def _kwargs(event: Added, **sums: State[Sum]) -> None: ...
def _args_first(*event: Added) -> None: ...
def _kwargs_first(**event: Added) -> None: ...
def _keyword_only(event: Added, *, sums: State[Sum]) -> None: ...
def _keyword_only_first(*, event: Added) -> None: ...
def _unknown_parameter(event: Added, sums: Sum) -> None: ...
def _unannotated_parameter(event: Added, sums) -> None: ...  # type: ignore[no-untyped-def]
def _undefined_name(event: Added, sums: State[Missing]) -> None: ...  # type: ignore[name-defined] # noqa: F821
def _undefined_attribute(event: Added, sums: functools.Missing) -> None: ...  # type: ignore[name-defined]


class _Callable:
    def __call__(self, event: Added) -> None: ...

    def method(self, event: Added) -> None: ...


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (_no_parameters, "takes no parameters"),
        (_no_annotation, "'event' must be annotated with an Event class"),
        (_not_an_event, "not int"),
        (_may_be_none, "must be annotated with an Event class"),
        (_async_generator, "is async and yields"),
        (_async_with_state, "is async and takes table 'sums'"),
        (_plain_with_client, "takes HttpClient 'gateway', whose answers have to be awaited"),
        (_async_unknown, "'gateway' is annotated with Sum; after the event an async handler takes a client"),
        (_args, r"\*sums cannot be supplied"),
        (_kwargs, "sums cannot be supplied"),
        (_args_first, "event cannot be supplied"),
        (_kwargs_first, "event cannot be supplied"),
        (_keyword_only, "'sums' is keyword-only"),
        (_keyword_only_first, "'event' is keyword-only"),
        (_unknown_parameter, "'sums' is annotated with Sum"),
        (_unannotated_parameter, "'sums' is annotated with nothing"),
        (_undefined_name, "'Missing', which its module does not define"),
        (_undefined_attribute, "annotations cannot be read.*Missing"),
        (_Callable(), "is not a function"),
        (_Callable().method, "is not a function"),
        (functools.partial(_not_an_event), "is not a function"),
        (Added, "is not a function"),
        (3, "is not a function"),
    ],
)
def test_a_signature_that_cannot_be_served_is_refused(function: Callable[..., Any], says: str) -> None:
    """The message names the handler and the parameter."""
    with pytest.raises(HandlerError, match=says):
        inspect_handler(function)
