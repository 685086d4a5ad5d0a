"""The command line's own look: help that names values and says no types that tell nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from pydantic import ValidationError
from typer.core import TyperCommand, TyperGroup

from holdfast.cli.bad_values import in_words


def _no_type(ctx: Any) -> None:
    """What is shown behind a parameter whose name says it all."""


def _tidy(params: list[Any]) -> list[Any]:
    """Let help show no type behind flags (``<bool>``) and arguments (``FILE <path>``)."""
    for param in params:
        if param.param_type_name == "argument" or getattr(param, "is_flag", False):
            # There is no setting for it; a `metavar` would be an argument's name.
            param.display_type_rich = _no_type
    return params


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Say what is wrong with a value as we do, and not as Typer's own library does."""
    try:
        yield
    except typer.BadParameter as error:
        if isinstance(error.__cause__, ValidationError):
            error.message = in_words(error.__cause__)
        raise


class Command(TyperCommand):
    """A command with tidy help, and plain words for values that are none."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments, as `typer.core.TyperCommand.parse_args` does."""
        with _in_our_words():
            return super().parse_args(ctx, args)

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, with ``--help``."""
        return _tidy(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands with tidy help."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, with ``--help``."""
        return _tidy(super().get_params(ctx))


class App(typer.Typer):
    """A Typer application whose commands have tidy help."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=Group, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        """Register a command, as `typer.Typer.command` does."""
        return super().command(name, cls=Command, **settings)
