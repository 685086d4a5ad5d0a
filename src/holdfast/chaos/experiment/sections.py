"""One mapping of a file as a frozen value, with every mistake in it; shared by all parts of an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from holdfast.declaration.source import UNREADABLE, Location, Problem, show
from holdfast.declaration.wording import is_told, known_keys, missing_key, unknown_key, word

M = TypeVar("M", bound=BaseModel)


class Section(NamedTuple, Generic[M]):
    """What could be made of a mapping.

    Attributes:
        value: the value; None if there is anything wrong in it.
        problems: everything that is wrong in it.
    """

    value: M | None
    problems: tuple[Problem, ...] = ()


def read_section(model: type[M], data: object, at: Location) -> Section[M]:
    """Read the mapping that stands at `at`; never raises for what it holds."""
    if data is UNREADABLE:
        return Section(None)
    if not isinstance(data, dict):
        return Section(None, (Problem(at, f"expected a mapping (key: value), got {show(data)}"),))
    try:
        return Section(model.model_validate(data))
    except ValidationError as error:
        details = error.errors(include_url=False)
    told = (Problem((*at, *it["loc"]), _word(model, it)) for it in details if not is_told(it))
    return Section(None, tuple(told))


def _word(model: type[BaseModel], detail: ErrorDetails) -> str:
    here = _model_at(model, detail["loc"])
    key = str(detail["loc"][-1])
    if detail["type"] == "extra_forbidden":
        return unknown_key(key, known_keys(here))
    if detail["type"] == "missing":
        return missing_key(key, here)
    return word(detail)


def _model_at(model: type[BaseModel], at: Sequence[str | int]) -> type[BaseModel]:
    """Return the model whose keys stand beside the last one of `at`."""
    for step in at[:-1]:
        inner: Any = next(
            (field.annotation for name, field in model.model_fields.items() if step in (name, field.alias)),
            None,
        )
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    return model
