"""How Holdfast's optional parts are installed, said the same everywhere."""

from __future__ import annotations


def with_extra(name: str) -> str:
    """What to do to have the packages of an extra, wherever Holdfast itself came from."""
    return f"install Holdfast with its extra `{name}` (from its checkout: pip install '.[{name}]')"
