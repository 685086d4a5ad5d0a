"""Pydantic's errors in the words of the topology file."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from holdfast.declaration.source import Location, Problem, did_you_mean, show
from holdfast.declaration.wording import is_told, known_keys, missing_key, unknown_key, word
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
    return tuple(Problem(location(detail), _word(detail)) for detail in details if not is_told(detail))


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


def keys_of(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the keys that a mapping of this model may have in the file."""
    return (*known_keys(model), *(["event"] if model is TopicDecl else []))


def _unknown(detail: ErrorDetails) -> str:
    key = str(detail["loc"][-1])
    if key == "event":
        return "`events` is given as well; keep one of the two"
    return unknown_key(key, keys_of(model_at(detail)))


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


def _word(detail: ErrorDetails) -> str:
    match detail["type"]:
        case "extra_forbidden":
            return _unknown(detail)
        case "missing":
            return missing_key(str(detail["loc"][-1]), model_at(detail))
        case "union_tag_invalid":
            return _no_kind(detail)
        case _:
            return word(detail, _given)
