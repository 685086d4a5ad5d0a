"""How Holdfast's optional parts are installed, said the same everywhere."""

from __future__ import annotations

import importlib.util
import sys


def is_installed(package: str) -> bool:
    """Whether a package can be imported here.

    One that was imported is asked of the interpreter: faust puts a module of its own without a
    `__spec__` in its place, on which `find_spec` raises ValueError.
    """
    return package in sys.modules or importlib.util.find_spec(package) is not None


def with_extra(name: str) -> str:
    """What to do to have the packages of an extra, wherever Holdfast itself came from."""
    return f"install Holdfast with its extra `{name}` (from its checkout: pip install '.[{name}]')"
