"""Pydantic's errors in the words of the topology file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from holdfast.topology.declared import APP, NAME, SOURCE
from holdfast.topology.fields import EXPECTED
from holdfast.topology.model import (
    FaustDecl,
    LeaderTaskDecl,
    ProcessorDecl,
    ProducerDecl,
    TopicDecl,
    Topology,
)
from holdfast.topology.sink_decls import (
    NO_TYPE,
    BreakerDecl,
    CustomSinkDecl,
    HttpSinkDecl,
    KafkaSinkDecl,
    ParquetSinkDecl,
    PostgresSinkDecl,
    RedisSinkDecl,
)
from holdfast.topology.source import UNREADABLE, Location, Problem, did_you_mean, show

_SECTIONS: Mapping[str, type[BaseModel]] = {
    "topics": TopicDecl,
    "producers": ProducerDecl,
    "leader_tasks": LeaderTaskDecl,
}
_KINDS: Mapping[str, tuple[str, Mapping[str, type[BaseModel]]]] = {
    "processors": ("runtime", {"holdfast": ProcessorDecl, "faust": FaustDecl}),
    "sinks": (
        "type",
        {
            "postgres": PostgresSinkDecl,
            "http": HttpSinkDecl,
            "redis": RedisSinkDecl,
            "parquet": ParquetSinkDecl,
            "kafka": KafkaSinkDecl,
            "custom": CustomSinkDecl,
        },
    ),
}
"""For sections with several kinds of entries: the key that tells the kind, and the model of each."""
_NESTED: Mapping[str, type[BaseModel]] = {"breaker": BreakerDecl}
"""Models of mappings inside an entry."""
_SECRET = ("password", "secret", "key.pem", "sasl.jaas.config", "sasl.oauthbearer.config")


def problems_of(error: ValidationError) -> tuple[Problem, ...]:
    """Return one problem for each error that pydantic found, located as in the file."""
    details = error.errors(include_url=False)
    return tuple(Problem(location(detail), _word(detail)) for detail in details if not _told(detail))


def _told(detail: ErrorDetails) -> bool:
    """Tell whether another problem has said it: of the YAML itself, or of the entries of a list."""
    counts_wrong_entries = detail["type"] == "too_short" and bool(detail["input"])
    return detail["input"] is UNREADABLE or counts_wrong_entries


def location(detail: ErrorDetails) -> Location:
    """Return where in the file an error is: without pydantic's own steps."""
    at = detail["loc"]
    kinds = _KINDS.get(str(at[0])) if at else None
    if kinds is not None and detail["type"] == "union_tag_invalid":
        at = (*at, kinds[0])
    elif kinds is not None and len(at) > 2:
        at = (*at[:2], *at[3:])  # the step that names the kind
    if at[-1:] == ("[key]",):
        at = at[:-1]
    return at


def model_at(detail: ErrorDetails) -> type[BaseModel]:
    """Return the model whose keys stand beside the error's own key."""
    at = detail["loc"]
    kinds = _KINDS.get(str(at[0]))
    if kinds is not None and len(at) > 3:
        entry = kinds[1][str(at[2])]
        return _NESTED.get(str(at[3]), entry) if len(at) > 4 else entry
    return _SECTIONS.get(str(at[0]), Topology) if len(at) > 2 else Topology


def known_keys(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the keys that a mapping of this model may have in the file."""
    keys = [field.alias or name for name, field in model.model_fields.items()]
    extra = ["event"] if model is TopicDecl else []
    return (*(key for key in keys if key not in (APP, NAME, SOURCE)), *extra)


def _unknown(detail: ErrorDetails) -> str:
    known = known_keys(model_at(detail))
    key = str(detail["loc"][-1])
    if key == "event":
        return "`events` is given as well; keep one of the two"
    return f"unknown key{did_you_mean(key, known)} (known: {', '.join(known)})"


def _missing(detail: ErrorDetails) -> str:
    model = model_at(detail)
    by_key = {field.alias or name: field.description for name, field in model.model_fields.items()}
    meaning = by_key.get(str(detail["loc"][-1])) or ""
    return f"missing: {meaning[0].lower()}{meaning[1:].splitlines()[0].rstrip('.')}" if meaning else "missing"


def _choice(detail: ErrorDetails) -> str:
    choices = detail["ctx"]["expected"].replace("'", "")
    names = choices.replace(" or ", ", ").split(", ")
    return f"expected {choices}, got {_given(detail)}{did_you_mean(str(detail['input']), names)}"


def _no_kind(detail: ErrorDetails) -> str:
    given = str(detail["ctx"]["tag"])
    kinds = _KINDS[str(detail["loc"][0])][1]
    shown = given if given == NO_TYPE else f"{show(given)}{did_you_mean(given, kinds)}"
    return f"expected {' or '.join(kinds)}, got {shown}"


def _given(detail: ErrorDetails) -> str:
    at = detail["loc"]
    if at[-1] != "[key]" and _may_be_secret(at):
        return _kept_back(detail["input"])
    return show(detail["input"])  # Where a key is says it as well.


def _may_be_secret(at: Location) -> bool:
    if at[0] == "kafka":
        return any(word in str(at[-1]) for word in _SECRET)
    if at[0] != "sinks":
        return False
    is_redis = "redis" in at and at[-1] in ("url", "password", "sentinel_password")
    return is_redis or at[-1] == "dsn" or "headers" in at or at[2:4] == ("kafka", "kafka")


def _kept_back(value: object) -> str:
    """Word what a value is, but not what it says."""
    if value == "":
        return "an empty one"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "a number"
    return "something else (not shown, as it may hold a password)" if isinstance(value, str) else show(value)


def _expected(what: str) -> Callable[[ErrorDetails], str]:
    return lambda detail: f"expected {what}, got {_given(detail)}"


_WORDS: Mapping[str, Callable[[ErrorDetails], str]] = {
    "extra_forbidden": _unknown,
    "missing": _missing,
    "literal_error": _choice,
    "union_tag_invalid": _no_kind,
    "bool_type": _expected("true or false"),
    "dict_type": _expected("a mapping (key: value)"),
    "mapping_type": _expected("a mapping (key: value)"),
    "model_type": _expected("a mapping (key: value)"),
    "model_attributes_type": _expected("a mapping (key: value)"),
    "tuple_type": _expected("a list"),
    "too_short": lambda _: "expected at least one entry, got none",
}


def _word(detail: ErrorDetails) -> str:
    if detail["type"] == EXPECTED:
        return f"{detail['msg']}, got {_given(detail)}"
    word: Callable[[ErrorDetails], Any] | None = _WORDS.get(detail["type"])
    return word(detail) if word else f"{detail['msg']}, got {_given(detail)}"
