"""The base class of all events, and the value that stands for a deletion.

An event is an immutable pydantic model. Its class says under which name and in which version it goes
over the wire; both travel in one header, so that a reader needs one dictionary lookup to find the
right validator (see docs/adr/0001-event-type-header.md)::

    class OrderPlaced(Event, version=2):
        order_id: str
        currency: str

    @OrderPlaced.upcast(from_version=1)
    def _add_currency(old: dict[str, Any]) -> dict[str, Any]:
        return {**old, "currency": "EUR"}

Fields that the class does not know are ignored when a record is read, so that a producer may add fields
before its readers follow. ``class OrderPlaced(Event, extra="forbid")`` refuses them instead, and
``strict=True`` refuses conversions such as ``"12"`` for an ``int`` (both are pydantic's own options).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, PydanticUserError
from pydantic.errors import PydanticUndefinedAnnotation

from holdfast.errors import SchemaError

TYPE_HEADER = "ce_type"
"""Name of the record header that carries an event's name and version (CloudEvents, binary mode)."""

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the JSON object of version n into that of version n + 1."""

_UpcasterT = TypeVar("_UpcasterT", bound=Upcaster)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]*")
_VERSIONED = re.compile(r"(.+)\.v([1-9][0-9]{0,8})")


class Event(BaseModel):
    """Base class of the events of a topic: frozen, validated, with a name and a version.

    Class keywords (beside pydantic's own configuration):
        name: the name on the wire; the class's own name unless given.
        version: the version of the contract, 1 unless given. Raise it with an incompatible change
            and add an upcaster from the version before.
        oldest: the oldest version that may still be in a topic, 1 unless given.

    Raises:
        SchemaError: when a subclass has an unusable name, version or configuration.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        # Aliases name the field on the wire both ways; Python code may always use the Python name.
        serialize_by_alias=True,
        validate_by_alias=True,
        validate_by_name=True,
        # JSON has no NaN: pydantic would write null, which no reader could take back.
        allow_inf_nan=False,
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )

    __event_name__: ClassVar[str]
    __event_version__: ClassVar[int]
    __event_oldest__: ClassVar[int]
    __event_upcasters__: ClassVar[dict[int, Upcaster]]

    def __init_subclass__(
        cls, *, name: str | None = None, version: int = 1, oldest: int = 1, **config: Any
    ) -> None:
        """Take the class keywords; pydantic handles the rest of them."""
        super().__init_subclass__(**config)
        where = f"{cls.__module__}:{cls.__qualname__}"
        name = cls.__name__ if name is None else name
        if not _NAME.fullmatch(name) or _VERSIONED.fullmatch(name):
            raise SchemaError(
                f"{where}: {name!r} cannot be an event name. Give name= with letters, digits and any of "
                "_ . - and without a version at its end (that is the keyword version=)."
            )
        if not 1 <= oldest <= version <= 999_999_999:
            raise SchemaError(
                f"{where}: version={version}, oldest={oldest}; versions start at 1 "
                "and oldest is not above version."
            )
        cls.__event_name__ = name
        cls.__event_version__ = version
        cls.__event_oldest__ = oldest
        cls.__event_upcasters__ = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Refuse a subclass that gives up immutability."""
        if not cls.model_config.get("frozen"):
            raise SchemaError(
                f"{cls.__module__}:{cls.__qualname__}: an event is immutable; remove frozen=False."
            )

    @classmethod
    def upcast(cls, *, from_version: int) -> Callable[[_UpcasterT], _UpcasterT]:
        """Register the function that turns version `from_version` into the version after it.

        The function gets the decoded JSON object and returns that of the next version; the event
        class checks the last one.

        Raises:
            SchemaError: when the version is not an older one of this class, or already has a function.
        """
        if not cls.__event_oldest__ <= from_version < cls.__event_version__:
            raise SchemaError(
                f"{cls.__event_name__} is at version {cls.__event_version__} (oldest {cls.__event_oldest__});"
                f" upcast(from_version={from_version}) can never be used. Raise version= on the class."
            )
        if from_version in cls.__event_upcasters__:
            raise SchemaError(
                f"{cls.__event_name__} has two upcasters from version {from_version}; keep one."
            )

        def register(function: _UpcasterT) -> _UpcasterT:
            cls.__event_upcasters__[from_version] = function
            return function

        return register


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A record without a value: what was kept under the key is deleted.

    Attributes:
        event_type: the event class whose key it is; None if the topic has several and the record
            does not say which.
        key: the key; the raw bytes when it was read, anything that an event's key field may hold when
            it is about to be written.
    """

    event_type: type[Event] | None
    key: object


def wire_type(event_type: type[Event], version: int | None = None) -> bytes:
    """Return the value of the type header, ``b"OrderPlaced.v2"``; the current version unless given."""
    return f"{event_type.__event_name__}.v{version or event_type.__event_version__}".encode()


def parse_wire_type(value: bytes) -> tuple[str, int | None]:
    """Split a type header into name and version; version None if it names none."""
    text = value.decode("utf-8", "backslashreplace")
    match = _VERSIONED.fullmatch(text)
    return (match[1], int(match[2])) if match else (text, None)


def check_event_class(event_type: Any) -> None:
    """Check what can only be known once the module of the class is loaded.

    Raises:
        SchemaError: when `event_type` is no event class, names an undefined type, or lacks an upcaster.
    """
    if not (isinstance(event_type, type) and issubclass(event_type, Event)) or event_type is Event:
        raise SchemaError(
            f"{event_type!r} is not an event class; an event is declared as `class Name(Event): ...`."
        )
    complete(event_type)
    missing = [
        version
        for version in range(event_type.__event_oldest__, event_type.__event_version__)
        if version not in event_type.__event_upcasters__
    ]
    if missing:
        name = event_type.__event_name__
        raise SchemaError(
            f"{name} is at version {event_type.__event_version__} but nothing turns version {missing[0]} "
            f"into {missing[0] + 1}. Add a function under "
            f"@{event_type.__name__}.upcast(from_version={missing[0]}), or "
            f"declare oldest={missing[-1] + 1} on the class if no older record is left in any topic."
        )


def complete(model: type[BaseModel]) -> None:
    """Finish a model whose annotations could not be resolved when it was defined.

    Raises:
        SchemaError: when they still cannot.
    """
    try:
        if not model.__pydantic_complete__:
            model.model_rebuild()
    except (PydanticUndefinedAnnotation, PydanticUserError) as error:
        reason = str(error).splitlines()[0]
        raise SchemaError(f"{model.__module__}:{model.__qualname__} cannot be used: {reason}") from error
