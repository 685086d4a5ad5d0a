"""The command line's own look: help that names values and says no types that tell nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


def _no_type(ctx: Any) -> None:
    """What is shown behind a parameter whose name says it all."""


def _tidy(params: list[Any]) -> list[Any]:
    """Let help show no type behind flags (``<bool>``) and arguments (``FILE <path>``)."""
    for param in params:
        if param.param_type_name == "argument" or getattr(param, "is_flag", False):
            # There is no setting for it; a `metavar` would be an argument's name.
            param.display_type_rich = _no_type
    return params


class Command(TyperCommand):
    """A command with tidy help."""

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
