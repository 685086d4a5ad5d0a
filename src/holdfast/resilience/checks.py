"""Ranges of settings, refused with the same words everywhere."""

from __future__ import annotations

import math

from holdfast.errors import PolicyError


def positive(name: str, value: float) -> None:
    """Refuse what is not a finite number above 0."""
    if not (_is_number(value) and 0 < value < math.inf):
        raise PolicyError(f"{name} must be a number above 0, not {value!r}")


def not_negative(name: str, value: float) -> None:
    """Refuse what is not a finite number from 0 on."""
    if not (_is_number(value) and 0 <= value < math.inf):
        raise PolicyError(f"{name} must be a number, 0 or more, not {value!r}")


def fraction(name: str, value: float) -> None:
    """Refuse what is not above 0 and at most 1."""
    if not (_is_number(value) and 0 < value <= 1):
        raise PolicyError(f"{name} must be a fraction above 0 and at most 1 (0.5 is 50 %), not {value!r}")


def at_least(name: str, value: object, least: int) -> None:
    """Refuse what is not a whole number from `least` on."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise PolicyError(f"{name} must be a whole number, {least} or more, not {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
