"""What is wrong with the value of an option, in our words instead of those of the library that found out."""

from __future__ import annotations

from pydantic import ValidationError

_EXPECTED = {
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "finite_number": "a number with an end",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
}


def in_words(error: ValidationError) -> str:
    """What was expected and what was given, as the checks of `topology.yaml` say it."""
    found = error.errors()[0]
    context = found.get("ctx", {})
    if found["type"] == "value_error":
        return str(context["error"])
    if found["type"] not in _EXPECTED:
        return found["msg"]
    return f'expected {_EXPECTED[found["type"]].format(**context)}, got "{found["input"]}"'
