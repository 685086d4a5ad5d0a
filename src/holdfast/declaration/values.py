"""How the types of single values are made.

Each type answers a wrong value with one phrase ("expected a whole number from 1 to 64"),
so that a report reads the same for every kind of mistake.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

EXPECTED = "expected"
"""Type of the pydantic error whose message is complete as it stands."""

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


SAID = "said"
"""Type of the pydantic error whose message says the value, too."""


def said(problem: object) -> PydanticCustomError:
    """Return the error of a type that words its problems itself."""
    return PydanticCustomError(SAID, "{problem}", {"problem": str(problem)})


def expected(what: str) -> WrapValidator:
    """Replace every error of the annotated type by "expected `what`"."""

    def validate(value: Any, inner: ValidatorFunctionWrapHandler) -> Any:
        try:
            return inner(value)
        except ValidationError:
            raise PydanticCustomError(EXPECTED, "expected {what}", {"what": what}) from None

    return WrapValidator(validate)


def duration_ms(value: object) -> int:
    """Return the milliseconds of a duration above 0, such as `10s`.

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(r"(\d{1,9})\s*(ms|s|m|h|d)", value) if isinstance(value, str) else None
    if match is None or not int(match[1]):
        raise ValueError
    return int(match[1]) * _UNITS_MS[match[2]]
