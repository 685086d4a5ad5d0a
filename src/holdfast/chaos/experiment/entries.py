"""Single faults and invariants of a file. A fault's keys are those of its kind, so each kind has a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

from pydantic import Field, create_model

from holdfast.chaos.experiment.catalogue import KINDS, REQUIRED, FaultKind
from holdfast.chaos.experiment.fields import Lasting, Moment, Times, Weight, target_of
from holdfast.chaos.experiment.invariants import INVARIANTS
from holdfast.chaos.experiment.model import Fault, OwnInvariant, TimedFault, WeightedFault
from holdfast.chaos.experiment.sections import read_section
from holdfast.chaos.experiment.targets import known
from holdfast.declaration.base import Declared
from holdfast.declaration.source import UNREADABLE, Location, Problem, did_you_mean, show


class Entry(NamedTuple):
    """What could be made of one entry of a list: a value, or problems."""

    value: Any
    problems: tuple[Problem, ...] = ()


_BY_WEIGHT = "how often it is done comes by chance, by its `weight`; remove it"
_NOT_BY_CHANCE = {
    "at": "when it begins comes by chance; remove it",
    "for": "how long it lasts is said for all of them (`random.for`); remove it",
    "times": _BY_WEIGHT,
    "every": _BY_WEIGHT,
}
_NOT_TIMED = {"weight": "only faults by chance have it (`random.choose`); remove it"}


class _Timed(Declared):
    fault: str
    """The kind of fault."""

    at_ms: Moment = Field(alias="at")
    """When it begins, seen from the moment when the steady state has held."""

    times: Times = 1
    """How often it is done."""

    every_ms: Lasting | None = Field(None, alias="every")
    """From one beginning to the next, where that is more than once."""


class _Weighted(Declared):
    fault: str
    """The kind of fault."""

    weight: Weight = 1
    """How often it is chosen, compared with the others."""


class _Lasting(Declared):
    for_ms: Lasting = Field(alias="for")
    """How long it lasts; then it is undone."""


def timed_fault(data: object, at: Location) -> Entry:
    """Read a fault of the time line."""
    return _fault(data, at, _timed_model, _timed, _NOT_TIMED)


def weighted_fault(data: object, at: Location) -> Entry:
    """Read a fault that may be chosen."""
    return _fault(
        data, at, _weighted_model, lambda fault, read: WeightedFault(fault, read.weight), _NOT_BY_CHANCE
    )


def invariant(data: object, at: Location) -> Entry:
    """Read an invariant: the name of a built-in one, or one of the experiment's own."""
    if isinstance(data, str):
        if data in INVARIANTS:
            return Entry(data)
        near = did_you_mean(data, INVARIANTS)
        text = f"unknown invariant {show(data)}{near} (known: {', '.join(INVARIANTS)})"
        return Entry(None, (Problem(at, text),))
    if not isinstance(data, dict) and data is not UNREADABLE:
        what = "the name of an invariant, or a mapping with `name` and `sql` or `check`"
        text = f"expected {what}, got {show(data)}"
        return Entry(None, (Problem(at, text),))
    section = read_section(OwnInvariant, data, at)
    return Entry(section.value, section.problems)


def keys_of(kind: FaultKind) -> tuple[str, ...]:
    """Return the keys that a fault of this kind may have on a time line."""
    return tuple(field.alias or name for name, field in _timed_model(kind).model_fields.items())


def _fault(
    data: object,
    at: Location,
    model_of: Callable[[FaultKind], type[Declared]],
    make: Callable[[Fault, Any], object],
    elsewhere: Mapping[str, str],
) -> Entry:
    kind, problems = _kind(data, at)
    if kind is None:
        return Entry(None, problems)
    section = read_section(model_of(kind), data, at)
    if section.value is None:
        # A key that a fault has elsewhere is not just unknown.
        there = {(*at, key): text for key, text in elsewhere.items()}
        return Entry(None, tuple(it._replace(text=there.get(it.at, it.text)) for it in section.problems))
    read: Any = section.value
    own = {parameter.name: getattr(read, parameter.name) for parameter in kind.parameters}
    return Entry(make(Fault(kind, getattr(read, "target", None), own), read))


def _kind(data: object, at: Location) -> tuple[FaultKind | None, tuple[Problem, ...]]:
    """Return which kind of fault an entry is, or why that cannot be told; the rest of it waits for that."""
    if data is UNREADABLE:
        return None, ()
    if not isinstance(data, dict):
        return None, (Problem(at, f"expected a mapping with `fault`, got {show(data)}"),)
    place = (*at, "fault")
    if "fault" not in data:
        return None, (Problem(place, f"missing: the kind of fault ({', '.join(KINDS)})"),)
    name = data["fault"]
    if not isinstance(name, str) and name is not UNREADABLE:
        text = f"expected the kind of fault ({', '.join(KINDS)}), got {show(name)}"
        return None, (Problem(place, text),)
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        near = did_you_mean(str(name), KINDS)
        text = f"unknown fault {show(name)}{near} (known: {', '.join(KINDS)})"
        return None, () if name is UNREADABLE else (Problem(place, text),)
    if "for" in data and not kind.lasts:
        text = f"`{kind.name}` is an instant, and does not last; remove it"
        return None, (Problem((*at, "for"), text),)
    return kind, ()


def _timed(fault: Fault, read: Any) -> TimedFault:
    return TimedFault(fault, read.at_ms, getattr(read, "for_ms", None), read.times, read.every_ms)


@cache
def _timed_model(kind: FaultKind) -> type[Declared]:
    return _model(kind, (_Timed, _Lasting) if kind.lasts else (_Timed,))


@cache
def _weighted_model(kind: FaultKind) -> type[Declared]:
    return _model(kind, (_Weighted,))


def _model(kind: FaultKind, bases: tuple[type[Declared], ...]) -> type[Declared]:
    """Make the model of one kind of fault."""
    fields: dict[str, Any] = {}
    if kind.group is not None:
        default = ... if kind.target is None else kind.target
        description = f"Whom it hits ({known(kind.group)})."
        fields["target"] = (
            target_of(kind.group),
            Field(default, description=description, validate_default=True),
        )
    for each in kind.parameters:
        given = ... if each.default is REQUIRED else each.default
        type_ = each.type if given is not None else each.type | None
        fields[each.name] = (type_, Field(given, description=each.meaning, validate_default=True))
    return create_model(kind.name, __base__=bases, **fields)
