"""Reasons that are given with a command and kept for whoever looks later."""

from __future__ import annotations

import typer


def as_reason(text: str, option: str = "--why") -> str:
    """A reason, or a name, as it is kept: without spaces around it.

    Args:
        text: as it was given; bytes that are no UTF-8 come in arguments as surrogates.
        option: the option that it came by.

    Raises:
        typer.BadParameter: it is no text, which nobody could read again.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("this is no text in UTF-8", param_hint=option) from None
    return text.strip()


def required_reason(text: str, reader: str) -> str:
    """A reason that has to be there.

    Args:
        text: as it was given.
        reader: for whom it is.

    Raises:
        typer.BadParameter: it is empty, or no text.
    """
    reason = as_reason(text)
    if not reason:
        raise typer.BadParameter(f"say why, for {reader}", param_hint="--why")
    return reason
