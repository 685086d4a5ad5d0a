"""Turns pydantic's validation errors into our short ones."""

from __future__ import annotations

from pydantic import ValidationError

from holdfast.errors import DecodeError, InvalidEvent, NotJson

MAX_FIELDS = 5
"""How many bad fields a message names; the rest is counted."""

MAX_INPUT = 40
"""How many characters of an offending input a message shows."""


def shorten(value: object, limit: int = MAX_INPUT) -> str:
    """Return the representation of `value`, cut after `limit` characters."""
    if isinstance(value, (str, bytes)):
        # repr of a whole megabyte would be made only to be thrown away.
        value = value[: limit + 1]
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}..."


def explain_fields(error: ValidationError) -> str:
    """Return ``path: reason (got input)`` for each bad field, joined by semicolons."""
    problems = error.errors(include_url=False, include_context=False)
    texts = []
    for problem in problems[:MAX_FIELDS]:
        path = ".".join(str(step) for step in problem["loc"])
        # The input of a missing field is the whole object around it, which says nothing.
        got = "" if problem["type"] == "missing" else f" (got {shorten(problem['input'])})"
        texts.append(f"{path}: {problem['msg']}{got}" if path else f"{problem['msg']}{got}")
    if len(problems) > MAX_FIELDS:
        texts.append(f"and {len(problems) - MAX_FIELDS} more")
    return "; ".join(texts)


def explain_record(error: ValidationError, event_name: str, value: bytes) -> DecodeError:
    """Return the `NotJson` or `InvalidEvent` that stands for a failed validation of a record's value."""
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        reason = str(first["msg"]).removeprefix("Invalid JSON: ")
        return NotJson(
            f"the value ({len(value)} bytes) is not JSON: {reason}; it starts with {shorten(value)}"
        )
    return InvalidEvent(f"the JSON is no {event_name}: {explain_fields(error)}")
