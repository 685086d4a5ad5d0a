"""Pydantic's errors in the words of the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from holdfast.declaration.source import UNREADABLE, did_you_mean, show
from holdfast.declaration.values import EXPECTED, SAID

Given = Callable[[ErrorDetails], str]
"""Words what stands where an error is; of a value that may be a secret it says less."""


def shown(detail: ErrorDetails) -> str:
    """Word what stands where an error is."""
    return show(detail["input"])


def is_told(detail: ErrorDetails) -> bool:
    """Tell whether another problem has said it: of the YAML itself, or of the entries of a list."""
    counts_wrong_entries = detail["type"] == "too_short" and bool(detail["input"])
    return detail["input"] is UNREADABLE or counts_wrong_entries


def known_keys(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the keys that a mapping of this model may have in a file; "<name>" and the like are none."""
    keys = (field.alias or name for name, field in model.model_fields.items())
    return tuple(key for key in keys if not key.startswith("<"))


def unknown_key(key: str, known: tuple[str, ...]) -> str:
    """Word that nothing is called `key`."""
    return f"unknown key{did_you_mean(key, known)} (known: {', '.join(known)})"


def missing_key(key: str, model: type[BaseModel]) -> str:
    """Word that a required key is missing, with what it means."""
    by_key = {field.alias or name: field.description for name, field in model.model_fields.items()}
    return missing(by_key.get(key) or "")


def missing(meaning: str) -> str:
    """Word that a required key is missing.

    Args:
        meaning: what it means, one sentence first; nothing where nobody knows.
    """
    if not meaning:
        return "missing"
    return f"missing: {meaning[0].lower()}{meaning[1:].splitlines()[0].rstrip('.')}"


def word(detail: ErrorDetails, given: Given = shown) -> str:
    """Word an error of a single value: all but unknown and missing keys."""
    if detail["type"] == SAID:
        return detail["msg"]
    if detail["type"] == EXPECTED:
        return f"{detail['msg']}, got {given(detail)}"
    said: Callable[[ErrorDetails, Given], str] | None = _WORDS.get(detail["type"])
    return said(detail, given) if said else f"{detail['msg']}, got {given(detail)}"


def _choice(detail: ErrorDetails, given: Given) -> str:
    choices = detail["ctx"]["expected"].replace("'", "")
    names = choices.replace(" or ", ", ").split(", ")
    return f"expected {choices}, got {given(detail)}{did_you_mean(str(detail['input']), names)}"


def _expected(what: str) -> Callable[[ErrorDetails, Given], str]:
    return lambda detail, given: f"expected {what}, got {given(detail)}"


_MAPPING = _expected("a mapping (key: value)")

_WORDS: Mapping[str, Callable[[ErrorDetails, Given], Any]] = {
    "literal_error": _choice,
    "bool_type": _expected("true or false"),
    "dict_type": _MAPPING,
    "mapping_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "tuple_type": _expected("a list"),
    "too_short": lambda *_: "expected at least one entry, got none",
}
