"""Whether a class of the application's own can be made with its sink's `options`, without making it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from holdfast.declaration.source import Location, Problem, did_you_mean
from holdfast.topology.sink_decls import CustomSinkDecl

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def option_problems(at: Location, decl: CustomSinkDecl, factory: Callable[..., Any]) -> Iterator[Problem]:
    """Say which options a class does not take, and which it needs.

    Args:
        at: where the options are.
        decl: the sink.
        factory: its class; one that does not tell what it takes is left to the worker.
    """
    signature = _signature(factory)
    if signature is None or _fits(signature, decl):
        return
    named = [each for each in signature.parameters.values() if each.kind in _BY_NAME]
    known = [each.name for each in named]
    takes_any = any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values())
    for option in decl.options:
        if option not in known and not takes_any:
            near = did_you_mean(option, [name for name in known if name not in decl.options])
            text = f"{decl.sink} takes no such option{near} (it takes: {', '.join(known) or 'none'})"
            yield Problem((*at, option), text)
    for parameter in named:
        if parameter.default is parameter.empty and parameter.name not in decl.options:
            yield Problem((*at, parameter.name), f"missing: {decl.sink} cannot be made without it")


def _fits(signature: inspect.Signature, decl: CustomSinkDecl) -> bool:
    try:
        signature.bind(**decl.options)
    except TypeError:
        return False
    return True


def _signature(factory: Callable[..., Any]) -> inspect.Signature | None:
    """What a class takes; None where that cannot be told for certain."""
    if hasattr(factory, "__signature__"):  # It is for readers, as pydantic's: more may be taken.
        return None
    try:
        # What is behind a decorator may be given more, or less, than the decorator.
        return inspect.signature(factory, follow_wrapped=False)
    except (TypeError, ValueError):
        return None
